package bus

import (
	"slices"
	"strings"
	"time"

	"weir/invalidation"
)

// Peer is what is known of another node.
type Peer struct {
	Name string
	// Live: it has answered a probe within the lease.
	Live bool
	// Answered is when the last probe was sent that it answered; zero before
	// the first.
	Answered time.Time
	// Lag counts the purges in effect here that it has not said to have
	// applied, Ahead those that it has and this node has not.
	Lag, Ahead uint64
	// Positions is how far it has applied each log.
	Positions invalidation.Vector
}

// Status is the bus at one moment.
type Status struct {
	Peers []Peer // by name
	// Gate is why the cache is used or not: open, starting, behind, isolated.
	Gate string
	// Pending counts purges that were received and are not in effect yet.
	Pending int
	// Dropped counts messages that were malformed, Foreign those that were not
	// signed with this cluster's secret.
	Dropped, Foreign int64
	Positions        invalidation.Vector
}

// Gates are the values of Status.Gate.
func Gates() []string { return []string{"open", "starting", "behind", "isolated"} }

// Status tells how the bus is.
func (b *Bus) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Status{Gate: b.gate(), Pending: b.pending, Dropped: b.dropped.Load(), Foreign: b.foreign.Load(), Positions: b.applied.Clone()}
	for name, p := range b.peers {
		s.Peers = append(s.Peers, Peer{
			Name: name, Live: p.live, Answered: p.asked, Positions: p.vector.Clone(),
			Lag: p.vector.Behind(b.applied), Ahead: b.applied.Behind(p.vector),
		})
	}
	slices.SortFunc(s.Peers, func(x, y Peer) int { return strings.Compare(x.Name, y.Name) })
	return s
}

func (b *Bus) gate() string {
	switch t := &b.trust; {
	case b.o.Node.Gate().Open(time.Now()):
		return "open"
	case t.behind:
		return "behind"
	case !t.everOpen:
		return "starting"
	}
	return "isolated"
}
