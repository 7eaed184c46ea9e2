package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/origin"
	"weir/policy"
	"weir/proxy/front"
)

// framingOrigin answers everything and keeps what it got: "METHOD TARGET BODY", and "(cut)" behind a body that did not
// end well.
type framingOrigin struct {
	mu  sync.Mutex
	got []string
}

func (o *framingOrigin) Do(_ context.Context, r *origin.Request) (*origin.Response, error) {
	line := r.Method + " " + r.Target
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		line += " " + string(body)
		if err != nil {
			o.add(line + " (cut)")
			return nil, &origin.Error{Kind: origin.RequestBody, Err: err}
		}
	}
	for _, f := range r.Fields {
		if strings.HasPrefix(f.Name, "X-") && !strings.HasPrefix(f.Name, "X-Forwarded") {
			line += " " + f.Name
		}
	}
	o.add(line)
	control := "no-store"
	if strings.HasPrefix(r.Target, "/hit") {
		control = "max-age=600"
	}
	return &origin.Response{Status: 200, Fields: policy.Fields{{Name: "Cache-Control", Value: control}}, ContentLength: 2, Body: io.NopCloser(strings.NewReader("ok"))}, nil
}

func (o *framingOrigin) add(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.got = append(o.got, line)
}

func (o *framingOrigin) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	got := o.got
	o.got = nil
	return got
}

// framingBench is a proxy behind a real listener, before an origin that records.
type framingBench struct {
	o    *framingOrigin
	addr string
}

func newFramingBench(t *testing.T) *framingBench {
	t.Helper()
	f := &framingBench{o: &framingOrigin{}}
	b := newBench(t, Options{Limits: front.Limits{MaxHeader: 16 << 10}}, "", f.o, policy.Rule{Name: "all", Origin: "o"})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.serve(ln)
	f.addr = ln.Addr().String()
	f.send(t, "GET /hit HTTP/1.1\r\nHost: h.example\r\n\r\n", false, 1)
	b.p.fetch.Wait()
	f.o.take()
	return f
}

// smuggled follows what must not be followed by anything.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: h.example\r\n\r\n"

// send sends raw on a new connection and returns the statuses of the final answers. When the connection is kept they
// are n, and one more request is answered on it; otherwise all that come until it is closed.
func (f *framingBench) send(t *testing.T, raw string, closed bool, n int) (statuses []int) {
	t.Helper()
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if closed {
		raw += smuggled
	}
	if _, err := io.WriteString(c, raw); err != nil && !closed {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	answer := func() (*http.Response, error) {
		for {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				return nil, err
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				return nil, err
			}
			if resp.StatusCode >= 200 {
				return resp, nil
			}
		}
	}
	for len(statuses) < n || closed {
		resp, err := answer()
		if err != nil {
			if ne := net.Error(nil); !closed || errors.As(err, &ne) && ne.Timeout() {
				t.Errorf("%q: after %v: %v", raw, statuses, err)
			}
			return statuses
		}
		statuses = append(statuses, resp.StatusCode)
	}
	if _, err := io.WriteString(c, "GET /hit HTTP/1.1\r\nHost: h.example\r\n\r\n"); err != nil {
		t.Errorf("%q: the connection is not kept: %v", raw, err)
	} else if resp, err := answer(); err != nil || resp.StatusCode != 200 {
		t.Errorf("%q: the connection is not kept: %v, %v", raw, resp, err)
	}
	return statuses
}

// Bounds that package front states.
const (
	maxChunkExt  = 256
	maxChunkExts = 4 << 10
	maxTrailer   = 8 << 10
)

// badLines are field lines that are refused wherever they stand in a head.
var badLines = []string{
	"Content-Length abcde: 40", "Content-Length : 4", "Content-Length\t: 4", "Content Length: 4", "Content-Length\x00: 4",
	"Content-Length\x0b: 4", "Con\xe9tent: 4", "\xc3\xa9: 4", ": 4", "X-A", "X-A\x7f: 1", "X(A): 1", "X@A: 1", "X/A: 1", `X"A: 1`,
	"X,A: 1", "X;A: 1", "X[A]: 1", "X{A}: 1", "X=A: 1", "X\\A: 1", "X?A: 1", " X-A: 1", "\tX-A: 1", " ", "\t",
	"X-A: a\x00b", "X-A: a\rb", "X-A: a\x01b", "X-A: a\x0bb", "X-A: a\x1fb", "X-A: a\x7fb", "X-A: \x00", "X-A: 123456789\x08abcdefg",
	"X-A: 1\r", "X-A: 1\nX-B: 2", "X-A: 1\n", "X-A: 1\r\n 2", "X-A: 1\r\n\t2", "X-A:\r\n 2", "\nX-A: 1",
	"Host: h.example", "Host: other.example", "host: h.example", "Host : x",
	"Transfer-Encoding: identity", "Transfer-Encoding: gzip", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, chunked",
	"Transfer-Encoding: chunked, identity", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunkedx", "Transfer-Encoding: chunked;q=1",
	"Transfer-Encoding: \x0bchunked", `Transfer-Encoding: "chunked"`, "Transfer-Encoding: 'chunked'", "Transfer-Encoding:", "Transfer-Encoding: ,chunked",
	"Transfer-Encoding: chunked,", "Transfer-Encoding: chun ked", "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked",
	"Transfer-Encoding\x0b: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
	"Transfer-Encoding: chunked\r\nContent-Length: 4", "Content-Length: 4\r\nTransfer-Encoding: chunked", "Content-Length: 0\r\nTransfer-Encoding: chunked",
	"Content-Length: +5", "Content-Length: -5", "Content-Length: 0x5", "Content-Length: 5 5", "Content-Length: 5,5", "Content-Length: 5, 5",
	"Content-Length: 5\r\nContent-Length: 5", "Content-Length: 0\r\nContent-Length: 0", "Content-Length: 5\r\nContent-Length: 6", "Content-Length:",
	"Content-Length: 5;", "Content-Length: 5.0", "Content-Length: 1e3", "Content-Length: 99999999999999999999", "Content-Length: 9999999999999999999",
	"Content-Length: \"5\"", "Content-Length: 5a", "Content-Length: \xd9\xa5",
}

// badHeads are the requests that a bad line is put into: FIELD stands for it.
var badHeads = map[string]string{
	"hit":       "GET /hit HTTP/1.1\r\nHost: h.example\r\nFIELD\r\n\r\n",
	"miss":      "GET /miss HTTP/1.1\r\nHost: h.example\r\nFIELD\r\nX-Z: 1\r\n\r\n",
	"head":      "HEAD /hit HTTP/1.1\r\nHost: h.example\r\nFIELD\r\n\r\n",
	"pass":      "POST /pass HTTP/1.1\r\nHost: h.example\r\nX-Z: 1\r\nFIELD\r\n\r\nabcd",
	"purge":     "PURGE /hit HTTP/1.1\r\nHost: h.example\r\nFIELD\r\n\r\n",
	"expect":    "POST /pass HTTP/1.1\r\nHost: h.example\r\nExpect: 100-continue\r\nFIELD\r\n\r\nabcd",
	"1.0":       "GET /hit HTTP/1.0\r\nHost: h.example\r\nConnection: keep-alive\r\nFIELD\r\n\r\n",
	"options":   "OPTIONS * HTTP/1.1\r\nHost: h.example\r\nFIELD\r\n\r\n",
	"pipelined": "GET /hit HTTP/1.1\r\nHost: h.example\r\n\r\nGET /hit HTTP/1.1\r\nHost: h.example\r\nFIELD\r\n\r\n",
	"after":     "POST /pass HTTP/1.1\r\nHost: h.example\r\nContent-Length: 4\r\n\r\nabcdGET /hit HTTP/1.1\r\nHost: h.example\r\nFIELD\r\n\r\n",
}

// TestBadFieldLines: a field line that another parser could read differently is 400, the connection is closed, and
// nothing of it or behind it reaches the origin, whatever the request is.
func TestBadFieldLines(t *testing.T) {
	f := newFramingBench(t)
	for kind, head := range badHeads {
		for _, line := range badLines {
			raw := strings.ReplaceAll(head, "FIELD", line)
			want, reached := []int{400}, []string(nil)
			switch kind {
			case "pipelined":
				want = []int{200, 400}
			case "after":
				want, reached = []int{200, 400}, []string{"POST /pass abcd"}
			}
			if got := f.send(t, raw, true, 0); !slices.Equal(got, want) {
				t.Errorf("%s %q: statuses %v, want %v", kind, line, got, want)
			}
			if got := f.o.take(); !slices.Equal(got, reached) {
				t.Errorf("%s %q: the origin got %q, want %q", kind, line, got, reached)
			}
		}
	}
}

const (
	host    = "Host: h.example\r\n"
	chunked = "POST /c HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n"
)

// framingRows are whole requests. Of a bad body a beginning may have reached the origin, but no end.
var framingRows = []struct {
	raw     string
	status  string // of the answers
	kept    bool
	reached string // "; " between what the origin got; "?" in front: or nothing
}{
	// The request line.
	{"GET /miss HTTP/1.1\r\n" + host + "\r\n", "200", true, "GET /miss"},
	{"GET /miss HTTP/1.1\n" + host + "\r\n", "400", false, ""},
	{"GET /hit HTTP/1.1\n" + host + "\r\n", "400", false, ""},
	{"GET /hit HTTP/1.1\r\n" + host + "\n", "400", false, ""},
	{"GET /hit HTTP/1.1\rX\r\n" + host + "\r\n", "400", false, ""},
	{"GET\r/hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit HTTP/1.1\r\r\n" + host + "\r\n", "400", false, ""},
	{"\r\nGET /hit HTTP/1.1\r\n" + host + "\r\n", "200", true, ""},
	{"\r\n\r\nGET /hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"\nGET /hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"\rGET /hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{" GET /hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"\tGET /hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{" \r\nGET /hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET  /hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET\t/hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit  HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit\tHTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit HTTP/1.1 \r\n" + host + "\r\n", "400", false, ""},
	{"GET /h it HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit\r\n" + host + "\r\n", "400", false, ""},
	{"GET\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit \r\n" + host + "\r\n", "400", false, ""},
	{"/hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"G@T /hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET\x00 /hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET: /hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"\x16\x03\x01\x00\xa5\x01\x00\x00\r\n\r\n", "400", false, ""},
	{"GET /hit\x00 HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit\x01 HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit\x7f HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit#x HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET * HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET h.example:80 HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	// Versions.
	{"GET /hit HTTP/1.2\r\n" + host + "\r\n", "505", false, ""},
	{"GET /hit HTTP/2.0\r\n" + host + "\r\n", "505", false, ""},
	{"GET /hit HTTP/0.9\r\n" + host + "\r\n", "505", false, ""},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", false, ""},
	{"GET /hit http/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit HTTP/1.10\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit HTTP/01.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit HTTP/1,1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit HTTP/1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit HTTP/ 1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit HTTPS/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit HTTP/1.1\x00\r\n" + host + "\r\n", "400", false, ""},
	{"GET /hit HTTP/\xd9\xa1.1\r\n" + host + "\r\n", "400", false, ""},
	// Hosts and absolute targets.
	{"GET /hit HTTP/1.1\r\n\r\n", "400", false, ""},
	{"GET /hit HTTP/1.1\r\nHost:\r\n\r\n", "400", false, ""},
	{"GET /hit HTTP/1.1\r\nHost: \t \r\n\r\n", "400", false, ""},
	{"GET /hit HTTP/1.1\r\nHost: h.example, h.example\r\n\r\n", "400", false, ""},
	{"GET /hit HTTP/1.1\r\nHost: h.example/x\r\n\r\n", "400", false, ""},
	{"GET /hit HTTP/1.1\r\nHost: u@h.example\r\n\r\n", "400", false, ""},
	{"GET http://h.example/hit HTTP/1.1\r\n" + host + "\r\n", "200", true, ""},
	{"GET http://h.example/hit HTTP/1.1\r\n\r\n", "400", false, ""},
	{"GET http://h.example/hit HTTP/1.1\r\nHost: a b\r\n\r\n", "400", false, ""},
	{"GET http://u@h.example/hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET http:///hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET ://h.example/hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET 1http://h.example/hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET http:/hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	{"GET ht\ttp://h.example/hit HTTP/1.1\r\n" + host + "\r\n", "400", false, ""},
	// Framing that is right.
	{"GET /hit HTTP/1.1\r\nHost:h.example\r\nX-A:\r\nX-B: \t \r\nX-C:a\tb\xc3\xa9\r\n\r\n", "200", true, ""},
	{"POST /p HTTP/1.1\r\n" + host + "Content-Length: 4\r\n\r\nabcd", "200", true, "POST /p abcd"},
	{"POST /p HTTP/1.1\r\n" + host + "Content-Length:\t0004 \r\n\r\nabcd", "200", true, "POST /p abcd"},
	{"POST /p HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", "200", true, "POST /p"},
	{"POST /p HTTP/1.1\r\n" + host + "Content-Length: 4\r\n\r\nabcd\r\nGET /hit HTTP/1.1\r\n" + host + "\r\n", "200 200", true, "POST /p abcd"},
	{"POST /p HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\nabcd", "200", true, "POST /p abcd"},
	{"GET /hit HTTP/1.1\r\n" + host + "Content-Length: 4\r\n\r\nabcd", "200", true, "GET /hit abcd"},
	{"GET /hit HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", "200", true, "GET /hit abcd"},
	{"GET /hit HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", "200", true, ""},
	{"POST /c HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", false, ""},
	{"POST /c HTTP/1.0\r\n" + host + "Content-Length: 4\r\nConnection: keep-alive\r\n\r\nabcd", "200", true, "POST /c abcd"},
	// Requests that weir answers by itself: their body is nobody's next request.
	{"CONNECT h.example:80 HTTP/1.1\r\n" + host + "Content-Length: 43\r\n\r\n" + smuggled, "405", false, ""},
	{"PURGE /hit HTTP/1.1\r\n" + host + "Content-Length: 43\r\n\r\n" + smuggled, "405", false, ""},
	{"PURGE /hit HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n2b\r\n" + smuggled + "\r\n0\r\n\r\n", "405", false, ""},
	{"POST /%zz HTTP/1.1\r\n" + host + "Content-Length: 43\r\n\r\n" + smuggled, "400", false, ""},
	{"POST /p HTTP/1.1\r\n" + host + "Via: 1.1 weir, 1.1 weir, 1.1 weir, 1.1 weir, 1.1 weir, 1.1 weir, 1.1 weir, 1.1 weir, 1.1 weir\r\n" +
		"Content-Length: 43\r\n\r\n" + smuggled, "508", false, ""},
	// Chunks that are right.
	{chunked + "0\r\n\r\n", "200", true, "POST /c "},
	{chunked + "5\r\nhello\r\n0\r\n\r\n", "200", true, "POST /c hello"},
	{chunked + "5\r\nhello\r\n0\r\n\r\nGET /hit HTTP/1.1\r\n" + host + "\r\n", "200 200", true, "POST /c hello"},
	{strings.Replace(chunked, "chunked", "Chunked", 1) + "5\r\nhello\r\n0\r\n\r\n", "200", true, "POST /c hello"},
	{strings.Replace(chunked, ": chunked", ":\tchunked ", 1) + "5\r\nhello\r\n0\r\n\r\n", "200", true, "POST /c hello"},
	{chunked + "00000005\r\nhello\r\n000\r\n\r\n", "200", true, "POST /c hello"},
	{chunked + "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "200", true, "POST /c 01234567890123456789"},
	{chunked + "5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n", "200", true, "POST /c hello"},
	{chunked + "5;" + strings.Repeat("x", maxChunkExt) + "\r\nhello\r\n0\r\n\r\n", "200", true, "POST /c hello"},
	{chunked + "5\r\nhello\r\n0\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n", "200", true, "POST /c hello"},
	{chunked + "5\r\nhello\r\n0\r\nAuthorization: a\r\nCookie: b=c\r\nUser-Agent: x\r\n\r\n", "200", true, "POST /c hello"},
	{strings.Replace(chunked, "\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n", 1) + "5\r\nhello\r\n0\r\n\r\n", "200", true, "POST /c hello"},
	// Chunks that are not.
	{chunked + "5\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "5\r\nhello\n0\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello0\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\n\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\n\rX", "400", false, "?POST /c hello (cut)"},
	{chunked + "0\r\n\n", "400", false, "?POST /c  (cut)"},
	{chunked + "5\rXhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "5 \r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "5\t\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + " 5\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "\r\n5\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "5 ;x\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "+5\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "-5\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "0x5\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "5_\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "g\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + ";x\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "000000005\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "10000000000000005\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "5;a\x00b\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "5;a\nb\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "5;a\rb\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "5;a\x7fb\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{chunked + "5;" + strings.Repeat("x", maxChunkExt+1) + "\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	{
		chunked + strings.Repeat("1;"+strings.Repeat("x", maxChunkExt)+"\r\na\r\n", maxChunkExts/maxChunkExt+1) + "0\r\n\r\n", "400", false,
		"?POST /c " + strings.Repeat("a", maxChunkExts/maxChunkExt) + " (cut)",
	},
	{chunked + "5;" + strings.Repeat("x", 64<<10) + "\r\nhello\r\n0\r\n\r\n", "400", false, "?POST /c  (cut)"},
	// Trailers.
	{chunked + "5\r\nhello\r\n0\r\nX-A : 1\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\nX-A: 1\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\nX-A: 1\r\n 2\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\n X-A: 1\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\nX-A\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\nX A: 1\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\n: 1\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\nX-A: a\x00\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\nX-A: a\rb\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\n\xe9: 1\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\nHost: evil.test\r\n\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\n" + strings.Repeat("X-A: 1\r\n", maxTrailer/8+1) + "\r\n", "400", false, "?POST /c hello (cut)"},
	{chunked + "5\r\nhello\r\n0\r\n" + smuggled, "400", false, "?POST /c hello (cut)"},
	// Bodies of requests that end on the way, and requests behind them.
	{"POST /p HTTP/1.1\r\n" + host + "Content-Length: 4\r\n\r\nabcd\x00", "200 400", false, "POST /p abcd"},
	{"GET /hit HTTP/1.1\r\n" + host + "\r\n\r\n\r\n", "200 400", false, ""},
	{"GET /hit HTTP/1.1\r\n" + host + "\r\n" + "GET /hit HTTP/1.1\n" + host + "\r\n", "200 400", false, ""},
	{chunked + "5\r\nhello\r\n0\r\n\r\nGET /hit HTTP/1.1\r\nHost : x\r\n\r\n", "200 400", false, "POST /c hello"},
}

// TestRawRequests sends whole requests, right and wrong ones, and looks at the answers, at whether the connection is
// kept, and at what reached the origin.
func TestRawRequests(t *testing.T) {
	f := newFramingBench(t)
	for _, row := range framingRows {
		var want []int
		for _, s := range strings.Fields(row.status) {
			n := 0
			if _, err := fmt.Sscan(s, &n); err != nil {
				t.Fatal(err)
			}
			want = append(want, n)
		}
		if got := f.send(t, row.raw, !row.kept, len(want)); !slices.Equal(got, want) {
			t.Errorf("%.200q: statuses %v, want %v", row.raw, got, want)
		}
		got := strings.Join(f.o.take(), "; ")
		line, orNothing := strings.CutPrefix(row.reached, "?")
		if got != line && !(orNothing && got == "") {
			t.Errorf("%.200q: the origin got %q, want %q", row.raw, got, row.reached)
		}
	}
}

// TestHeadTooLarge: a head beyond the bound is 431 however it comes, and the connection ends.
func TestHeadTooLarge(t *testing.T) {
	f := newFramingBench(t)
	for _, raw := range []string{
		"GET /" + strings.Repeat("x", 20<<10) + " HTTP/1.1\r\n" + host + "\r\n",
		"GET /hit HTTP/1.1\r\n" + host + "X-A: " + strings.Repeat("x", 20<<10) + "\r\n\r\n",
		"GET /hit HTTP/1.1\r\n" + host + strings.Repeat("X-A: 1\r\n", 3<<10) + "\r\n",
		strings.Repeat("x", 20<<10),
	} {
		if got := f.send(t, raw, true, 0); !slices.Equal(got, []int{431}) {
			t.Errorf("%.40q: statuses %v, want 431", raw, got)
		}
	}
	if got := f.o.take(); got != nil {
		t.Errorf("the origin got %.200q", got)
	}
}
