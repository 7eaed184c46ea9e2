package front

import (
	"sync/atomic"
	"time"
)

// How long a client may take for a header section, and between two requests, is
// watched from outside. Fasthttp's own timeouts set two deadlines for each request;
// with the clock readings they take that was a 25th of the cost of a RAM hit. Here a
// request pays a few stores, and a goroutine looks at all connections a few times a
// second: what has overstayed gets a deadline that has passed. So a timeout is up to
// two rounds late, and never early. Time in which the process itself did not run, or
// came late to a round, counts for nobody.
//
// How long a body may take to arrive is a deadline of its own (upload), and how long
// one may take to leave is the kernel's (package listen).

// phase is what a connection is waited for.
type phase uint32

const (
	// phaseNew: its first header section, from when it was accepted.
	phaseNew phase = iota
	// phaseIdle: its next request.
	phaseIdle
	// phaseHeader: the rest of a header section that has begun.
	phaseHeader
	// phaseServing: nothing; a request is being answered.
	phaseServing
	// phaseOver: it has overstayed.
	phaseOver
)

// coarseClock is a time that is set a few times a second, and costs a load.
type coarseClock struct{ t atomic.Int64 }

func (c *coarseClock) now() int64 { return c.t.Load() }

// advance moves the clock on by what has passed, at most by a round: after a stop of
// the whole process, or of its machine, what has come since would look as old as
// the stop was long. Only one goroutine calls it.
func (c *coarseClock) advance(passed, round time.Duration) {
	c.t.Add(int64(min(passed, round)))
}
