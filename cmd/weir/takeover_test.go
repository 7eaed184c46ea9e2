//go:build linux

package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var restarts = flag.Int("restarts", 3, "how often TestRollingRestarts restarts weir")

// slowOrigin answers /page/N at once, /late/N after 300 ms, and /long/N with a body
// that takes a second.
func slowOrigin(t *testing.T) string {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Content-Length", strconv.Itoa(pageSize))
		pieces := 1
		switch {
		case strings.HasPrefix(req.URL.Path, "/late/"):
			<-time.After(300 * time.Millisecond)
		case strings.HasPrefix(req.URL.Path, "/long/"):
			pieces = 10
		}
		for range pieces {
			if _, err := w.Write(make([]byte, pageSize/pieces)); err != nil || pieces == 1 {
				return
			}
			_ = http.NewResponseController(w).Flush()
			<-time.After(100 * time.Millisecond)
		}
	})}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close() })
	return ln.Addr().String()
}

const pageSize = 20_000

// steadyClient sends one request after the other, and counts every fault: nothing is
// tried again.
type steadyClient struct {
	address string
	keep    bool // connections last for as long as the server says
	conn    net.Conn
	in      *bufio.Reader

	sent, hits int
	faults     []string
}

func (c *steadyClient) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *steadyClient) get(target string) {
	c.sent++
	if err := c.exchange(target); err != nil {
		c.faults = append(c.faults, fmt.Sprintf("%s: %v", target, err))
		c.close()
	}
}

func (c *steadyClient) exchange(target string) error {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.address, patience)
		if err != nil {
			return fmt.Errorf("refused: %w", err)
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: shop.example\r\n\r\n", target); err != nil {
		return fmt.Errorf("cut: %w", err)
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return fmt.Errorf("cut: %w", err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	switch {
	case err != nil || n != pageSize:
		return fmt.Errorf("cut after %d bytes: %w", n, err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d, %s", resp.StatusCode, resp.Header.Get("Cache-Status"))
	}
	if strings.Contains(resp.Header.Get("Cache-Status"), "hit") {
		c.hits++
	}
	if resp.Close || !c.keep {
		c.close()
	}
	return nil
}

// run sends a request every so often until stop is closed.
func (c *steadyClient) run(i int, every time.Duration, stop <-chan struct{}) {
	defer c.close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		switch {
		case i == 0:
			c.get(fmt.Sprintf("/long/%d", n))
		case n%10 == 9:
			c.get(fmt.Sprintf("/late/%d-%d", i, n))
		case n%10 == 4:
			c.get(fmt.Sprintf("/page/new-%d-%d", i, n))
		default:
			c.get(fmt.Sprintf("/page/%d", n%50))
		}
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

// TestRollingRestarts: weir after weir takes over from the one before it, under 200
// requests a second, half of them on connections that last, with slow answers among
// them. None is refused and none is cut, and the disk goes from one to the next.
// -restarts says how often.
func TestRollingRestarts(t *testing.T) {
	t.Parallel()
	data, err := freeRoute()
	admin, err2 := freeRoute()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "weir.yaml")
	text := fmt.Sprintf("listen: %s\nadmin: {listen: %s}\ntiers: {ram: {size: 16MiB}, disk: {path: cache, size: 64MiB}}\n"+
		"origins: {o: {servers: [\"http://%s\"]}}\npolicies: [{name: all, origin: o}]\n", data, admin, slowOrigin(t))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	running := nextWeir(t, nil, config, dir)

	clients := make([]*steadyClient, 21)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range clients {
		clients[i] = &steadyClient{address: data, keep: i%2 == 0}
		wg.Go(func() { clients[i].run(i, 100*time.Millisecond, stop) })
	}
	for range *restarts {
		running = nextWeir(t, running, config, dir)
	}
	close(stop)
	wg.Wait()

	sent, hits := 0, 0
	var faults []string
	for _, c := range clients {
		sent, hits, faults = sent+c.sent, hits+c.hits, append(faults, c.faults...)
	}
	t.Logf("%d restarts, %d requests, %d hits: %d refused or cut", *restarts, sent, hits, len(faults))
	if len(faults) > 0 {
		t.Errorf("%s", strings.Join(faults[:min(len(faults), 20)], "\n"))
	}
	if sent < *restarts*20 || hits == 0 {
		t.Errorf("%d requests and %d hits show little", sent, hits)
	}
	// What the first of them stored the last one finds on disk, once that is open.
	if !poll(func() bool {
		resp, err := scrapes.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}) {
		t.Error("the last one does not get ready")
	}
	c := &steadyClient{address: data}
	if c.get("/page/1"); c.hits != 1 {
		t.Errorf("what was stored is not there any more: %v", c.faults)
	}
	if err := running.end(); err != nil {
		t.Error(err)
	}
}

// nextWeir starts a weir that takes over from old, and waits until that has ended.
func nextWeir(t *testing.T, old *process, config, dir string) *process {
	t.Helper()
	p, err := launchWeirWith([]string{"--take-over"}, config, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.end() })
	if p.awaitReady() == "" {
		t.Fatalf("it did not get ready; it wrote:\n%s", p.log)
	}
	if old == nil {
		return p
	}
	if !old.log.await(old.over) || old.err != nil {
		t.Fatalf("the weir that was taken over did not end in good order: %v; it wrote:\n%s", old.err, old.log)
	}
	return p
}

// TestSystemdSockets: sockets that are passed in are served, the next process gets
// what waits in them, and one that no key names is a fault.
func TestSystemdSockets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var files []*os.File
	var addresses []string
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // nor does systemd, unless told to
	for range 2 {
		ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, ln.Addr().String())
		_ = ln.Close()
		defer f.Close()
		files = append(files, f)
	}
	notified, say := notifySocket(t, dir)
	config := filepath.Join(dir, "weir.yaml")
	write := func(listen, admin string) {
		text := fmt.Sprintf("listen: %s\nadmin: {listen: %q}\norigins: {o: {servers: [%q]}}\npolicies: [{name: all, origin: o}]\n",
			listen, admin, "http://"+slowOrigin(t))
		if err := os.WriteFile(config, []byte(hasty(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	launch := func() *process {
		// systemd sets LISTEN_PID to the process that it starts, as the shell does here.
		p, err := launchPassed(files, []string{"NOTIFY_SOCKET=" + notified, "WATCHDOG_USEC=300000", "LISTEN_FDS=2", "LISTEN_FDNAMES=web:admin"},
			config, dir, "/bin/sh", "-c", `export LISTEN_PID=$$; exec "$@"`, "sh")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.end(); t.Logf("it wrote:\n%s", p.log) })
		return p
	}
	write(addresses[0], addresses[1])
	for range 2 {
		// The request waits in the socket for the process.
		c := &steadyClient{address: addresses[0]}
		answered := make(chan struct{})
		go func() { defer close(answered); c.get("/page/1") }()
		p := launch()
		say.await(t, "READY=1")
		<-answered
		if len(c.faults) > 0 {
			t.Fatal(c.faults)
		}
		say.await(t, "WATCHDOG=1")
		_ = p.cmd.Process.Signal(syscall.SIGHUP)
		say.await(t, "RELOADING=1\nMONOTONIC_USEC=")
		say.await(t, "READY=1")
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		say.await(t, "STOPPING=1")
	}
	write("127.0.0.1:0", addresses[1])
	p := launch()
	if !p.log.await(p.over) || p.err == nil || !strings.Contains(p.log.String(), addresses[0]+" (passed by systemd as web)") {
		t.Errorf("a socket that no key names: %v; it wrote:\n%s", p.err, p.log)
	}
}

// notices is what weir tells the service manager.
type notices struct {
	gate
	list []string // protected by gate.mu
}

// notifySocket listens as systemd does.
func notifySocket(t *testing.T, dir string) (path string, n *notices) {
	t.Helper()
	path, n = filepath.Join(dir, "notify"), &notices{}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for b := make([]byte, 4096); ; {
			size, err := conn.Read(b)
			if err != nil {
				return
			}
			n.change(func() { n.list = append(n.list, string(b[:size])) })
		}
	})
	t.Cleanup(func() { _ = conn.Close(); wg.Wait() })
	return path, n
}

// await waits for a notice that begins so, and forgets it and those before it.
func (n *notices) await(t *testing.T, begin string) {
	t.Helper()
	t.Helper()
	if !n.gate.await(func() bool {
		for i, text := range n.list {
			if strings.HasPrefix(text, begin) {
				n.list = n.list[i+1:]
				return true
			}
		}
		return false
	}) {
		t.Fatalf("nothing that begins with %q came", begin)
	}
}
