package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// network is a network namespace for each node of a cluster, and one with a bridge
// that all are wired to. Only what the nodes say to each other goes over it: the
// test reaches each node on the loopback of its namespace, and each node finds the
// origin there, whatever becomes of the wires.
type network struct {
	t    *testing.T
	name string
	at   [clusterSize]*os.File // the namespaces
}

const (
	namespaces = "/var/run/netns" // where ip(8) keeps them
	nodeHost   = "127.0.1."       // and the node's number
)

// newNetwork makes it, in a mount namespace of the test's own: all of it ends with
// the processes in it.
func newNetwork(t *testing.T, name string) *network {
	t.Helper()
	n := &network{t: t, name: name}
	n.ip("netns", "add", n.hub())
	n.ip("-n", n.hub(), "link", "add", "bridge", "up", "type", "bridge")
	for i := range n.at {
		n.ip("netns", "add", n.node(i))
		n.ip("-n", n.hub(), "link", "add", n.wire(i), "type", "veth", "peer", "name", "wire", "netns", n.node(i))
		n.ip("-n", n.hub(), "link", "set", n.wire(i), "master", "bridge", "up")
		n.ip("-n", n.node(i), "link", "set", "lo", "up")
		n.ip("-n", n.node(i), "address", "add", n.host(i)+"/24", "dev", "wire")
		n.ip("-n", n.node(i), "link", "set", "wire", "up")
		f, err := os.Open(filepath.Join(namespaces, n.node(i)))
		if err != nil {
			t.Fatal(err)
		}
		n.at[i] = f
		t.Cleanup(func() { _ = f.Close() })
	}
	return n
}

func (n *network) hub() string       { return n.name + "-hub" }
func (n *network) node(i int) string { return n.name + "-" + strconv.Itoa(i+1) }
func (n *network) wire(i int) string { return "wire" + strconv.Itoa(i+1) }
func (n *network) host(i int) string { return "10.0.0." + strconv.Itoa(i+1) }

// cut pulls a node's wire out of the bridge; what is under way on it is lost, and
// nobody is told.
func (n *network) cut(i int) { n.ip("-n", n.hub(), "link", "set", n.wire(i), "down") }

func (n *network) heal(i int) { n.ip("-n", n.hub(), "link", "set", n.wire(i), "up") }

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.CommandContext(n.t.Context(), "ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// site is the network's place for a cluster.
func (n *network) site() (s site) {
	for i := range s.places {
		host := nodeHost + strconv.Itoa(i+1)
		s.places[i] = place{
			data: host + ":0", admin: host + ":0", route: n.host(i) + ":6222",
			prefix: []string{"ip", "netns", "exec", n.node(i)},
		}
		err := n.in(i, func() error {
			ln, err := new(net.ListenConfig).Listen(n.t.Context(), "tcp", "127.0.0.1:8080")
			s.origins = append(s.origins, ln)
			return err
		})
		if err != nil {
			n.t.Fatal(err)
		}
	}
	s.dial = n.dial
	return s
}

// dial connects to a node from within its namespace: a socket belongs to the
// namespace in which it is made.
func (n *network) dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	i, err := strconv.Atoi(strings.TrimPrefix(host, nodeHost))
	if err != nil || i < 1 || i > len(n.at) {
		return nil, fmt.Errorf("%s is the address of no node", address)
	}
	err = n.in(i-1, func() error {
		// By the address alone it stays on this thread.
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// in runs do in a node's namespace, on a thread that ends with it.
func (n *network) in(i int, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked, so that nothing else gets the thread
		err := unix.Setns(int(n.at[i].Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}
