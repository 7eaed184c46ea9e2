package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/invalidation"
)

// purgesNothing is a PurgeSource to which every purge is new.
type purgesNothing struct{ PurgeSource }

func (purgesNothing) Purge(context.Context, invalidation.Who, *PurgeRequest, time.Duration) (PurgeResult, error) {
	return PurgeResult{ID: "n:1", Pending: []string{}}, nil
}

// plane is a server with the tokens of testTokens, or none.
type plane struct {
	t       *testing.T
	address string
	server  *Server
	events  *Events
}

func startPlane(t *testing.T, tokens ...Token) *plane {
	t.Helper()
	parts := goodParts()
	p := &plane{t: t, events: new(Events)}
	h, err := NewHandler(Options{
		Status: parts, Ready: parts, Metrics: parts, Purges: purgesNothing{}, Events: p.events, Tokens: tokens,
		Audit: invalidation.NewAudit(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ln := listen(t)
	p.address, p.server = ln.Addr().String(), Start(ln, h, quiet())
	t.Cleanup(func() {
		p.events.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	return p
}

// dial opens a connection from a loopback address and sends text on it.
func (p *plane) dial(from, text string) net.Conn {
	p.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(p.t.Context(), "tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// crowd opens n connections on which text is sent and one answer read, where one
// is due.
func (p *plane) crowd(from string, n int, text string, answer bool) []net.Conn {
	p.t.Helper()
	var all []net.Conn
	for range n {
		c := p.dial(from, text)
		if answer {
			p.answer(c)
		}
		all = append(all, c)
	}
	return all
}

func (p *plane) answer(c net.Conn) *http.Response {
	p.t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp
}

// answers holds what everybody relies on, from an address.
func (p *plane) answers(from string) {
	p.t.Helper()
	const body = `{"tags": ["a"]}`
	for _, text := range []string{
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer r-secret\r\n\r\n",
		fmt.Sprintf("POST /v1/purge HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer p-secret\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body),
	} {
		if resp := p.answer(p.dial(from, text)); resp.StatusCode != http.StatusOK {
			line, _, _ := strings.Cut(text, "\r\n")
			p.t.Errorf("%s: status %d", line, resp.StatusCode)
		}
	}
}

// TestNobodyIsShutOut: whatever fills the plane with connections on which nothing
// that was permitted is worked at, health, metrics and purges answer the next one.
func TestNobodyIsShutOut(t *testing.T) {
	const post = "POST /v1/purge HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
	for _, tt := range []struct {
		name, text string
		answer     bool
	}{
		{"silent", "", false},
		{"idle", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", true},
		{"half a header", "GET /healthz HTTP/1.1\r\nHo", false},
		{"refused", "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n", true},
		{"half a body", post, false},
		{"many answers that are not read", strings.Repeat("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 20), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := startPlane(t, testTokens()...)
			for _, from := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"} {
				p.crowd(from, maxConnsPerAddress+2, tt.text, tt.answer)
			}
			p.answers("127.0.0.1")
			p.answers("127.0.0.9")
		})
	}
}

// TestACrowdClosesItsOwn: one address with many connections costs no other its own.
func TestACrowdClosesItsOwn(t *testing.T) {
	p := startPlane(t)
	const get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
	quiet := p.crowd("127.0.0.9", 1, get, true)[0]
	for i := range 6 {
		p.crowd(fmt.Sprintf("127.0.0.%d", i+1), maxConnsPerAddress+2, get, true)
	}
	if _, err := io.WriteString(quiet, get); err != nil {
		t.Fatal(err)
	}
	if resp := p.answer(quiet); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// TestStreamsAreBounded: streams of events are bounded apart, by address and in
// all, and one that ends makes room.
func TestStreamsAreBounded(t *testing.T) {
	p := startPlane(t)
	const follow = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
	streams := p.crowd("127.0.0.1", maxStreamsPerAddress, follow, true)
	resp := p.answer(p.dial("127.0.0.1", follow))
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one more: status %d, %v", resp.StatusCode, resp.Header)
	}
	for i := range maxStreams/maxStreamsPerAddress - 1 {
		p.crowd(fmt.Sprintf("127.0.0.%d", i+2), maxStreamsPerAddress, follow, true)
	}
	if resp := p.answer(p.dial("127.0.0.9", follow)); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one more in all: status %d", resp.StatusCode)
	}
	// No connection closes a stream, and no stream takes the room of connections.
	p.crowd("127.0.0.1", 2*maxConnsPerAddress, "", false)
	p.answers("127.0.0.1")
	p.events.Publish("purge", "still there")
	_ = streams[0].Close()
	for { // until the server has noticed
		if p.answer(p.dial("127.0.0.9", follow)).StatusCode == http.StatusOK {
			break
		}
		p.events.Publish("purge", "anybody there")
	}
}

// TestWorkIsBounded: requests that wait for others, such as purges with wait: all,
// do not take the plane either.
func TestWorkIsBounded(t *testing.T) {
	parts := goodParts()
	entered, release := make(chan struct{}, maxWork), make(chan struct{})
	parts.metrics = func(io.Writer) error { entered <- struct{}{}; <-release; return nil }
	h := newHandler(t, parts)
	ln := listen(t)
	p := &plane{t: t, address: ln.Addr().String(), server: Start(ln, h, quiet())}
	const get = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
	held := p.crowd("127.0.0.1", maxWorkPerAddress, get, false)
	for range held {
		<-entered
	}
	if resp := p.answer(p.dial("127.0.0.1", get)); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one more: status %d", resp.StatusCode)
	}
	crowd := p.crowd("127.0.0.1", 2*maxConnsPerAddress, "", false)
	if resp := p.answer(p.dial("127.0.0.1", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")); resp.StatusCode != http.StatusOK {
		t.Errorf("health: status %d", resp.StatusCode)
	}
	close(release)
	for _, c := range crowd {
		c.Close()
	}
	for _, c := range held {
		if resp := p.answer(c); resp.StatusCode != http.StatusOK {
			t.Errorf("a request that was worked at: status %d", resp.StatusCode)
		}
		c.Close()
	}
	if err := p.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSource: one host with IPv6 has a network, and counts once.
func TestSource(t *testing.T) {
	for _, tt := range [][2]string{
		{"192.0.2.1:5", "192.0.2.1/32"}, {"[::ffff:192.0.2.1]:5", "192.0.2.1/32"}, {"[2001:db8::1:2]:5", "2001:db8::/64"}, {"[::1]:5", "::1/128"},
	} {
		a, err := net.ResolveTCPAddr("tcp", tt[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := source(a).String(); got != tt[1] {
			t.Errorf("%s counts as %s, want %s", tt[0], got, tt[1])
		}
	}
	if got := source(&net.UnixAddr{Name: "x"}); got.IsValid() {
		t.Errorf("a connection without an IP address counts as %v", got)
	}
}
