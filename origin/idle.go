package origin

import (
	"slices"
	"sync"
	"time"
)

// idleTimeout is how long a connection is kept without use. Origins commonly close
// after 60 s or more; closing first avoids requests on dying connections.
const idleTimeout = 45 * time.Second

// A server closes a kept connection when it pleases. The losing interleaving: it
// closes while a request is on its way, and nobody can tell whether the request
// was acted upon. A GET is simply sent again, but a POST is lost. So connections
// that have been idle for about as long as their server allows are closed instead
// of being used, the more readily the less a request can be repeated.

const (
	// restless is how long a connection may have been idle for a request that
	// cannot be sent again. The shortest limit among servers that do not announce
	// theirs is 2 s (gunicorn), so this keeps the same distance as promiseMargin.
	restless = time.Second

	// promiseMargin is how much earlier than promised a connection is given up:
	// the server's clock started before ours, and the request has to get there.
	promiseMargin = time.Second
)

// idle are the connections of a server that nobody uses. The one that became idle last
// is used first, so that as few as possible are kept.
type idle struct {
	mu       sync.Mutex // protects the fields below
	conns    []*conn    // in the order in which they became idle
	open     int        // connections, idle or not
	sweeping *time.Timer
	armed    bool // sweeping will run
}

// take returns the connection for name that became idle last and may be used, by a
// request that can be sent again or not, or nil. Those that may not are closed. After one
// connection broke under a request the idle ones are no better: a server that stops closes
// all of them.
func (s *server) take(name string, broke, again bool) *conn {
	for {
		c := s.pop(func(c *conn) bool { return c.name == name })
		if c == nil || !broke && !s.dying(c, again) {
			return c
		}
		s.discard(c)
	}
}

// pop takes out the last idle connection that fits.
func (s *server) pop(fits func(c *conn) bool) *conn {
	s.idle.mu.Lock()
	defer s.idle.mu.Unlock()
	for i := len(s.idle.conns) - 1; i >= 0; i-- {
		if c := s.idle.conns[i]; fits(c) {
			s.idle.conns = slices.Delete(s.idle.conns, i, i+1)
			return c
		}
	}
	return nil
}

// dying reports whether c, which is idle, must not be used for a request.
func (s *server) dying(c *conn, again bool) bool {
	quiet, promise := c.Idle()
	return s.pool.now()-c.idle >= idleTimeout || !s.usable(c.remote, c.opened) ||
		promise.Given && quiet >= promise.Timeout-promiseMargin || quiet >= restless && !again
}

// put keeps a connection whose exchange is over, if it can be used again.
func (s *server) put(c *conn) {
	if !c.Reusable() || s.pool.conf.NoKeepAlive || !s.usable(c.remote, c.opened) {
		s.discard(c)
		return
	}
	c.idle = s.pool.now()
	if surplus := s.push(c); surplus != nil {
		s.discard(surplus)
	}
}

// push adds c and returns what there is no room for: c itself once the pool is closed,
// or the stranger that has been idle for longest when there are many.
func (s *server) push(c *conn) (surplus *conn) {
	i := &s.idle
	i.mu.Lock()
	defer i.mu.Unlock()
	if s.pool.retired.Load() {
		return c
	}
	i.conns = append(i.conns, c)
	if !i.armed {
		i.armed = true
		if i.sweeping == nil {
			i.sweeping = time.AfterFunc(idleTimeout, func() { s.sweep(false) })
		} else {
			i.sweeping.Reset(idleTimeout)
		}
	}
	if c.stranger {
		return i.oldestLocked(strangersIdle, func(c *conn) bool { return c.stranger })
	}
	return nil
}

// oldestLocked takes out the first connection that fits, if there are more than limit.
func (i *idle) oldestLocked(limit int, fits func(c *conn) bool) *conn {
	n, first := 0, -1
	for at, c := range i.conns {
		if fits(c) {
			if n++; first < 0 {
				first = at
			}
		}
	}
	if n <= limit {
		return nil
	}
	c := i.conns[first]
	i.conns = slices.Delete(i.conns, first, first+1)
	return c
}

// opened counts a new connection. When there are more than may be in use, the one that
// has been idle for longest makes room.
func (s *server) opened() {
	s.idle.mu.Lock()
	s.idle.open++
	var surplus *conn
	if s.idle.open > s.pool.conf.MaxConnsPerServer {
		surplus = s.idle.oldestLocked(0, func(*conn) bool { return true })
	}
	s.idle.mu.Unlock()
	if surplus != nil {
		s.discard(surplus)
	}
}

// discard closes a connection that nobody else uses.
func (s *server) discard(c *conn) {
	c.Close()
	s.closed()
}

func (s *server) closed() {
	s.idle.mu.Lock()
	s.idle.open--
	s.idle.mu.Unlock()
}

// sweep closes the connections that have been idle for long, or all of them.
func (s *server) sweep(all bool) {
	now := s.pool.now()
	for {
		c := s.pop(func(c *conn) bool { return all || now-c.idle >= idleTimeout })
		if c == nil {
			break
		}
		s.discard(c)
	}
	i := &s.idle
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.sweeping == nil {
		return
	}
	if i.armed = len(i.conns) > 0; i.armed {
		i.sweeping.Reset(max(time.Second, idleTimeout-(now-i.conns[0].idle)))
	} else {
		i.sweeping.Stop()
	}
}
