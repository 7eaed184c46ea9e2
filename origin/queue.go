package origin

import (
	"slices"
	"sync/atomic"
	"time"
)

// waiter is an attempt that waits for a permit of one of several servers.
type waiter struct {
	*attempt
	// people counts the clients who wait for the answer; nil counts as one. A
	// request that none waits for is in the background.
	people *atomic.Int64
	since  time.Duration
	// granted receives true when the attempt has a permit, and false when its place
	// in the queue went to another or, with failing, the origin fails.
	granted chan bool
	failing bool
}

// urgency is how many clients the answer serves.
func (w *waiter) urgency() int64 {
	if w.people == nil {
		return 1
	}
	return w.people.Load()
}

// queue holds the requests that wait for permits, in the order in which they came. It
// serves those first that most clients wait for, and requests in the background last;
// among equals the one that has waited longest. After a purge of everything this
// fills the store with what is popular, and so shortens the queue, soonest. To serve
// the newest first would make most waits shorter, but many requests would give up
// that could be served in time (TestQueueAfterPurge compares them).
type queue struct {
	size    int
	waiters []*waiter
}

// push adds w. It returns the waiter who must give up its place because the queue is
// full: the least urgent, of several the newest, which may be w itself.
func (q *queue) push(w *waiter) (displaced *waiter) {
	q.waiters = append(q.waiters, w)
	if len(q.waiters) <= q.size {
		return nil
	}
	last := 0
	for i, o := range q.waiters {
		if o.urgency() <= q.waiters[last].urgency() {
			last = i
		}
	}
	displaced = q.waiters[last]
	q.cut(last)
	return displaced
}

// pop removes and returns the waiter to serve next among those that may is true of,
// or nil.
func (q *queue) pop(may func(*waiter) bool) *waiter {
	next := -1
	var most int64
	for i, w := range q.waiters {
		if u := w.urgency(); (next < 0 || u > most) && may(w) {
			next, most = i, u
		}
	}
	if next < 0 {
		return nil
	}
	w := q.waiters[next]
	q.cut(next)
	return w
}

// remove takes w out, and reports whether it was there.
func (q *queue) remove(w *waiter) bool {
	for i, o := range q.waiters {
		if o == w {
			q.cut(i)
			return true
		}
	}
	return false
}

// cutAll removes and returns the waiters of which gone is true.
func (q *queue) cutAll(gone func(*waiter) bool) (out []*waiter) {
	kept := q.waiters[:0]
	for _, w := range q.waiters {
		if gone(w) {
			out = append(out, w)
		} else {
			kept = append(kept, w)
		}
	}
	clear(q.waiters[len(kept):])
	q.waiters = kept
	return out
}

func (q *queue) cut(i int) {
	copy(q.waiters[i:], q.waiters[i+1:])
	q.waiters[len(q.waiters)-1] = nil
	q.waiters = q.waiters[:len(q.waiters)-1]
}

// acquire gives a a permit of the server to try next. When there is none it returns the
// place in the queue that a was given.
func (r *roster) acquire(now time.Duration, a *attempt, people *atomic.Int64) *waiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(a.tried) == 0 {
		r.retries.request(now)
		r.hedges.request(now)
	}
	if m := r.chooseLocked(now, a.members, a.tried, true); m != nil {
		r.takeOffLocked(now, a, m)
		return nil
	}
	w := &waiter{attempt: a, people: people, since: now, granted: make(chan bool, 1)}
	if displaced := r.waiting.push(w); displaced != nil {
		displaced.granted <- false
	}
	return w
}

// giveUp ends the wait of w. A permit that it was granted meanwhile goes on.
func (r *roster) giveUp(now time.Duration, w *waiter) {
	r.mu.Lock()
	in := r.waiting.remove(w)
	r.mu.Unlock()
	if !in && <-w.granted {
		r.settle(now, w.attempt, &result{})
	}
}

// grantLocked hands the free permits of m to those who wait.
func (r *roster) grantLocked(now time.Duration, m *member) {
	for m.inUse < m.limit && len(r.waiting.waiters) > 0 {
		w := r.waiting.pop(func(w *waiter) bool { return mayServe(w, m) })
		if w == nil {
			return
		}
		r.takeOffLocked(now, w.attempt, m)
		w.granted <- true
	}
}

// mayServe reports whether m is among the servers to try next for w.
func mayServe(w *waiter, m *member) bool {
	s, best, mine := standingOf(w.members), ranks, ranks
	for _, o := range w.members {
		if slices.Contains(w.tried, o) {
			continue
		}
		best = min(best, s.rank(o))
		if o == m {
			mine = s.rank(o)
		}
	}
	return mine == best && mine < ranks
}

// wakeLocked hands free permits out after the servers, or what is known of them,
// have changed.
func (r *roster) wakeLocked(now time.Duration) {
	for _, m := range r.members {
		r.grantLocked(now, m)
	}
}
