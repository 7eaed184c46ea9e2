package origin

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// names tells the hosts that an origin with TLS is often asked for from those that
// clients make up. Each name needs a connection of its own, since the server shows the
// certificate for the name that it is asked for, so each made-up one costs a handshake.
// As long as a pool has seen no more than maxNames, all of them are known. Beyond that
// a name is known once it was asked for knownAfter times; the others are strangers:
// only a share of the connections is for them, and few of those are kept.
type names struct {
	places chan struct{} // one element for each stranger's exchange in flight

	mu   sync.Mutex // protects the fields below
	seen map[string]*nameUse
	more bool // than maxNames were seen
}

type nameUse struct {
	count int
	last  time.Duration // by the pool's clock
}

const (
	// maxNames bounds the names that are remembered.
	maxNames   = 256
	knownAfter = 3
	// strangersShare is the part of a pool's connections that strangers may use.
	strangersShare = 8
	// strangersIdle is how many connections of strangers are kept for each server.
	strangersIdle = 8
	// nameFades is the time in which a use counts for half of what it did.
	nameFades = 10 * time.Minute
	// maxNameCount is the most that is counted.
	maxNameCount = 1 << 16
)

func newNames(permits int) *names {
	return &names{places: make(chan struct{}, max(1, permits/strangersShare)), seen: make(map[string]*nameUse)}
}

// known notes that name is asked for, and reports whether it is known.
func (n *names) known(name string, now time.Duration) bool {
	name = strings.ToLower(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	u := n.seen[name]
	if u == nil {
		if len(n.seen) == maxNames {
			n.more = true
			delete(n.seen, n.leastLocked(now))
		}
		u = &nameUse{}
		n.seen[name] = u
	}
	u.count, u.last = min(u.faded(now)+1, maxNameCount), now
	return !n.more || u.count >= knownAfter
}

// leastLocked is the name that is used least; of several the one that was not used
// for longest.
func (n *names) leastLocked(now time.Duration) (least string) {
	var worst *nameUse
	for name, u := range n.seen {
		if worst == nil || u.faded(now) < worst.faded(now) || u.faded(now) == worst.faded(now) && u.last < worst.last {
			least, worst = name, u
		}
	}
	return least
}

func (u *nameUse) faded(now time.Duration) int { return u.count >> min((now-u.last)/nameFades, 32) }

// enter decides whether a request for host is a stranger's, and then waits for a place
// until the deadline. A nil names knows everybody.
func (n *names) enter(ctx context.Context, o *outgoing, now, wait time.Duration) *Error {
	if n == nil || n.known(hostname(o.host), now) {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case n.places <- struct{}{}:
		o.stranger = true
		return nil
	case <-ctx.Done():
		return &Error{Kind: Canceled, Err: context.Cause(ctx)}
	case <-timer.C:
		return &Error{Kind: Busy, Err: fmt.Errorf("none of %d connections for names that are rarely asked for became free in %v", cap(n.places), wait)}
	}
}

// exit gives the place back, once.
func (n *names) exit(o *outgoing) {
	if o.stranger {
		o.stranger = false
		<-n.places
	}
}
