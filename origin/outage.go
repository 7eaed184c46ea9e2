package origin

import (
	"slices"
	"time"
)

// outage knows whether an origin as a whole fails, judged by the requests that were
// sent to it whatever the number of attempts: then what is stored may stand in at
// once, and one request at a time finds out whether the origin is back.
type outage struct {
	failing  bool
	lastGood time.Duration
	wrong    []uint64 // distinct targets that failed since then

	probing bool
	next    time.Duration // when the next probe may begin
	pause   time.Duration // from one probe to the next
}

const (
	// outageTargets is of how many targets an origin must fail to answer in a row to
	// be failing; one alone may be at fault itself.
	outageTargets = 3
	// The pause between two probes grows from the shortest to the longest.
	shortestPause = 100 * time.Millisecond
	longestPause  = 2 * time.Second
)

// good records that the origin answered a request within the usual time.
func (o *outage) good(now time.Duration) {
	o.lastGood, o.wrong = now, o.wrong[:0]
	if o.failing {
		o.failing, o.pause = false, 0
	}
}

// silent records that the origin could not be reached, did not answer, or not within
// the usual time, when asked at began. That is enough when it has given no good
// answer since.
func (o *outage) silent(now, began time.Duration) {
	if o.lastGood <= began {
		o.fail(now)
	}
}

// bad records that the origin failed to answer target.
func (o *outage) bad(now time.Duration, target uint64) {
	if len(o.wrong) < outageTargets && !slices.Contains(o.wrong, target) {
		o.wrong = append(o.wrong, target)
	}
	if len(o.wrong) == outageTargets {
		o.fail(now)
	}
}

func (o *outage) fail(now time.Duration) {
	if !o.failing {
		o.failing, o.pause = true, shortestPause
		o.next = now + o.pause
	}
}

// probe reports whether a request may be sent now to find out whether the origin is
// back, and if so reserves that for it until probed.
func (o *outage) probe(now time.Duration) bool {
	if o.probing || o.failing && now < o.next {
		return false
	}
	o.probing = true
	return true
}

// probed ends the probe.
func (o *outage) probed(now time.Duration) {
	o.probing = false
	if o.failing {
		o.next = now + o.pause
		o.pause = min(2*o.pause, longestPause)
	}
}
