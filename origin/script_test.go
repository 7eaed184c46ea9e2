package origin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/policy"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // servers of net/http log handshakes that fail, which some tests make them do
	goleak.VerifyTestMain(m)
}

// urls are servers with these URLs.
func urls(list ...string) []Server {
	servers := make([]Server, len(list))
	for i, url := range list {
		servers[i].URL = url
	}
	return servers
}

// testNames gives each name an address of its own, and finds the name again.
type testNames struct {
	mu    sync.Mutex
	names []string
}

func (n *testNames) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.Index(n.names, host)
	if i < 0 {
		i = len(n.names)
		n.names = append(n.names, host)
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}, nil
}

// of returns the name that addr, host:port, is of.
func (n *testNames) of(addr string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.names[netip.MustParseAddrPort(addr).Addr().As4()[3]]
}

// namedPool is newPool where dial is given the names of servers.
func namedPool(c Config, dial func(ctx context.Context, name string) (net.Conn, error)) (*Pool, error) {
	names := &testNames{}
	c.Name, c.Resolver = "shop", names
	return newPool(c, func(ctx context.Context, _, addr string) (net.Conn, error) { return dial(ctx, names.of(addr)) })
}

// script is a raw TCP origin: play runs for each connection, in its own
// goroutine, and the connection is closed when it returns.
type script struct {
	t    *testing.T
	ln   net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	open map[net.Conn]bool
	n    int
}

// peer is one connection as the origin sees it.
type peer struct {
	net.Conn
	t  *testing.T
	n  int // 1 for the first connection
	br *bufio.Reader
}

func newScript(t *testing.T, play func(p *peer)) *script {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, ln: ln, open: map[net.Conn]bool{}}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.n++
			p := &peer{Conn: c, t: t, n: s.n, br: bufio.NewReader(c)}
			s.open[c] = true
			s.mu.Unlock()
			s.wg.Add(1)
			go func() {
				defer s.wg.Done()
				defer c.Close()
				play(p)
			}()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		s.mu.Lock()
		for c := range s.open {
			c.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *script) url() string { return "http://" + s.ln.Addr().String() }

func (s *script) conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// head reads one request's head, as it came; "" when the connection ended.
func (p *peer) head() string {
	var b strings.Builder
	for {
		line, err := p.br.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return ""
		}
		if line == "\r\n" {
			return b.String()
		}
	}
}

func (p *peer) say(s string) { _, _ = io.WriteString(p.Conn, s) }

// reset makes the coming close a RST.
func (p *peer) reset() {
	if err := p.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		p.t.Error(err)
	}
}

// answering is a script that answers every request with the same bytes.
func answering(t *testing.T, answer string) *script {
	return newScript(t, func(p *peer) {
		for p.head() != "" {
			p.say(answer)
		}
	})
}

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// pool builds a pool that is closed with the test.
func pool(t *testing.T, c Config) *Pool {
	t.Helper()
	if c.Name == "" {
		c.Name = "shop"
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func get(target string) *Request { return &Request{Method: "GET", Host: "a.test", Target: target} }

// fetch reads a whole answer.
func fetch(t *testing.T, p *Pool, r *Request) (*Response, string) {
	t.Helper()
	resp, err := p.Do(context.Background(), r)
	if err != nil {
		t.Fatalf("cannot fetch %s: %v", r.Target, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("cannot read the body of %s: %v", r.Target, err)
	}
	return resp, string(b)
}

// wantKind checks that err is an *Error of kind k that names pool and server.
func wantKind(t *testing.T, err error, k Kind) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want *Error of kind %v", err, err, k)
	}
	if e.Kind != k {
		t.Fatalf("kind is %v (%v), want %v", e.Kind, err, k)
	}
	if e.Origin != "shop" || e.Err == nil {
		t.Fatalf("error does not name its origin and cause: %+v", e)
	}
	return e
}

// outcomes is an Observer that remembers.
type outcomes struct {
	mu  sync.Mutex
	got []string
}

func (o *outcomes) OriginDone(origin, outcome string, d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if origin != "shop" || d < 0 {
		outcome = "bad report: " + origin
	}
	o.got = append(o.got, outcome)
}

func (o *outcomes) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.got, " ")
}

// refusing returns the address of a port where nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return "http://" + ln.Addr().String()
}

func header(pairs ...string) policy.Fields {
	var f policy.Fields
	for i := 0; i < len(pairs); i += 2 {
		f = append(f, policy.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return f
}
