package proxy

import (
	"time"

	"weir/invalidation"
	"weir/policy"
	"weir/tiers"
)

// What purges mean to the two machines. An object remembers the epoch at which
// its fetch began; a purge that touches it and is younger makes it unusable, or,
// when soft, stale. The losing interleavings, each of which would serve what was
// purged:
//
//   - a purge between the start of a fetch and its commit: the epoch is noted
//     before the request leaves, so what is stored is found invalid;
//   - a purge between the lookup of a stale object and the 304 that would renew
//     it: the body is older than the purge, whatever the origin says of it, so
//     the epoch of the old object is what counts (merge);
//   - a purge while a part is completed: the older of both counts;
//   - a request that comes after the purge and joins a fetch from before it: the
//     follower holds the purges against the answer that it is given, and starts
//     anew;
//   - a promotion from disk, or a copy that eviction writes again: both carry
//     the epoch along.

// While the gate is closed (invalidation.Gate), what is stored may have been purged
// by a peer without this node knowing. Then it is used only when the origin has
// confirmed it in the present closure, nobody joins a fetch that began before, and
// nothing stands in for an origin that fails.

// facts is the node's invalidation, or nil: then nothing is ever purged.
func (p *Proxy) facts() *invalidation.Node { return p.opts.Invalidation }

// epoch is what a fetch that begins now must remember.
func (p *Proxy) epoch() uint64 {
	if n := p.facts(); n != nil {
		return n.Epoch()
	}
	return 0
}

func (p *Proxy) incarnation() uint64 {
	if n := p.facts(); n != nil {
		return n.Incarnation()
	}
	return 0
}

// closure is what a fetch that begins now must remember of the gate.
func (p *Proxy) closure() uint64 {
	if n := p.facts(); n != nil {
		return n.Gate().Started(p.now())
	}
	return 0
}

// confirmed tells whether the object may be used without asking the origin, as
// far as the gate goes.
func (p *Proxy) confirmed(o *tiers.Object, now time.Time) bool {
	n := p.facts()
	return n == nil || n.Gate().Open(now) || o.Closure == n.Gate().Closure()
}

// mayJoin tells whether a request that comes now may have what the flight brings.
func (p *Proxy) mayJoin(f *flight) bool {
	n := p.facts()
	return n == nil || n.Gate().Open(p.now()) || f.closure == n.Gate().Closure()
}

// purged tells what purges say about an object. Where that is Stale, the object
// knows it from now on.
func (p *Proxy) purged(o *tiers.Object) invalidation.Verdict {
	n := p.facts()
	if n == nil || n.Known(o.Checked()) || o.Kind == tiers.KindVary {
		// A vary record only leads to variants, which are looked at themselves.
		return invalidation.Valid
	}
	return p.lookAt(n, o)
}

func (p *Proxy) lookAt(n *invalidation.Node, o *tiers.Object) invalidation.Verdict {
	s := invalidation.Subject{Key: o.Text, Tags: o.Tags, Epoch: o.Epoch, Incarnation: o.Incarnation}
	v, since := n.Check(&s, o.Checked())
	if v == invalidation.Stale {
		o.Soften(since * 1e6)
	}
	return v
}

// usable is o, or nil when it was purged; then it is closed.
func (p *Proxy) usable(o *tiers.Object) *tiers.Object {
	if o != nil && p.purged(o) == invalidation.Invalid {
		o.Close()
		return nil
	}
	return o
}

// usable is Proxy.usable, and notes that the request found a response that was
// purged: that is why it goes to the origin.
func (x *exchange) usable(o *tiers.Object) *tiers.Object {
	response := o != nil && o.Kind == tiers.KindResponse
	o = x.p.usable(o)
	x.purged = x.purged || response && o == nil
	return o
}

// freshness is the object's, as soft purges leave it. It is valid until the next
// call.
func (x *exchange) freshness(o *tiers.Object) *policy.Freshness {
	if o.Softened() == 0 {
		return &o.Freshness
	}
	// What has expired since needed no purge to be stale.
	x.purged = x.purged || o.Freshness.TTL(x.now) > 0
	x.softened = softened(o)
	return &x.softened
}

// everPurged reports whether a purge has touched the object's key at any time.
func (p *Proxy) everPurged(o *tiers.Object) bool {
	n := p.facts()
	if n == nil || n.Epoch() == 0 {
		return false
	}
	first := tiers.Object{Kind: tiers.KindResponse, Text: o.Text, Tags: o.Tags, Incarnation: n.Incarnation()}
	return p.lookAt(n, &first) != invalidation.Valid
}

// purgedSince tells whether a hard purge that came since the epoch touches what
// the fetch brings.
func (t *fetch) purgedSince(epoch uint64) bool {
	n := t.p.facts()
	if n == nil || n.Epoch() == epoch {
		return false
	}
	o := tiers.Object{Kind: tiers.KindResponse, Text: string(t.key.Text), Tags: t.tags, Epoch: epoch, Incarnation: t.incarnation}
	return t.p.lookAt(n, &o) == invalidation.Invalid
}
