package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/valyala/fasthttp"

	"weir/origin"
	"weir/policy"
	"weir/proxy/fetch"
	"weir/tiers"
)

// chunkSource hands out a body piece by piece. The bytes are borrowed until the
// next call.
type chunkSource interface {
	Next() ([]byte, error)
}

// source returns where the body's bytes come from.
func (x *exchange) source(off, n int64) chunkSource {
	switch {
	case x.fill != nil:
		x.fill.Skip(off)
		return x.fill
	case x.live != nil:
		_, asked := x.upstream()
		return &readerSource{r: x.p.fetch.Counted(asked, x.live.Body)}
	}
	return &readerSource{r: x.obj.NewReader(off, n)}
}

var _ chunkSource = (*tiers.FillReader)(nil)

// readerSource reads through a buffer of its own.
type readerSource struct {
	r   io.Reader
	buf []byte
}

// sourceBuffer is one read of a body that is not in memory: large enough for
// one system call to matter little, small enough for thousands of downloads.
const sourceBuffer = 32 << 10

func (s *readerSource) Next() ([]byte, error) {
	if s.buf == nil {
		s.buf = make([]byte, sourceBuffer)
	}
	for {
		n, err := s.r.Read(s.buf)
		if n > 0 {
			return s.buf[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// bodyStream is a body that fasthttp writes after the handler returned. It ends
// the exchange when fasthttp closes it, whatever happened until then.
type bodyStream struct {
	x    *exchange
	src  chunkSource
	rest []byte
	left int64 // -1: until the source ends
	err  error
}

// next returns the bytes to send next.
func (s *bodyStream) next() ([]byte, error) {
	if s.left == 0 {
		return nil, io.EOF
	}
	if s.err != nil {
		return nil, s.err
	}
	p, err := s.src.Next()
	if err != nil {
		if err == io.EOF && s.left > 0 {
			err = io.ErrUnexpectedEOF
		}
		s.err = err
		if err != io.EOF {
			s.x.broke = brokenBy(err)
		}
		return nil, err
	}
	x := s.x
	if x.firstByte == 0 {
		x.firstByte = x.elapsed()
	}
	if s.left > 0 {
		if int64(len(p)) > s.left {
			p = p[:s.left]
		}
		s.left -= int64(len(p))
	}
	return p, nil
}

// brokenBy is why a body ended before its end, as far as its source knows.
func brokenBy(err error) policy.Reason {
	var e *origin.Error
	switch {
	case errors.Is(err, fetch.ErrClientGone):
		return policy.ReasonClientGone
	case errors.As(err, &e):
		return fetch.ReasonOfKind(e.Kind)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return policy.ReasonOriginTruncated
	case errors.Is(err, fetch.ErrBroke):
		return policy.ReasonInternal
	}
	// The disk failed a read, or has not got what a slow reader needs.
	return policy.ReasonStorage
}

// Read implements io.Reader.
func (s *bodyStream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		b, err := s.next()
		if err != nil {
			return 0, err
		}
		s.rest = b
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	s.x.bodyBytes += int64(n)
	return n, nil
}

// WriteTo implements io.WriterTo. A body of unknown length goes through w,
// where fasthttp makes each Write a chunk and sends it at once. One of known
// length goes straight to the connection: w would hold back up to a buffer of
// what has arrived until more does. Nothing is overtaken: the header was
// flushed (ImmediateHeaderFlush), and so w's buffer is empty.
func (s *bodyStream) WriteTo(w io.Writer) (int64, error) {
	if s.left >= 0 {
		w = s.x.ctx.Conn()
	}
	var total int64
	for {
		p, err := s.next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(p)
		total += int64(n)
		s.x.bodyBytes += int64(n)
		if err != nil {
			s.x.broke = policy.ReasonClientGone
			return total, err
		}
	}
}

// SupportsBodyWriteTo tells fasthttp that WriteTo may take Read's place.
func (s *bodyStream) SupportsBodyWriteTo() bool { return true }

// Close ends the exchange. Fasthttp calls it once, also when writing failed.
func (s *bodyStream) Close() error {
	if s.x != nil {
		x := s.x
		s.x, s.src, s.rest = nil, nil, nil
		x.finish()
	}
	return nil
}

// sendUntilClose sends a body of unknown length to an HTTP/1.0 client, which
// reads until the connection closes: fasthttp would send chunks, which such a
// client does not understand.
func (x *exchange) sendUntilClose(s *bodyStream) state {
	conn := x.ctx.Conn()
	h := &x.ctx.Response.Header
	h.SetConnectionClose()
	x.ctx.HijackSetNoResponse(true)
	x.ctx.Hijack(func(net.Conn) {})
	head := withoutFraming(h)
	_, err := conn.Write(head)
	if err == nil {
		_, err = s.WriteTo(conn)
	}
	if err != nil {
		// An orderly close would look like the end of the body.
		if c, ok := conn.(interface{ SetLinger(int) error }); ok {
			_ = c.SetLinger(0)
		}
	}
	if err := s.Close(); err != nil {
		panic(fmt.Sprintf("BUG: closing a body stream: %v", err))
	}
	return stateDone
}

// withoutFraming renders the header without Content-Length.
func withoutFraming(h *fasthttp.ResponseHeader) []byte {
	noLength(h)
	return h.Header()
}
