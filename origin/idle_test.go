package origin

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// clocked replaces the clock of p, which must not have been used yet.
func clocked(p *Pool) *atomic.Int64 {
	clock := new(atomic.Int64)
	clock.Store(int64(time.Hour))
	p.now = func() time.Duration { return time.Duration(clock.Load()) }
	return clock
}

// whole reads a request with its body, of a declared length; "" when the
// connection ended.
func (p *peer) whole() string {
	head := p.head()
	var n int
	for line := range strings.SplitSeq(head, "\r\n") {
		_, _ = fmt.Sscanf(line, "Content-Length: %d", &n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(p.br, b); err != nil {
		return ""
	}
	return head + string(b)
}

// once is a body that cannot be sent twice: whoever reads it uses it up.
func once(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }

func TestIdleConnectionsAreTurnedDown(t *testing.T) {
	asking := func(method, body string) func() *Request {
		return func() *Request {
			r := &Request{Method: method, Host: "a.test", Target: "/second"}
			if body != "" {
				r.Body, r.ContentLength = once(body), int64(len(body))
			}
			return r
		}
	}
	large := strings.Repeat("x", keepLimit+1)
	const never, node, soon = "", "Keep-Alive: timeout=5\r\n", "keep-alive: max=9, timeout=1\r\n"
	for _, tt := range []struct {
		name   string
		field  string // of the first response
		second func() *Request
		idle   time.Duration
		reused bool
	}{
		{"GET, nothing promised", never, asking("GET", ""), 44 * time.Second, true},
		{"PUT, nothing promised", never, asking("PUT", "abc"), 44 * time.Second, true},
		{"DELETE, nothing promised", never, asking("DELETE", ""), 44 * time.Second, true},
		{"GET within the promise", node, asking("GET", ""), 4*time.Second - 1, true},
		{"GET at its end", node, asking("GET", ""), 4 * time.Second, false},
		{"PUT within the promise", node, asking("PUT", "abc"), 4*time.Second - 1, true},
		{"PUT at its end", node, asking("PUT", "abc"), 4 * time.Second, false},
		{"GET, a promise of nothing", soon, asking("GET", ""), 0, false},
		{"GET, zero", "Keep-Alive: timeout=0\r\n", asking("GET", ""), 0, false},
		{"POST at once", never, asking("POST", "abc"), time.Second - 1, true},
		{"POST later", never, asking("POST", "abc"), time.Second, false},
		{"POST within the promise", node, asking("POST", "abc"), time.Second, false},
		{"POST without a body", never, asking("POST", ""), time.Second, false},
		{"a large PUT", never, asking("PUT", large), time.Second, false},
		{"a large PUT at once", never, asking("PUT", large), 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan string, 1)
			s := newScript(t, func(p *peer) {
				for {
					switch r := p.whole(); {
					case r == "":
						return
					case strings.Contains(r, " /first "):
						p.say("HTTP/1.1 200 OK\r\n" + tt.field + "Content-Length: 0\r\n\r\n")
					default:
						got <- r
						p.say(hello)
					}
				}
			})
			// One connection is all there may be: what is turned down makes room.
			p := pool(t, Config{Servers: urls(s.url()), MaxConnsPerServer: 1})
			clock := clocked(p)
			fetch(t, p, get("/first"))
			clock.Add(int64(tt.idle))
			r := tt.second()
			fetch(t, p, r)
			if reused := s.conns() == 1; reused != tt.reused {
				t.Errorf("reused is %v", reused)
			}
			body := ""
			if tt.second().Body != nil {
				b, _ := io.ReadAll(tt.second().Body)
				body = string(b)
			}
			if r := <-got; !strings.HasSuffix(r, "\r\n\r\n"+body) {
				t.Errorf("the server got %d bytes that are not the request: %.200q", len(r), r)
			}
		})
	}
}

// TestEveryIdleConnectionIsTurnedDown: several are idle; a stream that exists
// once goes through all of them untouched.
func TestEveryIdleConnectionIsTurnedDown(t *testing.T) {
	const n = 5
	here := make(chan struct{}, n)
	answer := make(chan struct{})
	posts := make(chan string, 2)
	s := newScript(t, func(p *peer) {
		if p.n <= n {
			p.head()
			here <- struct{}{}
			<-answer
			p.say(hello)
			if r := p.head(); r != "" {
				t.Errorf("an idle connection was used for %q", r)
			}
			return
		}
		posts <- p.whole()
		p.say(hello)
	})
	p := pool(t, Config{Servers: urls(s.url())})
	clock := clocked(p)
	done := make(chan error, n)
	for range n {
		go func() {
			_, _, err := readAll(p, get("/"))
			done <- err
		}()
	}
	for range n {
		<-here
	}
	close(answer)
	for range n {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	clock.Add(int64(restless))
	resp, _ := fetch(t, p, &Request{Method: "POST", Host: "a.test", Target: "/", Body: once("abc"), ContentLength: 3})
	if r := <-posts; !strings.HasSuffix(r, "\r\n\r\nabc") || resp.Attempts != 1 || s.conns() != n+1 {
		t.Errorf("%q after %d attempts over %d connections", r, resp.Attempts, s.conns())
	}
}

// TestServerClosesAtTheWorstMoment: the request is with the server, whole, when
// the server closes the connection that it kept, for its time was up.
func TestServerClosesAtTheWorstMoment(t *testing.T) {
	small, large := strings.Repeat("s", keepLimit), strings.Repeat("l", keepLimit+1)
	for _, tt := range []struct {
		name   string
		method string
		body   string
		header []string
		partly string // of an answer, before the end
		times  int    // how often the server may see the request
		broken int    // connections on which it closes, from the first on
		kind   Kind
	}{
		{name: "GET", method: "GET", times: 2, broken: 1},
		{name: "DELETE", method: "DELETE", times: 2, broken: 1},
		{name: "PUT", method: "PUT", body: "abc", times: 2, broken: 1},
		{name: "PUT of the most that is kept", method: "PUT", body: small, times: 2, broken: 1},
		{name: "DELETE with a body", method: "DELETE", body: "abc", times: 2, broken: 1},
		{name: "PUT, once only", method: "PUT", body: "abc", times: 2, broken: 9, kind: Reset},
		{name: "DELETE, once only", method: "DELETE", times: 2, broken: 9, kind: Reset},
		{name: "a large PUT", method: "PUT", body: large, times: 1, broken: 1, kind: Reset},
		{name: "POST", method: "POST", body: "abc", times: 1, broken: 1, kind: Reset},
		{name: "POST without a body", method: "POST", times: 1, broken: 1, kind: Reset},
		{name: "PATCH", method: "PATCH", body: "abc", times: 1, broken: 1, kind: Reset},
		{
			name: "POST with a key that net/http knows", method: "POST",
			header: []string{"Idempotency-Key", "k"}, times: 1, broken: 1, kind: Reset,
		},
		{name: "PUT, the answer has begun", method: "PUT", body: "abc", partly: "HTTP/1.1 200 OK\r\n", times: 1, broken: 1, kind: Reset},
		{name: "DELETE, an interim answer", method: "DELETE", partly: "HTTP/1.1 103 Hints\r\n\r\n", times: 1, broken: 1, kind: Reset},
	} {
		for _, rst := range []bool{false, true} {
			if rst && tt.partly != "" {
				continue // a reset takes back what was sent before it
			}
			t.Run(fmt.Sprintf("%s, reset %v", tt.name, rst), func(t *testing.T) {
				got := make(chan string, 10)
				s := newScript(t, func(p *peer) {
					if p.n == 1 {
						p.head()
						p.say(hello)
					}
					r := p.whole()
					if r == "" {
						return
					}
					got <- r
					if p.n > tt.broken {
						p.say(hello)
						return
					}
					p.say(tt.partly)
					if rst {
						p.reset()
					}
				})
				p := pool(t, Config{Servers: urls(s.url())})
				clocked(p)
				fetch(t, p, get("/"))
				r := &Request{Method: tt.method, Host: "a.test", Target: "/", Fields: header(tt.header...)}
				if tt.body != "" {
					r.Body, r.ContentLength = once(tt.body), int64(len(tt.body))
				}
				_, body, err := readAll(p, r)
				if tt.kind != Other {
					wantKind(t, err, tt.kind)
				} else if err != nil || body != "hello" {
					t.Errorf("%q, %v", body, err)
				}
				if len(got) != tt.times {
					t.Errorf("the server got the request %d times, want %d", len(got), tt.times)
				}
				for range len(got) {
					if r := <-got; !strings.HasPrefix(r, tt.method+" / ") || !strings.HasSuffix(r, "\r\n\r\n"+tt.body) {
						t.Errorf("the server got %.200q", r)
					}
				}
			})
		}
	}
}

// TestFirstUseIsNotRepeated: a server that closes a new connection does not want
// the request, and Retries concerns only what asks for nothing but an answer.
func TestFirstUseIsNotRepeated(t *testing.T) {
	s := newScript(t, func(p *peer) { p.whole() })
	p := pool(t, Config{Servers: urls(s.url()), Retries: 3})
	_, err := p.Do(t.Context(), &Request{Method: "PUT", Host: "a.test", Target: "/", Body: once("abc"), ContentLength: 3})
	wantKind(t, err, Reset)
	if s.conns() != 1 {
		t.Errorf("%d connections", s.conns())
	}
}

// TestBodyThatWasEndedIsNotRepeated: the client was still sending when the
// connection broke, and its body had to be closed to end the Read in progress.
func TestBodyThatWasEndedIsNotRepeated(t *testing.T) {
	c := newClient()
	s := newScript(t, func(p *peer) {
		p.head()
		p.say(hello)
		p.head()
		_, _ = io.ReadFull(p.br, make([]byte, 3))
		<-c.reading
		p.reset()
	})
	p := pool(t, Config{Servers: urls(s.url()), Retries: 3})
	clocked(p)
	fetch(t, p, get("/"))
	_, err := p.Do(t.Context(), &Request{Method: "PUT", Host: "a.test", Target: "/", Body: c, ContentLength: 9})
	c.returned.Store(true)
	wantKind(t, err, Reset)
	if c.misused.Load() || s.conns() != 1 {
		t.Errorf("misused %v, %d connections", c.misused.Load(), s.conns())
	}
}
