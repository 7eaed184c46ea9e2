package tiers

import "weir/policy"

// maxBehind bounds the bytes of bodies that RAM has and that are on their way to
// the disk behind it. What comes beyond is not written: a disk that does not keep
// up must not hold what RAM has pushed out.
const maxBehind = 64 << 20

// Publish stores a response whose whole body came before anybody was shown it.
// It does for a small body what a Fill does for one that arrives in pieces, and
// takes neither a Fill nor a copy: o.Body becomes the stored body, and neither o
// nor the body may be changed afterwards. The caller sets Hash, Text, Body and
// Length, has seen the proof that the body is complete, and has held purges and
// epochs against the object.
//
// Visible is called once, when Lookup finds the object: where RAM has room for
// it, before the disk is written. A variant that visible lists, and an answer
// that it gives to those who wait, are therefore no later than what they are
// about. Where no tier takes the object, visible is not called, and nothing is
// stored under the key.
//
// Done is called once, with why the disk, or no tier at all, has not got the
// object, or policy.ReasonNone. Where RAM has it and there is a disk, that is
// later, in another goroutine; else before Publish returns.
func (s *Store) Publish(o *Object, visible func(), done func(policy.Reason)) {
	if o.Length != int64(len(o.Body)) {
		panic("BUG: the length of a published body is not that of the object")
	}
	g := s.guards.of(&o.Hash)
	g.begin()
	if !s.putRAM(o) {
		defer g.end()
		reason := s.putDisk(o, false)
		if reason == policy.ReasonNone {
			visible()
		}
		done(reason)
		return
	}
	visible()
	switch {
	case s.disk.Load() == nil:
		s.forgetLater(&o.Hash)
		g.end()
		done(policy.ReasonNone)
	case s.behind.Add(o.Length) > maxBehind:
		s.behind.Add(-o.Length)
		s.forgetLater(&o.Hash)
		g.end()
		done(policy.ReasonStorage)
	default:
		s.writes.Add(1)
		go func() {
			defer s.writes.Done()
			reason := s.putDisk(o, true)
			s.behind.Add(-o.Length)
			g.end()
			done(reason)
		}()
	}
}
