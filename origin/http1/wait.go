package http1

import (
	"sync"
	"time"
)

// wait bounds the waits for the server. To arm the socket's deadline for each would
// cost a percent or more of all exchanges, so it is armed rarely: a deadline that is
// not later than the wait may last is left as it is. When it passes before the wait
// has lasted too long, it is armed for the rest and the read goes on.
//
// While a request body is on its way the server owes nothing: there is no bound for
// the answer then, but one for each piece that the server has to take.
type wait struct {
	mu      sync.Mutex // protects the fields below
	since   time.Time  // when the wait began
	bound   time.Duration
	armed   time.Time // the socket's read deadline; zero for none
	sending bool      // the request body is on its way
	cause   *Error    // what ended the exchange from outside
}

// start begins a wait that may last d.
func (w *wait) start(c *Conn, d time.Duration) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since, w.bound = now, d
	if !w.armed.After(now) {
		w.armed = time.Time{}
	}
	w.armLocked(c)
}

// armLocked makes sure that the socket's deadline does not come too late.
func (w *wait) armLocked(c *Conn) {
	if due := w.since.Add(w.bound); w.armed.IsZero() || w.armed.After(due) {
		w.armed = due
		_ = c.sock.SetReadDeadline(due) // a closed socket fails the read by itself
	}
}

// goesOn reports, of a wait that was interrupted by the socket's deadline, whether it
// may last longer.
func (w *wait) goesOn(c *Conn) bool {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sending {
		w.since = now
	}
	if w.cause != nil || now.Sub(w.since) >= w.bound {
		return false
	}
	w.armed = time.Time{}
	w.armLocked(c)
	return true
}

// hold begins and ends the time in which the server owes nothing.
func (w *wait) hold(c *Conn, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sending, w.since = on, time.Now()
	if !on {
		w.armLocked(c)
	}
}

func (w *wait) lasted() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sending {
		return 0
	}
	return time.Since(w.since)
}
