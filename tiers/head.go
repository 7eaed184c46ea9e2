package tiers

import (
	"errors"

	"weir/policy"
	"weir/tiers/disk"
)

// Heads are what RAM keeps of objects whose bodies are too large for it: all but
// the body, and where on disk that lies. A hit needs no look into the index then,
// no decoding, and no header made anew: that was more than half of a disk hit.
//
// A head is an object of the RAM tier as any other: it competes for its budget,
// and whoever puts, renews or deletes its key takes it away. Only while it is
// there does its place count, since an object that was put over it on disk went
// through RAM as well. Eviction on disk may take what it leads to; then the index
// is asked.

// keepHead puts the head of o, which was just read from disk, in RAM; since is the
// mark from before that.
func (s *Store) keepHead(o *Object, since mark) {
	place := o.outside.entry.Place()
	if place == nil || o.Kind != KindResponse {
		return
	}
	h := o.inRAM()
	h.Tier, h.Body, h.outside = policy.TierDisk, nil, &outside{place: place}
	if s.ram.putIf(h, func(current *Object) bool { return current == nil && since.valid() }) {
		o.outside.head = h
	}
}

// openHead returns the object whose head RAM has, or nil. It is the caller's to
// close.
func (s *Store) openHead(h *Object) *Object {
	d := s.disk.Load()
	if d == nil {
		return nil
	}
	e, err := d.At(h.outside.place)
	if err == nil {
		o := h.inRAM()
		o.Tier, o.outside = policy.TierDisk, &outside{entry: e, head: h}
		return o
	}
	s.ram.deleteIf(&h.Hash, func(current *Object) bool { return current == h })
	s.readTrouble(err)
	if errors.Is(err, disk.ErrNotFound) || errors.Is(err, disk.ErrCorrupt) {
		// Eviction may have written it again elsewhere.
		return s.GetDisk(&h.Hash, []byte(h.Text))
	}
	return nil
}

// forgetHeads drops all heads: what they lead to is gone.
func (r *ram) forgetHeads() {
	for i := range r.shards {
		s := &r.shards[i]
		var heads []*cell
		s.mu.Lock()
		for _, c := range s.cells {
			if c.obj.Load().isHead() {
				heads = append(heads, c)
			}
		}
		for _, c := range heads {
			r.killLocked(s, c)
		}
		s.mu.Unlock()
		for _, c := range heads {
			r.main.Del(c.hash[:])
		}
	}
}
