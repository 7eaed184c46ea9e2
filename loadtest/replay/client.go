package replay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/loadtest/accesslog"
	"weir/loadtest/selfcheck"
)

// FaultKind is what was wrong with an answer.
type FaultKind uint8

const (
	// FaultConnect is a target that takes no connection.
	FaultConnect FaultKind = iota
	// FaultTransport is a connection that broke, or an answer that is no HTTP.
	FaultTransport
	// FaultStatus is another status than the log's.
	FaultStatus
	// FaultHeader is a header that contradicts the resource.
	FaultHeader
	// FaultBody is a body with a wrong, a missing or a surplus byte.
	FaultBody
	// FaultSurplus are bytes after the end of an answer.
	FaultSurplus

	faultCount
)

func (k FaultKind) String() string {
	switch k {
	case FaultConnect:
		return "connect"
	case FaultTransport:
		return "transport"
	case FaultStatus:
		return "status"
	case FaultHeader:
		return "header"
	case FaultBody:
		return "body"
	case FaultSurplus:
		return "surplus"
	}
	return "unknown"
}

// fault is an answer that is wrong.
type fault struct {
	kind FaultKind
	err  error
}

func (f *fault) Error() string { return f.kind.String() + ": " + f.err.Error() }

func faultf(kind FaultKind, format string, args ...any) *fault {
	return &fault{kind, fmt.Errorf(format, args...)}
}

// request is one line of the log, ready to be sent.
type request struct {
	index    int // of the entry
	method   string
	target   string
	rangeEnd int64 // bytes=0-rangeEnd is asked for; -1: no range
	agent    string
	referer  string
	want     Resource
}

// prepare turns an entry into a request. ok is false for what cannot be sent.
func prepare(c *Catalogue, index int, e *accesslog.Entry) (r request, ok bool) {
	target, ok := WireTarget(e)
	if !ok {
		return request{}, false
	}
	want, ok := c.Lookup(e.Method, target)
	if !ok {
		return request{}, false
	}
	r = request{
		index: index, method: e.Method, target: target, rangeEnd: -1,
		agent: fieldValue(e.Agent), referer: fieldValue(e.Referer), want: want,
	}
	// The log does not say which range was asked for; its length it does.
	if e.Status == http.StatusPartialContent && e.Method == http.MethodGet && want.Status == http.StatusOK {
		r.rangeEnd = min(e.Size, want.Size) - 1
	}
	return r, true
}

// fieldValue drops what may not stand in a field, and the log's "-" for none.
func fieldValue(s string) string {
	if s == "-" {
		return ""
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s))
}

func (r *request) appendTo(b []byte, host string) []byte {
	b = fmt.Appendf(b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.method, r.target, host)
	if r.agent != "" {
		b = append(append(append(b, "User-Agent: "...), r.agent...), "\r\n"...)
	}
	if r.referer != "" {
		b = append(append(append(b, "Referer: "...), r.referer...), "\r\n"...)
	}
	if r.rangeEnd >= 0 {
		b = fmt.Appendf(b, "Range: bytes=0-%d\r\n", r.rangeEnd)
	}
	if r.method == http.MethodPost || r.method == http.MethodPut || r.method == http.MethodPatch {
		b = append(b, "Content-Length: 0\r\n"...)
	}
	return append(b, "\r\n"...)
}

// answer is what came back for one request.
type answer struct {
	tier      Tier
	bytes     int64 // of the body
	firstByte time.Duration
	whole     time.Duration
}

// client sends requests one after the other over one connection that it keeps. It is used by one goroutine. It writes
// requests itself: net/http would refuse or rewrite targets that real logs hold.
type client struct {
	addr    string
	host    string
	timeout time.Duration // for the connection, and between any two reads or writes
	now     func() time.Time

	conn net.Conn
	br   *bufio.Reader
	used bool // the connection has brought an answer before
	out  []byte
	buf  []byte
	stop func() bool // ends the watch over the context
}

func (c *client) close() {
	if c.conn != nil {
		c.stop()
		c.conn.Close()
		c.conn = nil
	}
}

func (c *client) connect(ctx context.Context) *fault {
	d := net.Dialer{Timeout: c.timeout}
	conn, err := d.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return &fault{FaultConnect, err}
	}
	c.conn = conn
	c.stop = context.AfterFunc(ctx, func() { conn.Close() })
	c.used = false
	pc := &patientConn{conn: conn, timeout: c.timeout}
	if c.br == nil {
		c.br = bufio.NewReaderSize(pc, 32<<10)
		c.buf = make([]byte, 64<<10)
	} else {
		c.br.Reset(pc)
	}
	return nil
}

// patientConn gives each read and write the whole timeout: a slow but progressing body is no fault.
type patientConn struct {
	conn    net.Conn
	timeout time.Duration
}

func (p *patientConn) Read(b []byte) (int, error) {
	p.conn.SetReadDeadline(time.Now().Add(p.timeout))
	return p.conn.Read(b)
}

func (p *patientConn) Write(b []byte) (int, error) {
	p.conn.SetWriteDeadline(time.Now().Add(p.timeout))
	return p.conn.Write(b)
}

// do sends r and checks the answer. After a fault the connection is closed.
func (c *client) do(ctx context.Context, r *request) (answer, *fault) {
	for {
		if c.conn == nil {
			if f := c.connect(ctx); f != nil {
				return answer{}, f
			}
		}
		reused := c.used
		a, answered, f := c.exchange(r)
		if f != nil {
			c.close()
		}
		// A server may close a kept connection at any time (RFC 9112 section 9.3.1): that is no fault, where sending
		// again is safe.
		if f != nil && reused && !answered && r.method != http.MethodPost && ctx.Err() == nil {
			continue
		}
		return a, f
	}
}

// exchange says in answered whether any byte came back.
func (c *client) exchange(r *request) (a answer, answered bool, f *fault) {
	begin := c.now()
	c.out = r.appendTo(c.out[:0], c.host)
	if _, err := (&patientConn{conn: c.conn, timeout: c.timeout}).Write(c.out); err != nil {
		return a, false, &fault{FaultTransport, err}
	}
	if _, err := c.br.Peek(1); err != nil {
		return a, false, &fault{FaultTransport, err}
	}
	a.firstByte = c.now().Sub(begin)
	res, err := readFinal(c.br, r.method)
	if err != nil {
		return a, true, &fault{FaultTransport, err}
	}
	a.tier = tierOf(res.Header)
	a.bytes, f = c.check(r, res)
	a.whole = c.now().Sub(begin)
	if f != nil {
		return a, true, f
	}
	if n := c.br.Buffered(); n > 0 {
		p, _ := c.br.Peek(min(n, 40))
		return a, true, faultf(FaultSurplus, "%d bytes after the answer: %q", n, p)
	}
	c.used = true
	if res.Close {
		c.close()
	}
	return a, true, nil
}

// readFinal skips interim responses.
func readFinal(br *bufio.Reader, method string) (*http.Response, error) {
	for range 16 {
		res, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if res.StatusCode >= 200 {
			return res, nil
		}
	}
	return nil, errors.New("more than 16 interim responses")
}

// check reads the body and compares everything with what the log says.
func (c *client) check(r *request, res *http.Response) (int64, *fault) {
	defer res.Body.Close()
	want := r.want
	offset, length := int64(0), want.Size
	switch {
	case r.rangeEnd >= 0 && res.StatusCode == http.StatusPartialContent:
		length = r.rangeEnd + 1
		if got, fits := res.Header.Get("Content-Range"), fmt.Sprintf("bytes 0-%d/%d", r.rangeEnd, want.Size); got != fits {
			return 0, faultf(FaultHeader, "Content-Range is %q, should be %q", got, fits)
		}
	case res.StatusCode != want.Status:
		start, _ := io.ReadAll(io.LimitReader(res.Body, 120))
		return int64(len(start)), faultf(FaultStatus, "%d, should be %d (Cache-Status: %s; body begins %q)",
			res.StatusCode, want.Status, res.Header.Get("Cache-Status"), bytes.TrimSpace(start))
	}
	if r.method == http.MethodHead {
		if got := res.Header.Get("Content-Length"); got != "" && got != strconv.FormatInt(want.Size, 10) {
			return 0, faultf(FaultHeader, "Content-Length of HEAD is %s, should be %d", got, want.Size)
		}
		return 0, nil
	}
	n, err := selfcheck.Verify(res.Body, want.Seed, offset, length, c.buf)
	var wrong *selfcheck.Error
	switch {
	case err == nil:
		return n, nil
	case errors.As(err, &wrong) || errors.Is(err, io.ErrUnexpectedEOF):
		return n, &fault{FaultBody, err}
	}
	return n, &fault{FaultTransport, err}
}
