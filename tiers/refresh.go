package tiers

import (
	"slices"

	"weir/policy"
	"weir/tiers/disk"
)

// Refresh publishes fresh in the place of old, whose body it shares: a 304
// renewed it. On disk only the metadata is written. When something else has
// taken old's place meanwhile, that stays: it is newer than what was renewed.
func (s *Store) Refresh(old, fresh *Object) policy.Reason {
	fresh.Hash, fresh.Text, fresh.Length = old.Hash, old.Text, old.Length
	fresh.Body, fresh.Tier = old.Body, policy.TierRAM
	g := s.guards.of(&old.Hash)
	g.begin()
	defer g.end()
	var r renewal
	r.inRAM = s.ram.renew(old, fresh, old.Length <= s.ramMax && !old.Large(), &r)
	if r.superseded {
		return policy.ReasonNone
	}
	d := s.disk.Load()
	if d == nil {
		s.forgetLater(&old.Hash)
		return unlessIn(r.inRAM, policy.ReasonStorage)
	}
	return s.refreshDisk(d, old, fresh, r)
}

// renewal is what Refresh found and did in RAM.
type renewal struct {
	// superseded: RAM has something newer than what was to be renewed.
	superseded bool
	// hadOld: RAM had what was to be renewed, so the disk can have nothing newer.
	hadOld bool
	// inRAM: RAM has the renewed object.
	inRAM bool
}

// renew puts fresh where old is, or where nothing is. Where RAM has no room for
// its body, it forgets the head that it may have of old: what that says is
// outdated.
func (r *ram) renew(old, fresh *Object, fits bool, found *renewal) bool {
	look := func(current *Object) bool {
		same := current != nil && current.Same(old)
		// A head proves nothing of the disk: a large object is there first, and the
		// head of the one before it goes then.
		found.hadOld = same && !current.isHead()
		found.superseded = current != nil && !same
		return !found.superseded
	}
	if fits {
		return r.putIf(fresh, look)
	}
	r.deleteIf(&old.Hash, look)
	return false
}

// refreshDisk writes fresh's metadata beside old's body. The two belong
// together only while that body is the one that the disk has.
func (s *Store) refreshDisk(d *disk.Store, old, fresh *Object, r renewal) policy.Reason {
	g := s.guards.of(&old.Hash)
	g.mu.Lock()
	defer g.mu.Unlock()
	has := s.onDisk(d, old)
	switch {
	case has == diskSame:
		err := d.UpdateMeta(fresh.Hash, []byte(fresh.Text), fresh.encode(nil), fresh.expires())
		if err != nil {
			return unlessIn(r.inRAM, s.writeTrouble(err))
		}
		return policy.ReasonNone
	case has == diskOther && !r.hadOld:
		// RAM had forgotten what the disk has, which is newer.
		if r.inRAM {
			s.ram.delete(&old.Hash)
		}
		return policy.ReasonNone
	case old.Large():
		return policy.ReasonStorage
	}
	return s.putDiskLocked(d, fresh, r.inRAM)
}

// diskHas is what the disk holds under the key of an object.
type diskHas uint8

const (
	diskNothing diskHas = iota
	diskSame
	diskOther
)

// onDisk tells whether the disk holds old, something else or nothing under
// old's key. The caller holds the guard.
func (s *Store) onDisk(d *disk.Store, old *Object) diskHas {
	if s.debts.owes(&old.Hash) {
		return diskNothing
	}
	e, err := d.Get(old.Hash, []byte(old.Text))
	if err != nil {
		s.readTrouble(err)
		return diskNothing
	}
	defer e.Close()
	var o Object
	if o.decode(e.Meta) != nil || !o.Same(old) {
		return diskOther
	}
	return diskSame
}

// Same tells whether two objects of one key are one and the same commit, found
// in two places perhaps.
func (o *Object) Same(p *Object) bool {
	return o.Kind == p.Kind && o.Stored == p.Stored && o.Length == p.Length && o.Status == p.Status &&
		o.Freshness == p.Freshness && slices.Equal(o.Fields, p.Fields)
}
