package origin

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

var rawTargets = []string{
	"/", "/a%2fb", "/a%2Fb", "/a/../b", "//x", "///", "//a.test/x", "/a?", "/?a=b&&c", "/a?b?c", "/a//b",
	"/%zz", "/a|b{c}\"d^`<>\\", "//a|b\"?x|y", "/\xc3\xa4\xff", "//\xff", "/a;b=c,d:e@f", "/a?x=%2f&y=+%20", "/http://b.test/",
}

func TestTargetReachesTheWireByteForByte(t *testing.T) {
	heads := make(chan string, 1)
	s := newScript(t, func(p *peer) {
		for {
			h := p.head()
			if h == "" {
				return
			}
			heads <- h
			p.say(hello)
		}
	})
	p := pool(t, Config{Servers: urls(s.url())})
	for _, target := range rawTargets {
		fetch(t, p, get(target))
		line, _, _ := strings.Cut(<-heads, "\r\n")
		if want := "GET " + target + " HTTP/1.1"; line != want {
			t.Errorf("request line is %q, want %q", line, want)
		}
	}
	fetch(t, p, &Request{Method: "OPTIONS", Host: "a.test", Target: "*"})
	if h := <-heads; !strings.HasPrefix(h, "OPTIONS * HTTP/1.1\r\n") {
		t.Errorf("request is %q", h)
	}
	// A request line longer than the buffer.
	long := "//" + strings.Repeat("x", 20000)
	fetch(t, p, get(long))
	if h := <-heads; !strings.HasPrefix(h, "GET "+long+" HTTP/1.1\r\n") {
		t.Errorf("long request line is wrong: %.60q", h)
	}
	if s.conns() != 1 {
		t.Errorf("%d connections for requests in sequence, want 1", s.conns())
	}
}

func TestTargetOverTLS(t *testing.T) {
	for _, offers := range []struct{ server, pool bool }{{false, false}, {true, true}, {false, true}, {true, false}} {
		h2 := offers.server && offers.pool
		var got []string
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Proto+" "+r.Host+" "+r.RequestURI)
		}))
		srv.EnableHTTP2 = offers.server
		srv.StartTLS()
		defer srv.Close()
		p := pool(t, Config{Servers: urls(srv.URL), HTTP2: offers.pool, TLS: TLSConfig{CAs: roots(srv), ServerName: "example.com"}})
		proto := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]
		for _, target := range []string{"/a%2fb", "//x", "//x|\"y?z", "/a?", "/\xff"} {
			got = nil
			resp, _ := fetch(t, p, get(target))
			if want := []string{proto + " a.test " + target}; !slices.Equal(got, want) {
				t.Errorf("server got %q, want %q", got, want)
			}
			if resp.CloseDelimited {
				t.Errorf("response is %+v", resp)
			}
		}
	}
}

func roots(srv *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return pool
}

func TestNothingIsInvented(t *testing.T) {
	heads := make(chan string, 1)
	s := newScript(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			heads <- h
			p.say(hello)
		}
	})
	p := pool(t, Config{Servers: urls(s.url())})
	tests := []struct {
		name string
		req  *Request
		want []string
	}{
		{"bare", get("/"), []string{"GET / HTTP/1.1", "Host: a.test"}},
		{"host with port", &Request{Host: "A.test:81", Target: "/"}, []string{"GET / HTTP/1.1", "Host: A.test:81"}},
		{"no host", &Request{Target: "/"}, []string{"GET / HTTP/1.1", "Host: " + s.ln.Addr().String()}},
		{"header", &Request{Host: "a.test", Target: "/", Fields: header("Accept", "x", "Accept", "y", "User-Agent", "curl", "X-Empty", "")}, []string{"GET / HTTP/1.1", "Host: a.test", "Accept: x", "Accept: y", "User-Agent: curl", "X-Empty: "}},
		{
			"of this connection only", &Request{Host: "a.test", Target: "/", Fields: header(
				"Connection", "close", "Keep-Alive", "1", "content-length", "7", "transfer-encoding", "chunked", "Upgrade", "h2c", "HOST", "evil", "Te", "gzip", "Trailer", "x", "Proxy-Connection", "x")},
			[]string{"GET / HTTP/1.1", "Host: a.test"},
		},
	}
	for _, tt := range tests {
		fetch(t, p, tt.req)
		got := strings.Split(strings.TrimSuffix(<-heads, "\r\n\r\n"), "\r\n")
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: origin got %q, want %q", tt.name, got, tt.want)
		}
	}
	p = pool(t, Config{Servers: urls(s.url()), Host: "origin.test"})
	fetch(t, p, get("/"))
	if h := <-heads; !strings.Contains(h, "\r\nHost: origin.test\r\n") {
		t.Errorf("configured host is not sent: %q", h)
	}
}

func TestRequestFraming(t *testing.T) {
	got := make(chan string, 1)
	s := newScript(t, func(p *peer) {
		for {
			h := p.head()
			if h == "" {
				return
			}
			end := "END"
			var body string
			for strings.Contains(h, "Content-Length: 3") && len(body) < 3 || strings.Contains(h, "chunked") && !strings.HasSuffix(body, "0\r\n\r\n") {
				c, err := p.br.ReadByte()
				if err != nil {
					end = err.Error()
					break
				}
				body += string(c)
			}
			answer := hello
			if strings.HasPrefix(h, "HEAD ") { // what came behind it would begin the next answer
				answer = strings.TrimSuffix(hello, "hello")
			}
			p.say(answer)
			_, h, _ = strings.Cut(h, "a.test\r\n")
			got <- h + body + end
		}
	})
	p := pool(t, Config{Servers: urls(s.url())})
	reader := func(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }
	tests := []struct {
		method string
		body   io.Reader
		length int64
		want   string
	}{
		{"GET", nil, 0, "\r\nEND"},
		{"GET", nil, -1, "\r\nEND"},
		{"HEAD", nil, 0, "\r\nEND"},
		{"DELETE", nil, 0, "\r\nEND"},
		{"POST", nil, 0, "Content-Length: 0\r\n\r\nEND"},
		{"POST", reader(""), 0, "Content-Length: 0\r\n\r\nEND"},
		{"DELETE", reader(""), 0, "Content-Length: 0\r\n\r\nEND"},
		{"BREW", reader(""), 0, "Content-Length: 0\r\n\r\nEND"},
		{"POST", reader("abc"), 3, "Content-Length: 3\r\n\r\nabcEND"},
		{"POST", reader("abcdef"), 3, "Content-Length: 3\r\n\r\nabcEND"},
		{"GET", reader("abc"), 3, "Content-Length: 3\r\n\r\nabcEND"},
		{"POST", reader("abc"), -1, "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nEND"},
		{"POST", reader(""), -1, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nEND"},
		{"DELETE", reader(""), -1, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nEND"},
	}
	for _, tt := range tests {
		r := &Request{Method: tt.method, Host: "a.test", Target: "/", Body: tt.body, ContentLength: tt.length}
		resp, err := p.Do(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if g := <-got; g != tt.want {
			t.Errorf("%s with %d: origin got %q, want %q", tt.method, tt.length, g, tt.want)
		}
	}
}

func TestRequestsThatCannotBeSent(t *testing.T) {
	seen := &outcomes{}
	p := pool(t, Config{Servers: urls(refusing(t)), Observer: seen})
	tests := []*Request{
		{Target: ""},
		{Target: "x"},
		{Target: "http://a.test/"},
		{Target: "/a b"},
		{Target: "/a\r\nX: y"},
		{Target: "/\x00"},
		{Target: "/a#b"},
		{Target: "/\x7f"},
		{Target: "/", Method: "CONNECT"},
		{Target: "/", Method: "GE T"},
		{Target: "/", Method: "G\r\n"},
		{Target: "/", Host: "a b"},
		{Target: "/", Host: "a/b"},
		{Target: "/", Host: "u@a.test"},
		{Target: "/", Host: "a,b"},
		{Target: "/", Host: "\xff"},
		{Target: "/", Host: "a\r\nb"},
		{Target: "/", Fields: header("A b", "c")},
		{Target: "/", Fields: header("A", "c\r\nX: y")},
		{Target: "/", Fields: header("A", "\x00")},
		{Target: "/", Body: struct{ io.Reader }{strings.NewReader("x")}, ContentLength: 1, Replayable: true},
	}
	for _, r := range tests {
		_, err := p.Do(t.Context(), r)
		if e := wantKind(t, err, Invalid); e.Status() != 400 {
			t.Errorf("status is %d", e.Status())
		}
	}
	if got, want := seen.String(), strings.TrimSpace(strings.Repeat("invalid-request ", len(tests))); got != want {
		t.Errorf("observed %q", got)
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range append([]string{"*", "", "/a b", "/a#b", "//\x7f"}, rawTargets...) {
		f.Add(s)
	}
	p, heads := recording(f)
	f.Fuzz(func(t *testing.T, target string) {
		if checkTarget(target) != nil {
			return
		}
		fetch(t, p, get(target))
		if want, head := "GET "+target+" HTTP/1.1\r\nHost: a.test\r\n\r\n", <-heads; head != want {
			t.Fatalf("wire has %q, want %q", head, want)
		}
	})
}

// recording is a pool whose server answers every request and tells its head.
func recording(f *testing.F) (*Pool, <-chan string) {
	heads := make(chan string, 1)
	p, err := namedPool(Config{Servers: urls("http://h")}, func(context.Context, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			p := &peer{Conn: far, br: bufio.NewReader(far)}
			for h := p.head(); h != ""; h = p.head() {
				heads <- h
				p.say(hello)
			}
		}()
		return near, nil
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(p.Close)
	return p, heads
}

func TestServerNameIsTheHostSent(t *testing.T) {
	names := make(chan string, 4)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.TLS = &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- h.ServerName
		return nil, nil
	}}
	srv.StartTLS()
	defer srv.Close()
	tests := []struct {
		c    Config
		host string
		want string
	}{
		{Config{}, "Example.com:8080", "example.com"},
		{Config{Host: "example.com"}, "a.test", "example.com"},
		{Config{TLS: TLSConfig{ServerName: "example.com"}}, "a.test", "example.com"},
		{Config{TLS: TLSConfig{Insecure: true}}, "a.test", "a.test"},
		{Config{}, "127.0.0.1", ""},
		{Config{}, "[::1]:99", ""},
	}
	for _, tt := range tests {
		tt.c.Servers, tt.c.TLS.CAs = urls(srv.URL), roots(srv)
		p := pool(t, tt.c)
		fetch(t, p, &Request{Host: tt.host, Target: "/"})
		if got := <-names; got != tt.want {
			t.Errorf("host %s: SNI is %q, want %q", tt.host, got, tt.want)
		}
	}
	p := pool(t, Config{Servers: urls(srv.URL), TLS: TLSConfig{CAs: roots(srv)}})
	_, err := p.Do(t.Context(), get("/"))
	wantKind(t, err, TLS)
	<-names
}
