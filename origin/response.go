package origin

import (
	"io"
	"time"

	"weir/origin/http1"
	"weir/policy"
)

// Response is what an origin answered.
type Response struct {
	Status int // 200 to 999; interim responses went to Request.Interim
	// Fields are the caller's, in the order in which they came. Names are in canonical
	// form, names and values valid as RFC 9110 has them; Transfer-Encoding and Trailer
	// are gone. The strings share the memory of the whole header: what is kept for
	// long is to be cloned.
	Fields policy.Fields
	// ContentLength is what the response declares, -1 if nothing; for HEAD and 304
	// it says nothing about Body.
	ContentLength int64
	// CloseDelimited says that the body ends when the connection does: io.EOF then
	// proves nothing by itself, see Provable and Proven.
	CloseDelimited bool
	// Body is never nil and must be closed. Its errors are io.EOF, which may come with
	// the last bytes, or *Error. One goroutine reads; Close may come from another, and
	// ends a Read in progress.
	Body io.ReadCloser
	// Server is the host:port that answered, Attempts how many were made.
	Server   string
	Attempts int
	// HeaderTime is how long the successful attempt took until its header.
	HeaderTime time.Duration

	x *exchange // nil for a response that was made up
}

// Immediate returns the whole body, in memory of exactly its length that is the
// caller's, when its length is declared and at most limit and it can be had without
// waiting. The exchange is then finished. If ok is false nothing has happened: Body
// yields all of it. It must come before the first Read.
func (r *Response) Immediate(limit int) (body []byte, ok bool) {
	b, ok := r.Body.(interface {
		Immediate(limit int) ([]byte, bool)
	})
	if !ok {
		return nil, false
	}
	return b.Immediate(limit)
}

// Trailer returns the trailer fields; nil before Body has returned io.EOF, when
// there are none, and when one of them is not valid.
func (r *Response) Trailer() policy.Fields {
	if !r.ended() {
		return nil
	}
	return r.x.trailer
}

// Provable reports whether the end of the body can prove it complete: always,
// unless the body is close-delimited, its pool does not trust that, and its server
// has not said for how long it keeps a connection that it has nothing to send on.
func (r *Response) Provable() bool {
	return !r.CloseDelimited || r.x.pool.conf.TrustClose || r.x.stated.Given
}

// Proven reports whether the body, of which Body has returned io.EOF, was proven
// complete: by its length, its last chunk, a silence before the connection ended
// that is the one the server had announced, or, where the pool trusts that, by the
// orderly end of the connection behind at least one byte. A reset is an error of
// Body. What is not proven must not be stored.
func (r *Response) Proven() bool {
	switch {
	case !r.CloseDelimited:
		return true
	case !r.ended():
		return false
	case r.x.pool.conf.TrustClose:
		return r.x.got
	}
	return provenBy(r.x.stated, r.x.silence)
}

func (r *Response) ended() bool {
	r.x.mu.Lock()
	defer r.x.mu.Unlock()
	return r.x.err == io.EOF
}

// A body without a length ends when the connection does, and so does one that was
// cut off: the end proves nothing (RFC 9112 section 8 would call it complete all
// the same). But a server that says "Keep-Alive: timeout=5" starts that clock when
// it has nothing more to send. When the connection then ends after five seconds of
// silence, it was the clock that ended it, and the body is whole as far as the
// server is concerned.
//
// Losing interleaving: the end comes right behind the last byte, but we are slow
// to read it, and take our own pause for the server's. So what counts is only for
// how long the one read that found the end was under way: had the end been there
// already, it would have returned at once.

// silenceMargin is by how much a server may be late: node.js waits a second longer
// than it says, and machines are busy.
const silenceMargin = 3 * time.Second

// provenBy reports whether a connection that ended after this long a silence was
// ended by the clock that was promised.
func provenBy(p http1.Promise, silence time.Duration) bool {
	return p.Given && p.Timeout > promiseMargin &&
		silence >= p.Timeout-promiseMargin && silence <= p.Timeout+silenceMargin
}
