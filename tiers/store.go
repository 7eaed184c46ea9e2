package tiers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/policy"
	"weir/tiers/disk"
	"weir/tiers/spool"
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
	// DiskPatience is how long Open waits for the disk tier, which is opened behind
	// it; 0: until it is open or has failed.
	DiskPatience time.Duration
	// BeforeDisk is called with the disk tier open and locked, and before anything
	// in it is used; it may take its time. After an error, and before another try,
	// the tier is closed. It may be nil.
	BeforeDisk func() error
	// Policies are what SetPolicies is told first.
	Policies []PolicyStorage
	// DiskMaxObject is the largest body, in bytes, that is kept on disk.
	DiskMaxObject int64
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets what an operator must know; nil discards it.
	Log *slog.Logger
	// Evicted is told of each object that was pushed out, and whether it was
	// still fresh. It must not block.
	Evicted func(tier policy.Tier, fresh bool)
	// DiskFault is told of each failing disk operation: "open", "read", "write",
	// "delete", "timeout", or "corrupt" for a read that found damage. It must not
	// block.
	DiskFault func(op string)

	// InFlight bounds what bodies on their way take in memory; nil: nothing does. The
	// store closes it.
	InFlight *spool.Budget

	retry time.Duration // retryFirst, but in tests
}

// Store is the tiers as one: RAM before disk. Safe for concurrent use.
type Store struct {
	ram    *ram
	disk   atomic.Pointer[disk.Store]
	ramMax int64
	// stall is passStall, but in tests.
	stall   time.Duration
	diskMax int64
	opts    Options
	log     *slog.Logger
	now     func() time.Time
	// openError is why the disk tier could not be opened when that was last tried;
	// nil while it is being opened for the first time, which opening says.
	openError atomic.Pointer[error]
	opening   atomic.Bool
	swapping  sync.Mutex // protects closed, and orders Close with a tier that comes
	closed    bool
	debts     debts
	stop      chan struct{}
	released  bool          // ReleaseDisk was called
	diskKept  chan struct{} // closed when keepDisk has returned; nil without a disk tier

	guards    guards
	admission admission
	short     shortage
	parts     parts
	behind    behind
	budget    *spool.Budget
	lending   lending
	// unspooling has room for those who commit what is in the spool.
	unspooling chan struct{}
	// varyMu serialises changes of vary records, which are read, changed and
	// written; sharded by key. Taken before any guard.
	varyMu [64]sync.Mutex
	// lastTrouble bounds how often disk trouble is logged, unix nanoseconds.
	lastTrouble atomic.Int64
}

// Open makes the tiers. The disk tier is opened behind it, and Open waits for that at
// most DiskPatience: until it is open, and when it cannot be opened, the proxy serves
// from RAM, DiskState says so, and it is tried again. Only a directory that another
// process has open, when that shows in time, is an error.
func Open(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.retry == 0 {
		o.retry = retryFirst
	}
	if o.BeforeDisk == nil {
		o.BeforeDisk = func() error { return nil }
	}
	s := &Store{opts: o, log: o.Log, now: o.Now, stall: passStall, ramMax: o.RAMMaxObject, diskMax: o.DiskMaxObject, stop: make(chan struct{})}
	s.budget, s.unspooling = o.InFlight, make(chan struct{}, maxUnspooling)
	r, err := newRAM(o.RAMSize, o.RAMMaxObject, s.evictedRAM)
	if err != nil {
		return nil, err
	}
	s.ram = r
	r.forgotten = s.disown
	// A body that RAM has no room for must not gather there.
	s.ramMax = min(s.ramMax, max(r.maxObject-objectOverhead-headRoom, r.maxObject/2))
	if o.Disk == nil {
		return s, nil
	}
	r.homeCost = placeCost
	s.admission.setPolicies(o.Policies)
	s.behind.init(s, o.RAMSize)
	s.opening.Store(true)
	s.diskKept = make(chan struct{})
	first := make(chan error, 1)
	go s.keepDisk(first)
	if err := awaitFirst(first, o.DiskPatience); errors.Is(err, disk.ErrLocked) {
		// Another process owns the directory: a mistake of the operator, not of
		// the disk, and better told now.
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// awaitFirst waits for the outcome of the first try, at most that long.
func awaitFirst(first <-chan error, patience time.Duration) error {
	var late <-chan time.Time
	if patience > 0 {
		t := time.NewTimer(patience)
		defer t.Stop()
		late = t.C
	}
	select {
	case err := <-first:
		return err
	case <-late:
		return nil
	}
}

func (s *Store) openDisk(o disk.Options) (*disk.Store, error) {
	o.Now = s.now
	if o.Log == nil {
		o.Log = s.log
	}
	o.OnEvict = s.evictedDisk
	// From the first eviction on, which may come before Open returns.
	o.Classes = classesOf(s.admission.policies())
	d, err := disk.Open(o)
	if errors.Is(err, syscall.EROFS) || errors.Is(err, os.ErrPermission) {
		// What is there may be of use all the same.
		o.ReadOnly, o.Fresh = true, false
		r, rerr := disk.Open(o)
		if rerr != nil {
			return nil, fmt.Errorf("%w; and it cannot be read: %w", err, rerr)
		}
		s.log.Error("disk tier is READ-ONLY: what it holds is served, and nothing is written", "path", o.Dir, "objects", r.Stats().Objects, "error", err)
		return r, nil
	}
	return d, err
}

func (s *Store) evictedRAM(o *Object) {
	if s.opts.Evicted == nil || o.Kind != KindResponse || o.isHead() {
		return
	}
	s.opts.Evicted(policy.TierRAM, o.Freshness.TTL(s.now().UnixNano()) > 0)
}

// Lookup returns what is stored under the hash when its key text is the one
// asked for, RAM before disk, or nil. A Large object must be closed by the caller.
// A hit in RAM allocates nothing as long as h is on the heap.
func (s *Store) Lookup(h *policy.Hash, text []byte) *Object {
	o := s.ram.get(h, text)
	switch {
	case o == nil:
		return s.GetDisk(h, text)
	case o.isHead():
		return s.openHead(o)
	}
	return o
}

// LookupRare is Lookup for a key under which there is seldom anything.
func (s *Store) LookupRare(h *policy.Hash, text []byte) *Object {
	if s.ram.current(h) == nil {
		// Not worth a place in ristretto's books.
		return s.GetDisk(h, text)
	}
	return s.Lookup(h, text)
}

// Peek is Get without counting as a use.
func (s *Store) Peek(h *policy.Hash, text []byte) *Object {
	if o := s.ram.current(h); o != nil && !o.isHead() {
		return o.ifText(text)
	}
	return nil
}

// Get returns what RAM holds under the hash, body and all, when its key text is
// the one asked for, else nil. It allocates nothing as long as h is on the heap.
func (s *Store) Get(h *policy.Hash, text []byte) *Object {
	if o := s.ram.get(h, text); o != nil && !o.isHead() {
		return o
	}
	return nil
}

// GetDisk returns what the disk holds, or nil; what fits is read whole and
// promoted to RAM. A Large object must be closed by the caller.
func (s *Store) GetDisk(h *policy.Hash, text []byte) *Object {
	d := s.disk.Load()
	// The mark first: a delete that fails and leaves a debt behind the question is
	// then one that a promotion finds.
	g := s.guards.of(h)
	since := g.mark()
	if g.pending.Load() > 0 {
		if o := s.behind.get(h); o != nil {
			// RAM has forgotten it before the disk was told.
			return o.ifText(text)
		}
	}
	if d == nil || s.debts.owes(h) {
		return nil
	}
	e, err := d.Get(*h, text)
	if err != nil {
		s.readTrouble(err)
		return nil
	}
	o := &Object{Hash: *h, Text: string(text), Tier: policy.TierDisk, Policy: e.Class}
	if err := o.decode(e.Meta); err != nil || o.Length != e.Size {
		e.Close()
		if err == nil {
			err = fmt.Errorf("cannot take a body of %d bytes for one of %d: %w", e.Size, o.Length, errMeta)
		}
		s.readTrouble(err)
		// Whatever is there by now, losing it costs one fetch.
		s.deleteDisk(d, h)
		return nil
	}
	if o.Length > s.ramMax {
		o.outside = &outside{entry: e}
		s.keepHead(o, since)
		return o
	}
	o.Body, err = wholeBody(e)
	home := e.Place()
	e.Close()
	if err != nil {
		s.readTrouble(err)
		return nil
	}
	// RAM gets an object of its own, so that the tier an object says it came
	// from is right for this answer and for the next.
	kept := o.inRAM()
	if s.ram.putIf(kept, func(current *Object) bool { return current == nil && since.valid() }) {
		s.ram.setHome(kept, home)
	}
	return o
}

// wholeBody reads the body of an entry into memory of its own.
func wholeBody(e *disk.Entry) ([]byte, error) {
	if e.Inline() {
		return bytes.Clone(e.Body), nil
	}
	body := make([]byte, e.Size)
	r := e.NewReader(0, -1)
	defer r.Close()
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("cannot read a stored body: %w", err)
	}
	return body, nil
}

// inRAM returns the object as the RAM tier keeps it, sharing body and fields.
func (o *Object) inRAM() *Object {
	return &Object{
		Hash: o.Hash, Text: o.Text, Kind: o.Kind, Status: o.Status, Fields: o.Fields,
		Freshness: o.Freshness, Validators: o.Validators, Tags: o.Tags,
		Stored: o.Stored, Epoch: o.Epoch, Incarnation: o.Incarnation, Policy: o.Policy, Vary: o.Vary, Length: o.Length, Body: o.Body,
		Tier: policy.TierRAM,
	}
}

// Put publishes an object whose body is in memory. RAM shows it at once; the
// disk, where there is one, has it when Put returns. It gives the reason when
// no tier could take it; nothing is stored under the key then.
func (s *Store) Put(o *Object) policy.Reason {
	g := s.guards.of(&o.Hash)
	g.begin()
	defer g.end()
	return s.putDisk(o, s.putRAM(o))
}

// putRAM publishes the object in RAM, where it fits. Where it does not, RAM has
// nothing under its key: an older object must not outlive this one.
func (s *Store) putRAM(o *Object) bool {
	o.Tier = policy.TierRAM
	if o.Length <= s.ramMax {
		return s.ram.put(o)
	}
	s.ram.delete(&o.Hash)
	return false
}

// putDisk publishes the object on disk, and says why no tier has it when
// neither does. What the disk held under the key before is gone in any case: it
// is older, and must not come back when RAM forgets. The caller has begun.
func (s *Store) putDisk(o *Object, inRAM bool) policy.Reason {
	d := s.disk.Load()
	if d == nil {
		s.forgetLater(&o.Hash)
		return unlessIn(inRAM, policy.ReasonTooLarge)
	}
	g := s.guards.of(&o.Hash)
	g.mu.Lock()
	defer g.mu.Unlock()
	if inRAM {
		if now := s.ram.current(&o.Hash); now != nil && now != o {
			// A later put is on its way to the disk behind this one, or has
			// been there.
			return policy.ReasonNone
		}
	}
	defer s.supersede(g, &o.Hash)()
	return s.putDiskLocked(d, o, inRAM)
}

// putDiskLocked is putDisk with the guard held.
func (s *Store) putDiskLocked(d *disk.Store, o *Object, inRAM bool) policy.Reason {
	reason := policy.ReasonTooLarge
	switch {
	case o.Length > s.diskLimit(d):
	case o.Kind == KindResponse && !s.admission.admits(o.Policy, &o.Hash):
		reason = policy.ReasonNotAdmitted
	default:
		home, err := d.In(o.Policy).Put(o.Hash, []byte(o.Text), o.encode(nil), o.Body, o.expires())
		if err == nil {
			s.debts.paid(&o.Hash)
			s.ram.setHome(o, home)
			return policy.ReasonNone
		}
		reason = s.writeTrouble(err)
	}
	s.deleteDisk(d, &o.Hash)
	return unlessIn(inRAM, reason)
}

// commitDisk publishes a large object whose body w has. On failure nothing is
// stored under its key. The caller has begun.
func (s *Store) commitDisk(w *disk.Writer, o *Object) policy.Reason {
	g := s.guards.of(&o.Hash)
	g.mu.Lock()
	defer g.mu.Unlock()
	defer s.supersede(g, &o.Hash)()
	err := w.Commit(o.encode(nil), o.expires())
	// An older and smaller object of the key may still be in RAM.
	s.ram.delete(&o.Hash)
	if err == nil {
		s.debts.paid(&o.Hash)
		return policy.ReasonNone
	}
	if d := s.disk.Load(); d != nil {
		s.deleteDisk(d, &o.Hash)
	} else {
		s.forgetLater(&o.Hash)
	}
	return s.writeTrouble(err)
}

// unlessIn is the reason why no tier has an object, none when RAM has it.
func unlessIn(ram bool, reason policy.Reason) policy.Reason {
	if ram {
		return policy.ReasonNone
	}
	return reason
}

// Delete removes the key from both tiers. Readers that hold the object go on.
func (s *Store) Delete(h *policy.Hash) {
	// A vary record that is being added to would come back with all variants.
	mu := s.varyLock(h)
	mu.Lock()
	defer mu.Unlock()
	s.remove(h)
}

func (s *Store) remove(h *policy.Hash) {
	g := s.guards.of(h)
	g.begin()
	defer g.end()
	s.ram.delete(h)
	g.mu.Lock()
	defer g.mu.Unlock()
	defer s.supersede(g, h)()
	if d := s.disk.Load(); d != nil {
		s.deleteDisk(d, h)
	} else {
		s.forgetLater(h)
	}
}

func (s *Store) deleteDisk(d *disk.Store, h *policy.Hash) {
	if err := d.Delete(*h); err != nil && !errors.Is(err, disk.ErrNotFound) {
		s.debts.owe(h)
		s.diskTrouble("delete", err)
		return
	}
	s.debts.paid(h)
}

// forgetLater notes that the disk, which is away, must forget h.
func (s *Store) forgetLater(h *policy.Hash) {
	if s.opts.Disk != nil {
		s.debts.owe(h)
	}
}

// MaxObject is the largest body that could be stored now, in bytes.
func (s *Store) MaxObject() int64 {
	if d := s.disk.Load(); d != nil && d.Healthy() == nil {
		return max(s.ramMax, s.diskLimit(d))
	}
	return s.ramMax
}

// MaxInMemory is the largest body that is kept in RAM, in bytes.
func (s *Store) MaxInMemory() int64 { return s.ramMax }

// diskLimit is the largest body that goes to disk: what was configured, or less
// when the disk tier's size cannot hold that.
func (s *Store) diskLimit(d *disk.Store) int64 { return min(s.diskMax, d.MaxObject()) }

// diskStore returns the disk tier, or nil while it is off.
func (s *Store) diskStore() *disk.Store { return s.disk.Load() }

// Close stops the tiers. No call may run or follow; Large objects and readers
// of fills may still be read until they are closed.
func (s *Store) Close() error {
	if !s.released {
		s.stopBehind()
	}
	s.ram.close()
	err := s.closeDisk()
	s.budget.Close()
	return err
}

// maxUnspooling is how many bodies are committed from the spool at a time.
const maxUnspooling = 2

// InFlight returns the budget of bodies on their way; nil: there is none.
func (s *Store) InFlight() *spool.Budget { return s.budget }
