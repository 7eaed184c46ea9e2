package stored

import (
	"sync/atomic"

	"weir/invalidation"
	"weir/policy"
	"weir/tiers"
)

// Marked returns what is remembered of answers to requests of that kind: that
// they were for their askers alone.
func (s *Store) Marked(k *policy.Key, personal bool) (tiers.Mark, bool) {
	m, ok := s.marks.Get(tiers.MarkKey{Hash: k.Hash, Personal: personal}, s.clock.Now())
	if !ok {
		return m, false
	}
	if n := s.facts; n != nil && n.Epoch() != m.Epoch {
		subject := invalidation.Subject{Key: string(k.Text), Epoch: m.Epoch, Incarnation: m.Incarnation}
		var unchecked atomic.Uint64
		if v, _ := n.Check(&subject, &unchecked); v == invalidation.Invalid {
			return m, false
		}
	}
	return m, true
}

// Mark remembers that an answer is for its asker alone, or needs validation
// before each use, so that requests of the kind do not wait for each other. It
// is remembered for each of the hashes.
func (s *Store) Mark(rule *policy.Rule, personal bool, reason policy.Reason, at Moment, hashes ...policy.Hash) {
	ttl := rule.TTL.HitForMiss
	if ttl == 0 {
		ttl = policy.DefaultHitForMiss
	}
	m := tiers.Mark{Reason: reason, Until: s.clock.Now() + int64(ttl), Epoch: at.Epoch, Incarnation: at.Incarnation}
	for _, h := range hashes {
		s.marks.Set(tiers.MarkKey{Hash: h, Personal: personal}, m)
	}
}

// Unmark forgets what Mark remembers.
func (s *Store) Unmark(personal bool, hashes ...policy.Hash) {
	for _, h := range hashes {
		s.marks.Drop(tiers.MarkKey{Hash: h, Personal: personal})
	}
}
