package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// pulse measures how late this program itself runs, and how long weir's threads wait for a processor that others have:
// on a busy machine nobody can be held to a bound more closely.
type pulse struct {
	mu      sync.Mutex // protects the fields below
	beats   [memory]time.Duration
	stretch [memory]float64
	at      int
}

const (
	beat   = 50 * time.Millisecond
	window = time.Second
	memory = 10 // windows that are remembered
	// maxStretch bounds what a busy machine excuses; quietStretch does so where most of the bound is timeouts that run by
	// the clock.
	maxStretch   = 6
	quietStretch = 2
)

// run measures until ctx ends. The directory has an entry for each thread of weir (proc(5), task).
func (p *pulse) run(ctx context.Context, threads func() string) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	var worst time.Duration
	ran, waited := schedule(threads())
	begin := time.Now()
	for last := begin; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		worst = max(worst, now.Sub(last)-beat)
		last = now
		if now.Sub(begin) < window {
			continue
		}
		r, w := schedule(threads())
		p.note(worst, r-ran, w-waited)
		begin, worst, ran, waited = now, 0, r, w
	}
}

// note takes the result of a window: the worst delay of a beat, and how long weir's threads ran and waited.
func (p *pulse) note(worst, ran, waited time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = (p.at + 1) % memory
	p.beats[p.at], p.stretch[p.at] = worst, 1
	if ran > 0 && waited > 0 {
		p.stretch[p.at] = 1 + waited.Seconds()/ran.Seconds()
	}
}

// within returns the bound d with what the machine's load excuses, which is at most so many times d.
func (p *pulse) within(d time.Duration, most float64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var worst time.Duration
	stretch := 1.0
	for i := range memory {
		worst, stretch = max(worst, p.beats[i]), max(stretch, p.stretch[i])
	}
	return time.Duration(float64(d)*min(stretch, most)) + 4*max(0, worst)
}

// within is a bound as it holds on this machine now.
func (b *bench) within(d time.Duration) time.Duration { return b.pulse.within(d, maxStretch) }

// schedule is how long the threads of a process have run, and how long they have waited for a processor.
func schedule(tasks string) (ran, waited time.Duration) {
	paths, err := filepath.Glob(filepath.Join(tasks, "*", "schedstat"))
	if err != nil {
		return 0, 0
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		var r, w int64
		if _, err := fmt.Sscan(string(text), &r, &w); err == nil {
			ran += time.Duration(r)
			waited += time.Duration(w)
		}
	}
	return ran, waited
}
