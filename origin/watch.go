package origin

import (
	"context"
	"errors"
	"sync"
	"time"
)

// phase is what an exchange is waiting for the server to do.
type phase uint8

const (
	idle       phase = iota // nothing: the next step is the caller's
	connecting              // a connection, TLS included
	sending                 // to take the next piece of the request body
	awaiting                // the response header
	receiving               // more of the response body
)

// String is the phase's name, for error texts.
func (p phase) String() string {
	return [...]string{"idle", "connecting", "sending the request body", "waiting for the response header", "reading the response body"}[p]
}

// kind is the failure that a timeout in p means.
func (p phase) kind() Kind {
	switch p {
	case connecting:
		return ConnectTimeout
	case awaiting:
		return FirstByteTimeout
	case idle, sending, receiving:
	}
	return Stalled
}

// limits are a pool's timeouts.
type limits struct {
	connect, firstByte, between, wait time.Duration
}

// watch bounds the phases of one attempt with a single timer; when it runs out,
// the attempt's context is cancelled with a *kindError. There is no goroutine.
//
// left is what remains of ConnectTimeout + FirstByteTimeout over all attempts of
// one Do: connecting and awaiting use it up, so retries cannot multiply them.
type watch struct {
	limits limits
	cancel context.CancelCauseFunc

	mu       sync.Mutex // protects the fields below
	timer    *time.Timer
	phase    phase
	since    time.Time
	left     time.Duration
	answered bool // the response header is here: no more of the phases before it
	stopped  bool // the exchange is over
	holding  bool // the request body is being read: the server owes nothing
	fired    *kindError
}

func newWatch(l limits, left time.Duration, cancel context.CancelCauseFunc) *watch {
	return &watch{limits: l, left: left, cancel: cancel}
}

// enter begins phase p, and its time.
func (w *watch) enter(p phase) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enterLocked(p)
}

func (w *watch) enterLocked(p phase) {
	if w.stopped || w.fired != nil || (w.answered && p != receiving && p != idle) {
		return
	}
	w.accountLocked()
	w.phase, w.since = p, time.Now()
	switch {
	case p == idle || w.holding:
		if w.timer != nil {
			w.timer.Stop()
		}
	case w.timer == nil:
		w.timer = time.AfterFunc(w.boundLocked(), w.expire)
	default:
		w.timer.Reset(w.boundLocked())
	}
}

// boundLocked is how long the current phase may last.
func (w *watch) boundLocked() time.Duration {
	switch w.phase {
	case connecting:
		return min(w.limits.connect, w.left)
	case awaiting:
		return min(w.limits.firstByte, w.left)
	case idle, sending, receiving:
	}
	return w.limits.between
}

// accountLocked takes the time of the phase that ends from what is left.
func (w *watch) accountLocked() {
	if w.phase == connecting || w.phase == awaiting {
		w.left -= time.Since(w.since)
	}
}

// expire runs when the timer does. Between the timer's decision and here the
// phase may have ended or begun anew: only the time really spent counts.
func (w *watch) expire() {
	w.mu.Lock()
	if w.phase == idle || w.holding || w.stopped || w.fired != nil {
		w.mu.Unlock()
		return
	}
	if rest := w.boundLocked() - time.Since(w.since); rest > 0 {
		w.timer.Reset(rest)
		w.mu.Unlock()
		return
	}
	w.accountLocked()
	fired := &kindError{kind: w.phase.kind(), err: errors.New("timeout while " + w.phase.String())}
	w.fired = fired
	w.mu.Unlock()
	w.cancel(fired)
}

// pause ends the phase: what happens next is up to the caller.
func (w *watch) pause() { w.enter(idle) }

// hold suspends the watch while the request body is read from the caller, who
// has bounds of its own.
func (w *watch) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holding = true
	if !w.answered {
		w.enterLocked(idle)
	} else if w.timer != nil {
		w.timer.Stop()
	}
}

// sent follows hold: the next piece goes to the server, or (last) was the end.
// A response being read meanwhile starts its wait anew: a server that has to
// take all of the request first is not stalled.
func (w *watch) sent(last bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holding = false
	switch {
	case w.answered:
		w.enterLocked(w.phase)
	case last:
		w.enterLocked(awaiting)
	default:
		w.enterLocked(sending)
	}
}

// gotHeader ends the phases before the response body.
func (w *watch) gotHeader() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enterLocked(idle)
	w.answered = true
}

// stop ends the watch for good and returns what is left for another attempt.
func (w *watch) stop() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped && w.fired == nil {
		w.enterLocked(idle)
	}
	w.stopped = true
	return w.left
}

// cause returns the timeout that ended the exchange, or nil.
func (w *watch) cause() *kindError {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fired
}
