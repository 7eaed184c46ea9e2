package origin

import "time"

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

// provenBy tells whether a connection that ended after this long a silence was
// ended by the clock that was promised.
func (p promise) provenBy(silence time.Duration) bool {
	return p.given && p.timeout > promiseMargin &&
		silence >= p.timeout-promiseMargin && silence <= p.timeout+silenceMargin
}

// ending returns how long the server was silent before it ended the connection,
// negative while it has not, and what the last response header promised.
func (w *wire) ending() (time.Duration, promise) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.silence, w.head.seen.promise
}
