package origin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// says answers every request of a connection with the text, after a pause.
func says(text string, pause time.Duration) func(far net.Conn) {
	return func(far net.Conn) {
		for {
			if _, err := readHead(far); err != nil {
				return
			}
			time.Sleep(pause)
			if _, err := fmt.Fprintf(far, "%sContent-Length: %d\r\n\r\n%s", ok, len(text), text); err != nil {
				return
			}
		}
	}
}

func silent(far net.Conn) { _, _ = io.Copy(io.Discard, far) }

// bubble is a pool of servers with the names of their behaviours, in a synctest bubble.
func bubble(t *testing.T, c Config, play map[string]func(far net.Conn)) *Pool {
	for name := range play {
		c.Servers = append(c.Servers, Server{URL: "http://" + name})
	}
	slices.SortFunc(c.Servers, func(a, b Server) int { return strings.Compare(a.URL, b.URL) })
	return piped(t, c, func(_ int, addr string, far net.Conn) { play[strings.TrimSuffix(addr, ":80")](far) })
}

// took does a request, and returns its body and how long that took.
func took(t *testing.T, p *Pool, target string) (string, time.Duration) {
	t.Helper()
	begin := time.Now()
	_, body, err := readAll(p, get(target))
	if err != nil {
		t.Errorf("%s after %v: %v", target, time.Since(begin), err)
	}
	return body, time.Since(begin)
}

// One of two servers never answers. Requests wait for it at most a second while nothing
// is known, and soon nobody is sent there; a probe finds out when it is back.
func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Bool
		p := bubble(t, Config{Retries: 1, FirstByteTimeout: 30 * time.Second}, map[string]func(net.Conn){
			"a": func(far net.Conn) {
				if back.Load() {
					says("a", 0)(far)
				}
				silent(far)
			},
			"b": says("b", 10*time.Millisecond),
		})
		defer p.Close()
		slow := 0
		for i := range 200 {
			body, d := took(t, p, fmt.Sprint("/", i))
			if body != "b" || d > time.Second+100*time.Millisecond {
				t.Fatalf("request %d: %q after %v", i, body, d)
			}
			if d > 250*time.Millisecond {
				slow++
			}
			time.Sleep(20 * time.Millisecond)
		}
		if s := p.Status().Servers[0]; s.State != StateEjected || !strings.Contains(s.Reason, "http://b:80 answered") && !strings.Contains(s.Reason, "http://b answered") {
			t.Errorf("the silent server is %+v", s)
		}
		if slow > 4 {
			t.Errorf("%d of 200 requests waited", slow)
		}
		back.Store(true)
		time.Sleep(2 * DefaultEject.For)
		if body, d := took(t, p, "/probed"); body != "b" || d > 100*time.Millisecond {
			t.Errorf("beside the probe: %q after %v", body, d)
		}
		synctest.Wait()
		if s := p.Status().Servers[0]; s.State != StateUp {
			t.Errorf("after the probe the server is %+v", s)
		}
	})
}

// The first server answers after all, before the second that was asked beside it.
func TestRivalLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		p := bubble(t, Config{Retries: 1}, map[string]func(net.Conn){
			"a": says("a", 1200*time.Millisecond),
			"b": func(far net.Conn) {
				_, _ = readHead(far)
				_, err := far.Read(make([]byte, 1))
				ended <- err
			},
		})
		defer p.Close()
		if body, d := took(t, p, "/"); body != "a" || d != 1200*time.Millisecond {
			t.Errorf("%q after %v", body, d)
		}
		if err := <-ended; err != io.EOF {
			t.Errorf("the loser's connection: %v", err)
		}
		synctest.Wait()
		for _, s := range p.Status().Servers {
			if s.InFlight != 0 {
				t.Errorf("%s has %d exchanges in flight", s.URL, s.InFlight)
			}
		}
	})
}

// A caller who leaves ends both attempts.
func TestBothAttemptsEndWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bubble(t, Config{Retries: 1}, map[string]func(net.Conn){"a": silent, "b": silent})
		defer p.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := p.Do(ctx, get("/"))
		if wantKind(t, err, Canceled); time.Since(begin) != 3*time.Second {
			t.Errorf("it took %v", time.Since(begin))
		}
		synctest.Wait()
		for _, s := range p.Status().Servers {
			if s.InFlight != 0 {
				t.Errorf("%s has %d exchanges in flight", s.URL, s.InFlight)
			}
		}
	})
}

func TestHedge(t *testing.T) {
	for _, test := range []struct {
		name   string
		method string
		hedge  Hedge
		want   time.Duration
		won    uint64
	}{
		{"after a duration", "GET", Hedge{After: 50 * time.Millisecond, AtMost: 1}, 60 * time.Millisecond, 1},
		{"not beyond its share", "GET", Hedge{After: 50 * time.Millisecond, AtMost: 0.5}, 800 * time.Millisecond, 0},
		{"off", "GET", Hedge{}, 800 * time.Millisecond, 0},
		{"not for other methods", "OPTIONS", Hedge{After: 50 * time.Millisecond, AtMost: 1}, 800 * time.Millisecond, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := bubble(t, Config{Hedge: test.hedge}, map[string]func(net.Conn){
				"a": says("x", 800*time.Millisecond), "b": says("x", 5*time.Millisecond),
			})
			defer p.Close()
			begin := time.Now()
			r := get("/")
			r.Method = test.method
			_, _, err := readAll(p, r)
			if d := time.Since(begin).Round(watchRound); err != nil || d < test.want || d > test.want+watchRound {
				t.Errorf("%s: %v after %v, want %v", test.name, err, d, test.want)
			}
			if got := p.Status().Hedges["true"]; got != test.won {
				t.Errorf("%s: %d hedges have won", test.name, got)
			}
			time.Sleep(time.Second) // the server that lost notices
		})
	}
}

// TestRetryBudget: when every server resets every connection, the origin does not get
// twice the requests for that (FAULTS F9).
func TestRetryBudget(t *testing.T) {
	reset := func(p *peer) {
		p.head()
		p.reset()
	}
	a, b := newScript(t, reset), newScript(t, reset)
	p := pool(t, Config{Servers: urls(a.url(), b.url()), Retries: 5})
	const n = 200
	for i := range n {
		_, err := p.Do(t.Context(), get(fmt.Sprint("/", i)))
		wantKind(t, err, Reset)
	}
	if got := a.conns() + b.conns(); got < n+retryFloor || got > n+n/10 {
		t.Errorf("%d requests became %d", n, got)
	}
	s := p.Status()
	if got := s.Retries["reset"]; got != uint64(a.conns()+b.conns()-n) {
		t.Errorf("%d retries are counted", got)
	}
	if !s.Failing {
		t.Error("the origin is not failing")
	}
}

func TestErrorsOfOneServer(t *testing.T) {
	status := func(code, body string) func(p *peer) {
		return func(p *peer) {
			for p.head() != "" {
				p.say(fmt.Sprintf("HTTP/1.1 %s X\r\nContent-Length: %d\r\n\r\n%s", code, len(body), body))
			}
		}
	}
	for _, test := range []struct {
		name   string
		a, b   func(p *peer)
		method string
		want   string
		asked  int
	}{
		{"the other answers", status("503", "no"), status("200", "yes"), "GET", "200 yes", 2},
		{"the other has no answer either", status("503", "no"), status("500", "neither"), "GET", "500 neither", 2},
		{"the other fails", status("503", "no"), func(p *peer) { p.head(); p.reset() }, "GET", "503 no", 2},
		{"what must not be repeated", status("503", "no"), status("200", "yes"), "POST", "503 no", 1},
	} {
		a, b := newScript(t, test.a), newScript(t, test.b)
		p := pool(t, Config{Servers: urls(a.url(), b.url()), Retries: 1})
		r := get("/")
		r.Method = test.method
		resp, body, err := readAll(p, r)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := fmt.Sprint(resp.Status, " ", body); got != test.want || resp.Attempts != test.asked {
			t.Errorf("%s: %s after %d attempts, want %s after %d", test.name, got, resp.Attempts, test.want, test.asked)
		}
		for _, s := range p.Status().Servers {
			if s.InFlight != 0 {
				t.Errorf("%s: %s has %d exchanges in flight", test.name, s.URL, s.InFlight)
			}
		}
	}
}

// moved is a name whose address its test changes.
type moved struct{ addr atomic.Pointer[netip.Addr] }

func (m *moved) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{*m.addr.Load()}, nil
}

func (m *moved) to(s string) {
	a := netip.MustParseAddr(s)
	m.addr.Store(&a)
}

// TestChangedAddress: the name of a server stands for another address while the old
// one still answers, on a connection that is kept. Within the time of Resolve requests
// go to the new one (FAULTS C4).
func TestChangedAddress(t *testing.T) {
	for _, test := range []struct {
		name    string
		resolve time.Duration
		age     time.Duration
		pause   time.Duration // between requests
		within  time.Duration // 0: not within a minute
	}{
		{"resolved again", 30 * time.Second, 0, 500 * time.Millisecond, 30 * time.Second},
		{"resolved again behind a pause", 30 * time.Second, 0, 31 * time.Second, 31 * time.Second},
		{"for new connections only", -1, 0, 500 * time.Millisecond, 0},
		{"for new connections, which are not old", -1, 10 * time.Second, 500 * time.Millisecond, 11 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			dns := &moved{}
			dns.to("192.0.2.1")
			p, err := newPool(Config{Name: "shop", Servers: urls("http://shop.test"), Resolver: dns, Resolve: test.resolve, MaxConnAge: test.age},
				func(_ context.Context, _, addr string) (net.Conn, error) {
					near, far := net.Pipe()
					go func() {
						defer far.Close()
						says(addr, 0)(far)
					}()
					return near, nil
				})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if body, _ := took(t, p, "/"); body != "192.0.2.1:80" {
				t.Fatalf("answered by %s", body)
			}
			dns.to("192.0.2.2")
			begin := time.Now()
			for time.Since(begin) < time.Minute {
				time.Sleep(test.pause)
				if body, _ := took(t, p, "/"); body == "192.0.2.2:80" {
					break
				}
			}
			switch d := time.Since(begin); {
			case test.within == 0 && d < time.Minute, test.within > 0 && d > test.within:
				t.Errorf("%s: the new address is used after %v", test.name, d)
			}
		})
	}
}

func TestNoKeepAlive(t *testing.T) {
	heads := make(chan string, 3)
	s := newScript(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			heads <- h
			p.say(hello)
		}
	})
	p := pool(t, Config{Servers: urls(s.url()), NoKeepAlive: true})
	for range 3 {
		fetch(t, p, get("/"))
		if h := <-heads; !strings.Contains(h, "\r\nConnection: close\r\n") {
			t.Errorf("the server is not told: %q", h)
		}
	}
	if s.conns() != 3 {
		t.Errorf("three requests used %d connections", s.conns())
	}
}

// TestPermitsSurviveAReload: what is in flight under an old configuration counts under
// the new, and returns its permit to it (FAULTS F12).
func TestPermitsSurviveAReload(t *testing.T) {
	release := make(chan struct{})
	s := newScript(t, func(p *peer) {
		for p.head() != "" {
			<-release
			p.say(hello)
		}
	})
	old := pool(t, Config{Servers: urls(s.url()), MaxConnsPerServer: 1})
	old.Start(nil)
	got := make(chan error, 2)
	do := func(p *Pool) {
		_, _, err := readAll(p, get("/"))
		got <- err
	}
	go do(old)
	for old.Status().Servers[0].InFlight == 0 {
		time.Sleep(time.Millisecond)
	}
	next := old
	for range 5 {
		previous := next
		next = pool(t, Config{Servers: urls(s.url()), MaxConnsPerServer: 1, WaitTimeout: time.Minute})
		next.Start(previous)
		previous.Close()
	}
	if n := next.Status().Servers[0].InFlight; n != 1 {
		t.Errorf("%d requests are in flight after five reloads", n)
	}
	go do(next)
	for next.Status().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	for range 2 {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	if n := next.Status().Servers[0].InFlight; n != 0 || s.conns() != 2 {
		t.Errorf("%d requests are in flight in the end; %d connections", n, s.conns())
	}
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, string(p))
	return len(p), nil
}

// Each kind of failure is logged once, and not again within ten seconds.
func TestFailuresAreLogged(t *testing.T) {
	log := &lines{}
	p := pool(t, Config{Servers: urls(refusing(t)), Log: slog.New(slog.NewTextHandler(log, nil))})
	now := clocked(p)
	for range 5 {
		_, err := p.Do(t.Context(), get("/"))
		wantKind(t, err, Refused)
	}
	now.Add(int64(sayAgain))
	_, _ = p.Do(t.Context(), get("/"))
	want := []string{"kind=refused", "is down", "unlogged=4"}
	if len(log.text) != len(want) {
		t.Fatalf("logged %q", log.text)
	}
	for i, w := range want {
		if !strings.Contains(log.text[i], w) || !strings.Contains(log.text[i], p.servers[0].addr) {
			t.Errorf("line %d is %q, want %q in it, and the server", i, log.text[i], w)
		}
	}
}
