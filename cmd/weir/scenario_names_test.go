package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/net/dns/dnsmessage"

	"weir/loadtest/script"
)

// nameServer answers what its scenario says, over UDP.
type nameServer struct {
	conn net.PacketConn
	done chan struct{}

	mu    sync.Mutex // protects names
	names map[string]netip.Addr
}

// nameServerEnv tells a weir of the test binary which server to ask for names, in the
// place of those of the machine.
const nameServerEnv = "WEIR_TEST_NAME_SERVER"

// weirWithNames is the command weir in scenarios.
func weirWithNames() {
	if server := os.Getenv(nameServerEnv); server != "" {
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", server)
		}}
	}
	main()
}

// cmdDNS says which address a name stands for. Every weir that is started behind the
// first one asks for it.
func cmdDNS(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2, "dns NAME ADDRESS")
	addr, err := netip.ParseAddr(args[1])
	ts.Check(err)
	w := worldOf(ts)
	if w.dns == nil {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		ts.Check(err)
		w.dns = &nameServer{conn: conn, done: make(chan struct{}), names: make(map[string]netip.Addr)}
		go w.dns.serve()
	}
	w.dns.mu.Lock()
	defer w.dns.mu.Unlock()
	w.dns.names[args[0]+"."] = addr
}

func (s *nameServer) close() {
	_ = s.conn.Close()
	<-s.done
}

func (s *nameServer) serve() {
	defer close(s.done)
	for buf := make([]byte, 1500); ; {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		s.answer(&m)
		if out, err := m.Pack(); err == nil {
			_, _ = s.conn.WriteTo(out, from)
		}
	}
}

func (s *nameServer) answer(m *dnsmessage.Message) {
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	s.mu.Lock()
	addr, known := s.names[q.Name.String()]
	s.mu.Unlock()
	switch {
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
			Body:   &dnsmessage.AResource{A: addr.As4()},
		}}
	}
}

// cmdTwin starts an origin on the port of another, at another address of this machine.
func cmdTwin(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 4, 4, "twin NAME FILE ORIGIN ADDRESS")
	s, err := script.ParseScript(ts.ReadFile(args[1]))
	ts.Check(err)
	_, port, err := net.SplitHostPort(originOf(ts, args[2]).Addr())
	ts.Check(err)
	o, err := script.StartWith(s, script.Options{Addr: net.JoinHostPort(args[3], port)})
	ts.Check(err)
	worldOf(ts).origins[args[0]] = &scriptedOrigin{o}
	ts.Setenv(args[0], o.Addr())
	ts.Setenv(args[0]+"_port", port)
}

// cmdTurns asks for a target until the answer has a field of that value.
func cmdTurns(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 5, 5, "turns W TARGET NAME VALUE WITHIN")
	within, err := time.ParseDuration(args[4])
	ts.Check(err)
	url := "http://" + processOf(ts, args[0]).data[0] + args[1]
	begin := time.Now()
	for n := 1; ; n++ {
		asked := time.Since(begin)
		resp, err := scrapes.Get(url)
		ts.Check(err)
		_ = resp.Body.Close()
		switch got := resp.Header.Get(args[2]); {
		case resp.StatusCode != 200:
			ts.Fatalf("request %d: status %d, %s", n, resp.StatusCode, resp.Header.Get("Cache-Status"))
		case got == args[3]:
			ts.Logf("%s turned to %s after %v and %d requests", args[2], got, asked, n)
			return
		case asked > within:
			ts.Fatalf("request %d, after %v: %s is %q still", n, asked, args[2], got)
		}
	}
}
