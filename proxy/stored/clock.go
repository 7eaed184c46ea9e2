package stored

import (
	"sync/atomic"
	"time"
)

// Clock tells the time by which what is stored ages. It runs with the monotonic clock
// and never goes back: an object must not look younger than it was a moment ago because
// somebody has set the wall clock back. It follows the wall clock forward, since a
// machine that slept counts none of that time. Ages are differences of its moments;
// what an origin says (Date, Expires) is about the wall clock, see Behind.
type Clock struct {
	now   func() time.Time
	start time.Time
	base  atomic.Pointer[clockBase]
}

// clockBase is a moment of the monotonic clock, since start, and what it was then in
// unix nanoseconds.
type clockBase struct {
	since time.Duration
	nanos int64
}

// clockSlack is by how much the wall clock may be ahead until the clock follows.
const clockSlack = int64(time.Millisecond)

// NewClock returns a clock that reads now. Where its times have no monotonic reading it
// is the wall clock.
func NewClock(now func() time.Time) *Clock {
	c := &Clock{now: now, start: now()}
	c.base.Store(&clockBase{nanos: c.start.UnixNano()})
	return c
}

// Now reads the clock.
func (c *Clock) Now() int64 { return c.At(c.now()) }

// At is the moment t in unix nanoseconds.
func (c *Clock) At(t time.Time) int64 { return c.at(t.UnixNano(), t.Sub(c.start)) }

// Behind is by how much the wall clock is behind the clock at t, in nanoseconds: it was
// set back while the process ran.
func (c *Clock) Behind(t time.Time) int64 { return c.At(t) - t.UnixNano() }

func (c *Clock) at(wall int64, since time.Duration) int64 {
	for {
		b := c.base.Load()
		steady := b.nanos + int64(since-b.since)
		if wall <= steady+clockSlack {
			return max(steady, wall)
		}
		if c.base.CompareAndSwap(b, &clockBase{since: since, nanos: wall}) {
			return wall
		}
	}
}

// Step is by how much the wall clock was set between two readings: below 0 back.
func Step(before, after time.Time) time.Duration {
	return time.Duration(after.UnixNano()-before.UnixNano()) - after.Sub(before)
}
