package origin

import (
	"errors"
	"strings"
	"time"
)

// A server closes a kept connection when it pleases. The losing interleaving: it
// closes while a request is on its way, and nobody can tell whether the request
// was acted upon. A GET is simply sent again, but a POST is lost. So connections
// that have been idle for about as long as their server allows are turned down,
// the more readily the less a request can be repeated, and closed; net/http takes
// the next one, or opens one. Turning down happens before anything is written and
// before the body is touched.

const (
	// restless is how long a connection may have been idle for a request that
	// cannot be sent again. The shortest limit among servers that do not announce
	// theirs is 2 s (gunicorn), so this keeps the same distance as promiseMargin.
	restless = time.Second

	// promiseMargin is how much earlier than promised a connection is given up:
	// the server's clock started before ours, and the request has to get there.
	promiseMargin = time.Second
)

var errTurnedDown = &kindError{kind: Reset, err: errors.New("the connection was idle for too long")}

// promise is the timeout parameter of a Keep-Alive field: for how long the server
// keeps a connection that is idle.
type promise struct {
	given   bool
	timeout time.Duration
}

// parseKeepAlive reads a Keep-Alive field ("timeout=5, max=100"; RFC 2068,
// section 19.7.1.1). What is not a number of seconds promises nothing.
func parseKeepAlive(value string) promise {
	for param := range strings.SplitSeq(value, ",") {
		name, number, _ := strings.Cut(strings.Trim(param, " \t\r"), "=")
		if !strings.EqualFold(strings.TrimRight(name, " \t"), "timeout") {
			continue
		}
		number = strings.Trim(number, " \t\"")
		seconds := time.Duration(0)
		for i := range len(number) {
			if number[i] < '0' || number[i] > '9' {
				return promise{}
			}
			// More than a day is as good as for ever, and must not overflow.
			seconds = min(seconds*10+time.Duration(number[i]-'0'), 24*60*60)
		}
		return promise{given: number != "", timeout: seconds * time.Second}
	}
	return promise{}
}

// refuse makes every Write fail from here on, with nothing written.
func (w *wire) refuse() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = true
}

// idleFor returns how long ago the server last sent something, and how long it
// said it would wait for more to do.
func (w *wire) idleFor() (time.Duration, promise) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now() - w.heard, w.promise
}

// unanswered tells, of a request that failed, whether something of it was written
// and whether the server has sent anything since.
func (w *wire) unanswered() (written, silent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written, w.askedAt < 0 || w.received == w.askedAt
}

// dying reports whether w, which was used before, must not be used for x. After
// one connection has broken under x the idle ones are no better: a server that
// stops closes all of them.
func (x *exchange) dying(w *wire, wasIdle bool) bool {
	idle, promise := w.idleFor()
	switch {
	case x.tried && wasIdle:
		return true
	case promise.given && idle >= promise.timeout-promiseMargin:
		return true
	}
	return idle >= restless && !(idempotent(x.out.method) && x.out.up.replayable())
}

// anew reports whether the request is to be sent over another connection within
// the same attempt, after err: always when the last connection was turned down,
// and once when one that had been used before broke without a byte of an answer.
// Each turning down closes a connection, so there is an end to it.
func (x *exchange) anew(err error) bool {
	if x.refused {
		return x.out.up.sendable()
	}
	if x.wire == nil || !x.reused || x.early || x.resent || kindOf(err, false) != Reset || !x.out.up.sendable() {
		return false
	}
	written, silent := x.wire.unanswered()
	x.resent = silent && (!written || idempotent(x.out.method))
	return x.resent
}
