package script

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"weir/loadtest/selfcheck"
)

// patience bounds what must happen; nothing here takes that long unless it is broken.
const patience = 20 * time.Second

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, text string) *Origin {
	t.Helper()
	return startWith(t, text, Options{})
}

func startWith(t *testing.T, text string, opts Options) *Origin {
	t.Helper()
	s, err := ParseScript(text)
	if err != nil {
		t.Fatal(err)
	}
	o, err := StartWith(s, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

// exchangeRaw sends bytes on a new connection and returns all that came back until its end.
func exchangeRaw(t *testing.T, o *Origin, request string) (string, error) {
	t.Helper()
	c, err := net.Dial("tcp", o.Addr())
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

func dial(t *testing.T, o *Origin) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", o.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func get(target string, lines ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: x.test\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
}

// The bytes on the wire are the script's, to the last one.
func TestBytesAsTold(t *testing.T) {
	now := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, script, request, want string
	}{
		{
			"nothing said", "on GET /\nclose", "",
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		},
		{
			"verbatim head", "on GET /\nstatus-line \"HTTP/1.7 299  odd \"\nheader b: 1\nheader A:2\nheader-raw \"no colon\\x01\"\nheader-time Date 1s\nclose", "",
			"HTTP/1.7 299  odd \r\nb: 1\r\nA: 2\r\nno colon\x01\r\nDate: Thu, 29 Feb 2024 12:00:01 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		},
		{
			"chunks and trailer", "on GET /\ntext \"hello\"\nframing chunked 2\ntrailer X: y\nclose", "",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhe\r\n2\r\nll\r\n1\r\no\r\n0\r\nX: y\r\n\r\n",
		},
		{
			"close-delimited", "on GET /\ntext \"hello\"\nframing close", "",
			"HTTP/1.1 200 OK\r\n\r\nhello",
		},
		{
			"short of its length", "on GET /\ntext \"hello\"\ncut at 3", "",
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
		},
		{
			"cut inside a chunk", "on GET /\ntext \"hello\"\nframing chunked\ncut at 3", "",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		},
		{
			"cut between chunks", "on GET /\ntext \"hello\"\nframing chunked 3\ncut at 3", "",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
		},
		{
			"no last chunk", "on GET /\ntext \"hello\"\nframing chunked\ncut at end", "",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		},
		{
			"half a head", "on GET /\nheader X: 0123456789\ncut at head", "",
			"HTTP/1.1 200 OK\r\nX: 0123456789\r\nContent-Length: 0\r\n\r\n"[:len("HTTP/1.1 200 OK\r\nX: 0123456789\r\nContent-Length: 0\r\n\r\n")/2],
		},
		{"cut at once", "on GET /\ncut", "", ""},
		{
			"framing none and surplus", "on GET /\nheader Content-Length: 2\ntext \"hello\"\nframing none\nsurplus \"+\"\nthen\ncut", get("/") + get("/"),
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello+",
		},
		{
			"interim", "on GET /\ninterim 102 Processing\ninterim 103 Early Hints\ninterim-header Link: </a>\nclose", "",
			"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		},
		{
			"HEAD", "on * /\ntext \"hello\"\nclose", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
		},
		{
			"204 has no length", "on GET /\nstatus 204 No Content\nclose", "",
			"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
		},
		{
			"no route", "on GET /other", get("/", "Connection: close"),
			"HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\nno route for GET /\n",
		},
		{
			"continue", "on POST /\nclose", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nab",
			"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		},
		{
			"sequence, the last repeats", "on GET /\ntext \"1\"\nthen\ntext \"2\"\nthen\ntext \"3\"", get("/") + get("/") + get("/") + get("/", "Connection: close"),
			"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2" +
				"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3",
		},
		{"malformed request", "on GET /", "GET / HTTP/1.1\r\nbad line\r\n\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := startWith(t, c.script, Options{Now: func() time.Time { return now }})
			request := c.request
			if request == "" {
				request = get("/")
			}
			got, err := exchangeRaw(t, o, request)
			if err != nil || got != c.want {
				t.Errorf("got  %q with %v\nwant %q", got, err, c.want)
			}
		})
	}
}

func TestConditionalAndRanges(t *testing.T) {
	const modified = "Mon, 01 Jan 2024 00:00:00 GMT"
	o := start(t, "on * /\nheader ETag: \"v1\"\nheader Last-Modified: "+modified+
		"\nheader Content-Type: text/plain\nheader Cache-Control: max-age=1\ntext \"0123456789\"\nconditional\nranges")
	for _, c := range []struct {
		name   string
		method string
		fields []string
		status int
		body   string
		ranged string
	}{
		{"plain", "GET", nil, 200, "0123456789", ""},
		{"tag fits weakly", "GET", []string{`If-None-Match: "v0", W/"v1"`}, 304, "", ""},
		{"star", "GET", []string{`If-None-Match: *`}, 304, "", ""},
		{"tag beats date", "GET", []string{`If-None-Match: "v0"`, "If-Modified-Since: " + modified}, 200, "0123456789", ""},
		{"date fits", "GET", []string{"If-Modified-Since: " + modified}, 304, "", ""},
		{"date is older", "GET", []string{"If-Modified-Since: Sun, 31 Dec 2023 00:00:00 GMT"}, 200, "0123456789", ""},
		{"not for POST", "POST", []string{`If-None-Match: "v1"`, "Range: bytes=0-1"}, 200, "0123456789", ""},
		{"first two", "GET", []string{"Range: bytes=0-1"}, 206, "01", "bytes 0-1/10"},
		{"open", "GET", []string{"Range: bytes=8-"}, 206, "89", "bytes 8-9/10"},
		{"beyond the end", "GET", []string{"Range: bytes=8-99"}, 206, "89", "bytes 8-9/10"},
		{"suffix", "GET", []string{"Range: bytes=-3"}, 206, "789", "bytes 7-9/10"},
		{"suffix of all", "GET", []string{"Range: bytes=-30"}, 206, "0123456789", "bytes 0-9/10"},
		{"nothing there", "GET", []string{"Range: bytes=10-"}, 416, "", "bytes */10"},
		{"empty suffix", "GET", []string{"Range: bytes=-0"}, 416, "", "bytes */10"},
		{"two ranges", "GET", []string{"Range: bytes=0-1,3-4"}, 200, "0123456789", ""},
		{"backwards", "GET", []string{"Range: bytes=3-1"}, 200, "0123456789", ""},
		{"nonsense", "GET", []string{"Range: bytes=a-b"}, 200, "0123456789", ""},
		{"If-Range fits", "GET", []string{"Range: bytes=0-1", `If-Range: "v1"`}, 206, "01", "bytes 0-1/10"},
		{"If-Range is weak", "GET", []string{"Range: bytes=0-1", `If-Range: W/"v1"`}, 200, "0123456789", ""},
		{"If-Range date", "GET", []string{"Range: bytes=0-1", "If-Range: " + modified}, 206, "01", "bytes 0-1/10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, o)
			fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", c.method, strings.Join(append(c.fields, ""), "\r\n"))
			res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: c.method})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != c.status || string(body) != c.body || res.Header.Get("Content-Range") != c.ranged {
				t.Errorf("got %d %q range %q (%v), want %d %q %q", res.StatusCode, body, res.Header.Get("Content-Range"), err, c.status, c.body, c.ranged)
			}
			if typed := res.Header.Get("Content-Type") != ""; typed == (c.status == 304) || res.Header.Get("Etag") == "" {
				t.Errorf("fields of the %d: %v", res.StatusCode, res.Header)
			}
		})
	}
}

func TestWhere(t *testing.T) {
	o := start(t, `
on GET /
    where Accept-Language: de
    text "de"
on GET /
    where Cookie
    text "cookie"
on GET /
    where no X-Any
    where Host: x.test
    text "plain"
on * /*
    text "rest"
`)
	for request, want := range map[string]string{
		get("/", "Accept-Language: de", "Connection: close"):    "de",
		get("/", "Accept-Language: de-AT", "Connection: close"): "plain",
		get("/", "Cookie: a", "Connection: close"):              "cookie",
		get("/", "X-Any: 1", "Connection: close"):               "rest",
		get("/x?y", "Connection: close"):                        "rest",
	} {
		got, err := exchangeRaw(t, o, request)
		if err != nil || !strings.HasSuffix(got, "\r\n\r\n"+want) {
			t.Errorf("%q: got %q, %v", request, got, err)
		}
	}
}

func TestRecords(t *testing.T) {
	o := start(t, "on * /*")
	body := strings.Repeat("x", 100_000)
	head := "PUT /up?a=%2F HTTP/1.1\r\nHost: shop.test\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n"
	if _, err := exchangeRaw(t, o, head+body); err != nil {
		t.Fatal(err)
	}
	if _, err := exchangeRaw(t, o, "PUT /c HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	exchangeRaw(t, o, "nonsense\r\n\r\n")
	c := dial(t, o)
	io.WriteString(c, "PUT /cut HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\nabc")
	c.Close()
	if err := o.WaitDone(testContext(t), 4); err != nil {
		t.Fatal(err)
	}
	list := o.Requests()
	sum := sha256.Sum256([]byte(body))
	r := list[0]
	if r.N != 1 || r.Method != "PUT" || r.Target != "/up?a=%2F" || r.Host != "shop.test" || r.RawHead != head ||
		r.BodyLen != 100_000 || r.BodySHA256 != hex.EncodeToString(sum[:]) || r.Outcome != OutcomeDone {
		t.Errorf("first: %+v", r)
	}
	if v := r.Header.Values("X-A"); len(v) != 2 {
		t.Errorf("X-A: %v", v)
	}
	if r := list[1]; r.BodyLen != 3 || r.Conn != 2 {
		t.Errorf("second: %+v", r)
	}
	if r := list[2]; r.Outcome != OutcomeMalformed || r.Err == "" {
		t.Errorf("third: %+v", r)
	}
	if r := list[3]; r.Outcome != OutcomePeerGone || r.BodyLen != 3 || r.BodySHA256 != "" {
		t.Errorf("fourth: %+v", r)
	}
}

func TestUploadStallAndEarly(t *testing.T) {
	o := start(t, "on PUT /slow\nstall up at upload 10\nclose\non PUT /early\nstatus 413 Too Large\nearly")
	c := dial(t, o)
	io.WriteString(c, "PUT /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n0123456789")
	if err := o.WaitStalled(testContext(t), "up"); err != nil {
		t.Fatal(err)
	}
	if n := o.Requests()[0].BodyLen; n != 10 {
		t.Errorf("%d body bytes read before the stall", n)
	}
	io.WriteString(c, "0123456789")
	o.Release("up")
	if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 OK") {
		t.Errorf("got %q, %v", b, err)
	}
	if n := o.Requests()[0].BodyLen; n != 20 {
		t.Errorf("%d body bytes read", n)
	}
	got, err := exchangeRaw(t, o, "PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n01234")
	if err == nil && !strings.HasPrefix(got, "HTTP/1.1 413 Too Large") {
		t.Errorf("got %q", got)
	}
	if err != nil {
		t.Errorf("early answer was destroyed: %v", err)
	}
}

func TestHoldAndNames(t *testing.T) {
	o := start(t, "on GET /\nstall s\nclose")
	ctx := testContext(t)
	if err := errors.Join(o.Release("s")); err != nil {
		t.Fatal(err)
	}
	if _, err := exchangeRaw(t, o, get("/")); err != nil {
		t.Fatal(err)
	}
	if err := o.Hold("s"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		io.WriteString(dial(t, o), get("/"))
	}
	if err := o.WaitStalledN(ctx, "s", 2); err != nil {
		t.Fatal(err)
	}
	o.Release("s")
	if err := o.WaitDone(ctx, 3); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{o.Release("x"), o.Hold("x"), o.WaitStalled(ctx, "x")} {
		if err == nil || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("unknown name: %v", err)
		}
	}
}

func TestWaitsSayWhatTheySaw(t *testing.T) {
	o := start(t, "on GET /\nstall s")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for want, err := range map[string]error{
		"cannot see 2 requests (0 seen)":        o.WaitRequests(ctx, 2),
		"cannot see 1 ended exchanges (0 seen)": o.WaitDone(ctx, 1),
		"cannot see 1 stalled at s (0 wait":     o.WaitStalled(ctx, "s"),
	} {
		if err == nil || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestInterimReachesANetHTTPClient(t *testing.T) {
	o := start(t, "on GET /\ninterim 103 Early Hints\ninterim-header Link: </a.css>\nstall s at final\nclose")
	hinted := ""
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hinted = fmt.Sprint(code, h.Get("Link"))
		return o.Release("s") // the final answer waits for the hint to be seen
	}}
	req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(testContext(t), trace), "GET", o.URL()+"/", nil)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if hinted != "103</a.css>" {
		t.Errorf("hint: %q", hinted)
	}
}

func TestTLS(t *testing.T) {
	// httptest's server lends its certificate and the client that trusts it.
	ts := httptest.NewTLSServer(nil)
	defer ts.Close()
	client := ts.Client()
	defer client.CloseIdleConnections()
	o := startWith(t, "on GET /\nbody 100000\nstall s at 50000\nthen\nbody 10\ncut at 5\nthen\nbody 10\nframing close\n", Options{TLS: ts.TLS})
	if !strings.HasPrefix(o.URL(), "https://") {
		t.Fatal(o.URL())
	}
	res, err := client.Get(o.URL() + "/")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.WaitStalled(testContext(t), "s"); err != nil {
		t.Fatal(err)
	}
	o.Release("s")
	if _, err := selfcheck.Verify(res.Body, selfcheck.SeedOf("/", 0), 0, 100000, nil); err != nil {
		t.Error(err)
	}
	res.Body.Close()
	for i, want := range []error{io.ErrUnexpectedEOF, nil} {
		res, err := client.Get(o.URL() + "/")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if !errors.Is(err, want) {
			t.Errorf("answer %d: %d bytes and %v, want %v", i+2, len(b), err, want)
		}
	}
}

func TestPace(t *testing.T) {
	o := start(t, "on GET /\nbody 1000\nframing chunked 7\npace 100 every 1ms\nclose")
	res, err := http.Get(o.URL() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := selfcheck.Verify(res.Body, selfcheck.SeedOf("/", 0), 0, 1000, nil); err != nil {
		t.Error(err)
	}
}

func TestContentIsWhatIsSent(t *testing.T) {
	o := start(t, "on GET /a\nbody 5000 version 4\nclose\non GET /b\ntext \"hello\"\nclose")
	for i, target := range []string{"/a", "/b"} {
		got, err := exchangeRaw(t, o, get(target))
		if err != nil {
			t.Fatal(err)
		}
		want, _ := io.ReadAll(o.script.Routes[i].Answers[0].Content(target))
		if !strings.HasSuffix(got, "\r\n\r\n"+string(want)) {
			t.Errorf("%s: other bytes than Content", target)
		}
	}
}

func TestRefusesOtherAddresses(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "nonsense"} {
		if o, err := StartWith(&Script{}, Options{Addr: addr}); err == nil {
			o.Close()
			t.Errorf("started on %s", addr)
		}
	}
}
