package origin

import "time"

// tally counts two kinds of events over the most recent span of time. It forgets
// them by the tenth of a span.
type tally struct {
	span  time.Duration
	slots [10]struct {
		turn int64 // which tenth of a span since the clock's zero this is
		n    [2]int
	}
}

// add counts one event of a kind.
func (t *tally) add(now time.Duration, kind int) {
	turn := int64(now / (t.span / 10))
	s := &t.slots[turn%10]
	if s.turn != turn {
		s.turn, s.n = turn, [2]int{}
	}
	s.n[kind]++
}

// sums returns how many events of each kind the span holds.
func (t *tally) sums(now time.Duration) (sums [2]int) {
	turn := int64(now / (t.span / 10))
	for i := range t.slots {
		if s := &t.slots[i]; s.turn > turn-10 && s.turn <= turn {
			sums[0] += s.n[0]
			sums[1] += s.n[1]
		}
	}
	return sums
}

// budgetSpan is the time that the share of a budget is taken of.
const budgetSpan = 10 * time.Second

// budget limits additional requests to a share of all requests of the last ten
// seconds, but allows always as many as its floor.
type budget struct {
	share float64
	floor int
	seen  tally // requests, and those that were additional
}

// request counts a request that causes additional ones to be allowed.
func (b *budget) request(now time.Duration) { b.seen.add(now, 0) }

// take reports whether one more additional request is within the budget, and
// counts it if so.
func (b *budget) take(now time.Duration) bool {
	n := b.seen.sums(now)
	if n[1] >= max(b.floor, int(b.share*float64(n[0]))) {
		return false
	}
	b.seen.add(now, 1)
	return true
}
