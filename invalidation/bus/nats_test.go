package bus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/invalidation"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The library's own: a ticker that no Shutdown stops.
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.init.0.func1"))
}

type real struct {
	node *invalidation.Node
	bus  *Bus
	nats *NATS
}

func freePorts(t testing.TB, n int) []string {
	t.Helper()
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out
}

// startReal starts node i of those that listen at the addresses.
func startReal(t testing.TB, addresses []string, i int, secret string, change func(*RouteOptions, *Options)) *real {
	t.Helper()
	name := "n" + strconv.Itoa(i+1)
	log := slog.New(slog.NewTextHandler(testLog{t}, nil)).With("node", name)
	node, err := invalidation.Open(invalidation.Options{Node: name, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r := RouteOptions{Node: name, Cluster: "test", Listen: addresses[i], Peers: addresses, Secret: []byte(secret), Log: log}
	o := Options{Node: node, Cluster: "test", Secret: []byte(secret), Expected: len(addresses) - 1, Log: log}
	if change != nil {
		change(&r, &o)
	}
	transport, err := Embedded(r)
	if err != nil {
		t.Fatal(err)
	}
	o.Transport = transport
	b, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return &real{node, b, transport}
}

func (r *real) stop(t testing.TB) {
	r.bus.Close()
	if err := r.node.Close(); err != nil {
		t.Error(err)
	}
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(string(b[:len(b)-1]))
	return len(b), nil
}

func TestThreeNodes(t *testing.T) {
	addresses := freePorts(t, 3)
	var nodes []*real
	for i := range addresses {
		nodes = append(nodes, startReal(t, addresses, i, "s", nil))
	}
	defer func() {
		for _, n := range nodes {
			n.stop(t)
		}
	}()
	for _, n := range nodes {
		eventually(t, func() bool { return n.node.Gate().Open(time.Now()) })
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for i := range 200 {
		from := nodes[i%3]
		began := time.Now()
		p, err := from.node.Purge([]invalidation.Fact{{Kind: invalidation.Tag, Scope: fmt.Sprint("t", i)}})
		if err != nil {
			t.Fatal(err)
		}
		applied, pending := from.bus.Wait(ctx, p.ID, began)
		if len(applied) != 2 || len(pending) != 0 {
			t.Fatalf("%v: applied %v, pending %v", p.ID, applied, pending)
		}
		if i < 3 {
			t.Log(applied)
		}
	}

	// One that stops in good order is not waited for, although the configuration counts it.
	nodes[2].stop(t)
	nodes = nodes[:2]
	left := nodes
	eventually(t, func() bool { return len(left[0].bus.Status().Peers) == 1 && len(left[1].bus.Status().Peers) == 1 })
	p, err := left[0].node.Purge([]invalidation.Fact{{Kind: invalidation.All}})
	if err != nil {
		t.Fatal(err)
	}
	if applied, pending := left[0].bus.Wait(ctx, p.ID, time.Now()); len(applied) != 1 || len(pending) != 0 {
		t.Errorf("after a peer left: applied %v, pending %v", applied, pending)
	}
	// When it is back, it counts again.
	nodes = append(nodes, startReal(t, addresses, 2, "s", nil))
	eventually(t, func() bool { return len(left[0].bus.Status().Peers) == 2 })
	p, err = left[0].node.Purge([]invalidation.Fact{{Kind: invalidation.All}})
	if err != nil {
		t.Fatal(err)
	}
	if applied, pending := left[0].bus.Wait(ctx, p.ID, time.Now()); len(applied) != 2 || len(pending) != 0 {
		t.Errorf("after it came back: applied %v, pending %v", applied, pending)
	}
}

// eventually polls until the condition holds; a test that waits for ever is ended by its own timeout.
func eventually(t testing.TB, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); {
		if time.Now().After(end) {
			t.Fatal("it did not come about in 20 seconds")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
