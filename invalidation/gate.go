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
	// over is when the present closure ends, nanoseconds after base.
	over atomic.Int64

	mu   sync.Mutex    // orders changes, and protects what follows
	span time.Duration // 0: a closure lasts until it is ended
}

const gateForever = math.MaxInt64

func newGate() *Gate {
	g := &Gate{base: time.Now()}
	g.until.Store(gateForever)
	g.over.Store(gateForever)
	return g
}

// Span sets how long a closure lasts at most, from the next one on. As with being
// open, that is left to nobody's attention: what a process fetched before it was
// stopped, in a closure, is no good when it goes on.
func (g *Gate) Span(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.span = d
}

// begin names the closure that begins now. The caller holds mu.
func (g *Gate) begin(c uint64) {
	over := int64(gateForever)
	if g.span > 0 {
		over = int64(time.Since(g.base) + g.span)
	}
	// In this order, and read in the other: whoever sees this end sees this
	// closure, and none is taken to last for as long as a later one.
	g.closure.Store(c)
	g.over.Store(over)
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
	over := g.over.Load()
	if c := g.closure.Load(); c%2 == 1 && g.lasts(over) {
		return c
	}
	// It was left to run out, and this request is the first to see it.
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.closure.Load()
	if c%2 == 0 || !g.lasts(g.over.Load()) {
		// From either to the next odd number.
		c += 1 + c%2
		g.begin(c)
	}
	return c
}

func (g *Gate) lasts(over int64) bool {
	return over == gateForever || time.Since(g.base) < time.Duration(over)
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
	g.begin(g.closure.Load()&^1 + 3)
}
