package origin

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// Response is what an origin answered.
type Response struct {
	Status int    // 200 to 999; interim responses went to Got1xx
	Proto  string // "HTTP/1.0", "HTTP/1.1" or "HTTP/2.0"
	// Header is the caller's. Names are in canonical form, names and values valid
	// as RFC 9110 has them; Transfer-Encoding and Trailer are gone.
	Header http.Header
	// ContentLength is what the response declares, -1 if nothing; for HEAD and 304
	// it says nothing about Body.
	ContentLength int64
	// CloseDelimited says that the body ends when the connection does: io.EOF then
	// proves nothing by itself, see Provable and Proven.
	CloseDelimited bool
	// Body is never nil and must be closed. Its errors are io.EOF or *Error. One
	// goroutine reads; Close may come from another, and ends a Read in progress.
	Body io.ReadCloser
	// Server is the host:port that answered, Attempts how many were made.
	Server   string
	Attempts int
	// HeaderTime is how long the successful attempt took until its header.
	HeaderTime time.Duration

	raw  *http.Response
	body *body
}

// Trailer returns the trailer fields; nil before Body has returned io.EOF, when
// there are none, and when one of them is not valid.
func (r *Response) Trailer() http.Header {
	if !r.body.ended() || len(r.raw.Trailer) == 0 || checkHeader(r.raw.Trailer) != nil {
		return nil
	}
	return r.raw.Trailer
}

// Provable reports whether the end of the body can prove it complete: always,
// unless the body is close-delimited, its pool does not trust that, and its server
// has not said for how long it keeps a connection that it has nothing to send on.
func (r *Response) Provable() bool {
	if !r.CloseDelimited || r.body.x.pool.conf.TrustClose {
		return true
	}
	_, promise := r.body.x.wire.ending()
	return promise.given
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
	case r.body.x.pool.conf.TrustClose:
		return r.body.ended() && r.body.got
	}
	silence, promise := r.body.x.wire.ending()
	return promise.provenBy(silence)
}

func (x *exchange) respond(resp *http.Response) *Response {
	b := &body{x: x, src: resp.Body}
	return &Response{
		Status: resp.StatusCode, Proto: resp.Proto, Header: resp.Header, ContentLength: resp.ContentLength,
		CloseDelimited: x.wire != nil && resp.Body != http.NoBody && resp.ContentLength < 0 && len(resp.TransferEncoding) == 0,
		Body:           b,
		Server:         x.server.addr, HeaderTime: x.took, raw: resp, body: b,
	}
}

// body is a response body whose every end is named.
type body struct {
	x   *exchange
	src io.ReadCloser

	got bool // a byte has come; the reader's

	mu  sync.Mutex // protects err; never held during a read
	err error      // how it ended: io.EOF or an *Error; nil before
}

// Read waits at most BetweenBytesTimeout for more.
func (b *body) Read(p []byte) (int, error) {
	if err := b.end(nil); err != nil {
		return 0, err
	}
	b.x.watch.enter(receiving)
	n, err := b.src.Read(p)
	b.got = b.got || n > 0
	b.x.watch.pause()
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		err = b.end(io.EOF)
	} else {
		err = b.end(b.x.classify(err, true))
	}
	if err == io.EOF {
		b.x.finish(outcomeOK)
	} else {
		b.x.finish(err.(*Error).Kind.String())
		_ = b.src.Close()
	}
	return n, err
}

// Close frees the connection; before the end of the body that closes it. It is
// safe to call more than once.
func (b *body) Close() error {
	b.end(&Error{Kind: Canceled, Origin: b.x.pool.conf.Name, Server: b.x.server.addr, Err: http.ErrBodyReadAfterClose})
	_ = b.src.Close() // says only what became of the rest of the body
	b.x.finish(outcomeAbandoned)
	return nil
}

// end notes how the body ended, unless that is known already, and returns it.
func (b *body) end(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	return b.err
}

func (b *body) ended() bool { return b.end(nil) == io.EOF }
