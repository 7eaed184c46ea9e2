package model

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/invalidation"
	"weir/policy"
	"weir/proxy"
	"weir/proxy/fetch"
	"weir/tiers"
)

// answer is what a client got.
type answer struct {
	status int
	fields http.Header
	body   []byte
	// cut: the connection ended before the body did.
	cut bool
}

func (a answer) serials() (serial, checked int) {
	// Absent is 0: the origin counts from 1.
	serial, _ = strconv.Atoi(a.fields.Get("X-Serial"))
	checked, _ = strconv.Atoi(a.fields.Get("X-Checked"))
	return serial, checked
}

// exchanged is one request as the judge sees it.
type exchanged struct {
	q  Request
	id int
	// arrived and ended are when it was sent and when the header of its answer
	// came, as ticks and on the clock.
	arrived, ended     Tick
	arrivedAt, endedAt time.Time
	a                  answer
	err                error
	// done is set when the answer is whole, judged when it was judged.
	done, judged bool
	// atHand and staleAtHand are what had to answer it.
	atHand, staleAtHand *Stored
	// known is what the origin was last seen to answer requests of its kind;
	// refused is a flight that it waited for in vain.
	known, refused *Contact
}

// machine is a whole proxy with its tiers behind a listener in memory.
type machine struct {
	purges *invalidation.Node
	proxy  *proxy.Proxy
	tiers  *tiers.Store
	ln     *listener
	served chan error
	// mu protects idle: connections that a client may use.
	mu   sync.Mutex
	idle []*connection
}

// connection is that of one client at a time.
type connection struct {
	net.Conn
	in *bufio.Reader
}

// listener accepts what is dialled. It may be closed more than once.
type listener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *listener) Dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, io.EOF
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (*listener) Addr() net.Addr { return &net.TCPAddr{} }

// rule is the policy as the proxy takes it.
func rule(p *Policy) policy.Rule {
	r := policy.Rule{
		Name: "all", Origin: "o", Key: policy.KeySpec{Cookies: p.KeyCookies}, Forgo: policy.Forgo{Cookies: !p.StoreCookies},
		TTL: policy.TTL{
			Default: p.Default, Min: p.Min, Override: p.Override, Negative: p.Negative,
			StaleWhileRevalidate: p.StaleWhileRevalidate, StaleIfError: p.StaleIfError,
		},
	}
	switch p.Cookies {
	case CookiesAuto:
	case CookiesStrip:
		r.Cookies = policy.CookiesStrip
	case CookiesIgnore:
		r.Cookies = policy.CookiesIgnore
	}
	for name, bit := range map[string]policy.Despite{
		"s-maxage": policy.DespiteSMaxAge, "proxy-revalidate": policy.DespiteProxyRevalidate, "must-revalidate": policy.DespiteMustRevalidate,
	} {
		if slices.Contains(p.StaleDespite, name) {
			r.TTL.StaleDespite |= bit
		}
	}
	return r
}

func start(tb testing.TB, p *Policy, forgets bool, now func() time.Time, up fetch.Origin) *machine {
	store, err := tiers.Open(tiers.Options{RAMSize: 1 << 20, RAMMaxObject: 1 << 16, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	r := rule(p)
	if forgets {
		r.TTL.HitForMiss = 1
	}
	rules, err := policy.NewSet([]policy.Rule{r})
	if err != nil {
		tb.Fatal(err)
	}
	purges, err := invalidation.Open(invalidation.Options{Node: "n"})
	if err != nil {
		tb.Fatal(err)
	}
	px, err := proxy.New(proxy.Options{Tiers: store, Now: now, Invalidation: purges}, &proxy.Config{
		Rules: rules, Origins: map[string]fetch.Upstream{"o": {Origin: up}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	m := &machine{proxy: px, tiers: store, purges: purges, ln: newListener(), served: make(chan error, 1)}
	go func() { m.served <- px.Serve(m.ln, false) }()
	return m
}

// stop ends everything that start began.
func (m *machine) stop(tb testing.TB) {
	for _, c := range m.idle {
		// Nothing is under way: what an error would say does not matter.
		_ = c.Close()
	}
	if err := m.ln.Close(); err != nil {
		tb.Error(err)
	}
	if err := <-m.served; err != nil {
		tb.Error(err)
	}
	synctest.Wait()
	if err := m.proxy.Shutdown(context.Background()); err != nil {
		tb.Error(err)
	}
	if err := m.tiers.Close(); err != nil {
		tb.Error(err)
	}
	if err := m.purges.Close(); err != nil {
		tb.Error(err)
	}
	// The server's pool of workers has a goroutine that ends within ten seconds,
	// of the time that passes only where everybody waits for it.
	time.Sleep(11 * time.Second)
}

// connect returns an open connection that nobody uses.
func (m *machine) connect() (*connection, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.idle); n > 0 {
		c := m.idle[n-1]
		m.idle = m.idle[:n-1]
		return c, nil
	}
	conn, err := m.ln.Dial()
	if err != nil {
		return nil, err
	}
	return &connection{conn, bufio.NewReader(conn)}, nil
}

// do sends the request and reads its answer; headed is called when its header
// is there.
func (m *machine) do(q Request, headed func()) (a answer, err error) {
	c, err := m.connect()
	if err != nil {
		return a, err
	}
	if _, err := c.Write(wire(q)); err != nil {
		return a, err
	}
	resp, err := http.ReadResponse(c.in, &http.Request{Method: q.Method})
	if err != nil {
		return a, fmt.Errorf("cannot read the answer to %s: %w", describe(q), err)
	}
	headed()
	a = answer{status: resp.StatusCode, fields: resp.Header}
	a.body, err = io.ReadAll(resp.Body)
	a.cut = err != nil
	if a.cut || resp.Close {
		// What an error would say does not matter any more.
		_ = c.Close()
		return a, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.idle = append(m.idle, c)
	return a, nil
}

// wire is the request as it is sent.
func wire(q Request) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: www.example.com\r\n", q.Method, q.Path)
	for _, name := range slices.Sorted(maps.Keys(q.Fields)) {
		for _, value := range q.Fields[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	if q.Method == "POST" || q.Method == "PUT" {
		b.WriteString("Content-Length: 4\r\n\r\nbody")
		return b.Bytes()
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func describe(q Request) string {
	s := q.Method + " " + q.Path
	for _, name := range slices.Sorted(maps.Keys(q.Fields)) {
		s += fmt.Sprintf(" [%s: %s]", name, q.Fields.Get(name))
	}
	return s
}
