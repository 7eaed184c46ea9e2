package tiers

import (
	"errors"
	"slices"

	"weir/policy"
	"weir/tiers/disk"
)

// Refresh publishes fresh in the place of old, whose body it shares: a 304
// renewed it. On disk only the metadata is written, and where that is to go is
// known from when old was stored or read, so that nothing is read; where RAM has
// the renewed object that may come to pass behind Refresh. When something
// else has taken old's place meanwhile, that stays: it is newer than what was
// renewed.
func (s *Store) Refresh(old, fresh *Object) policy.Reason {
	fresh.Hash, fresh.Text, fresh.Length = old.Hash, old.Text, old.Length
	fresh.Body, fresh.Tier = old.Body, policy.TierRAM
	g := s.guards.of(&old.Hash)
	g.begin()
	r := s.ram.renew(old, fresh, old.Length <= s.ramMax && !old.Large())
	// Where RAM did not have what was renewed, the disk may have something newer, and
	// nobody may be shown that it does not for longer than it takes to look.
	if r.inRAM && r.hadOld && s.behind.add(s, fresh, old, r) {
		return policy.ReasonNone
	}
	defer g.end()
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
	// home is where on disk what was to be renewed lies; nil where RAM does not know.
	home *disk.Place
}

// renew puts fresh where old is, or where nothing is. Where RAM has no room for
// its body, it forgets the head that it may have of old: what that says is
// outdated.
func (r *ram) renew(old, fresh *Object, fits bool) (found renewal) {
	look := func(current *Object) bool {
		same := current != nil && current.Same(old)
		// A head proves nothing of the disk: a large object is there first, and the
		// head of the one before it goes then.
		found.hadOld = same && !current.isHead()
		found.superseded = current != nil && !same
		return !found.superseded
	}
	found.home = r.homeOf(old)
	switch {
	case !fits:
		r.deleteIf(&old.Hash, look)
	case r.swap(old, fresh):
		found.hadOld, found.inRAM = true, true
	default:
		found.inRAM = r.putIf(fresh, look)
	}
	return found
}

// swap replaces old by fresh within its cell, when the cell still holds old or its
// like, and reports whether it did. Neither the window nor ristretto hears of it:
// what a 304 says changes little, and nothing of who asks for the object. Since a
// cell that was replaced or deleted is dead and out of the table, what came
// meanwhile is never undone.
func (r *ram) swap(old, fresh *Object) bool {
	cost := r.cost(fresh)
	s := r.shard(&old.Hash)
	s.mu.Lock()
	c := s.cells[old.Hash]
	if c == nil {
		s.mu.Unlock()
		return false
	}
	current := c.obj.Load()
	grown := cost - c.cost
	// Ristretto's books say what the cell was put with; far from that may they not be.
	if current.isHead() || !current.Same(old) || max(grown, -grown) > c.cost/16 {
		s.mu.Unlock()
		return false
	}
	c.obj.Store(fresh)
	c.cost = cost
	r.bytes.Add(grown)
	if c.inWindow {
		s.bytes += grown
	}
	gone := r.trimLocked(s, c)
	s.mu.Unlock()
	r.dismiss(gone)
	return true
}

// homeOf returns where on disk o lies, as far as RAM knows.
func (r *ram) homeOf(o *Object) *disk.Place {
	s := r.shard(&o.Hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cells[o.Hash]
	if c == nil {
		return nil
	}
	current := c.obj.Load()
	switch {
	case !current.Same(o):
		return nil
	case current.isHead():
		return current.outside.place
	}
	return c.home
}

// setHome notes where on disk o lies, if RAM still has it or what renewed it since.
func (r *ram) setHome(o *Object, p *disk.Place) {
	s := r.shard(&o.Hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.cells[o.Hash]; c != nil && c.obj.Load().sharesBody(o) {
		c.home = p
	}
}

// sharesBody reports whether both are one object, or one renews the other.
func (o *Object) sharesBody(p *Object) bool {
	return o == p || len(o.Body) > 0 && len(o.Body) == len(p.Body) && &o.Body[0] == &p.Body[0]
}

// refreshDisk writes fresh's metadata beside old's body. The two belong
// together only while that body is the one that the disk has.
func (s *Store) refreshDisk(d *disk.Store, old, fresh *Object, r renewal) policy.Reason {
	g := s.guards.of(&old.Hash)
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := s.ram.current(&old.Hash); r.inRAM && now != nil && now != fresh {
		// Something later is on its way to the disk behind this, or has been there.
		return policy.ReasonNone
	}
	defer s.supersede(g, &old.Hash)()
	return s.refreshDiskLocked(d, old, fresh, r)
}

// refreshDiskLocked is refreshDisk with the guard held.
func (s *Store) refreshDiskLocked(d *disk.Store, old, fresh *Object, r renewal) policy.Reason {
	if r.home == nil && old.Large() {
		r.home = old.outside.entry.Place()
	}
	if r.home != nil && !s.debts.owes(&old.Hash) {
		home, err := d.UpdateMetaAt(r.home, []byte(fresh.Text), fresh.encode(nil), fresh.expires())
		if err == nil {
			s.ram.setHome(fresh, home)
			return policy.ReasonNone
		}
		if !errors.Is(err, disk.ErrNotFound) {
			return unlessIn(r.inRAM, s.writeTrouble(err))
		}
	}
	// It is not known where it is, or not there any more: eviction may have written
	// it again elsewhere.
	has := s.onDisk(d, old)
	switch {
	case has == diskSame:
		home, err := d.UpdateMeta(fresh.Hash, []byte(fresh.Text), fresh.encode(nil), fresh.expires())
		if err != nil {
			return unlessIn(r.inRAM, s.writeTrouble(err))
		}
		s.ram.setHome(fresh, home)
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
	return o == p || o.Kind == p.Kind && o.Stored == p.Stored && o.Length == p.Length && o.Status == p.Status &&
		o.Freshness == p.Freshness && slices.Equal(o.Fields, p.Fields)
}
