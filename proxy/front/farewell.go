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

// SendAway makes every answer end its connection, and gives clients so long to see
// one: it returns when no connection is open, when d is over or when ctx ends. A
// connection that is open then has been idle for d, or is being answered. It is
// for when the listeners are closed, before Shutdown.
func (s *Server) SendAway(ctx context.Context, d time.Duration) {
	s.farewell.before.Store(math.MaxInt64)
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if open, _ := s.Connections(); open == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
