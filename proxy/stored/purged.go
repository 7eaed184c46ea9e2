package stored

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

// Store is what is stored, and what is known about it. It is safe for concurrent
// use.
type Store struct {
	*tiers.Store
	// facts is the node's invalidation, or nil: then nothing is ever purged.
	facts *invalidation.Node
	marks *tiers.Marks
	now   func() time.Time
	clock *Clock
}

// New returns what is in t, with the purges of facts, which may be nil.
func New(t *tiers.Store, facts *invalidation.Node, now func() time.Time) *Store {
	return &Store{Store: t, facts: facts, marks: tiers.NewMarks(), now: now, clock: NewClock(now)}
}

// Clock tells the time by which what is stored ages.
func (s *Store) Clock() *Clock { return s.clock }

// Facts returns the purges, or nil where nothing is ever purged.
func (s *Store) Facts() *invalidation.Node { return s.facts }

// Moment is what a fetch remembers of the purges at its start.
type Moment struct {
	// Epoch and Incarnation are the invalidation's.
	Epoch, Incarnation uint64
	// Closure is that of the gate; 0 while it is open.
	Closure uint64
}

// Moment returns what a fetch that begins now must remember.
func (s *Store) Moment() Moment {
	n := s.facts
	if n == nil {
		return Moment{}
	}
	return Moment{Epoch: n.Epoch(), Incarnation: n.Incarnation(), Closure: n.Gate().Started(s.now())}
}

// Confirmed reports whether the object may be used without asking the origin, as
// far as the gate goes.
func (s *Store) Confirmed(o *tiers.Object, now time.Time) bool {
	n := s.facts
	return n == nil || n.Gate().Open(now) || o.Closure == n.Gate().Closure()
}

// Joinable reports whether a request that comes now may have what a fetch brings
// that began at m.
func (s *Store) Joinable(m *Moment) bool {
	n := s.facts
	return n == nil || n.Gate().Open(s.now()) || m.Closure == n.Gate().Closure()
}

// Purged returns what purges say about an object. Where that is Stale, the object
// knows it from now on.
func (s *Store) Purged(o *tiers.Object) invalidation.Verdict {
	n := s.facts
	if n == nil || n.Known(o.Checked()) || o.Kind == tiers.KindVary {
		// A vary record only leads to variants, which are looked at themselves.
		return invalidation.Valid
	}
	return lookAt(n, o)
}

func lookAt(n *invalidation.Node, o *tiers.Object) invalidation.Verdict {
	s := invalidation.Subject{Key: o.Text, Tags: o.Tags, Epoch: o.Epoch, Incarnation: o.Incarnation}
	v, since := n.Check(&s, o.Checked())
	if v == invalidation.Stale {
		o.Soften(since * 1e6)
	}
	return v
}

// Usable returns o, or nil when it was purged; then it is closed.
func (s *Store) Usable(o *tiers.Object) *tiers.Object {
	if o != nil && s.Purged(o) == invalidation.Invalid {
		o.Close()
		return nil
	}
	return o
}

// Freshness returns the object's freshness, as soft purges leave it.
func Freshness(o *tiers.Object) policy.Freshness {
	if since := o.Softened(); since != 0 {
		return o.Freshness.StaleFrom(since)
	}
	return o.Freshness
}

// EverPurged reports whether a purge has touched the object's key at any time.
func (s *Store) EverPurged(o *tiers.Object) bool {
	n := s.facts
	if n == nil || n.Epoch() == 0 {
		return false
	}
	first := tiers.Object{Kind: tiers.KindResponse, Text: o.Text, Tags: o.Tags, Incarnation: n.Incarnation()}
	return lookAt(n, &first) != invalidation.Valid
}

// PurgedSince reports whether a hard purge that came since the epoch of m touches
// an object with that key and those tags.
func (s *Store) PurgedSince(k *policy.Key, tags []string, m Moment) bool {
	n := s.facts
	if n == nil || n.Epoch() == m.Epoch {
		return false
	}
	o := tiers.Object{Kind: tiers.KindResponse, Text: string(k.Text), Tags: tags, Epoch: m.Epoch, Incarnation: m.Incarnation}
	return lookAt(n, &o) == invalidation.Invalid
}

// MakeStale stores the object as stale from now on at the latest.
func (s *Store) MakeStale(o *tiers.Object, now int64) {
	f := Freshness(o)
	switch {
	case f.Lifetime <= 0, o.Validators.ETag == "":
		// It serves nobody without validation, or a date would confirm it in vain.
		s.Delete(&o.Hash)
		return
	case f.TTL(now) <= 0:
		return
	}
	s.Refresh(o, &tiers.Object{
		Kind: o.Kind, Status: o.Status, Fields: o.Fields, Freshness: f.StaleFrom(now), Validators: o.Validators,
		Policy: o.Policy, Tags: o.Tags, Stored: o.Stored, Epoch: o.Epoch, Incarnation: o.Incarnation, Closure: o.Closure,
	})
}

// Forget removes what stands under the key, its parts and its variants. With the
// vary record all variants are out of reach: only those that a record lists are
// ever looked up, so it need not be complete.
func (s *Store) Forget(k *policy.Key) {
	if rec := s.Get(&k.Hash, k.Text); rec != nil {
		s.forgetVariants(rec)
	} else if rec := s.GetDisk(&k.Hash, k.Text); rec != nil {
		s.forgetVariants(rec)
		rec.Close()
	}
	s.Delete(&k.Hash)
	part := policy.PartOf(string(k.Text))
	s.Delete(&part.Hash)
}

func (s *Store) forgetVariants(rec *tiers.Object) {
	for i := range rec.Vary.Variants {
		s.Delete(&rec.Vary.Variants[i])
	}
}
