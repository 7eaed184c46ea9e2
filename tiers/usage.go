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

// DiskError is why the configured disk tier is not in use, or nil.
func (s *Store) DiskError() error {
	if d := s.disk.Load(); d != nil {
		return d.Healthy()
	}
	if err := s.openError.Load(); err != nil {
		return *err
	}
	return nil
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
