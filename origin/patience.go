package origin

import (
	"math/bits"
	"time"
)

const (
	// latencyBuckets divide the time from 64 us to more than a minute, four to
	// each doubling.
	latencyBuckets = 88
	// latencyLeast is how many answers a quantile is taken of at least.
	latencyLeast = 20
	// latencyRound is how often the older answers lose some of their weight, and
	// latencyFade what they keep: half of it after five minutes.
	latencyRound = 10 * time.Second
	latencyFade  = 0.977
)

// latencies estimates quantiles of how long an origin usually takes to answer.
type latencies struct {
	weights [latencyBuckets]float64
	total   float64
	faded   time.Duration // when the weights were last reduced
}

// latencyBucket returns the bucket of d: the position of its highest bit in
// microseconds, and the two bits below that.
func latencyBucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 64))
	n := bits.Len64(us)
	return min((n-7)*4+int(us>>(n-3)&3), latencyBuckets-1)
}

// latencyBound returns the upper bound of a bucket.
func latencyBound(bucket int) time.Duration {
	return time.Duration((5+bucket%4)<<(bucket/4+4)) * time.Microsecond
}

// add records one answer.
func (l *latencies) add(now, d time.Duration) {
	if rounds := int((now - l.faded) / latencyRound); rounds > 0 {
		l.faded += time.Duration(rounds) * latencyRound
		keep := 1.0
		for range min(rounds, 1000) {
			keep *= latencyFade
		}
		for i := range l.weights {
			l.weights[i] *= keep
		}
		l.total *= keep
	}
	l.weights[latencyBucket(d)]++
	l.total++
}

// quantile returns a time within which the share q of the answers came, or 0 while
// there are too few of them to know.
func (l *latencies) quantile(q float64) time.Duration {
	if l.total < latencyLeast {
		return 0
	}
	above := l.total * (1 - q)
	for i := latencyBuckets - 1; i > 0; i-- {
		if above -= l.weights[i]; above < 0 {
			return latencyBound(i)
		}
	}
	return latencyBound(0)
}

const (
	// ewmaShare is the share of the newest answer in a server's mean.
	ewmaShare = 0.2
	// ewmaFades is how long a mean counts that no answer confirms: a server that
	// was slow is given requests again, and shows what it is now.
	ewmaFades = 10 * time.Second
)

// mean is a moving mean of how long one server takes to answer.
type mean struct {
	value float64 // seconds; 0 is unknown
	at    time.Duration
}

func (m *mean) add(now, d time.Duration) {
	if m.value == 0 || now-m.at > ewmaFades {
		m.value = d.Seconds()
	} else {
		m.value += ewmaShare * (d.Seconds() - m.value)
	}
	m.at = now
}

// known returns the mean, or 0 when there is none or it is too old.
func (m *mean) known(now time.Duration) float64 {
	if now-m.at > ewmaFades {
		return 0
	}
	return m.value
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
