package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"weir/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canned is a connection that says what it was given, in pieces, and ends.
type canned struct {
	net.Conn
	rest  []byte
	piece int
	wrote bytes.Buffer
}

func (c *canned) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.piece)], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *canned) Write(p []byte) (int, error)      { return c.wrote.Write(p) }
func (c *canned) Close() error                     { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }
func (c *canned) SetDeadline(time.Time) error      { return nil }

var testConfig = &Config{MaxHeader: 64 << 10, Between: time.Second, Now: func() time.Duration { return 0 }}

func newConn(c net.Conn, conf *Config) *Conn {
	s := NewSocket(c)
	return NewConn(s, s, conf)
}

func get(method string) *Request {
	return &Request{Method: method, Target: "/", Host: "a.test", Within: time.Second}
}

// answer is what became of an answer.
type answer struct {
	resp    Response
	body    string
	trailer policy.Fields
	err     error
	reused  bool
}

func ask(method string, raw []byte, piece int) answer {
	server := &canned{rest: bytes.Clone(raw), piece: piece}
	c := newConn(server, testConfig)
	var a answer
	if err := c.RoundTrip(get(method), &a.resp); err != nil {
		return answer{err: err}
	}
	b, err := io.ReadAll(c)
	a.body, a.err, a.trailer, a.reused = string(b), err, c.Trailer(), c.Reusable() && len(server.rest) == 0
	return a
}

// oracle reads raw as net/http does, behind interim responses. left is how much came
// beyond the answer.
func oracle(method string, raw []byte) (resp *http.Response, body string, left int, err error) {
	br := bufio.NewReaderSize(bytes.NewReader(raw), max(4096, len(raw)))
	for {
		resp, err = http.ReadResponse(br, &http.Request{Method: method})
		if err != nil || resp.StatusCode >= 200 {
			break
		}
	}
	if err != nil {
		return nil, "", 0, err
	}
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), br.Buffered(), err
}

// plain is raw without what ours reads and net/http refuses or reads otherwise: spaces
// before the colon of a field, and a transfer coding that means nothing. If heads, no
// more than the heads are changed.
func plain(raw []byte, heads bool) []byte {
	var out []byte
	inHead, final := true, false
	for line := range bytes.Lines(raw) {
		if bytes.HasPrefix(line, []byte("HTTP/1.")) && !bytes.Contains(line, []byte(" 1")) {
			final = true
		}
		if inHead = inHead && (len(line) > 2 || !final); inHead || !heads {
			line = plainLine(line)
		}
		out = append(out, line...)
	}
	return out
}

func plainLine(line []byte) []byte {
	name, value, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !ok || !isToken(string(name)) {
		return line
	}
	if strings.EqualFold(string(name), "Transfer-Encoding") && meansNothing(strings.Trim(string(value), " \t\r\n")) {
		return nil
	}
	return slices.Concat(name, []byte(":"), value)
}

// compare holds an answer that ours accepted against net/http's reading, and where
// that is meant to differ, against its reading of what is plain.
func compare(method string, raw []byte, a answer) error {
	err := compareWith(method, raw, a)
	for _, heads := range []bool{true, false} {
		if other := plain(raw, heads); err != nil && !bytes.Equal(other, raw) {
			err = compareWith(method, other, a)
		}
	}
	return err
}

func compareWith(method string, raw []byte, a answer) error {
	resp, body, left, err := oracle(method, raw)
	if err != nil {
		return fmt.Errorf("net/http refuses it: %w", err)
	}
	if resp.StatusCode != a.resp.Status || resp.ProtoMinor != a.resp.Minor || body != a.body {
		return fmt.Errorf("net/http reads %d, 1.%d, %q", resp.StatusCode, resp.ProtoMinor, body)
	}
	if resp.ContentLength != a.resp.ContentLength {
		return fmt.Errorf("net/http reads a length of %d, ours is %d", resp.ContentLength, a.resp.ContentLength)
	}
	until := resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 && resp.Body != http.NoBody
	if until != a.resp.CloseDelimited {
		return fmt.Errorf("net/http reads up to the end: %v", until)
	}
	if a.reused && (resp.Close || left > 0) {
		return fmt.Errorf("net/http would not use the connection again; %d bytes are left", left)
	}
	fields := a.resp.Fields
	if resp.Close {
		resp.Header.Del("Connection") // which net/http keeps or not
		fields = slices.Clone(fields).Without("Connection")
	}
	if err := sameFields(resp.Header, fields); err != nil {
		return err
	}
	return sameFields(resp.Trailer, a.trailer)
}

func sameFields(h http.Header, fields policy.Fields) error {
	ours := http.Header{}
	for _, f := range fields {
		ours[f.Name] = append(ours[f.Name], f.Value)
	}
	if h.Get("Pragma") == "no-cache" && ours["Cache-Control"] == nil {
		h.Del("Cache-Control") // net/http makes it up
	}
	h.Del("Transfer-Encoding")
	h.Del("Trailer")
	for name, values := range h {
		if len(values) == 0 {
			delete(h, name) // a trailer that was announced and did not come
		}
	}
	if len(h) != len(ours) {
		return fmt.Errorf("net/http reads %q, ours is %q", h, ours)
	}
	for name, values := range h {
		if name == "Content-Length" {
			values = values[:1]
		}
		if !slices.Equal(values, ours[name]) {
			return fmt.Errorf("net/http reads %s as %q, ours is %q", name, values, ours[name])
		}
	}
	return nil
}

const ok = "HTTP/1.1 200 OK\r\n"

// wellFormed are answers that must be accepted.
var wellFormed = []string{
	ok + "Content-Length: 5\r\n\r\nhello",
	ok + "content-length:5\r\nx-a: \t1 \r\nX-a: 2\r\n\r\nhello",
	ok + "\r\nhello",
	ok + "\r\n",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.0 200 OK\r\n\r\nhello",
	"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.3 999 \xe4\tx\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
	ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	ok + "Content-Length: 005\r\nConnection: x, CLOSE\r\n\r\nhello",
	"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\nContent-Length: 9\r\n\r\n" + ok + "Content-Length: 5\r\n\r\nhello",
	ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n003;a=\"b\"\r\nllo\r\n0\r\n\r\n",
	ok + "transfer-encoding:CHUNKED\r\nTrailer: X-Sum, a\r\n\r\n5 \t\r\nhello\r\n00\r\nx-sum: 1\r\nX-More: 2\r\n\r\n",
	ok + "Content-Length: 5\r\n\r\nhello and more",
	ok + "Content-Length: 3\r\nPragma: no-cache\r\nVary: \r\n\r\nabc",
	ok + "X-XSS-Protection : 1\r\nX-B\t: 2\r\nContent-Length : 2\r\n\r\nab",
	ok + "Transfer-Encoding: odd\r\n\r\nhello",
	ok + "Transfer-Encoding: Identity\r\n\r\nhello",
	ok + "X-Long: " + strings.Repeat("x", 3*bufferSize) + "\r\nContent-Length: 5\r\n\r\nhello",
}

// faulty are answers that must be refused, whatever stands behind them.
var faulty = []string{
	"hello\r\n\r\n", "HTTP/1.1 200 OK\n\n", "\r\n" + ok + "\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
	"HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 X\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 200OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 200 O\x00K\r\n\r\n", "HTTP/1.1 200 O\rK\r\n\r\n", "HTTP/1.1\t200 OK\r\n\r\n", "HTTP/1.1 20d OK\r\n\r\n", "HTTP/1.d 200 OK\r\n\r\n",
	ok + "nonsense\r\n\r\n", ok + ": x\r\n\r\n", ok + " : x\r\n\r\n", ok + "A B: x\r\n\r\n", ok + "A(: x\r\n\r\n", ok + "\xe4: x\r\n\r\n",
	ok + "A: b\r\n c\r\n\r\n", ok + " A: b\r\n\r\n", ok + "\tA: b\r\n\r\n", ok + "A: b\n\r\n", ok + "A: b\rC: d\r\n\r\n", ok + "A: \x00\r\n\r\n",
	ok + "A: \x7f\r\n\r\n", ok + "A: b\r\n\n", ok + "A\x00: b\r\n\r\n",
	ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", ok + "Content-Length: 5\r\nContent-Length: 05\r\n\r\nhello",
	ok + "Content-Length: +5\r\n\r\nhello", ok + "Content-Length: -5\r\n\r\nhello", ok + "Content-Length:\r\n\r\nhello",
	ok + "Content-Length: 5, 5\r\n\r\nhello", ok + "Content-Length: 0x5\r\n\r\nhello", ok + "Content-Length: 5 5\r\n\r\nhello",
	ok + "Content-Length: 9223372036854775808\r\n\r\nhello", ok + "Content-Length: 99999999999999999999\r\n\r\nhello",
	"HTTP/1.1 304 X\r\nContent-Length: x\r\n\r\n",
	ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	ok + "Transfer-Encoding: chunked\r\nContent-Length : 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	ok + "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	ok + "Transfer-Encoding: odd\r\nContent-Length: 5\r\n\r\nhello",
	ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: odd\r\n\r\n0\r\n\r\n",
	ok + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", ok + "Transfer-Encoding: odd, chunked\r\n\r\n0\r\n\r\n",
	ok + "Transfer-Encoding: gzip\r\n\r\nx", ok + "Transfer-Encoding:\r\n\r\nx", ok + "Transfer-Encoding: odd;q=1\r\n\r\nx",
	ok + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
	"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: odd\r\n\r\n",
	ok + "Transfer-Encoding: chunked\r\nTrailer: X, content-length\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 103 E\r\nA B: c\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n",
	strings.Repeat("HTTP/1.1 103 E\r\n\r\n", maxInterim+1) + ok + "Content-Length: 0\r\n\r\n",
}

// faultyBodies are bodies in chunks that must be refused.
var faultyBodies = []string{
	"\r\nhello\r\n0\r\n\r\n", "xyz\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n",
	"fffffffffffffffff\r\nhello\r\n", "0000000000000005\r\nhello\r\n0\r\n\r\n", "3\r\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n",
	"5;" + strings.Repeat("x", maxChunkLine) + "\r\nhello\r\n0\r\n\r\n", "5;\x00\r\nhello\r\n0\r\n\r\n", "5 5\r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n",
	strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\nh\r\n", 20) + "0\r\n\r\n",
	"0\r\nnonsense\r\n\r\n", "0\r\nA: b\n\r\n", "0\r\nA: b\r\n c\r\n\r\n", "0\r\nA: \x00\r\n\r\n", "0\r\n\n", "0\r\nA: " + strings.Repeat("x", maxTrailer) + "\r\n\r\n",
	"0\r\n" + strings.Repeat("A:\r\n", maxFields+2) + "\r\n",
}

func TestWellFormed(t *testing.T) {
	for _, raw := range wellFormed {
		for _, method := range []string{"GET", "HEAD"} {
			whole := ask(method, []byte(raw), 1<<20)
			if method == "GET" && whole.err != nil {
				t.Errorf("%.200q is refused: %v", raw, whole.err)
				continue
			}
			if err := compare(method, []byte(raw), whole); err != nil {
				t.Errorf("%s %.200q: %v", method, raw, err)
			}
			for _, piece := range []int{1, 2, 3, 7, 100} {
				if piece < 7 && len(raw) > 1000 {
					continue
				}
				cut := ask(method, []byte(raw), piece)
				cut.reused, whole.reused = false, false // what comes later is not seen at the end
				if fmt.Sprint(cut) != fmt.Sprint(whole) {
					t.Errorf("%.200q in pieces of %d is %+v, else %+v", raw, piece, cut, whole)
				}
			}
		}
	}
}

func TestFaulty(t *testing.T) {
	all := slices.Clone(faulty)
	for _, b := range faultyBodies {
		all = append(all, ok+"Transfer-Encoding: chunked\r\n\r\n"+b)
	}
	for _, raw := range all {
		for _, piece := range []int{1 << 20, 1, 5} {
			a := ask("GET", []byte(raw), piece)
			var e *Error
			if !errors.As(a.err, &e) || e.Kind != Malformed {
				t.Errorf("%.200q in pieces of %d: %v, %+v", raw, piece, a.err, a.resp)
			}
		}
	}
}

// TestCut: wherever an answer that ends by itself is cut off, it is not complete.
func TestCut(t *testing.T) {
	for _, raw := range wellFormed {
		whole := ask("GET", []byte(raw), 1<<20)
		if whole.resp.CloseDelimited || whole.err != nil || len(raw) > 1000 {
			continue
		}
		_, _, left, _ := oracle("GET", plain([]byte(raw), false))
		for n := range len(raw) - left {
			a := ask("GET", []byte(raw[:n]), 1<<20)
			var e *Error
			if !errors.As(a.err, &e) || e.Kind != Reset && e.Kind != Truncated {
				t.Errorf("%q cut to %d bytes: %v", raw, n, a.err)
			}
			if e != nil && (e.Kind == Truncated) != (a.resp.Status > 0) {
				t.Errorf("%q cut to %d bytes is %v", raw, n, a.err)
			}
		}
	}
}

func TestBounds(t *testing.T) {
	for name, raw := range map[string]string{
		"a long field":     ok + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		"no end":           ok + strings.Repeat("X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", 9000),
		"no line end":      ok + strings.Repeat("x", 1<<20),
		"many fields":      ok + strings.Repeat("X:\r\n", maxFields+1) + "\r\n",
		"interim response": "HTTP/1.1 103 E\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n",
		"just too long":    ok + "X: " + strings.Repeat("x", 64<<10-len(ok)-len("X: \r\n\r\n")+1) + "\r\n\r\n",
	} {
		var e *Error
		if a := ask("GET", []byte(raw), 1<<20); !errors.As(a.err, &e) || e.Kind != HeaderTooLarge {
			t.Errorf("%s: %v", name, a.err)
		}
	}
	raw := "X: " + strings.Repeat("x", 64<<10-len(ok)-len("X: \r\n\r\n")) + "\r\n\r\n"
	if a := ask("HEAD", []byte(ok+raw), 1<<20); a.err != nil {
		t.Errorf("as long as it may be: %v", a.err)
	}
	if a := ask("HEAD", []byte(ok+strings.Repeat("X:\r\n", maxFields)+"\r\n"), 1<<20); a.err != nil || len(a.resp.Fields) != maxFields {
		t.Errorf("as many as there may be: %v", a.err)
	}
}

// FuzzResponse holds the parser against net/http's: what ours accepts, that accepts,
// with the same status, fields, framing and body.
func FuzzResponse(f *testing.F) {
	for _, raw := range slices.Concat(wellFormed, faulty) {
		f.Add([]byte(raw[:min(len(raw), 500)]), false, 16)
	}
	for _, b := range faultyBodies {
		f.Add([]byte(ok+"Transfer-Encoding: chunked\r\n\r\n"+b[:min(len(b), 500)]), true, 3)
	}
	f.Fuzz(checkResponse)
}

func checkResponse(t *testing.T, raw []byte, head bool, piece int) {
	method := "GET"
	if head {
		method = "HEAD"
	}
	a := ask(method, raw, max(1, piece))
	var e *Error
	switch {
	case a.err == nil:
		if err := compare(method, raw, a); err != nil {
			t.Fatalf("%s %q is read as %+v: %v", method, raw, a, err)
		}
	case !errors.As(a.err, &e) || e.Kind < Reset || e.Kind > Malformed:
		t.Fatalf("%q: %T %v", raw, a.err, a.err)
	}
}

// TestMutations is a bounded run of the fuzz target: each answer with one byte changed,
// taken out, or put in.
func TestMutations(t *testing.T) {
	bytesToTry := []byte("\r\n :,0a\x00")
	for _, raw := range slices.Concat(wellFormed, faulty) {
		if len(raw) > 100 {
			continue
		}
		for i := range len(raw) {
			checkResponse(t, []byte(raw[:i]+raw[i+1:]), false, 1<<20)
			for _, b := range bytesToTry {
				checkResponse(t, []byte(raw[:i]+string(b)+raw[i+1:]), false, 1<<20)
				checkResponse(t, []byte(raw[:i]+string(b)+raw[i:]), false, 1<<20)
			}
		}
	}
}

// TestDeadlinesAreExact: the socket's deadline is armed rarely, and no wait ends early or
// late for it.
func TestDeadlinesAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		counting := &countingConn{Conn: near}
		c := newConn(counting, &Config{MaxHeader: 1000, Between: 2 * time.Second, Now: testConfig.Now})
		go func() {
			br := bufio.NewReader(far)
			for range 100 {
				for line := ""; line != "\r\n"; {
					line, _ = br.ReadString('\n')
				}
				time.Sleep(999 * time.Millisecond)
				_, _ = io.WriteString(far, ok+"Content-Length: 2\r\n\r\na")
				time.Sleep(1999 * time.Millisecond)
				_, _ = io.WriteString(far, "b")
			}
		}()
		for range 100 {
			var resp Response
			if err := c.RoundTrip(get("GET"), &resp); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(c); string(b) != "ab" || err != nil || !c.Reusable() {
				t.Fatalf("%q, %v", b, err)
			}
		}
		if counting.armed > 400 {
			t.Errorf("the deadline was armed %d times in 300 seconds", counting.armed)
		}
		go func() { _, _ = io.Copy(io.Discard, far) }()
		began := time.Now()
		err := c.RoundTrip(get("GET"), &Response{})
		if err == nil || err.Kind != FirstByteTimeout || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		c.Close()
	})
}

type countingConn struct {
	net.Conn
	armed int
}

func (c *countingConn) SetReadDeadline(t time.Time) error {
	c.armed++
	return c.Conn.SetReadDeadline(t)
}
