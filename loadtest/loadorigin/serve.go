package loadorigin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/loadtest/load"
	"weir/loadtest/replay"
	"weir/loadtest/selfcheck"
)

// connection is one client and the goroutine that serves it.
type connection struct {
	origin *Origin
	ctx    context.Context
	conn   net.Conn
	br     *bufio.Reader
	req    request
	out    []byte
}

// oneWrite is how large an answer may be to go out in one piece, from a buffer that the connection keeps.
const oneWrite = 64 << 10

// pieces are buffers for larger bodies.
var pieces = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// errDrop ends a connection on purpose.
var errDrop = errors.New("dropped")

func (o *Origin) serveConn(ctx context.Context, conn net.Conn) {
	c := &connection{origin: o, ctx: ctx, conn: conn, br: bufio.NewReaderSize(conn, 16<<10)}
	for {
		if c.br.Buffered() == 0 {
			conn.SetDeadline(time.Now().Add(o.opts.Idle))
		}
		err := readRequest(c.br, &c.req)
		switch {
		case errors.Is(err, errBadRequest), errors.Is(err, errLargeBody), errors.Is(err, bufio.ErrBufferFull):
			c.req.close = true
			_ = c.plain(http.StatusBadRequest, err.Error()+"\n") // the connection ends in any case
			return
		case err != nil:
			return
		}
		if c.answer() != nil || c.req.close {
			return
		}
	}
}

func (c *connection) answer() error {
	if strings.HasPrefix(c.req.target, load.SteerPrefix) {
		return c.steer()
	}
	o := c.origin
	o.requests.Add(1)
	a := o.decide(c.req.method, c.req.target)
	name := replay.Canonical(c.req.target)
	// Read before any delay, as a page is made from what the database says when its making begins: so a purge
	// while it is being made has to win against it.
	version := o.versions.of(name, a.tags)
	if !c.wait(&a) {
		return errDrop
	}
	if f := a.errors; f != nil && f.share > 0 && rand.Float64() < f.share {
		o.errors.Add(1)
		switch {
		case f.status > 0:
			return c.plain(f.status, "an error that the rules ask for\n")
		case !f.cut:
			if tcp, ok := c.conn.(*net.TCPConn); ok {
				tcp.SetLinger(0) // a reset, and no orderly end
			}
			return errDrop
		}
		return c.body(&a, name, version, true)
	}
	return c.body(&a, name, version, false)
}

// wait spends the delay and the stall. It is false when the origin is being stopped.
func (c *connection) wait(a *answer) bool {
	d := a.delay
	if s := a.stall; s != nil {
		switch {
		case s.Every > 0:
			if in := time.Since(c.origin.begin) % s.Every; in < s.For {
				d += s.For - in
			}
		case rand.Float64() < s.Share:
			d += s.For
		}
	}
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
		return false
	}
	c.conn.SetDeadline(time.Now().Add(c.origin.opts.Idle))
	return true
}

// lastModified of version 0; each later version is a second younger.
var lastModified = time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC)

// extent is which part of a body an answer has.
type extent struct {
	status       int
	from, length int64
	chunked      bool
}

// extent follows from the request's conditions and its range. ok is false for a range that lies outside the body.
func (c *connection) extent(a *answer, tag, modified string) (e extent, ok bool) {
	r := &c.req
	e = extent{status: a.status, length: a.size, chunked: a.chunked && r.method != http.MethodHead}
	if a.status == http.StatusNoContent {
		e.length, e.chunked = 0, false
	}
	if a.status != http.StatusOK {
		return e, true
	}
	if a.validators && (r.noneMatch == tag || r.noneMatch == "" && r.since == modified) {
		return extent{status: http.StatusNotModified}, true
	}
	if r.ranges == "" || (r.ifRange != "" && r.ifRange != tag) {
		return e, true
	}
	from, n, none, ok := cutRange(r.ranges, a.size)
	if ok && !none {
		e.status, e.from, e.length = http.StatusPartialContent, from, n
	}
	return e, ok
}

// body sends an answer with a body, or says that it has not changed. cut: half of the body, and the connection ends.
func (c *connection) body(a *answer, name string, version uint64, cut bool) error {
	tag := load.AppendTag(nil, version)
	modified := ""
	if a.validators {
		modified = lastModified.Add(time.Duration(version) * time.Second).Format(http.TimeFormat)
	}
	e, ok := c.extent(a, string(tag), modified)
	if !ok {
		return c.plain(http.StatusRequestedRangeNotSatisfiable, "")
	}
	c.out = e.appendTo(c.head(a, e.status, tag, modified, version), a.size)
	if e.status == http.StatusNotModified {
		c.origin.notModified.Add(1)
	}
	if c.req.method == http.MethodHead {
		e.length = 0
	}
	if cut {
		e.length /= 2
	}
	c.origin.bytes.Add(e.length)
	err := c.send(selfcheck.SeedOf(name, version), e.from, e.length, e.chunked, cut)
	if cut && err == nil {
		err = errDrop
	}
	return err
}

// appendTo writes the fields that frame the body, and the end of the header.
func (e extent) appendTo(b []byte, size int64) []byte {
	switch {
	case e.status == http.StatusNotModified || e.status == http.StatusNoContent:
	case e.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	default:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, e.length, 10)
		b = append(b, "\r\n"...)
	}
	if e.status == http.StatusPartialContent {
		b = append(b, "Content-Range: bytes "...)
		b = strconv.AppendInt(b, e.from, 10)
		b = append(b, '-')
		b = strconv.AppendInt(b, e.from+e.length-1, 10)
		b = append(b, '/')
		b = strconv.AppendInt(b, size, 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// head writes the status line and the fields that do not depend on the body's framing.
func (c *connection) head(a *answer, status int, tag []byte, modified string, version uint64) []byte {
	b := append(c.out[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	b = append(append(b, "\r\nDate: "...), c.origin.dateField()...)
	b = append(b, "\r\nServer: weirload\r\nContent-Type: application/octet-stream\r\n"...)
	if !a.cached || a.cache != "" {
		b = append(b, "Cache-Control: "...)
		b = append(a.cacheControl(b), "\r\n"...)
	}
	if a.validators {
		b = append(append(append(b, "ETag: "...), tag...), "\r\nLast-Modified: "...)
		b = append(append(b, modified...), "\r\n"...)
	}
	b = append(append(b, load.VersionField...), ": "...)
	b = strconv.AppendUint(b, version, 10)
	b = append(b, "\r\n"...)
	if len(a.tags) > 0 {
		b = append(append(b, a.tagField...), ": "...)
		for i, tag := range a.tags {
			if i > 0 {
				b = append(b, ' ')
			}
			b = append(b, tag...)
		}
		b = append(b, "\r\n"...)
	}
	if a.vary != "" {
		b = append(append(append(b, "Vary: "...), a.vary...), "\r\n"...)
	}
	for _, h := range a.headers {
		b = append(b, h...)
	}
	if status/100 == 3 && status != http.StatusNotModified {
		b = append(append(append(b, "Location: "...), strings.TrimSuffix(c.req.target, "/")...), "/\r\n"...)
	}
	if c.req.close {
		b = append(b, "Connection: close\r\n"...)
	}
	return b
}

// send writes the header in c.out and length bytes of a body. open: a chunked body gets no last chunk.
func (c *connection) send(seed selfcheck.Seed, from, length int64, chunked, open bool) error {
	if length <= oneWrite {
		b := c.out
		if chunked && length > 0 {
			b = append(strconv.AppendInt(b, length, 16), "\r\n"...)
		}
		at := len(b)
		b = grow(b, int(length))
		selfcheck.Fill(b[at:], seed, from)
		if chunked && length > 0 {
			b = append(b, "\r\n"...)
		}
		if chunked && !open {
			b = append(b, "0\r\n\r\n"...)
		}
		c.out = b
		_, err := c.conn.Write(b)
		return err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	buf := pieces.Get().(*[256 << 10]byte)
	defer pieces.Put(buf)
	for length > 0 {
		const room = 16 // for the size of a chunk and the ends of lines
		n := min(length, int64(len(buf)-2*room))
		b := buf[:0]
		if chunked {
			b = append(strconv.AppendInt(b, n, 16), "\r\n"...)
		}
		at := len(b)
		b = b[:at+int(n)]
		selfcheck.Fill(b[at:], seed, from)
		if chunked {
			b = append(b, "\r\n"...)
		}
		c.conn.SetWriteDeadline(time.Now().Add(c.origin.opts.Idle))
		if _, err := c.conn.Write(b); err != nil {
			return err
		}
		from += n
		length -= n
	}
	if chunked && !open {
		_, err := c.conn.Write([]byte("0\r\n\r\n"))
		return err
	}
	return nil
}

// grow makes b longer by n bytes of whatever value.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) < n {
		b = append(make([]byte, 0, len(b)+n+512), b...)
	}
	return b[:len(b)+n]
}

// plain sends a short text that nobody is to keep.
func (c *connection) plain(status int, text string) error {
	b := append(c.out[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(append(b, ' '), http.StatusText(status)...)
	b = append(append(b, "\r\nDate: "...), c.origin.dateField()...)
	b = append(b, "\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	if c.req.close {
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(b, "\r\n\r\n"...)
	if c.req.method != http.MethodHead {
		b = append(b, text...)
	}
	c.out = b
	_, err := c.conn.Write(b)
	return err
}

// steer answers the paths that are about the origin itself.
func (c *connection) steer() error {
	switch {
	case c.req.target == load.StatsPath && c.req.method == http.MethodGet:
		text, err := json.Marshal(c.origin.Stats())
		if err != nil {
			return err
		}
		return c.plain(http.StatusOK, string(text)+"\n")
	case c.req.target == load.BumpPath && c.req.method == http.MethodPost:
		var what struct {
			Target string `json:"target"`
			Tag    string `json:"tag"`
			All    bool   `json:"all"`
		}
		if err := json.Unmarshal(c.req.body, &what); err != nil || what.Target == "" && what.Tag == "" && !what.All {
			return c.plain(http.StatusBadRequest, "needed: {\"target\": \"/path\"}, {\"tag\": \"name\"} or {\"all\": true}\n")
		}
		version := c.origin.Bump(what.Target, what.Tag, what.All)
		return c.plain(http.StatusOK, `{"version": `+strconv.FormatUint(version, 10)+"}\n")
	}
	return c.plain(http.StatusNotFound, "there are POST "+load.BumpPath+" and GET "+load.StatsPath+"\n")
}
