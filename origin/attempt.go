package origin

import (
	"sync/atomic"
	"time"
)

// attempt is one exchange with a server as the roster knows it.
type attempt struct {
	members []*member // the servers of its pool
	tried   []*member // those among them that failed the same request
	member  *member   // the one it was given a permit of
	place   int       // in member.flying
	began   time.Duration
	left    time.Duration // what it may take
	target  uint64        // identifies what is asked for, without its query
	// safe: it may be sent to another server, too.
	safe  bool
	owner contender
	// hedged: that may also be because of Config.Hedge.
	hedged bool
	// probe: it finds out whether an ejected server is back.
	probe bool
	// yields: it is given up while the origin as a whole fails and no header is here.
	yields bool

	// stage is 0 before the header is here. From then on it grows with each read of
	// the body, and is odd during one.
	stage atomic.Uint32
	// stalls: it can be told from the response's header that the body is not one that
	// pauses for as long as it likes.
	stalls atomic.Bool

	// Protected by the roster's mu.
	seen    uint32        // stage when last looked at
	seenAt  time.Duration // when that was new
	overdue bool          // it takes longer than is usual
	lates   int           // how often its body was found to have stalled
	counted bool          // what it says about its server has been recorded
	raced   bool          // another server has been asked beside
}

// why says what made a request be sent once more.
type why uint8

const (
	whyConnect why = iota // no connection was made
	whyReset              // the connection broke, or what came was no answer
	whyStatus             // the answer was a 5xx
	whySlow               // no answer came in time
	whyHedge              // configured hedging; no retry
	numWhys
)

var whyNames = [numWhys]string{"connect", "reset", "status", "slow", "hedge"}

// String returns the name in the metrics.
func (w why) String() string { return whyNames[w] }

// contender is who makes an attempt.
type contender interface {
	// rival begins another attempt beside it, at a server whose permit is taken.
	rival(m *member, w why)
	// yield gives it up, unless its header is here.
	yield()
}

// result is how an attempt ended.
type result struct {
	outcome string        // for the metrics
	good    bool          // the answer was whole, and none that tells of a fault
	bad     bool          // the server failed; else, if not good, nothing follows
	reason  string        // of bad
	took    time.Duration // until the header; 0 when there was none
	// unreached: no connection was made.
	unreached bool
}

// settle ends an attempt: what its result says is recorded, and its permit is free.
func (r *roster) settle(now time.Duration, a *attempt, res *result) {
	r.mu.Lock()
	defer r.unlock()
	m := a.member
	if res.outcome != "" {
		m.outcomes[res.outcome]++
	}
	last := m.flying[len(m.flying)-1]
	m.flying[a.place], last.place = last, a.place
	m.flying[len(m.flying)-1] = nil
	m.flying = m.flying[:len(m.flying)-1]
	r.recordLocked(now, a, res)
	if a.overdue {
		m.health.overdue--
	}
	if a.probe {
		m.health.probing = false
	}
	m.inUse--
	r.grantLocked(now, m)
}

// record takes note of what an attempt says about its server before it ends.
func (r *roster) record(now time.Duration, a *attempt, res *result) {
	r.mu.Lock()
	defer r.unlock()
	r.recordLocked(now, a, res)
}

func (r *roster) recordLocked(now time.Duration, a *attempt, res *result) {
	m, h, e := a.member, &a.member.health, &r.conf.eject
	if res.good {
		m.mean.add(now, res.took)
		m.usual.add(now, res.took)
	}
	if a.counted || h.out && !a.probe && a.began <= h.outAt || !res.good && !res.bad {
		return // known, more of what it was ejected for, or nothing
	}
	a.counted = true
	switch {
	case res.good:
		r.goodLocked(now, a, res.took)
		return
	case h.out:
		if res.unreached || !r.blame.everywhere(now, a.target) {
			h.probeFailed(e, now, res.reason)
		} else {
			h.until = now + e.For // it says nothing about this server
		}
		return
	case res.unreached, r.blame.failed(now, a.target, m):
		h.failed(now, res.reason, res.unreached)
	case r.blame.everywhere(now, a.target):
		return
	case !h.suspect(e, now, a.target, res.reason, othersGood(a.members, m)):
		h.reason = res.reason
		return
	}
	r.judgeLocked(now, a.members, m)
}

func (r *roster) goodLocked(now time.Duration, a *attempt, took time.Duration) {
	m := a.member
	if took < r.patienceLocked(now).slow {
		r.outage.good(now)
	} else {
		r.outage.silent(now, a.began)
	}
	for _, guilty := range r.blame.answeredWell(now, a.target, m) {
		if h := &guilty.health; !h.out {
			h.failed(now, h.reason, false)
			r.judgeLocked(now, a.members, guilty)
		}
	}
	if m.health.good(now); m.health.out {
		r.comeBackLocked(now, m)
	} else if m.health.failing {
		r.judgeLocked(now, a.members, m)
	}
}

// comeBackLocked returns m to service.
func (r *roster) comeBackLocked(now time.Duration, m *member) {
	m.health.comeBack(&r.conf.eject, now)
	r.notePresenceLocked()
	r.becameLocked(m, false)
	r.wakeLocked(now)
}

// othersGood is when another server than m last answered well.
func othersGood(members []*member, m *member) (last time.Duration) {
	for _, o := range members {
		if o != m {
			last = max(last, o.health.lastGood)
		}
	}
	return last
}

// judgeLocked ejects m if it fails too often and enough others are left: never the
// last that is good, and never more than half of the servers, except that one which
// cannot be reached relieves the others of nothing.
func (r *roster) judgeLocked(now time.Duration, members []*member, m *member) {
	h := &m.health
	was := h.failing
	if h.judge(&r.conf.eject, now) != was && !h.out {
		h.since = now
	}
	if !h.failing || h.out || h.check.down {
		if was && !h.failing {
			r.becameLocked(m, false)
		}
		return
	}
	out, good := 1, false
	for _, o := range members {
		if o.health.out {
			out++
		}
		good = good || o != m && o.good()
	}
	if beyond := out > len(members)/2; good && (!beyond || h.unreached) {
		h.eject(&r.conf.eject, now, beyond)
		r.anyOut.Store(true)
	}
	if h.out || !was {
		r.becameLocked(m, true)
	}
}
