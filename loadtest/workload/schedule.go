package workload

import (
	"math"
	"time"
)

// Schedule says when each request of an open loop is due.
type Schedule interface {
	// At returns when request number i (from 0) is due, counted from the start. ok is false when the schedule has no such
	// request. It never falls as i rises, and may be called by many goroutines.
	At(i int64) (due time.Duration, ok bool)
}

// Forever is the length of a schedule that something else ends.
const Forever = time.Duration(math.MaxInt64)

// Constant is a rate that does not change.
type Constant struct {
	PerSecond float64
	For       time.Duration // requests due at or after this are not part of it
}

// duration converts seconds. What is beyond a Duration is Forever, and not the negative that Go makes of it.
func duration(seconds float64) time.Duration {
	ns := seconds * float64(time.Second)
	if ns >= float64(Forever) {
		return Forever
	}
	return time.Duration(ns)
}

// At is i divided by the rate.
func (c Constant) At(i int64) (time.Duration, bool) {
	due := duration(float64(i) / c.PerSecond)
	return due, due < c.For
}

// Ramp is a rate that goes from one value to another evenly, and stays there.
type Ramp struct {
	From, To float64       // requests a second
	Over     time.Duration // how long the change takes
	For      time.Duration // the whole, the change included
}

// At solves From*t + (To-From)*t*t/(2*Over) = i for t, and continues at To after Over.
func (r Ramp) At(i int64) (time.Duration, bool) {
	over := r.Over.Seconds()
	rising := (r.From + r.To) / 2 * over // requests in the ramp
	var t float64
	switch {
	case float64(i) >= rising:
		t = over + (float64(i)-rising)/r.To
	default:
		// The form with the root in the divisor keeps its digits when both rates are nearly equal, or From is 0.
		a := (r.To - r.From) / (2 * over)
		root := math.Sqrt(max(r.From*r.From+4*a*float64(i), 0))
		if i > 0 {
			t = 2 * float64(i) / (r.From + root)
		}
	}
	due := duration(t)
	return due, due < r.For
}

// Times is a list of moments, those of a log for instance.
type Times []time.Duration

// At is the i-th of them.
func (t Times) At(i int64) (time.Duration, bool) {
	if i >= int64(len(t)) {
		return 0, false
	}
	return t[i], true
}
