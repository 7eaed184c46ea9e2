package origin

import "time"

// Hedge says when a second server is asked beside the first.
type Hedge struct {
	// After is how long the first is waited for; Quantile, when it is not 0, derives
	// that from the time that answers usually take. Both 0: there are no hedges.
	After    time.Duration
	Quantile float64
	// AtMost bounds hedges to a share of the requests of the last ten seconds.
	AtMost float64
}

const (
	// slowLeast is the least time that is taken for slow, whatever is usual, and
	// slowTimes how many times the usual p99 is.
	slowLeast = time.Second
	slowTimes = 3
	// overdueLeast is the least time after which an answer is overdue.
	overdueLeast = 100 * time.Millisecond
	// paceRound is for how long a pace holds before it is derived anew.
	paceRound = 100 * time.Millisecond
)

// pace is how long the answers of an origin are waited for, derived from how long
// they usually take.
type pace struct {
	// overdue is later than almost all answers come. From then on the server is
	// suspected, and if there was reason to suspect it before, another is asked.
	overdue time.Duration
	// slow is so late that another server is asked in any case, and that the origin
	// as a whole is failing when it has none.
	slow time.Duration
	// hedge is when a hedge is due; 0 is never.
	hedge time.Duration
}

// paceOf derives a pace from the usual latencies.
func paceOf(usual *latencies, h *Hedge) pace {
	p99 := usual.quantile(0.99)
	p := pace{overdue: max(overdueLeast, p99), slow: max(slowLeast, slowTimes*p99), hedge: h.After}
	if p99 == 0 {
		p.overdue = p.slow
	}
	if h.Quantile > 0 {
		p.hedge = usual.quantile(h.Quantile) // 0, which is never, while it is unknown
	}
	return p
}

// within returns the pace of an attempt that has d left: another server must get at
// least half of the time.
func (p pace) within(d time.Duration) pace {
	p.slow = min(p.slow, d/2)
	p.overdue = min(p.overdue, p.slow)
	return p
}

// paceLocked returns the present pace of the origin.
func (r *roster) paceLocked(now time.Duration) pace {
	if r.pace.slow == 0 || now-r.pacedAt >= paceRound {
		r.pace, r.pacedAt = paceOf(&r.usual, &r.conf.hedge), now
	}
	return r.pace
}
