package disk

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A file system that is full makes the store smaller, not useless. Room for the index, and for what else lies beside
// the store, is kept free: a segment is begun only where that much is free beyond it, and the oldest segments go while
// less is. Where others take that room too, and a write fails for want of it, the oldest segment goes at once.
//
// What goes for this reason is not written again, whether it was hit or is promised to stay: there is no room for it.

// space is what is free on the file system of dir, and how many files can still be made there.
type space struct{ bytes, files int64 }

// unbounded is more files than anybody makes, for a file system that does not count them.
const unbounded = 1 << 40

func spaceOf(dir string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return space{}, err
	}
	sp := space{bytes: int64(st.Bavail) * int64(st.Bsize), files: int64(st.Ffree)}
	if st.Files == 0 {
		sp.files = unbounded
	}
	return sp, nil
}

// reserve is what is kept free, in bytes: a thirty-second of the budget within 64 MiB, and never less than what the index
// may have to write at once.
func (o Options) reserve() int64 { return max(min(o.Size/32, 64<<20), 6*memTableSize(o.Size)) }

// reserveFiles is how many files can always be made: those of an index that is opened.
const reserveFiles = 16

// isFull reports whether err says that the device has no room, for bytes or for files.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// short reports whether less is free than the reserve and more bytes. What cannot be asked is taken for enough.
func (s *Store) short(more int64) bool {
	sp, err := s.o.space(s.segs.dir)
	return err == nil && (sp.bytes < s.o.reserve()+more || sp.files < reserveFiles)
}

// roomForSegment refuses a new segment where the file system has no room for it.
func (s *Store) roomForSegment() error {
	if s.short(s.o.SegmentSize) {
		return fmt.Errorf("less is free on the file system than a segment and the reserve take: %w", syscall.ENOSPC)
	}
	return nil
}

// makeRoomPatience is how long MakeRoom waits for an eviction.
const makeRoomPatience = 2 * time.Second

// MakeRoom gives up the oldest segment, for others who write to the same device, and reports whether it did.
func (s *Store) MakeRoom() bool {
	if s.readOnly || len(*s.segs.table.Load()) == 0 || s.enter() != nil {
		return false
	}
	defer s.leave()
	before := s.count.segsEvicted.Load()
	s.squeeze()
	t := time.NewTimer(makeRoomPatience)
	defer t.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for s.count.segsEvicted.Load() == before {
		select {
		case <-look.C:
		case <-s.stop:
			return false
		case <-t.C:
			return false
		}
	}
	return true
}

// squeeze has the keeper give up the oldest segment.
func (s *Store) squeeze() {
	s.squeezed.Store(true)
	s.kickEvict()
}

// canShrink reports whether there is anything to give up but what is being written.
func (s *Store) canShrink() bool {
	return s.segs.oldestSealed() != nil || len(*s.segs.table.Load()) > 1
}

// fullOr answers for a write that failed: one for want of room makes room, and the caller waits for that and tries
// again; anything else, and a device on which nothing of ours is left to go, switches puts off.
func (s *Store) fullOr(err error) error {
	if isFull(err) && s.canShrink() {
		s.squeeze()
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	s.writeFailed(err)
	return fmt.Errorf("%w: %w", ErrOffline, err)
}

// relieve gives up the oldest segment, and reports whether there was one. The keeper calls it.
func (s *Store) relieve() bool {
	defer func() {
		s.squeezed.Store(false)
		s.room.signal()
	}()
	if s.readOnly {
		return false
	}
	if len(s.asides) > 0 {
		s.dropAside()
		return true
	}
	seg := s.segs.oldestSealed()
	if seg == nil {
		s.segs.rotate() // the sealer wakes the keeper
		return false
	}
	s.o.Log.Warn("disk: the file system is full, the oldest segment goes", "segment", seg.num, "bytes", seg.bytes.Load())
	if err := s.dropSegment(seg); err != nil {
		s.o.Log.Warn("disk: eviction", "segment", seg.num, "err", err)
	}
	s.indexBytes.Store(s.measureIndex())
	return true
}

// dropSegment is evictSegment without anything that is written again.
func (s *Store) dropSegment(seg *segment) error {
	list, lerr := s.list(seg)
	s.segs.floor.Store(seg.num + 1)
	rerr := s.segs.remove(seg)
	s.count.segsEvicted.Add(1)
	var err error
	if s.idx.Load() != nil { // the next index does not show what is below the floor
		err = s.forget(list)
	}
	return errors.Join(lerr, err, rerr)
}

// clearRoom makes room for the index, before it is opened, at the expense of the oldest segments: on a device that is
// full it could not be opened at all.
func (s *Store) clearRoom() {
	dropped := 0
	for len(*s.segs.table.Load()) > 0 && s.short(0) {
		seg := (*s.segs.table.Load())[0]
		if err := s.segs.remove(seg); err != nil {
			s.o.Log.Warn("disk: no room can be made", "err", err)
			return
		}
		s.count.segsEvicted.Add(1)
		dropped++
	}
	if dropped > 0 {
		s.o.Log.Warn("disk: the file system is full, the oldest segments go", "segments", dropped)
	}
}
