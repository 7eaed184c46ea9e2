package front

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// upload reads the client's body for the origin. It extends the connection's
// read deadline as bytes arrive, so that a slow but progressing upload of any
// size goes through and a silent one ends. Fasthttp reports io.EOF also where the
// connection ended in place of the body: whether the body is whole, its length or
// the connection's inbound says.
type upload struct {
	ctx      *fasthttp.RequestCtx
	r        io.Reader
	conn     *clientConn // nil: a chunked body counts as cut
	length   int64       // -1: chunked
	limit    int64       // of n; 0: no bound
	n        int64
	timeout  time.Duration // between bytes; 0: no bound
	deadline time.Time
	// done is set when the whole body was read: the one field that is looked
	// at while the origin may still be reading.
	done atomic.Bool
	err  error
	// closed: the read deadline has passed for good. It is set by whoever ends a Read.
	closed atomic.Bool
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	if err := u.extend(); err != nil {
		u.err = err
		return 0, err
	}
	n, err := u.r.Read(p)
	u.n += int64(n)
	switch {
	case u.limit > 0 && u.n > u.limit:
		u.err = ErrTooLarge
		return 0, u.err
	case err == io.EOF && u.length >= 0 && u.n < u.length:
		err = ErrCut
	case err != nil && u.conn != nil && u.conn.in.fault != nil:
		err = u.conn.in.fault
	case err == io.EOF && u.length < 0 && (u.conn == nil || !u.conn.in.whole()):
		err = ErrCut
	case err != nil && err != io.EOF:
		err = errors.Join(ErrCut, err)
	}
	u.err = err
	if err == io.EOF || (err == nil && u.n == u.length) {
		u.done.Store(true)
	}
	return n, err
}

// Whole implements Body.
func (u *upload) Whole() bool { return u.done.Load() }

// Fault implements Body.
func (u *upload) Fault() error {
	if u.err == io.EOF {
		return nil
	}
	return u.err
}

// Close ends a Read in progress: the origin wants no more of the body.
func (u *upload) Close() error {
	u.closed.Store(true)
	return u.ctx.SetReadDeadline(longPast)
}

// extend pushes the deadline out, at most once a second: setting it costs. The losing
// interleaving: Close comes between the beginning of the Read and here; its deadline is
// pushed out again, and the origin's answer waits for a client that is silent.
func (u *upload) extend() error {
	if u.timeout <= 0 {
		return nil
	}
	now := time.Now()
	if u.deadline.Sub(now) > u.timeout-time.Second && !u.deadline.IsZero() {
		return nil
	}
	u.deadline = now.Add(u.timeout)
	err := u.ctx.SetReadDeadline(u.deadline)
	if u.closed.Load() {
		// Looked at behind setting ours: a Close that comes later sets its own behind it.
		return u.ctx.SetReadDeadline(longPast)
	}
	return err
}
