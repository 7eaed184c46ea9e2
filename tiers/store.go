package tiers

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/policy"
	"weir/tiers/disk"
)

// Options configure a Store.
type Options struct {
	// RAMSize is the RAM tier's budget in bytes, overheads included.
	RAMSize int64
	// RAMMaxObject is the largest body, in bytes, that is kept in RAM and the
	// most that a flight gathers in memory.
	RAMMaxObject int64
	// Disk configures the disk tier; nil runs on RAM alone.
	Disk *disk.Options
	// DiskMaxObject is the largest body, in bytes, that is kept on disk.
	DiskMaxObject int64
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets what an operator must know; nil discards it.
	Log *slog.Logger
	// Evicted is told of each object that was pushed out, and whether it was
	// still fresh. It must not block.
	Evicted func(tier policy.Tier, fresh bool)
	// DiskFault is told of each failing disk operation. It must not block.
	DiskFault func(op string)
}

// Store is the tiers as one: RAM before disk. Safe for concurrent use.
type Store struct {
	ram     *ram
	disk    atomic.Pointer[disk.Store]
	ramMax  int64
	diskMax int64
	opts    Options
	log     *slog.Logger
	now     func() time.Time
	// openError is why the disk tier could not be opened; set before use.
	openError error

	// varyMu serialises changes of vary records, which are read, changed and
	// written; sharded by key.
	varyMu [64]sync.Mutex
	// lastTrouble bounds how often disk trouble is logged, unix nanoseconds.
	lastTrouble atomic.Int64
}

// Open makes the tiers. A disk tier that cannot be opened does not fail it: the
// proxy serves on from RAM, and DiskUp says so.
func Open(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{opts: o, log: o.Log, now: o.Now, ramMax: o.RAMMaxObject, diskMax: o.DiskMaxObject}
	r, err := newRAM(o.RAMSize, o.RAMMaxObject, s.evictedRAM)
	if err != nil {
		return nil, err
	}
	s.ram = r
	if o.Disk == nil {
		return s, nil
	}
	d, err := s.openDisk(*o.Disk)
	if err != nil {
		if errors.Is(err, disk.ErrLocked) {
			// Another process owns the directory: a mistake of the operator,
			// not of the disk, and better told now.
			r.close()
			return nil, err
		}
		s.log.Error("disk tier is OFF: it cannot be opened; serving from RAM and origin only",
			"path", o.Disk.Dir, "error", err)
		s.fault("open")
		s.openError = err
		return s, nil
	}
	s.disk.Store(d)
	return s, nil
}

func (s *Store) openDisk(o disk.Options) (*disk.Store, error) {
	o.Now = s.now
	o.OnEvict = func(e disk.Evicted) {
		if s.opts.Evicted != nil {
			s.opts.Evicted(policy.TierDisk, e.Reason == disk.ReasonFresh)
		}
	}
	return disk.Open(o)
}

func (s *Store) evictedRAM(o *Object) {
	if s.opts.Evicted == nil || o.Kind == KindPass {
		return
	}
	s.opts.Evicted(policy.TierRAM, o.Freshness.TTL(s.now().UnixNano()) > 0)
}

// Get returns what RAM holds under the hash when its key text is the one asked
// for, else nil. It allocates nothing as long as h is on the heap.
func (s *Store) Get(h *policy.Hash, text []byte) *Object { return s.ram.get(h, text) }

// GetDisk returns what the disk holds, or nil; what fits is promoted to RAM. A
// Large object must be closed by the caller.
func (s *Store) GetDisk(h *policy.Hash, text []byte) *Object {
	d := s.disk.Load()
	if d == nil {
		return nil
	}
	generation := s.ram.generation(h)
	e, err := d.Get(*h, text)
	if err != nil {
		if !errors.Is(err, disk.ErrNotFound) {
			s.diskTrouble("read", err)
		}
		return nil
	}
	o := &Object{Hash: *h, Text: string(text), Tier: policy.TierDisk}
	if err := o.decode(e.Meta); err != nil || o.Length != e.Size {
		e.Close()
		if err == nil {
			err = errMeta
		}
		s.diskTrouble("read", err)
		if err := d.Delete(*h); err != nil {
			s.diskTrouble("delete", err)
		}
		return nil
	}
	if !e.Inline() {
		o.entry = e
		return o
	}
	o.Body = e.Body
	e.Close()
	if o.Length <= s.ramMax {
		// RAM gets a copy of its own, so that the tier an object says it came
		// from is right for this answer and for the next.
		s.ram.promote(o.inRAM(), generation)
	}
	return o
}

// inRAM returns the object as the RAM tier keeps it, sharing body and fields.
func (o *Object) inRAM() *Object {
	return &Object{
		Hash: o.Hash, Text: o.Text, Kind: o.Kind, Status: o.Status, Fields: o.Fields,
		Freshness: o.Freshness, Validators: o.Validators, Tags: o.Tags, Reason: o.Reason,
		Stored: o.Stored, Epoch: o.Epoch, Vary: o.Vary, Length: o.Length, Body: o.Body,
		Tier: policy.TierRAM,
	}
}

// Put publishes an object whose body is in memory. RAM shows it at once; the
// disk, where there is one, has it when Put returns. It gives the reason when
// no tier could take it.
func (s *Store) Put(o *Object) policy.Reason { return s.putDisk(o, s.putRAM(o)) }

// putRAM publishes the object in RAM, where it fits.
func (s *Store) putRAM(o *Object) bool {
	o.Tier = policy.TierRAM
	if o.Length <= s.ramMax && s.ram.put(o) {
		return true
	}
	// A smaller object of the same key must not outlive this one.
	s.ram.delete(&o.Hash)
	return false
}

// putDisk publishes the object on disk, and says why no tier has it when
// neither does.
func (s *Store) putDisk(o *Object, inRAM bool) policy.Reason {
	if o.Kind == KindPass {
		return policy.ReasonNone
	}
	d := s.disk.Load()
	if d == nil || o.Length > s.diskMax {
		if inRAM {
			return policy.ReasonNone
		}
		return policy.ReasonTooLarge
	}
	if err := d.Put(o.Hash, []byte(o.Text), o.encode(nil), o.Body, o.expires()); err != nil {
		s.diskTrouble("write", err)
		// What the disk still holds under the key is older than what was just
		// put, and must not come back when RAM forgets.
		if err := d.Delete(o.Hash); err != nil {
			s.diskTrouble("delete", err)
		}
		if !inRAM {
			return policy.ReasonStorage
		}
	}
	return policy.ReasonNone
}

// Refresh publishes fresh in the place of old, whose body it shares: a 304
// renewed it. On disk only the metadata is written.
func (s *Store) Refresh(old, fresh *Object) policy.Reason {
	fresh.Hash, fresh.Text, fresh.Length = old.Hash, old.Text, old.Length
	fresh.Body, fresh.Tier = old.Body, policy.TierRAM
	inRAM := false
	if !old.Large() {
		inRAM = s.ram.put(fresh)
	}
	d := s.disk.Load()
	if d == nil {
		if inRAM {
			return policy.ReasonNone
		}
		return policy.ReasonStorage
	}
	err := d.UpdateMeta(fresh.Hash, []byte(fresh.Text), fresh.encode(nil), fresh.expires())
	if errors.Is(err, disk.ErrNotFound) && !old.Large() {
		return s.Put(fresh)
	}
	if err != nil {
		s.diskTrouble("write", err)
		if !inRAM {
			return policy.ReasonStorage
		}
	}
	return policy.ReasonNone
}

// Delete removes the key from both tiers. Readers that hold the object go on.
func (s *Store) Delete(h *policy.Hash) {
	s.ram.delete(h)
	if d := s.disk.Load(); d != nil {
		if err := d.Delete(*h); err != nil && !errors.Is(err, disk.ErrNotFound) {
			s.diskTrouble("delete", err)
		}
	}
}

// MaxObject is the largest body that could be stored now, in bytes.
func (s *Store) MaxObject() int64 {
	if s.disk.Load() != nil {
		return max(s.ramMax, s.diskMax)
	}
	return s.ramMax
}

// diskStore returns the disk tier, or nil while it is off.
func (s *Store) diskStore() *disk.Store { return s.disk.Load() }

func (s *Store) fault(op string) {
	if s.opts.DiskFault != nil {
		s.opts.DiskFault(op)
	}
}

// diskTrouble counts a failing disk operation and says so at most once in ten
// seconds; the request goes on without the disk.
func (s *Store) diskTrouble(op string, err error) {
	s.fault(op)
	now := s.now().UnixNano()
	last := s.lastTrouble.Load()
	if now-last < int64(10*time.Second) || !s.lastTrouble.CompareAndSwap(last, now) {
		return
	}
	s.log.Error("disk tier: operation failed; serving on without it", "op", op, "error", err)
}

// Usage is what a tier holds.
type Usage struct {
	Bytes, Capacity, Objects int64
	// Up is false for a tier that is configured but switched off.
	Up bool
}

// RAMUsage tells what the RAM tier holds.
func (s *Store) RAMUsage() Usage {
	return Usage{Bytes: s.ram.bytes.Load(), Capacity: s.ram.capacity, Objects: s.ram.objects.Load(), Up: true}
}

// DiskUsage tells what the disk tier holds; ok is false without one.
func (s *Store) DiskUsage() (u Usage, ok bool) {
	if s.opts.Disk == nil {
		return Usage{}, false
	}
	u.Capacity = s.opts.Disk.Size
	if d := s.disk.Load(); d != nil {
		st := d.Stats()
		u.Bytes, u.Objects, u.Up = st.DiskBytes, st.Objects, d.Healthy() == nil
	}
	return u, true
}

// DiskError is why the configured disk tier is not in use, or nil.
func (s *Store) DiskError() error {
	if d := s.disk.Load(); d != nil {
		return d.Healthy()
	}
	return s.openError
}

// Close stops the tiers. No call may run or follow.
func (s *Store) Close() error {
	s.ram.close()
	if d := s.disk.Swap(nil); d != nil {
		return d.Close()
	}
	return nil
}
