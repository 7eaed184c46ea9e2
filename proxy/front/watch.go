package front

import (
	"sync"
	"time"
)

// round is how often connections are looked at.
func (l *Limits) round() time.Duration {
	r := 250 * time.Millisecond
	for _, limit := range []time.Duration{l.HeaderTimeout, l.IdleTimeout} {
		if limit > 0 {
			r = min(r, max(limit/8, 5*time.Millisecond))
		}
	}
	return r
}

// watcher is the goroutine that holds connections to their time. It begins with the
// first listener; one that comes after the end begins none.
type watcher struct {
	o     *Options
	conns *connections

	mu      sync.Mutex    // protects what follows
	done    chan struct{} // closed when it has ended; nil before it began
	stopped bool
	ended   chan struct{} // closed by the first stop
}

func (w *watcher) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done != nil || w.stopped {
		return
	}
	w.done = make(chan struct{})
	go func() {
		defer close(w.done)
		w.watch()
	}()
}

// stop returns when it has ended.
func (w *watcher) stop() {
	w.mu.Lock()
	if !w.stopped {
		w.stopped = true
		close(w.ended)
	}
	done := w.done
	w.mu.Unlock()
	if done != nil {
		<-done
	}
}

// watch holds connections to their time until the server is closed.
func (w *watcher) watch() {
	round := w.o.round()
	ticker := time.NewTicker(round)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-w.ended:
			return
		case <-ticker.C:
		}
		now := time.Now()
		w.o.Stepped(last, now)
		passed := now.Sub(last)
		last = now
		w.conns.clock.advance(passed, round)
		coarse := w.conns.clock.now()
		w.conns.open.Range(func(k, _ any) bool {
			k.(*clientConn).hold(coarse, int64(w.o.HeaderTimeout), int64(w.o.IdleTimeout), int64(round))
			return true
		})
	}
}
