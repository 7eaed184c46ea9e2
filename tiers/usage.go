package tiers

import (
	"errors"
	"time"

	"weir/policy"
	"weir/tiers/disk"
)

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

// DiskState is how the disk tier stands.
type DiskState uint8

const (
	// DiskOpening: it is being opened, and is not in use yet.
	DiskOpening DiskState = iota
	// DiskOpen: it is in use.
	DiskOpen
	// DiskOff: it is not in use, and is tried again.
	DiskOff
	// DiskReadOnly: what it holds is served, and nothing is written.
	DiskReadOnly
	// DiskRebuilding: it is in use, and its index does not know all of it yet.
	DiskRebuilding

	diskStates
)

var diskStateNames = [diskStates]string{
	DiskOpening: "opening", DiskOpen: "open", DiskOff: "off", DiskReadOnly: "read-only", DiskRebuilding: "rebuilding",
}

// String is the state's name in /v1/status and in weir_disk_state.
func (s DiskState) String() string { return diskStateNames[s] }

// DiskStates are the names of all states.
func DiskStates() []string { return diskStateNames[:] }

// DiskState tells how the disk tier stands; ok is false without one.
func (s *Store) DiskState() (state DiskState, ok bool) {
	if s.opts.Disk == nil {
		return DiskOff, false
	}
	d := s.disk.Load()
	switch {
	case d == nil && s.opening.Load():
		return DiskOpening, true
	case d == nil:
		return DiskOff, true
	}
	switch st := d.Stats(); {
	case d.Healthy() == nil && st.Rebuilding:
		return DiskRebuilding, true
	case d.Healthy() == nil:
		return DiskOpen, true
	case d.Readable():
		return DiskReadOnly, true
	}
	return DiskOff, true
}

// errOpening is why a disk tier is not in use that is being opened.
var errOpening = errors.New("it is being opened")

// DiskError is why the configured disk tier is not in use, or nil.
func (s *Store) DiskError() error {
	if d := s.disk.Load(); d != nil {
		return d.Healthy()
	}
	if err := s.openError.Load(); err != nil {
		return *err
	}
	if s.opening.Load() {
		return errOpening
	}
	return nil
}

// MakeRoom has the disk tier give up what it has held longest, for others who need
// room on the same device, and reports whether it did.
func (s *Store) MakeRoom() bool {
	d := s.disk.Load()
	return d != nil && d.MakeRoom()
}

func (s *Store) fault(op string) {
	if s.opts.DiskFault != nil {
		s.opts.DiskFault(op)
	}
}

// readTrouble is what failing reads lead to. A miss is none, and that the disk
// is switched off was said when it was.
func (s *Store) readTrouble(err error) {
	switch {
	case errors.Is(err, disk.ErrNotFound), errors.Is(err, disk.ErrOffline), errors.Is(err, disk.ErrClosed):
	case errors.Is(err, disk.ErrSlow):
		s.diskTrouble("timeout", err)
	case errors.Is(err, disk.ErrCorrupt), errors.Is(err, errMeta):
		s.diskTrouble("corrupt", err)
	default:
		s.diskTrouble("read", err)
	}
}

// writeTrouble is what failing writes lead to: the reason why it is not stored.
func (s *Store) writeTrouble(err error) policy.Reason {
	if errors.Is(err, disk.ErrTooLarge) {
		return policy.ReasonTooLarge
	}
	if errors.Is(err, disk.ErrSlow) {
		s.diskTrouble("timeout", err)
		return policy.ReasonStorage
	}
	if errors.Is(err, disk.ErrPinnedFull) {
		if s.mayLog() {
			s.log.Warn("disk tier: a pinned policy has no more room; what it stores goes to RAM only until something is stale", "error", err)
		}
		return policy.ReasonPinnedFull
	}
	if errors.Is(err, disk.ErrFull) || errors.Is(err, disk.ErrEvicted) {
		// Not a fault of the disk: eviction had not caught up at that moment.
		if s.mayLog() {
			s.log.Warn("disk tier: eviction does not keep up with what arrives; some objects are not stored on disk", "error", err)
		}
		return policy.ReasonStorage
	}
	s.diskTrouble("write", err)
	return policy.ReasonStorage
}

// diskTrouble counts a failing disk operation and says so at most once in ten
// seconds; the request goes on without the disk.
func (s *Store) diskTrouble(op string, err error) {
	s.fault(op)
	if s.mayLog() {
		s.log.Error("disk tier: operation failed; serving on without it", "op", op, "error", err)
	}
}

// mayLog bounds how often trouble of the disk is logged.
func (s *Store) mayLog() bool {
	now := s.now().UnixNano()
	last := s.lastTrouble.Load()
	// Less than nothing has passed since a clock was set back.
	due := last == 0 || now < last || now-last >= int64(10*time.Second)
	return due && s.lastTrouble.CompareAndSwap(last, now)
}
