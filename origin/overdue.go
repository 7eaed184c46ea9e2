package origin

import (
	"slices"
	"time"
)

// watchRound is how often what is in flight is looked at.
const watchRound = 20 * time.Millisecond

// watchLingers is after how many rounds without anything in flight the watch ends.
const watchLingers = 5

// late is an attempt beside which another is to begin.
type late struct {
	*attempt
	to  *member // whose permit is taken
	why why
}

// watchLocked makes sure that what is in flight is watched. That costs an exchange
// next to nothing, where timers of its own would cost it several percent.
func (r *roster) watchLocked() {
	if !r.watching && r.quit.Err() == nil {
		r.watching = true
		go r.watch()
	}
}

// watch looks at what is in flight until there has been nothing for a while, or the
// pool is closed.
func (r *roster) watch() {
	tick := time.NewTicker(watchRound)
	defer tick.Stop()
	for idle := 0; ; {
		select {
		case <-r.quit.Done():
			return
		case <-tick.C:
		}
		due, vain, busy := r.look(r.clock())
		for _, l := range due {
			l.owner.rival(l.to, l.why)
		}
		for _, a := range vain {
			a.owner.yield()
		}
		if idle++; busy {
			idle = 0
		}
		if idle > watchLingers && r.unwatch() {
			return
		}
	}
}

// unwatch reports whether the watch may end.
func (r *roster) unwatch() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.list {
		if len(m.flying) > 0 {
			return false
		}
	}
	r.watching = false
	return true
}

// look notes which attempts take longer than is usual and what that says about their
// servers and the origin. It returns those beside which another is to begin, and those
// that are to be given up since the origin fails, and reports whether anything is in
// flight.
func (r *roster) look(now time.Duration) (due []late, vain []*attempt, busy bool) {
	r.mu.Lock()
	defer r.unlock()
	p := r.patienceLocked(now)
	for _, m := range r.list {
		busy = busy || len(m.flying) > 0
		for _, a := range m.flying {
			if l := r.lookAtLocked(now, a, p.within(a.left)); l.attempt != nil {
				due = append(due, l)
			}
		}
	}
	if busy && r.failingLocked(r.list) {
		vain = r.vainLocked()
	}
	return due, vain, busy
}

// vainLocked returns the attempts that are to be given up while the origin fails. It
// sends away those that wait for a permit.
func (r *roster) vainLocked() (vain []*attempt) {
	for _, m := range r.list {
		for _, a := range m.flying {
			if a.yields && a.stage.Load() == 0 {
				vain = append(vain, a)
			}
		}
	}
	for _, w := range r.waiting.cutAll(func(w *waiter) bool { return w.yields }) {
		w.failing = true
		w.granted <- false
	}
	return vain
}

func (r *roster) lookAtLocked(now time.Duration, a *attempt, p patience) (l late) {
	stage := a.stage.Load()
	if stage != a.seen {
		if a.seen, a.seenAt = stage, now; a.overdue {
			a.overdue = false
			a.member.health.overdue--
		}
		return l
	}
	waited := now - a.seenAt
	if stage > 0 {
		// The body: nothing can be repeated any more, but others are warned. It counts
		// again as long as it lasts, since a server that holds a few such exchanges
		// may be given no others.
		if stage%2 == 1 && a.stalls.Load() && waited >= time.Duration(a.lates+1)*p.slow {
			if a.lates++; a.lates > 1 {
				a.counted = false
			}
			r.lateLocked(now, a, p.slow, "a response body has stalled")
		}
		return l
	}
	if waited >= p.overdue && !a.overdue {
		a.overdue = true
		a.member.health.overdue++
	}
	if l = r.rivalLocked(now, a, p, waited); l.attempt == nil && waited >= p.slow {
		r.lateLocked(now, a, p.slow, "no answer has come")
	}
	return l
}

// slow returns how long an answer may take that is not slow.
func (r *roster) slow(now time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.patienceLocked(now).slow
}

// hedgeEnded counts a hedge.
func (r *roster) hedgeEnded(won bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hedged[won]++
}

// lateLocked takes note of an attempt for which slow was not enough.
func (r *roster) lateLocked(now time.Duration, a *attempt, slow time.Duration, what string) {
	if a.counted || a.member.health.out {
		return
	}
	if othersGood(a.members, a.member) <= a.seenAt {
		r.outage.silent(now, a.seenAt) // nobody else has answered either
		return
	}
	a.counted = true
	r.lostLocked(now, a, slow, what+" for "+round(now-a.seenAt)+", while other servers answered")
}

// lostLocked counts an attempt that was too slow against its server.
func (r *roster) lostLocked(now time.Duration, a *attempt, slow time.Duration, reason string) {
	h := &a.member.health
	a.member.mean.add(now, now-a.began)
	if h.reason = reason; !h.out && h.lose(&r.conf.eject, now, a.began, slow, reason) {
		r.judgeLocked(now, a.members, a.member)
	}
}

// lost takes note that another server has answered the request of a, which was given
// up for that.
func (r *roster) lost(now time.Duration, a *attempt, reason string) {
	r.mu.Lock()
	defer r.unlock()
	if !a.counted {
		a.counted = true
		if unsaid, yes := a.member.say(now, "slow"); yes {
			r.newsLocked(news{url: a.member.url, kind: "slow", reason: reason, unsaid: unsaid})
		}
		r.lostLocked(now, a, r.patienceLocked(now).slow, reason)
	}
}

// rivalLocked decides whether another server is to be asked beside a, and takes a
// permit of it.
func (r *roster) rivalLocked(now time.Duration, a *attempt, p patience, waited time.Duration) (l late) {
	if !a.safe || a.raced {
		return l
	}
	hedge := a.hedged && p.hedge > 0 && waited >= p.hedge
	if !hedge && waited < p.slow && !(a.overdue && a.member.health.suspected(now)) {
		return l
	}
	m := r.chooseLocked(now, a.members, slices.Concat(a.tried, []*member{a.member}), true)
	if m == nil || !m.good() || m.health.suspected(now) {
		return l
	}
	switch {
	case hedge && r.hedges.take(now):
		l.why = whyHedge
	case (waited >= p.slow || a.overdue && a.member.health.suspected(now)) && r.conf.retries > 0 && r.retries.take(now):
		l.why = whySlow
		r.retried[whySlow]++
	default:
		return l
	}
	a.raced = true
	m.inUse++ // for the rival
	l.attempt, l.to = a, m
	return l
}

func round(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }
