package bus

import (
	"errors"
	"time"

	"weir/invalidation"
)

// maxPending bounds the purges that were handed to the node and are not in effect
// yet. Beyond it messages are dropped; what they had is fetched later.
const maxPending = 64 << 10

// receive takes a message from the transport.
func (b *Bus) receive(raw []byte) {
	m, err := b.codec.decode(raw)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return
	}
	now := time.Now()
	switch {
	case errors.Is(err, errForeign):
		b.foreign.Add(1)
		b.sayOnce("foreign", now, func() {
			b.o.Log.Warn("a message was refused: it is not signed with this cluster's name and secret; nodes must agree on cluster.name and on what is in cluster.secret_file")
		})
		return
	case err != nil:
		b.dropped.Add(1)
		b.sayOnce("malformed", now, func() { b.o.Log.Warn("a message of a peer was dropped", "error", err) })
		return
	}
	p := b.peerOf(m, now)
	if p == nil {
		return
	}
	b.handle(p, m, now)
	b.settle(now)
}

func (b *Bus) handle(p *peer, m *message, now time.Time) {
	switch m.kind {
	case kindProbe:
		p.knows(m.vector)
		// What was applied meanwhile first: an answer never speaks of purges
		// of this node that it has not told.
		b.drain()
		b.send(p.name, &message{kind: kindReply, nonce: m.nonce, vector: b.applied})
		b.compare(p, m.vector, now)
	case kindReply:
		p.knows(m.vector)
		for i := range b.probes {
			if b.probes[i].nonce == m.nonce && m.nonce != 0 {
				b.answered(p, b.probes[i].sent, m.vector, now)
			}
		}
		b.compare(p, m.vector, now)
	case kindFacts:
		b.facts(p, m.purges, now)
	case kindAck:
		if m.origin == b.o.Node.Self() && m.number <= b.applied[m.origin] {
			p.vector[m.origin] = max(p.vector[m.origin], m.number)
		}
	case kindFetch:
		b.give(p, m)
	case kindChunk:
		b.chunk(p, m, now)
	case kindLeave:
		b.left(p)
	}
}

// compare holds a peer's vector against what was received here.
func (b *Bus) compare(p *peer, v invalidation.Vector, now time.Time) {
	self := b.o.Node.Self()
	if v[self] > b.received[self] && !b.changing {
		b.renew(p, v[self])
		return
	}
	for o, n := range v {
		if o.Node == p.name && n > b.received[o] {
			// Its own purges come before its vector: these were lost.
			b.trust.lost(now)
			return
		}
	}
}

// facts takes what a peer has told everybody. What it tells it has, so a gap before
// it means that messages were lost.
func (b *Bus) facts(p *peer, list []invalidation.Purge, now time.Time) {
	told := make(invalidation.Vector)
	for i := range list {
		id := list[i].ID
		told[invalidation.Origin{Node: id.Node, Incarnation: id.Incarnation}] = id.Number
	}
	b.take(list)
	p.knows(told)
	b.compare(p, told, now)
}

// take hands purges to the node, those that can be applied.
func (b *Bus) take(list []invalidation.Purge) {
	if b.changing || b.pending+len(list) > maxPending {
		return
	}
	self := b.o.Node.Self()
	next := list[:0]
	for _, p := range list {
		o := invalidation.Origin{Node: p.ID.Node, Incarnation: p.ID.Incarnation}
		if o == self || p.ID.Number != b.received[o]+1 {
			// Known, or behind a gap, which the next vector shows.
			continue
		}
		if len(b.received) >= invalidation.MaxOrigins && b.received[o] == 0 {
			b.sayOnce("origins", time.Now(), func() {
				b.o.Log.Error("purges of a further log are not taken: too many are known", "valid_is_up_to", invalidation.MaxOrigins)
			})
			continue
		}
		b.received[o] = p.ID.Number
		next = append(next, p)
	}
	if len(next) == 0 {
		return
	}
	b.pending += len(next)
	n := len(next)
	if !b.o.Node.Apply(next, func(err error) { b.onEnded(outcome{purges: n, err: err}) }) {
		b.pending -= n
	}
}

// renew begins a new incarnation, since a peer has purges of this node that it
// does not know of itself.
func (b *Bus) renew(p *peer, number uint64) {
	b.o.Log.Error("a peer knows of more purges of this node than its own log; everything stored is invalidated and a new log begun",
		"peer", p.name, "peer_has", number, "log_has", b.received[b.o.Node.Self()])
	b.changing = b.o.Node.Renew(func(err error) { b.onEnded(outcome{change: true, err: err}) })
	b.event(Renewed, p.name, "")
}
