package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"weir/origin/http1"
	"weir/policy"
)

// readAll asks once and returns what came of it: body, and the error of Do or of
// the body.
func readAll(p *Pool, r *Request) (*Response, string, error) {
	resp, err := p.Do(context.Background(), r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func TestCompleteResponses(t *testing.T) {
	tests := []struct {
		name, method, raw string
		status            int
		length            int64
		body              string
		closeDelimited    bool
	}{
		{"length", "GET", hello, 200, 5, "hello", false},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 200, -1, "hello", false},
		{"close delimited", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", 200, -1, "hello", true},
		{"close delimited and empty", "GET", "HTTP/1.1 200 OK\r\n\r\n", 200, -1, "", true},
		{"1.0 with length", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, 5, "hello", false},
		{"1.0 without", "GET", "HTTP/1.0 200 OK\r\n\r\nhello", 200, -1, "hello", true},
		{"zero", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0, "", false},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, 0, "", false},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", 304, 0, "", false},
		{"HEAD with length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, 5, "", false},
		{"HEAD without", "HEAD", "HTTP/1.1 200 OK\r\n\r\n", 200, -1, "", false},
		{"space before the colon", "GET", ok + "X-XSS-Protection : 1\r\nContent-Length\t : 5\r\n\r\nhello", 200, 5, "hello", false},
		{"same length twice", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, 5, "hello", false},
		{"no reason", "GET", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", 404, 0, "", false},
		{"status 599", "GET", "HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n", 599, 0, "", false},
		{"interim first", "GET", "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n" + hello, 200, 5, "hello", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seen := &outcomes{}
			s := newScript(t, func(p *peer) { p.head(); p.say(tt.raw) })
			p := pool(t, Config{Servers: urls(s.url()), Observer: seen})
			resp, body := fetch(t, p, &Request{Method: tt.method, Host: "a.test", Target: "/"})
			if resp.Status != tt.status || resp.ContentLength != tt.length || body != tt.body || resp.CloseDelimited != tt.closeDelimited {
				t.Errorf("got %d, length %d, body %q, close delimited %v", resp.Status, resp.ContentLength, body, resp.CloseDelimited)
			}
			if resp.Server != s.ln.Addr().String() || resp.Attempts != 1 || seen.String() != "ok" {
				t.Errorf("server %s, attempts %d, outcomes %s", resp.Server, resp.Attempts, seen)
			}
		})
	}
}

const ok = "HTTP/1.1 200 OK\r\n"

var refusedResponses = []struct {
	name, raw string
	kind      Kind
}{
	{"not HTTP", "hello\r\n\r\n", Malformed},
	{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", Malformed},
	{"no colon", ok + "nonsense\r\n\r\n", Malformed},
	{"space before the name", ok + " Content-Length: 5\r\n\r\nhello", Malformed},
	{"folded", ok + "Content-Length: 5\r\nX: y\r\n z\r\n\r\nhello", Malformed},
	{"bare LF", ok + "Content-Length: 5\n\r\nhello", Malformed},
	{"bare LFs", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", Malformed},
	{"space in name", ok + "X Y: 5\r\nContent-Length: 0\r\n\r\n", Malformed},
	{"bare CR in a value", ok + "X: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", Malformed},
	{"NUL in a value", ok + "X: a\x00b\r\nContent-Length: 0\r\n\r\n", Malformed},
	{"empty name", ok + ": x\r\n\r\n", Malformed},
	{"status is no number", "HTTP/1.1 abc OK\r\n\r\n", Malformed},
	{"status 099", "HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n", Malformed},
	{"status of four digits", "HTTP/1.1 2000 X\r\nContent-Length: 0\r\n\r\n", Malformed},
	{"two spaces", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", Malformed},
	{"HTTP/2.0 in text", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", Malformed},
	{"HTTP/3.7", "HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n", Malformed},
	{"length and chunked", ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Malformed},
	{"chunked and length", ok + "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Malformed},
	{"length and chunked after 103", "HTTP/1.1 103 E\r\n\r\n" + ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Malformed},
	{"chunked with HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Malformed},
	{"other transfer encoding", ok + "Transfer-Encoding: gzip\r\n\r\nhello", Malformed},
	{"two transfer encodings", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Malformed},
	{"two transfer encoding lines", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", Malformed},
	{"two lengths", ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", Malformed},
	{"length with a sign", ok + "Content-Length: +5\r\n\r\nhello", Malformed},
	{"length is empty", ok + "Content-Length:\r\n\r\n", Malformed},
	{"length is negative", ok + "Content-Length: -5\r\n\r\nhello", Malformed},
	{"length is a list", ok + "Content-Length: 5, 5\r\n\r\nhello", Malformed},
	{"length overflows", ok + "Content-Length: 99999999999999999999\r\n\r\nhello", Malformed},
	{"forbidden trailer name", ok + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n", Malformed},
	{"upgrade", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Malformed},
	{"endless interim", strings.Repeat("HTTP/1.1 103 E\r\n\r\n", maxInterim+1) + hello, Malformed},
	{"bad interim", "HTTP/1.1 103 E\r\nX Y: z\r\n\r\n" + hello, Malformed},
	{"header too large", ok + "X: " + strings.Repeat("x", 9000) + "\r\n\r\n", HeaderTooLarge},
	{"header without end", ok + strings.Repeat("X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", 9000), HeaderTooLarge},
	{"interim header too large", "HTTP/1.1 103 E\r\nX: " + strings.Repeat("x", 9000) + "\r\n\r\n" + hello, HeaderTooLarge},
	{"continuation of nothing", ok + " " + strings.Repeat("0", 90) + "\r\n\r\n", Malformed},
	{"nothing", "", Reset},
	{"part of the status line", "HTTP/1.1 20", Reset},
	{"part of a header line", ok + "Content-Le", Reset},
	{"header without its end", ok + "Content-Length: 5\r\n", Reset},
}

func TestRefusedResponses(t *testing.T) {
	for _, tt := range refusedResponses {
		t.Run(tt.name, func(t *testing.T) {
			seen := &outcomes{}
			s := newScript(t, func(p *peer) {
				p.head()
				p.say(tt.raw)
				_ = p.Conn.(interface{ CloseWrite() error }).CloseWrite()
				p.head()
			})
			p := pool(t, Config{Servers: urls(s.url()), MaxHeaderBytes: 8 << 10, Observer: seen})
			_, _, err := readAll(p, &Request{Method: "POST", Host: "a.test", Target: "/"})
			e := wantKind(t, err, tt.kind)
			if e.Server != s.ln.Addr().String() || e.Status() != 502 {
				t.Errorf("error is %+v", e)
			}
			if seen.String() != tt.kind.String() {
				t.Errorf("observed %q", seen)
			}
		})
	}
}

func TestBrokenBodies(t *testing.T) {
	chunked := ok + "Transfer-Encoding: chunked\r\n\r\n"
	tests := []struct {
		name, raw string
		reset     bool
		kind      Kind
		body      string
	}{
		{"length short", ok + "Content-Length: 9\r\n\r\nhello", false, Truncated, "hello"},
		{"length and nothing", ok + "Content-Length: 9\r\n\r\n", false, Truncated, ""},
		{"1.0 length short", "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhello", false, Truncated, "hello"},
		{"no last chunk", chunked + "5\r\nhello\r\n", false, Truncated, "hello"},
		{"cut in a chunk", chunked + "9\r\nhello", false, Truncated, "hello"},
		{"cut in a chunk size", chunked + "5\r\nhello\r\n5", false, Truncated, "hello"},
		{"cut before the final CRLF", chunked + "5\r\nhello\r\n0\r\n", false, Truncated, "hello"},
		{"cut in the trailer", chunked + "5\r\nhello\r\n0\r\nX: y\r\n", false, Truncated, "hello"},
		{"no chunk size", chunked + "\r\nhello\r\n", false, Malformed, ""},
		{"bad chunk size", chunked + "xyz\r\nhello\r\n0\r\n\r\n", false, Malformed, ""},
		{"negative chunk size", chunked + "-5\r\nhello\r\n0\r\n\r\n", false, Malformed, ""},
		{"huge chunk size", chunked + "fffffffffffffffff\r\nhello\r\n", false, Malformed, ""},
		{"chunk longer than said", chunked + "3\r\nhello\r\n0\r\n\r\n", false, Malformed, "hel"},
		{"long chunk line", chunked + "5;" + strings.Repeat("x", 20000) + "\r\nhello\r\n0\r\n\r\n", false, Malformed, ""},
		{"malformed trailer", chunked + "5\r\nhello\r\n0\r\nnonsense\r\n\r\n", false, Malformed, "hello"},
		{"length, reset", ok + "Content-Length: 9\r\n\r\nhello", true, Reset, "hello"},
		{"chunked, reset", chunked + "5\r\nhello\r\n", true, Reset, "hello"},
		{"close delimited, reset", ok + "\r\nhello", true, Reset, "hello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seen := &outcomes{}
			arrived := make(chan struct{})
			s := newScript(t, func(p *peer) {
				p.head()
				p.say(tt.raw)
				if tt.reset {
					<-arrived // a RST overtakes what the client has not read
					p.reset()
				}
			})
			p := pool(t, Config{Servers: urls(s.url()), Observer: seen, Retries: 2})
			resp, err := p.Do(t.Context(), get("/"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var body []byte
			if tt.reset {
				body = make([]byte, len(tt.body))
				if _, err := io.ReadFull(resp.Body, body); err != nil {
					t.Fatal(err)
				}
				close(arrived)
			}
			rest, err := io.ReadAll(resp.Body)
			body = append(body, rest...)
			wantKind(t, err, tt.kind)
			if !strings.HasPrefix(tt.body, string(body)) {
				t.Errorf("body is %q, want %q or less", body, tt.body)
			}
			if _, again := resp.Body.Read(make([]byte, 1)); !errors.Is(again, err) {
				t.Errorf("a second read says %v", again)
			}
			resp.Body.Close()
			if seen.String() != tt.kind.String() || resp.Trailer() != nil {
				t.Errorf("observed %q, trailer %v", seen, resp.Trailer())
			}
		})
	}
}

// TestSurplusNeverAnswersTheNextRequest: each first answer carries a whole second
// one behind it, which must not be given to anybody.
func TestSurplusNeverAnswersTheNextRequest(t *testing.T) {
	surplus := "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
	answers := []string{
		hello + surplus,
		"HTTP/1.1 204 No Content\r\n\r\n" + surplus,
		"HTTP/1.1 304 Not Modified\r\n\r\n" + surplus,
		ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + surplus,
		ok + "Content-Length: 0\r\n\r\n" + surplus,
		ok + "Content-Length: 0\r\n\r\nHTTP/1.1 103 E\r\n\r\n" + surplus,
	}
	for i, answer := range answers {
		s := answering(t, answer)
		p := pool(t, Config{Servers: urls(s.url()), Retries: 1})
		for range 200 {
			_, body, err := readAll(p, get("/"))
			if err != nil {
				wantKind(t, err, Reset) // both attempts met a poisoned connection
			} else if body == "EVIL" {
				t.Fatalf("answer %d: the surplus answered a request", i)
			}
		}
	}
}

func TestInterimResponsesAndTrailers(t *testing.T) {
	s := answering(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 P\r\n\r\n"+
		ok+"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 9\r\nX-More: 1\r\n\r\n")
	p := pool(t, Config{Servers: urls(s.url())})
	var got []string
	r := get("/")
	r.Interim = func(code int, h policy.Fields) error {
		got = append(got, fmt.Sprint(code, h.Get("Link")))
		return nil
	}
	resp, err := p.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Trailer() != nil {
		t.Error("there is a trailer before the end of the body")
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []string{"103</a>", "102"}) || resp.Trailer().Get("X-Sum") != "9" || resp.Trailer().Get("X-More") != "1" {
		t.Errorf("interim %q, trailer %v", got, resp.Trailer())
	}
	resp.Body.Close()

	r = get("/")
	stop := errors.New("enough")
	r.Interim = func(int, policy.Fields) error { return stop }
	_, err = p.Do(t.Context(), r)
	if wantKind(t, err, Canceled); !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
}

func TestPragmaStaysPragma(t *testing.T) {
	for raw, want := range map[string]string{
		"Pragma: no-cache\r\n":                              "",
		"Pragma: no-cache\r\nCache-Control: no-cache\r\n":   "no-cache",
		"Pragma: no-cache\r\ncache-control: max-age=60\r\n": "max-age=60",
	} {
		s := answering(t, ok+raw+"Content-Length: 0\r\n\r\n")
		resp, _ := fetch(t, pool(t, Config{Servers: urls(s.url())}), get("/"))
		if got := resp.Fields.Get("Cache-Control"); got != want || resp.Fields.Get("Pragma") != "no-cache" {
			t.Errorf("%q gives %v", raw, resp.Fields)
		}
	}
}

func TestHTTP2Failures(t *testing.T) {
	hold := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9")
		_, _ = io.WriteString(w, "hello")
	})
	mux.HandleFunc("/abort", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/abort-first", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 12 {
			w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1000))
		}
	})
	mux.HandleFunc("/large-one", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 20000)) })
	mux.HandleFunc("/stall", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello")
		_ = http.NewResponseController(w).Flush()
		<-hold
	})
	srv := httptest.NewUnstartedServer(mux)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	defer close(hold)
	seen := &outcomes{}
	c := Config{Servers: urls(srv.URL), HTTP2: true, MaxHeaderBytes: 8 << 10, Observer: seen, TLS: TLSConfig{CAs: roots(srv), ServerName: "example.com"}}
	p := pool(t, c)
	c.BetweenBytesTimeout = testTimeout
	impatient := pool(t, c)
	for _, tt := range []struct {
		path string
		kind Kind
	}{{"/short", Truncated}, {"/abort", Reset}, {"/abort-first", Reset}, {"/large", HeaderTooLarge}, {"/large-one", HeaderTooLarge}, {"/stall", Stalled}} {
		ask := p
		if tt.kind == Stalled {
			ask = impatient
		}
		_, _, err := readAll(ask, get(tt.path))
		wantKind(t, err, tt.kind)
	}
	if got := seen.String(); got != "truncated reset reset header-too-large header-too-large stalled" {
		t.Errorf("observed %q", got)
	}
}

// FuzzResponse gives a pool arbitrary bytes as an answer: whatever comes of it has
// a name, is safe to pass on, and is complete or says that it is not.
func FuzzResponse(f *testing.F) {
	f.Add([]byte(hello))
	for _, r := range refusedResponses {
		f.Add([]byte(r.raw[:min(len(r.raw), 500)]))
	}
	f.Add([]byte(ok + "Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := namedPool(Config{Servers: urls("http://a")}, func(context.Context, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				_, _ = readHead(far)
				_, _ = far.Write(raw)
			}()
			return near, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		resp, body, err := readAll(p, get("/"))
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("error is %T: %v", err, err)
		}
		if e != nil && (e.Kind == Other || e.Kind == Canceled) {
			t.Fatalf("kind %v for %q: %v", e.Kind, raw, err)
		}
		if resp == nil {
			return
		}
		if err := http1.Sendable(resp.Fields, func(*policy.Field) {}); resp.Status < 200 || err != nil {
			t.Fatalf("passed on: %d %q", resp.Status, resp.Fields)
		}
		if err == nil && resp.ContentLength >= 0 && resp.Status != 304 && int64(len(body)) != resp.ContentLength {
			t.Fatalf("%d bytes of %d called complete", len(body), resp.ContentLength)
		}
		if err == nil && resp.CloseDelimited == (resp.ContentLength >= 0) && resp.Fields.Get("Content-Length") != "" {
			t.Fatalf("framing of %q is told wrong: %+v", raw, resp)
		}
	})
}
