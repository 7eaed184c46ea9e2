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
	// patienceRound is for how long a patience holds before it is derived anew.
	patienceRound = 100 * time.Millisecond
)

// patience is how long the answers of an origin are waited for, derived from how long
// they usually take.
type patience struct {
	// overdue is later than almost all answers come. From then on the server is
	// suspected, and if there was reason to suspect it before, another is asked.
	overdue time.Duration
	// slow is so late that another server is asked in any case, and that the origin
	// as a whole is failing when it has none.
	slow time.Duration
	// hedge is when a hedge is due; 0 is never.
	hedge time.Duration
}

// patienceOf derives a patience from the latencies of the server that is fastest. That
// is what is usual: a server that is slow must not make others wait longer.
func patienceOf(members []*member, h *Hedge) patience {
	var usual *latencies
	p99 := time.Duration(0)
	for _, m := range members {
		if q := m.usual.quantile(0.99); q > 0 && (p99 == 0 || q < p99) {
			usual, p99 = &m.usual, q
		}
	}
	p := patience{overdue: max(overdueLeast, p99), slow: max(slowLeast, slowTimes*p99), hedge: h.After}
	if usual == nil {
		p.overdue = p.slow
		return p
	}
	if h.Quantile > 0 {
		p.hedge = usual.quantile(h.Quantile)
	}
	return p
}

// within returns the patience for an attempt that has d left: another server must get
// at least half of the time.
func (p patience) within(d time.Duration) patience {
	p.slow = min(p.slow, d/2)
	p.overdue = min(p.overdue, p.slow)
	return p
}

// patienceLocked returns the present patience with the origin.
func (r *roster) patienceLocked(now time.Duration) patience {
	if r.patience.slow == 0 || now-r.derived >= patienceRound {
		r.patience, r.derived = patienceOf(r.list, &r.conf.hedge), now
	}
	return r.patience
}
