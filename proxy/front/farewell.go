package front

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// farewell makes answers end their connections while the process is about to leave:
// a client that keeps a connection open sees in an answer that it ends, and cannot
// lose a request on it. The zero value ends none.
type farewell struct {
	// before is the time, unix nanoseconds, before which a connection must have been
	// opened for its next answer to end it.
	before atomic.Int64
}

// say ends the connection of ctx with its answer, where it is time for that.
func (f *farewell) say(ctx *fasthttp.RequestCtx) {
	if t := f.before.Load(); t != 0 && ctx.ConnTime().UnixNano() < t {
		ctx.SetConnectionClose()
	}
}

// Leave makes the next answer on each connection that is open now end it. Clients
// that come back are served as before, on connections that last: those that look
// at nothing but answers would otherwise need one for each request.
func (s *Server) Leave() { s.farewell.before.Store(time.Now().UnixNano()) }

// SendAway makes every answer end its connection, and gives clients time to see one:
// it returns when the connections that are still open have been idle for d, or when
// ctx ends. An answer whose header was sent before could not say that it is the last
// of its connection, so that such a connection is open for d behind it, too. It is
// for when the listeners are closed, before Shutdown.
func (s *Server) SendAway(ctx context.Context, d time.Duration) {
	s.farewell.before.Store(math.MaxInt64)
	if d <= 0 {
		return
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.lingering(d) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// lingering reports whether a request is under way on any connection, or was until
// less than d ago.
func (s *Server) lingering(d time.Duration) (found bool) {
	now := s.conns.clock.now()
	s.conns.open.Range(func(key, _ any) bool {
		k := key.(*clientConn)
		switch phase(k.phase.Load()) {
		case phaseNew, phaseIdle:
			found = now-k.since.Load() < int64(d)
		default:
			found = true
		}
		return !found
	})
	return found
}
