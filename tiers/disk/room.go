package disk

import (
	"errors"
	"sync/atomic"
	"time"
)

// room lets puts that come at the ceiling wait for eviction. It frees a segment while there are two more to fill, so
// nobody waits as long as it is faster than what arrives.
type room struct {
	freed atomic.Pointer[chan struct{}] // closed and replaced when space has come back
	// hopeless is until when nobody waits, because somebody did in vain; nanoseconds since born, so that a clock that is set
	// back does not keep everybody from waiting.
	hopeless atomic.Int64
	born     time.Time
	waits    atomic.Int64
}

func (r *room) init() {
	ch := make(chan struct{})
	r.freed.Store(&ch)
	r.born = time.Now()
}

// now is the monotonic time of hopeless.
func (r *room) now() int64 { return int64(time.Since(r.born)) }

// signal wakes those who wait.
func (r *room) signal() {
	ch := make(chan struct{})
	close(*r.freed.Swap(&ch))
}

// withRoom runs put, which writes about n bytes, once there is room for them, and again when others took that room
// first. put answers ErrFull for that.
//
// It must be called without a stripe: the losing interleaving is an eviction that needs the stripe of a put which waits
// for that eviction.
func (s *Store) withRoom(n int64, put func() error) error {
	for tries := 100; ; tries-- {
		room := s.awaitRoom(n)
		err := put()
		if !errors.Is(err, ErrFull) {
			return err
		}
		if !room || tries == 0 {
			s.count.full.Add(1)
			return err
		}
	}
}

// awaitRoom waits, at most the read timeout, until n bytes fit under the ceiling; false when that was in vain.
func (s *Store) awaitRoom(n int64) bool {
	if s.fits(n) {
		return true
	}
	if s.wfault.Load() != nil || s.room.now() < s.room.hopeless.Load() {
		return false
	}
	s.room.waits.Add(1)
	t := time.NewTimer(s.o.ReadTimeout)
	defer t.Stop()
	for {
		freed := *s.room.freed.Load()
		if s.fits(n) {
			return true
		}
		s.kickEvict()
		select {
		case <-freed:
		case <-s.stop:
			return false
		case <-t.C:
			s.room.hopeless.Store(s.room.now() + int64(s.o.ReadTimeout))
			return false
		}
	}
}

// fits tells whether a record of n bytes would stay under the hard ceiling: the budget and one segment. While the device
// is full nothing fits.
func (s *Store) fits(n int64) bool {
	return !s.squeezed.Load() && s.used()+n+footEntrySize <= s.o.Size+s.o.SegmentSize
}
