package origin

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestConfigFaultsAreAllReported(t *testing.T) {
	_, err := New(Config{
		Name: "shop", Servers: urls("ftp://x", "http://", "http://a/path", "http://u@a", "https://a?x", "%"),
		ConnectTimeout: -1, WaitTimeout: -1, MaxConnsPerServer: -1, MaxHeaderBytes: -1, Retries: -1, Host: "a b",
		TLS: TLSConfig{CAFile: "/nonexistent/ca.pem", CertFile: "x"},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{`"shop"`, "ftp://x", `"http://"`, "a/path", "u@a", "a?x", `"%"`, "ConnectTimeout", "WaitTimeout", "MaxConnsPerServer", "MaxHeaderBytes", "Retries", "Host", "CA file", "CertFile"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not reported in: %v", part, err)
		}
	}
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "servers is empty") {
		t.Errorf("no servers: %v", err)
	}
	for in, want := range map[string]string{"http://a": "a:80", "https://A.b/": "A.b:443", "http://[::1]:9": "[::1]:9", "https://[::1]": "[::1]:443"} {
		if _, addr, err := parseServer(in); err != nil || addr != want {
			t.Errorf("%s is %s (%v), want %s", in, addr, err, want)
		}
	}
}

// TestUnreachableServersAreSpared: what cannot be reached is found out by requests of
// any method, since nothing of them was sent, and then left alone.
func TestUnreachableServersAreSpared(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	down := map[string]bool{}
	p, err := namedPool(Config{Servers: urls("http://a", "http://b", "http://c"), Retries: 2, Balance: RoundRobin}, func(_ context.Context, name string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, name)
		if down[name] {
			return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		}
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			br, _ := readHead(far)
			_, _ = br.ReadByte()
			_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n"+name)
		}()
		return near, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	now := clocked(p)
	ask := func(n int) (answered, tried string) {
		asked = nil
		for range n {
			r := &Request{Method: "POST", Host: "x", Target: "/", Body: strings.NewReader("b"), ContentLength: 1}
			_, body := fetch(t, p, r)
			answered += body
		}
		return answered, strings.Join(asked, "")
	}
	check := func(name string, n int, answered, tried string) {
		t.Helper()
		if a, tr := ask(n); a != answered || tr != tried {
			t.Errorf("%s: answered by %s, tried %s; want %s, %s", name, a, tr, answered, tried)
		}
	}
	check("in turn", 6, "abcabc", "abcabc")
	down["b"] = true
	if answered, _ := ask(12); strings.Contains(answered, "b") || len(answered) != 12 {
		t.Errorf("while one refuses: answered by %s", answered)
	}
	if got := p.Status().Servers[1]; got.State != StateEjected || !strings.Contains(got.Reason, "refused") {
		t.Errorf("after three refusals: %+v", got)
	}
	if answered, tried := ask(6); strings.Contains(tried, "b") || len(answered) != 6 {
		t.Errorf("it is not spared: tried %s", tried)
	}
	// A request that must not be sent twice finds out when no other has for long.
	down["b"] = false
	now.Add(int64(2 * DefaultEject.For))
	if answered, _ := ask(1); answered != "b" {
		t.Errorf("answered by %s", answered)
	}
	if got := p.Status().Servers[1]; got.State != StateUp {
		t.Errorf("after a good answer: %+v", got)
	}
	down["a"], down["b"], down["c"] = true, true, true
	_, err = p.Do(t.Context(), get("/"))
	wantKind(t, err, Refused)
	asked = nil
	_, err = p.Do(t.Context(), get("/"))
	wantKind(t, err, Refused)
	if len(asked) < 2 || !p.Failing() {
		t.Errorf("with all down %q were asked; failing %v", asked, p.Failing())
	}
}

func TestRetries(t *testing.T) {
	type turn struct {
		method     string
		body       string
		replayable bool
		retries    int
		attempts   int // connections made to the servers that reset
		ok         bool
	}
	tests := []turn{
		{method: "GET", retries: 0, attempts: 1},
		{method: "GET", retries: 1, attempts: 1, ok: true},
		{method: "HEAD", retries: 1, attempts: 1, ok: true},
		{method: "OPTIONS", retries: 1, attempts: 1, ok: true},
		{method: "DELETE", retries: 1, attempts: 1},
		{method: "POST", retries: 5, attempts: 1},
		{method: "PATCH", body: "abc", replayable: true, retries: 5, attempts: 1},
		{method: "PUT", body: "abc", retries: 5, attempts: 1},
		{method: "PUT", body: "abc", replayable: true, retries: 5, attempts: 1},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %d bytes, replayable %v, %d retries", tt.method, len(tt.body), tt.replayable, tt.retries), func(t *testing.T) {
			bad := newScript(t, func(p *peer) {
				p.head()
				_, _ = io.ReadFull(p.br, make([]byte, len(tt.body)))
				p.reset()
			})
			got := make(chan string, 1)
			good := newScript(t, func(p *peer) {
				p.head()
				b := make([]byte, len(tt.body))
				_, _ = io.ReadFull(p.br, b)
				got <- string(b)
				p.say(hello)
			})
			seen := &outcomes{}
			p := pool(t, Config{Servers: urls(bad.url(), good.url()), Retries: tt.retries, Observer: seen})
			r := &Request{Method: tt.method, Host: "a.test", Target: "/"}
			if tt.body != "" {
				r.Body, r.ContentLength, r.Replayable = strings.NewReader(tt.body), int64(len(tt.body)), tt.replayable
			}
			resp, _, err := readAll(p, r)
			if tt.ok {
				if err != nil || resp.Attempts != 2 || <-got != tt.body || seen.String() != "reset ok" {
					t.Errorf("%v, %+v, observed %q", err, resp, seen)
				}
			} else if wantKind(t, err, Reset); seen.String() != "reset" {
				t.Errorf("observed %q", seen)
			}
			if bad.conns() != tt.attempts {
				t.Errorf("%d attempts at the bad server, want %d", bad.conns(), tt.attempts)
			}
		})
	}
}

func TestOneServerIsAskedAgainAfterAReset(t *testing.T) {
	s := newScript(t, func(p *peer) {
		p.head()
		if p.n < 3 {
			p.reset()
			return
		}
		p.say(hello)
	})
	p := pool(t, Config{Servers: urls(s.url()), Retries: 2})
	if resp, _ := fetch(t, p, get("/")); resp.Attempts != 3 {
		t.Errorf("%d attempts", resp.Attempts)
	}
	// A refusal is not worth asking again at once.
	seen := &outcomes{}
	p = pool(t, Config{Servers: urls(refusing(t)), Retries: 9, Observer: seen})
	_, err := p.Do(t.Context(), get("/"))
	wantKind(t, err, Refused)
	if seen.String() != "refused" {
		t.Errorf("observed %q", seen)
	}
}

// TestConnectionClosedWhileIdle: the server closes a kept connection; the next
// request must not fail for it.
func TestConnectionClosedWhileIdle(t *testing.T) {
	closed := make(chan struct{})
	s := newScript(t, func(p *peer) {
		p.head()
		p.say(hello)
		if p.n == 1 {
			p.Close()
			close(closed)
		}
		p.head()
	})
	p := pool(t, Config{Servers: urls(s.url())})
	fetch(t, p, get("/"))
	<-closed
	fetch(t, p, get("/"))
	if s.conns() != 2 {
		t.Errorf("%d connections", s.conns())
	}
}

func TestDialKinds(t *testing.T) {
	tests := []struct {
		err    error
		kind   Kind
		status int
	}{
		{os.NewSyscallError("connect", syscall.ECONNREFUSED), Refused, 502},
		{os.NewSyscallError("connect", syscall.EHOSTUNREACH), Connect, 502},
		{os.NewSyscallError("connect", syscall.ENETUNREACH), Connect, 502},
		{os.NewSyscallError("connect", syscall.ETIMEDOUT), ConnectTimeout, 504},
		{&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}, Connect, 502},
		{&net.DNSError{Err: "timeout", Name: "x", IsTimeout: true}, ConnectTimeout, 504},
		{context.DeadlineExceeded, ConnectTimeout, 504},
		{errors.New("anything"), Connect, 502},
	}
	for _, tt := range tests {
		p, err := namedPool(Config{Servers: urls("http://a")}, func(context.Context, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: tt.err}
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Do(t.Context(), get("/"))
		if e := wantKind(t, err, tt.kind); e.Status() != tt.status || !errors.Is(err, tt.err) {
			t.Errorf("%v: status %d, error %v", tt.err, e.Status(), err)
		}
		p.Close()
	}
}

func TestKindsAreAClosedList(t *testing.T) {
	all := Outcomes()
	for k := range numKinds {
		if k.String() == "" || !slices.Contains(all, k.String()) {
			t.Errorf("kind %d is %q", k, k)
		}
	}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != int(numKinds)+2 {
		t.Errorf("%d different outcomes", n)
	}
	if Kind(200).String() != "other" {
		t.Error("an unknown kind has a name of its own")
	}
}

func TestTLSVerifiesByDefault(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.TLS.PeerCertificates))
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	defer srv.Close()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca.pem", "CERTIFICATE", srv.Certificate().Raw)
	key := write("key.pem", "PRIVATE KEY", pkcs8(t, srv.TLS.Certificates[0].PrivateKey))
	tests := []struct {
		name string
		tls  TLSConfig
		kind Kind
		body string
	}{
		{"unknown authority", TLSConfig{ServerName: "example.com"}, TLS, ""},
		{"other name", TLSConfig{CAFile: ca, ServerName: "other.test"}, TLS, ""},
		{"verified", TLSConfig{CAFile: ca, ServerName: "example.com"}, 0, "0"},
		{"insecure", TLSConfig{Insecure: true}, 0, "0"},
		{"client certificate", TLSConfig{CAFile: ca, ServerName: "example.com", CertFile: ca, KeyFile: key}, 0, "1"},
	}
	for _, tt := range tests {
		p := pool(t, Config{Servers: urls(srv.URL), TLS: tt.tls})
		_, body, err := readAll(p, get("/"))
		if tt.kind != 0 {
			wantKind(t, err, tt.kind)
		} else if err != nil || body != tt.body {
			t.Errorf("%s: %q, %v", tt.name, body, err)
		}
	}
	plain := newScript(t, func(p *peer) { p.say("HTTP/1.1 400 Bad Request\r\n\r\n"); p.head() })
	_, err := pool(t, Config{Servers: urls("https://" + plain.ln.Addr().String())}).Do(t.Context(), get("/"))
	wantKind(t, err, TLS)
	empty := write("empty.pem", "NOTHING", nil)
	if _, err := New(Config{Servers: urls(srv.URL), TLS: TLSConfig{CAFile: empty}}); err == nil {
		t.Error("a CA file without certificates is accepted")
	}
}

func TestClose(t *testing.T) {
	ended := make(chan struct{})
	s := newScript(t, func(p *peer) {
		p.head()
		p.say(ok + "Content-Length: 5\r\n\r\nhel")
		if p.n == 1 {
			defer close(ended)
			p.say("lo")
			p.head() // until the pool closes the connection
		}
	})
	p := pool(t, Config{Servers: urls(s.url())})
	resp, err := p.Do(t.Context(), get("/"))
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "hello" {
		t.Errorf("a response in flight at Close: %q, %v", b, err)
	}
	resp.Body.Close()
	<-ended
	_, err = p.Do(t.Context(), get("/"))
	wantKind(t, err, Other)
}

func TestAbandonedBody(t *testing.T) {
	gone := make(chan struct{})
	s := newScript(t, func(p *peer) {
		p.head()
		p.say(ok + "Content-Length: 9\r\n\r\nhello")
		p.head()
		close(gone)
	})
	seen := &outcomes{}
	p := pool(t, Config{Servers: urls(s.url()), MaxConnsPerServer: 1, Observer: seen})
	resp, err := p.Do(t.Context(), get("/"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	resp.Body.Close()
	<-gone
	_, err = resp.Body.Read(make([]byte, 1))
	wantKind(t, err, Canceled)
	if seen.String() != "abandoned" || p.members[0].inUse != 0 {
		t.Errorf("observed %q, %d permits held", seen, p.members[0].inUse)
	}
}

// TestShortRestsAreRead: a short body that nobody wants any more is read for the sake of
// its connection, and a long one is not.
func TestShortRestsAreRead(t *testing.T) {
	for size, conns := range map[int]int{drainLimit: 1, drainLimit + 1: 2} {
		sent := make(chan struct{}, 2)
		s := newScript(t, func(p *peer) {
			for p.head() != "" {
				p.say(ok + "Content-Length: " + strconv.Itoa(size) + "\r\n\r\n" + strings.Repeat("x", size))
				sent <- struct{}{}
			}
		})
		p := pool(t, Config{Servers: urls(s.url())})
		for range 2 {
			resp, err := p.Do(t.Context(), get("/"))
			if err != nil {
				t.Fatal(err)
			}
			<-sent // all of it is in the socket's buffers
			resp.Body.Close()
		}
		if s.conns() != conns {
			t.Errorf("two bodies of %d bytes that nobody read took %d connections, want %d", size, s.conns(), conns)
		}
	}
}
