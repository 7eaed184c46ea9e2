package shed

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// Overload turns away a share of the requests that would go to an origin, so large that
// a goroutine that may run does run soon. See docs/decisions/0016.
type Overload struct {
	share atomic.Uint32 // in whole's parts
	room  *Room
	crowd int64 // while fewer wait for origins, nothing is turned away
	log   *slog.Logger

	mu   sync.Mutex    // protects done
	done chan struct{} // closed when the watch has ended; nil before it began
}

// whole is a share of 1.
const whole = 1 << 16

// crowdOf is of how many requests that wait for origins, for each processor, there is a
// crowd. Where goroutines wait for a processor and fewer do, something else keeps the
// machine busy: a neighbour, or another program. To turn requests away would not help.
const crowdOf = 32

// NewOverload returns an Overload that turns nothing away until Start. Room knows how
// many requests wait.
func NewOverload(room *Room, log *slog.Logger) *Overload {
	return &Overload{room: room, crowd: int64(crowdOf * runtime.GOMAXPROCS(0)), log: log}
}

// Sheds reports whether to turn this request away. It costs a load while there is no
// overload.
func (o *Overload) Sheds() bool {
	s := o.share.Load()
	return s > 0 && o.room.Waiting() >= o.crowd && rand.Uint32N(whole) < s
}

// Set makes the share that is turned away that one.
func (o *Overload) Set(share float64) { o.share.Store(uint32(share * whole)) }

// Share returns the share that is turned away, from 0 to 1.
func (o *Overload) Share() float64 { return float64(o.share.Load()) / whole }

// round is how often the delay is looked at.
const round = 50 * time.Millisecond

// Start begins to watch, until ctx ends. When it has been called before, or ctx is over,
// it does nothing.
func (o *Overload) Start(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done != nil || ctx.Err() != nil {
		return
	}
	o.done = make(chan struct{})
	go func() {
		defer close(o.done)
		o.watch(ctx)
	}()
}

// Wait returns when what Start began has ended, as its context has.
func (o *Overload) Wait() {
	o.mu.Lock()
	done := o.done
	o.mu.Unlock()
	if done != nil {
		<-done
	}
}

func (o *Overload) watch(ctx context.Context) {
	tick := time.NewTicker(round)
	defer tick.Stop()
	var c control
	d := newDelays()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		delay, ok := d.median()
		if !ok {
			continue
		}
		o.Set(c.next(delay))
		o.tell(&c)
	}
}

// tell logs when an overload begins and when it is over.
func (o *Overload) tell(c *control) {
	switch c.news() {
	case newsBegan:
		o.log.Warn("overload: requests that would go to an origin are turned away", "share", c.share, "delay", c.delay.String())
	case newsOver:
		o.log.Info("overload is over")
	case newsNone:
	}
}

// The delay that is aimed at is well below what people notice, and well above what
// garbage collection, a burst or a busy neighbour on the machine cause: a request that
// goes to an origin waits for a processor about five times.
const (
	target = 40 * time.Millisecond
	// sustained is how many rounds in a row the delay must be above the target before
	// anything is turned away. A burst is over by then.
	sustained = 3
	// mostShed leaves something to go to the origins: the store fills, and it is seen
	// when the overload is over.
	mostShed  = 0.95
	leastShed = 0.01
)

// control derives the share to turn away from the delays, one a round. It reads no
// clock.
type control struct {
	share float64
	delay time.Duration // last
	above int           // rounds in a row
	quiet int           // rounds since the share was above 0
	told  bool
}

// next returns the share after a round with that delay. The share grows by how far the
// delay is above the target, and falls slowly near the target, so that it settles, and
// fast far below it, so that an overload is over when its cause is.
func (c *control) next(delay time.Duration) float64 {
	c.delay = delay
	if delay > target {
		c.above++
	} else {
		c.above = 0
	}
	ratio := float64(delay) / float64(target)
	switch {
	case c.above >= sustained:
		c.share = min(mostShed, c.share+0.05*min(ratio, 6))
	case c.above > 0:
	case ratio > 0.25:
		c.share *= 0.98
	default:
		c.share *= 0.85
	}
	if c.share < leastShed {
		c.share = 0
	}
	if c.quiet++; c.share > 0 {
		c.quiet = 0
	}
	return c.share
}

type news uint8

const (
	newsNone news = iota
	newsBegan
	newsOver
)

// calm is for how many rounds nothing must have been turned away until an overload
// counts as over.
const calm = 200

// news returns what is to be told after a round.
func (c *control) news() news {
	switch {
	case c.share > 0 && !c.told:
		c.told = true
		return newsBegan
	case c.told && c.quiet >= calm:
		c.told = false
		return newsOver
	}
	return newsNone
}

// delays knows how long goroutines that could run have waited for a processor.
type delays struct {
	sample []metrics.Sample
	last   []uint64
	rounds int // since last
}

func newDelays() *delays {
	d := &delays{sample: []metrics.Sample{{Name: "/sched/latencies:seconds"}}}
	d.rounds = mostRounds
	d.median()
	return d
}

const (
	// fewest is of how many waits a median means something. The runtime counts one in
	// eight, so that a machine that can do no more than a hundred requests a second is
	// seen, too.
	fewest = 5
	// mostRounds is after how many rounds with fewer waits than that nobody waits.
	mostRounds = 4
)

// median returns the median of the waits since it last returned one. Half of the
// goroutines that got to run waited for longer: a queue stands. It reports false where
// there were too few.
func (d *delays) median() (time.Duration, bool) {
	metrics.Read(d.sample)
	if d.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0, true // this runtime does not say
	}
	h := d.sample[0].Value.Float64Histogram()
	if len(d.last) != len(h.Counts) {
		d.last = make([]uint64, len(h.Counts))
	}
	total := uint64(0)
	for i, n := range h.Counts {
		total += n - d.last[i]
	}
	if d.rounds++; total < fewest && d.rounds < mostRounds {
		return 0, false
	}
	d.rounds = 0
	left, median := (total+1)/2, 0.0
	for i, n := range h.Counts {
		here := n - d.last[i]
		d.last[i] = n
		if left > 0 && here >= left && total >= fewest {
			median = max(0, h.Buckets[i]) // its lower bound
		}
		left -= min(left, here)
	}
	return time.Duration(median * float64(time.Second)), true
}
