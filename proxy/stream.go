package proxy

import (
	"errors"
	"io"

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
		return &readerSource{r: x.core.fetch.Counted(asked, x.live.Body)}
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

// bodyStream is a body that is sent after the handler has returned. It ends the
// exchange when that is over, whatever happened until then.
type bodyStream struct {
	x    *exchange
	src  chunkSource
	left int64 // -1: until the source ends
	err  error
}

// Next implements front.Stream.
func (s *bodyStream) Next() ([]byte, error) {
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

// Done implements front.Stream: it ends the exchange.
func (s *bodyStream) Done(n int64, gone bool) {
	x := s.x
	x.bodyBytes = n
	if gone {
		x.broke = policy.ReasonClientGone
	}
	x.finish()
}

// stream sends a body piece by piece after the handler has returned.
func (x *exchange) stream(src chunkSource, n int64) state {
	x.answer.Stream, x.answer.Length = &bodyStream{x: x, left: n, src: src}, n
	return stateFinish
}
