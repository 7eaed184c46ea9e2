package invalidation

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Gate says whether what is stored may be used without asking the origin: it may
// not while this node cannot know what its peers have purged. A node without
// peers has a gate that is always open.
//
// The gate opens for a time, not for good: whoever opens it must do so again
// before that is over. A process that was stopped and goes on finds the gate
// closed at its first request, before anybody has told it that it was away.
//
// While it is closed, time is divided into closures. What was fetched or
// confirmed during the present closure is as good as what the origin would say,
// so each object is asked for once in a closure and not with every request.
type Gate struct {
	base  time.Time
	until atomic.Int64 // open until then, nanoseconds after base
	// closure counts closures; it is even while the gate is open.
	closure atomic.Uint64

	mu sync.Mutex // orders changes
}

const gateForever = math.MaxInt64

func newGate() *Gate {
	g := &Gate{base: time.Now()}
	g.until.Store(gateForever)
	return g
}

// Open tells whether the gate is open at a time from time.Now. It costs two
// loads and a compare.
func (g *Gate) Open(now time.Time) bool {
	until := g.until.Load()
	return until == gateForever || now.Sub(g.base) < time.Duration(until)
}

// Closure names the present closure, for a request that found the gate closed:
// what began in it, and in no earlier one, may be used. It is never 0.
func (g *Gate) Closure() uint64 {
	if c := g.closure.Load(); c%2 == 1 {
		return c
	}
	// It was left to run out, and this request is the first to see it.
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.closure.Load()
	if c%2 == 0 {
		c++
		g.closure.Store(c)
	}
	return c
}

// Started names the closure that a fetch begins in, 0 when the gate is open: what
// it brings is not good for a closure that comes later.
func (g *Gate) Started(now time.Time) uint64 {
	if g.Open(now) {
		return 0
	}
	return g.Closure()
}

// OpenUntil opens the gate until then; it stays open where it is longer.
func (g *Gate) OpenUntil(t time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.closure.Load(); c%2 == 1 {
		// What began in that closure must not be taken for what begins in one
		// that comes later: the number goes on.
		g.closure.Store(c + 1)
		g.until.Store(int64(t.Sub(g.base)))
		return
	}
	g.until.Store(max(g.until.Load(), int64(t.Sub(g.base))))
}

// Close closes the gate, or begins the next closure where it is closed: nothing
// that began before is used without asking.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until.Store(0)
	// From one odd number to the next.
	g.closure.Store(g.closure.Load()&^1 + 3)
}
