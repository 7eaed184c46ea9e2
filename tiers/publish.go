package tiers

import "weir/policy"

// Publish stores a response whose whole body came before anybody was shown it.
// It does for a small body what a Fill does for one that arrives in pieces, and
// takes neither a Fill nor a copy: o.Body becomes the stored body, and neither o
// nor the body may be changed afterwards. The caller sets Hash, Text, Body and
// Length, has seen the proof that the body is complete, and has held purges and
// epochs against the object.
//
// Visible is called once, when Lookup finds the object: where RAM has room for it,
// without waiting for the disk, which a goroutine of the store writes behind
// Publish. A variant that visible lists, and an answer that it gives to those who
// wait, are therefore no later than what they are about. A Delete behind Publish
// deletes what is still to be written as well. Where no tier takes the object,
// visible is not called, nothing is stored under the key, and the reason says why.
func (s *Store) Publish(o *Object, visible func()) policy.Reason {
	if o.Length != int64(len(o.Body)) {
		panic("BUG: the length of a published body is not that of the object")
	}
	g := s.guards.of(&o.Hash)
	g.begin()
	inRAM := s.putRAM(o)
	written := inRAM && s.behind.add(s, o, nil, renewal{})
	if inRAM {
		visible()
	}
	if written {
		return policy.ReasonNone
	}
	defer g.end()
	reason := s.putDisk(o, inRAM)
	if !inRAM && reason == policy.ReasonNone {
		visible()
	}
	return reason
}
