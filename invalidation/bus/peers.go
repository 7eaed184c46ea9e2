package bus

import (
	"fmt"
	"time"

	"weir/invalidation"
)

// peer is what is known of another node.
type peer struct {
	name     string
	instance uint64 // of its process, 0 until it was heard
	// vector is what it has said to have applied.
	vector invalidation.Vector
	// asked is when the last probe was sent that it answered, and answer the
	// vector that it answered with, while that is not all applied here.
	asked  time.Time
	answer invalidation.Vector
	// confirmed is when the last probe was sent whose answer is all applied
	// here.
	confirmed time.Time
	// live: it has answered a probe within the lease. since is when that
	// changed, or when the bus began.
	live  bool
	since time.Time
	// heard is when the last message came from it. What a peer has said counts
	// before it has answered: after a link has healed, its probe may come first.
	heard time.Time
}

// maxPeers bounds the peers of a cluster.
const maxPeers = 1024

// peerOf returns the peer that sent m, nil for none that can be.
func (b *Bus) peerOf(m *message, now time.Time) *peer {
	if m.from == b.o.Node.Name() {
		if m.instance != b.instance {
			b.sayOnce("name", now, func() {
				b.o.Log.Error("another node has the name of this one; its purges are not taken: give each node a cluster.node of its own", "node", m.from)
			})
		}
		return nil
	}
	p := b.peers[m.from]
	if p == nil {
		if len(b.peers) >= maxPeers {
			b.dropped.Add(1)
			return nil
		}
		p = &peer{name: m.from, since: now}
		b.peers[m.from] = p
		delete(b.gone, m.from)
		b.saveNames()
	}
	if p.instance != m.instance {
		// A new process: what the old one had applied may be lost.
		p.instance, p.vector, p.answer = m.instance, make(invalidation.Vector), nil
	}
	return p
}

// knows takes in a vector that a peer has sent.
func (p *peer) knows(v invalidation.Vector) {
	p.vector.Merge(v)
	if len(p.vector) > invalidation.MaxOrigins {
		p.vector = v
	}
}

// answered takes in the answer to a probe.
func (b *Bus) answered(p *peer, sent time.Time, v invalidation.Vector, now time.Time) {
	if !sent.After(p.asked) {
		return
	}
	p.asked, p.answer = sent, v
	if !p.live && now.Sub(sent) < b.o.Lease {
		p.live, p.since = true, now
		b.o.Log.Info("peer found", "peer", p.name, "lag", p.vector.Behind(b.applied))
		b.event(PeerFound, p.name, "")
	}
}

// confirm notes the answers that are all applied here by now.
func (b *Bus) confirm() {
	for _, p := range b.peers {
		if p.answer != nil && b.applied.Covers(p.answer) {
			p.confirmed, p.answer = p.asked, nil
		}
	}
}

// lookForLost notes who does not answer any more, and forgets who has not for
// long.
func (b *Bus) lookForLost(now time.Time) {
	for name, p := range b.peers {
		switch {
		case p.live && now.Sub(p.asked) > b.o.Lease+b.o.Lease/4:
			p.live, p.since = false, now
			b.o.Log.Warn("peer lost: it does not answer", "peer", name, "last_asked", now.Sub(p.asked).Round(time.Millisecond))
			b.event(PeerLost, name, "")
		case !p.live && now.Sub(p.since) > b.o.Forget:
			delete(b.peers, name)
			b.gone[name] = struct{}{}
			b.saveNames()
			b.o.Log.Info("peer forgotten: purges no longer wait for it", "peer", name, "after", b.o.Forget)
		}
	}
}

// left takes a peer out that has said that it stops.
func (b *Bus) left(p *peer) {
	delete(b.peers, p.name)
	b.gone[p.name] = struct{}{}
	b.saveNames()
	b.o.Log.Info("peer left", "peer", p.name)
	b.event(PeerLeft, p.name, "")
}

// present tells whether a peer answers, or has said something within the lease.
func (b *Bus) present(p *peer, now time.Time) bool {
	return p.live || !p.heard.IsZero() && now.Sub(p.heard) < b.o.Lease
}

// known is the merge of what present peers have.
func (b *Bus) known(now time.Time) invalidation.Vector {
	v := make(invalidation.Vector)
	for _, p := range b.peers {
		if b.present(p, now) {
			v.Merge(p.vector)
		}
	}
	return v
}

// expected is how many peers there should be: those that have said that they stop,
// or were forgotten, are not waited for.
func (b *Bus) expected() int { return max(b.o.Expected-len(b.gone), 0) }

// missing are peers that the configuration names and nobody has heard of.
func (b *Bus) missing() []string {
	n := b.expected() - len(b.peers)
	if n <= 0 {
		return nil
	}
	if n == 1 {
		return []string{"(a peer not heard from since this node started)"}
	}
	return []string{fmt.Sprintf("(%d peers not heard from since this node started)", n)}
}
