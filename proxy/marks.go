package proxy

import (
	"sync/atomic"

	"weir/invalidation"
	"weir/policy"
	"weir/tiers"
)

// marked returns what is remembered of answers to requests of that kind: that
// they were for their askers alone.
func (p *Proxy) marked(k *policy.Key, personal bool) (tiers.Mark, bool) {
	m, ok := p.marks.Get(tiers.MarkKey{Hash: k.Hash, Personal: personal}, p.now().UnixNano())
	if !ok {
		return m, false
	}
	if n := p.facts(); n != nil && n.Epoch() != m.Epoch {
		s := invalidation.Subject{Key: string(k.Text), Epoch: m.Epoch, Incarnation: m.Incarnation}
		var unchecked atomic.Uint64
		if v, _ := n.Check(&s, &unchecked); v == invalidation.Invalid {
			return m, false
		}
	}
	return m, true
}

// mark remembers that the answer is for its asker alone, or needs validation
// before each use, so that requests of the kind do not wait for each other. It
// is remembered for the key of the flight, and for that of the variant.
func (t *fetch) mark(reason policy.Reason, variant policy.Hash) {
	ttl := t.rule.TTL.HitForMiss
	if ttl == 0 {
		ttl = policy.DefaultHitForMiss
	}
	m := tiers.Mark{Reason: reason, Until: t.p.now().UnixNano() + int64(ttl), Epoch: t.epoch, Incarnation: t.incarnation}
	t.p.marks.Set(tiers.MarkKey{Hash: t.key.Hash, Personal: t.personal}, m)
	if variant != t.key.Hash {
		t.p.marks.Set(tiers.MarkKey{Hash: variant, Personal: t.personal}, m)
	}
}

// markStored remembers whether what is stored needs validation before each use.
func (t *fetch) markStored(variant policy.Hash) {
	if t.storage.Freshness.NeedsValidation() {
		t.mark(policy.ReasonExpired, variant)
		return
	}
	for _, h := range [...]policy.Hash{t.key.Hash, variant} {
		t.p.marks.Drop(tiers.MarkKey{Hash: h, Personal: t.personal})
	}
}
