package origin

import (
	"slices"
	"time"
)

// State is what a pool thinks of one of its servers.
type State uint8

const (
	// StateUp: the server gets its share of the requests.
	StateUp State = iota
	// StateBackup: a backup that is up, and gets requests only while no other
	// server is usable.
	StateBackup
	// StateEjected: it failed too often and gets no requests for some time.
	StateEjected
	// StateProbing: it was ejected, and one request finds out whether it is back.
	StateProbing
	// StateDown: active checks fail, or it cannot be reached and too few others are
	// left for it to count as ejected.
	StateDown
	numStates
)

var stateNames = [numStates]string{"up", "backup", "ejected", "probing", "down"}

// String returns the state's name in /v1/status.
func (s State) String() string { return stateNames[s] }

const (
	// ratioLeast is how many answers a ratio is taken of at least.
	ratioLeast = 10
	// maxBackoff bounds how often Eject.For is doubled: to eight times itself.
	maxBackoff = 3
	// overdueMany is how many exchanges must be overdue at once for a server to be
	// suspected.
	overdueMany = 2
)

// health is the condition of one server, derived from the results of requests and
// of active checks. It performs no I/O and reads no clock.
type health struct {
	row        int      // failures that count since the last good answer
	unproven   []uint64 // distinct targets that failed since then and do not count yet
	results    tally    // all results, and the failures among them
	unreached  bool     // the last failure was one to connect
	lastGood   time.Duration
	firstWrong time.Duration // when unproven began
	lost       int           // exchanges in a row that others answered sooner
	lostSince  time.Duration // when the first of them began

	failing bool // too many failures, whether or not it may be ejected
	out     bool // it gets no requests
	beyond  bool // it is out although half of the servers are
	outAt   time.Duration
	until   time.Duration // when a probe is due
	probing bool
	level   int           // how often For is doubled
	backAt  time.Duration // when it came back from its last ejection; 0 is never
	backFor time.Duration // how long it is then ejected for by a single failure

	overdue int // exchanges in flight that take longer than is usual
	check   checks

	since  time.Duration // when the state last changed
	reason string        // why it is not simply up; the last failure
}

// good records an answer as it should be.
func (h *health) good(now time.Duration) {
	h.row, h.unproven, h.unreached, h.lost = 0, nil, false, 0
	h.results.add(now, 0)
	h.lastGood = now
}

// failed records a failure that counts.
func (h *health) failed(now time.Duration, reason string, unreached bool) {
	h.row++
	h.results.add(now, 0)
	h.results.add(now, 1)
	h.reason, h.unreached = reason, unreached
}

// suspect records a failure that nothing could be compared with, and reports
// whether there are now enough of them, each of another target, to count. The last
// good answer of another server says that it is not the origin as a whole.
func (h *health) suspect(e *Eject, now time.Duration, target uint64, reason string, othersGood time.Duration) bool {
	if len(h.unproven) == 0 {
		h.firstWrong = now
	}
	if !slices.Contains(h.unproven, target) {
		h.unproven = append(h.unproven, target)
	}
	if len(h.unproven) < e.Failures || othersGood <= h.firstWrong {
		h.unproven = h.unproven[max(0, len(h.unproven)-e.Failures):]
		return false
	}
	for range h.unproven {
		h.failed(now, reason, false)
	}
	h.unproven = nil
	return true
}

// lose records that the server let an exchange wait for so long that another server
// was used, or answered others meanwhile. That is a failure when it goes on for longer
// than slow: a pause, in which a program collects garbage for example, is none.
func (h *health) lose(e *Eject, now, began, slow time.Duration, reason string) bool {
	if h.lost == 0 || began < h.lostSince {
		h.lostSince = began
	}
	h.lost++
	if h.lost < e.Failures && !h.onProbation(now) || now-h.lostSince < slow {
		return false
	}
	for range max(1, e.Failures-h.row) {
		h.failed(now, reason, false)
	}
	return true
}

// judge decides whether the server fails too often.
func (h *health) judge(e *Eject, now time.Duration) bool {
	n := h.results.sums(now)
	h.failing = h.check.down || !e.Off && (h.row >= e.Failures ||
		n[0] >= ratioLeast && float64(n[1]) >= e.Ratio*float64(n[0]) ||
		h.onProbation(now) && h.row > 0)
	return h.failing
}

// onProbation reports whether the server came back so recently that one failure
// ejects it again.
func (h *health) onProbation(now time.Duration) bool {
	return h.backAt > 0 && now < h.backAt+h.backFor
}

// suspected reports whether there is reason to doubt that the server answers.
func (h *health) suspected(now time.Duration) bool {
	return h.failing || h.row > 0 || h.lost > 0 || h.overdue >= overdueMany || h.onProbation(now)
}

// eject takes the server out until a probe succeeds.
func (h *health) eject(e *Eject, now time.Duration, beyond bool) {
	if h.backAt == 0 || now > h.backAt+2*h.backFor {
		h.level = 0
	} else {
		h.level = min(h.level+1, maxBackoff)
	}
	h.out, h.beyond, h.outAt, h.since = true, beyond, now, now
	h.until = now + e.For<<h.level
}

// probeDue reports whether it is time to find out whether the server is back.
func (h *health) probeDue(now time.Duration) bool {
	return h.out && !h.probing && now >= h.until && !h.check.down
}

// probeFailed puts the next probe off.
func (h *health) probeFailed(e *Eject, now time.Duration, reason string) {
	h.level = min(h.level+1, maxBackoff)
	h.until = now + e.For<<h.level
	h.reason = reason
}

// comeBack returns the server to service.
func (h *health) comeBack(e *Eject, now time.Duration) {
	h.out, h.failing, h.row, h.unproven, h.lost = false, false, 0, nil, 0
	h.results = tally{span: e.Window}
	h.backAt, h.backFor, h.since = now, e.For<<h.level, now
}

// state names the condition.
func (h *health) state(backup bool) State {
	switch {
	case h.out && h.probing:
		return StateProbing
	case h.check.down, h.out && h.beyond, !h.out && h.failing && h.unreached:
		return StateDown
	case h.out:
		return StateEjected
	case backup:
		return StateBackup
	}
	return StateUp
}

// checks counts the results of active checks.
type checks struct {
	down bool
	row  int // results in a row that speak against down being what it is
}

// record counts one result, and reports whether down has changed.
func (c *checks) record(conf *Health, good bool) bool {
	if good != c.down {
		c.row = 0
		return false
	}
	c.row++
	if c.down && c.row < conf.Rise || !c.down && c.row < conf.Fall {
		return false
	}
	c.down, c.row = !c.down, 0
	return true
}
