package bus

import (
	"errors"
	"time"

	"weir/invalidation"
)

// fetch is the one request for missing purges that is under way.
type fetch struct {
	active bool
	nonce  uint64
	peer   string
	origin invalidation.Origin
	until  time.Time
	// avoid is a peer that did not help, until the time beside it.
	avoid      string
	avoidUntil time.Time
	// hold is until when nothing is asked for: the log could not be written.
	hold time.Time
}

// catchUp asks for what is missing, one chunk at a time.
func (b *Bus) catchUp(now time.Time) {
	f := &b.fetch
	if f.active && now.After(f.until) {
		f.active = false
		f.avoid, f.avoidUntil = f.peer, now.Add(b.o.Lease)
	}
	known := b.known(now)
	if b.received.Covers(known) {
		f.active = false
		b.trust.complete()
		return
	}
	b.trust.incomplete(now)
	if f.active || b.changing || b.pending > maxPending/4 || now.Before(f.hold) {
		return
	}
	p, o := b.source(now)
	if p == nil {
		return
	}
	if b.o.Node.LogState() == invalidation.LogOpening && now.Before(b.trust.grace) {
		return // with the log there is less to fetch
	}
	if b.o.Node.Fresh() && !b.trust.everOpen {
		b.adopt(p)
		return
	}
	b.nonces++
	f.active, f.nonce, f.peer, f.origin, f.until = true, b.nonces, p.name, o, now.Add(b.o.Lease)
	b.send(p.name, &message{kind: kindFetch, nonce: f.nonce, origin: o, number: b.received[o]})
}

// source picks a peer that is further, and what to ask it for: of its own purges
// it surely has the log.
func (b *Bus) source(now time.Time) (from *peer, origin invalidation.Origin) {
	for _, p := range b.peers {
		if !b.present(p, now) || p.name == b.fetch.avoid && now.Before(b.fetch.avoidUntil) && b.others(p, now) {
			continue
		}
		for o, n := range p.vector {
			if n > b.received[o] && (from == nil || o.Node == p.name && origin.Node != from.name) {
				from, origin = p, o
			}
		}
	}
	return from, origin
}

// others tells whether a present peer besides p has something that is missing.
func (b *Bus) others(p *peer, now time.Time) bool {
	for _, q := range b.peers {
		if q != p && b.present(q, now) && !b.received.Covers(q.vector) {
			return true
		}
	}
	return false
}

// give answers a request for purges.
func (b *Bus) give(p *peer, m *message) {
	list, err := b.o.Node.Read(m.origin, m.number, chunkBytes)
	if err != nil && !errors.Is(err, invalidation.ErrTruncated) {
		b.sayOnce("read", time.Now(), func() { b.o.Log.Error("a peer asks for purges that cannot be read", "peer", p.name, "error", err) })
		return
	}
	list = list[:fits(list, maxMessage/2)]
	b.send(p.name, &message{kind: kindChunk, nonce: m.nonce, origin: m.origin, number: m.number, gone: err != nil, purges: list})
}

// chunk takes in the answer to a request, and asks for the next.
func (b *Bus) chunk(p *peer, m *message, now time.Time) {
	f := &b.fetch
	if !f.active || m.nonce != f.nonce || m.origin != f.origin || p.name != f.peer {
		return
	}
	f.active = false
	switch {
	case m.gone:
		b.adopt(p)
	case len(m.purges) == 0:
		// It has said that it has them, and it does not.
		f.avoid, f.avoidUntil = p.name, now.Add(b.o.Lease)
	default:
		b.take(m.purges)
	}
}

// adopt invalidates everything and takes over the peer's vector.
func (b *Bus) adopt(p *peer) {
	if b.changing {
		return
	}
	if !b.o.Node.Fresh() || b.trust.everOpen {
		b.o.Log.Warn("purges are missing that can no longer be had; everything stored is invalidated", "peer", p.name,
			"missing", b.received.Behind(p.vector))
	}
	b.changing = b.o.Node.Adopt(p.vector.Clone(), func(err error) { b.onEnded(outcome{change: true, err: err}) })
	b.event(TookOver, p.name, "")
}
