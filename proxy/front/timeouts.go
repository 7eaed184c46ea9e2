package front

import (
	"sync"
	"sync/atomic"
	"time"
)

// How long a client may take for a header section, and between two requests, is
// watched from outside. Fasthttp's own timeouts set two deadlines for each request;
// with the clock readings they take that was a 25th of the cost of a RAM hit. Here a
// request pays a few stores, and a goroutine looks at all connections a few times a
// second: what has overstayed gets a deadline that has passed. So a timeout is up to two rounds late, and never early. Time in which the
// process itself did not run, or came late to a round, counts for nobody.
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

// began notes that the first bytes of a head have come. A new connection has the time
// of one head from when it was accepted.
func (k *clientConn) began() {
	if phase(k.phase.Load()) == phaseIdle {
		k.since.Store(k.clock.now())
		k.phase.CompareAndSwap(uint32(phaseIdle), uint32(phaseHeader))
	}
}

// serve notes that a head is here. The first bytes of a body are read before the
// handler runs; they have the time of a body.
func (k *clientConn) serve() {
	if was := k.phase.Load(); phase(was) != phaseOver {
		k.phase.CompareAndSwap(was, uint32(phaseServing))
	}
	if k.in.announced != 0 && k.bodyTime > 0 {
		k.bodyDeadline = true
		_ = k.Conn.SetReadDeadline(time.Now().Add(k.bodyTime)) // one that fails is closed
	}
}

// idle notes that the answer is out.
func (k *clientConn) idle() {
	if k.body != nil {
		// Its header was not written as it should have been, so that the client waits
		// for it.
		k.body = nil
		_ = k.Conn.Close()
	}
	was := k.phase.Load()
	if phase(was) == phaseOver {
		return
	}
	if k.bodyDeadline {
		k.bodyDeadline = false
		_ = k.Conn.SetReadDeadline(time.Time{}) // one that fails is closed
	}
	k.since.Store(k.clock.now())
	k.phase.CompareAndSwap(was, uint32(phaseIdle))
}

// longPast is a deadline that ends a read at once.
var longPast = time.Unix(1, 0)

// hold ends what a connection waits for when it has overstayed, and what it waits
// for in vain.
func (k *clientConn) hold(now, header, idle, round int64) {
	if v := k.vigil.Load(); v != nil {
		v.look(now)
	}
	was := phase(k.phase.Load())
	limit := header
	switch was {
	case phaseServing:
		return
	case phaseOver:
		// Again: whoever reads a PROXY header or shakes hands sets deadlines
		// of their own.
		_ = k.Conn.SetReadDeadline(longPast)
		return
	case phaseIdle:
		limit = idle
	case phaseNew, phaseHeader:
	}
	// since may be a round too early.
	if limit > 0 && now-k.since.Load() > limit+round && k.phase.CompareAndSwap(uint32(was), uint32(phaseOver)) {
		_ = k.Conn.SetReadDeadline(longPast) // one that fails is closed
	}
}

// coarseClock is a time that is set a few times a second, and costs a load.
type coarseClock struct{ t atomic.Int64 }

func (c *coarseClock) now() int64 { return c.t.Load() }

// advance moves the clock on by what has passed, at most by a round: after a stop of
// the whole process, or of its machine, what has come since would look as old as
// the stop was long. Only one goroutine calls it.
func (c *coarseClock) advance(passed, round time.Duration) {
	c.t.Add(int64(min(passed, round)))
}

// round is how often connections are looked at.
func (s *Server) round() time.Duration {
	r := 250 * time.Millisecond
	for _, limit := range []time.Duration{s.o.HeaderTimeout, s.o.IdleTimeout} {
		if limit > 0 {
			r = min(r, max(limit/8, 5*time.Millisecond))
		}
	}
	return r
}

// watcher is the goroutine that holds connections to their time. It begins with the
// first listener; one that comes after the end begins none.
type watcher struct {
	mu      sync.Mutex    // protects what follows
	done    chan struct{} // closed when it has ended; nil before it began
	stopped bool
	ended   chan struct{} // closed by the first stop
}

func (w *watcher) start(s *Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done != nil || w.stopped {
		return
	}
	w.done = make(chan struct{})
	go func() {
		defer close(w.done)
		s.watchConnections()
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

// watchConnections holds connections to their time until the server is closed.
func (s *Server) watchConnections() {
	round := s.round()
	ticker := time.NewTicker(round)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-s.watcher.ended:
			return
		case <-ticker.C:
		}
		now := time.Now()
		s.o.Stepped(last, now)
		passed := now.Sub(last)
		last = now
		s.conns.clock.advance(passed, round)
		coarse := s.conns.clock.now()
		s.conns.open.Range(func(k, _ any) bool {
			k.(*clientConn).hold(coarse, int64(s.o.HeaderTimeout), int64(s.o.IdleTimeout), int64(round))
			return true
		})
	}
}
