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
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"

	"weir/policy"
	"weir/proxy"
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

// machine is a whole proxy with its tiers behind a listener in memory, and one
// client.
type machine struct {
	proxy  *proxy.Proxy
	tiers  *tiers.Store
	ln     *listener
	served chan error
	conn   net.Conn
	in     *bufio.Reader
}

// listener may be closed more than once.
type listener struct {
	*fasthttputil.InmemoryListener
	once sync.Once
	err  error
}

func (l *listener) Close() error {
	l.once.Do(func() { l.err = l.InmemoryListener.Close() })
	return l.err
}

func start(tb testing.TB, now func() time.Time, up proxy.Origin) *machine {
	store, err := tiers.Open(tiers.Options{RAMSize: 1 << 20, RAMMaxObject: 1 << 16, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	rules, err := policy.NewSet([]policy.Rule{{Name: "all", Origin: "o"}})
	if err != nil {
		tb.Fatal(err)
	}
	p, err := proxy.New(proxy.Options{Tiers: store, Now: now}, &proxy.Config{
		Rules: rules, Origins: map[string]proxy.Upstream{"o": {Origin: up}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	m := &machine{proxy: p, tiers: store, ln: &listener{InmemoryListener: fasthttputil.NewInmemoryListener()}, served: make(chan error, 1)}
	go func() { m.served <- p.Serve(m.ln, false) }()
	return m
}

// stop ends everything that start began.
func (m *machine) stop(tb testing.TB) {
	m.hangUp()
	// Shutdown looks only ten times a second whether all is over: let it be over
	// before.
	if err := m.ln.Close(); err != nil {
		tb.Error(err)
	}
	if err := <-m.served; err != nil {
		tb.Error(err)
	}
	for m.proxy.Connections() > 0 {
		runtime.Gosched()
	}
	if err := m.proxy.Shutdown(context.Background()); err != nil {
		tb.Error(err)
	}
	if err := m.tiers.Close(); err != nil {
		tb.Error(err)
	}
}

func (m *machine) hangUp() {
	if m.conn != nil {
		// Nothing is under way: what an error would say does not matter.
		_ = m.conn.Close()
		m.conn = nil
	}
}

// do sends one request and reads its answer; it returns when the proxy has
// finished with it, refreshes in the background included.
func (m *machine) do(tb testing.TB, q Request) answer {
	if m.conn == nil {
		conn, err := m.ln.Dial()
		if err != nil {
			tb.Fatal(err)
		}
		m.conn, m.in = conn, bufio.NewReader(conn)
	}
	if _, err := m.conn.Write(wire(q)); err != nil {
		tb.Fatal(err)
	}
	resp, err := http.ReadResponse(m.in, &http.Request{Method: q.Method})
	if err != nil {
		tb.Fatalf("cannot read the answer to %s: %v", describe(q), err)
	}
	a := answer{status: resp.StatusCode, fields: resp.Header}
	a.body, err = io.ReadAll(resp.Body)
	a.cut = err != nil
	if a.cut || resp.Close {
		m.hangUp()
	}
	for m.proxy.InFlight() > 0 || m.proxy.Flights() > 0 {
		runtime.Gosched()
	}
	return a
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
