package tiers

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"weir/policy"
	"weir/tiers/disk"
)

const (
	// maxDebts bounds the keys that the disk could not forget. Beyond it the
	// disk tier starts empty.
	maxDebts = 1 << 16
	// retryFirst and retryMost are how long an absent disk tier is left alone.
	retryFirst = time.Second
	retryMost  = 2 * time.Second
)

// debts are the keys whose object on disk is replaced or deleted, while the disk
// could not be told: it was away, or failed. Until it is told, what it holds
// under them is not there.
//
// They live in memory. A process that dies during an outage forgets them, and
// what it had replaced meanwhile may be served again for as long as it is fresh.
type debts struct {
	n    atomic.Int64
	mu   sync.Mutex // protects keys
	keys map[policy.Hash]struct{}
	lost bool // there were too many
}

// owe notes that the disk must forget h.
func (d *debts) owe(h *policy.Hash) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys == nil {
		d.keys = make(map[policy.Hash]struct{})
	}
	if len(d.keys) >= maxDebts {
		d.lost = true
		d.n.Add(1)
		return
	}
	d.keys[*h] = struct{}{}
	d.n.Store(int64(len(d.keys)))
}

// owes tells whether what the disk holds under h is not there.
func (d *debts) owes(h *policy.Hash) bool {
	if d.n.Load() == 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, owed := d.keys[*h]
	return owed || d.lost
}

// paid notes that the disk has forgotten what it held under h, or holds what is
// newer than the debt.
func (d *debts) paid(h *policy.Hash) {
	if d.n.Load() == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost {
		return
	}
	delete(d.keys, *h)
	d.n.Store(int64(len(d.keys)))
}

// tooMany tells whether only an empty disk can settle them.
func (d *debts) tooMany() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost
}

// list returns some of them.
func (d *debts) list() []policy.Hash {
	d.mu.Lock()
	defer d.mu.Unlock()
	const some = 256
	l := make([]policy.Hash, 0, min(some, len(d.keys)))
	for h := range d.keys {
		if l = append(l, h); len(l) == some {
			break
		}
	}
	return l
}

// forgive drops all of them: the disk is empty.
func (d *debts) forgive() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys, d.lost = nil, false
	d.n.Store(0)
}

// keepDisk opens the disk tier, and again when that was not possible or its
// directory has gone, and tells it what it missed. It never waits for the device
// itself: what does is begun, and looked at later. first gets the outcome of the
// first try.
func (s *Store) keepDisk(first chan<- error) {
	defer close(s.diskKept)
	wait := s.opts.retry
	opened := s.tryDisk() // nil while nothing is being tried
	for {
		d := s.disk.Load()
		var vanished <-chan struct{}
		if d != nil {
			vanished = d.Vanished()
			wait = s.opts.retry
		}
		t := time.NewTimer(wait)
		select {
		case <-s.stop:
			t.Stop()
			return
		case err := <-opened:
			opened = nil
			s.opening.Store(false)
			if err != nil {
				wait = min(2*wait, retryMost)
			}
			if first != nil {
				first <- err
				first = nil
			}
		case <-vanished:
			s.dropDisk(d)
		case <-t.C:
			switch {
			case d != nil && s.debts.tooMany():
				s.log.Warn("disk tier: too much was replaced while it could not be told; it starts empty")
				s.dropDisk(d)
			case d != nil:
				s.settle(d)
				s.parts.save(s.opts.Disk.Dir, d)
			case opened == nil:
				opened = s.tryDisk()
			}
		}
		t.Stop()
	}
}

// tryDisk opens the disk tier in a goroutine that nobody waits for: a file system
// that is frozen keeps it in the kernel. A tier that is opened after the store was
// closed is closed again.
func (s *Store) tryDisk() <-chan error {
	outcome := make(chan error, 1)
	go func() {
		o := *s.opts.Disk
		o.Fresh = s.debts.tooMany()
		d, err := s.openDisk(o)
		if err == nil {
			if err = s.opts.BeforeDisk(); err != nil {
				_ = d.Close() // it holds nothing yet that could be lost
			}
		}
		if err == nil {
			s.putOn(d, &o)
		} else {
			s.cannotOpen(o.Dir, err)
		}
		outcome <- err
	}()
	return outcome
}

// cannotOpen notes why the disk tier is off.
func (s *Store) cannotOpen(dir string, err error) {
	was := s.openError.Swap(&err)
	s.fault("open")
	if was == nil || s.mayLog() {
		s.log.Error("disk tier is OFF: it cannot be opened; serving from RAM and origin only", "path", dir, "error", err)
	}
}

// putOn puts the disk tier behind the RAM of a store that may serve already. Requests
// that find no disk and those that find it go on side by side: what was put while
// there was none is owed to it.
func (s *Store) putOn(d *disk.Store, o *disk.Options) {
	if o.Fresh {
		s.debts.forgive()
	}
	s.parts.load(o.Dir, d)
	s.swapping.Lock()
	defer s.swapping.Unlock()
	if s.closed {
		_ = d.Close() // nobody has used it
		return
	}
	was := s.openError.Swap(nil)
	s.disk.Store(d)
	if list := s.admission.policies(); list != nil {
		if err := d.SetClasses(classesOf(list)); err != nil { // they may have changed since
			s.log.Error("disk tier keeps to what was promised before", "error", err)
		}
	}
	if was != nil {
		s.log.Info("disk tier is ON again", "path", o.Dir, "objects", d.Stats().Objects)
	}
}

// dropDisk gives up a store that is of no use any more.
func (s *Store) dropDisk(d *disk.Store) {
	s.fault("open")
	err := fmt.Errorf("it is opened again: %w", d.Healthy())
	s.openError.Store(&err)
	s.disk.CompareAndSwap(d, nil)
	s.ram.forgetHeads()
	if err := d.Close(); err != nil {
		s.log.Debug("disk tier: closing what is lost", "error", err)
	}
}

// settle tells the disk what it missed, until it fails.
//
// Losing interleaving: between the look at a debt and the delete a newer object
// is put, which pays the debt. The guard orders the two; the look is repeated
// under it.
func (s *Store) settle(d *disk.Store) {
	if s.debts.n.Load() == 0 || d.Healthy() != nil {
		return
	}
	for hashes := s.debts.list(); len(hashes) > 0; hashes = s.debts.list() {
		for i := range hashes {
			if !s.settleOne(d, &hashes[i]) {
				return
			}
		}
	}
}

func (s *Store) settleOne(d *disk.Store, h *policy.Hash) bool {
	g := s.guards.of(h)
	g.mu.Lock()
	defer g.mu.Unlock()
	if !s.debts.owes(h) {
		return true
	}
	if err := d.Delete(*h); err != nil && !errors.Is(err, disk.ErrNotFound) {
		return false
	}
	s.debts.paid(h)
	return true
}
