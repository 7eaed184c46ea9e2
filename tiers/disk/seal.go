package disk

import (
	"fmt"
	"hash/crc32"
	"os"
	"sync"
)

// sealLoop closes segments that are full, oldest first. It ends when no more records come, after everything that was handed
// to it.
func (s *Store) sealLoop() {
	for {
		for s.sealNext() {
		}
		s.checkpoint()
		select {
		case <-s.segs.kick:
		case <-s.written:
			for s.sealNext() {
			}
			return
		}
	}
}

// checkpoint tells the index, every few thousand records, up to where it has the records of the active segment, so that a start after a kill replays
// only what follows. The mark is written after what it speaks of, and the log of the index keeps that order.
func (s *Store) checkpoint() {
	s.segs.mu.Lock()
	seg := s.segs.active
	ix := s.idx.Load()
	if seg == nil || ix == nil || uint32(len(seg.list)/footEntrySize) < seg.checked+s.segs.checkpoint {
		s.segs.mu.Unlock()
		return
	}
	phase, upTo := seg.phase, uint32(len(seg.list)/footEntrySize)
	seg.phase = new(sync.WaitGroup)
	s.segs.mu.Unlock()

	// Those of earlier phases are done: each checkpoint waits for its own.
	phase.Wait()
	seg.checked = upTo
	if err := ix.setState(keyCheckpoint, uint64(seg.num)<<32|uint64(upTo), false); err != nil {
		s.o.Log.Debug("disk: checkpoint not written", "err", err)
	}
}

func (s *Store) sealNext() bool {
	s.segs.mu.Lock()
	if len(s.segs.seal) == 0 {
		s.segs.mu.Unlock()
		return false
	}
	seg := s.segs.seal[0]
	s.segs.seal = s.segs.seal[1:]
	s.segs.mu.Unlock()

	// No record can be placed in it any more; those under way are in the index when Wait returns.
	seg.pending.Wait()
	if err := s.seal(seg); err != nil {
		// Without a footer the segment is scanned when it has to be; its list stays in memory until then.
		s.writeFailed(err)
	}
	close(seg.sealed)
	if ix := s.idx.Load(); ix != nil {
		// Everything up to seg is in the index: after an unclean stop the replay starts behind it. With sync, so that
		// the log of the index has everything before this on the device.
		if err := ix.setState(keyWatermark, uint64(seg.num), true); err != nil {
			s.o.Log.Debug("disk: watermark not written", "err", err)
		}
	}
	s.kickEvict()
	return true
}

func (s *Store) seal(seg *segment) error {
	if len(seg.list) == 0 {
		return s.segs.remove(seg)
	}
	if s.o.writeFault != nil {
		if err := s.o.writeFault(len(seg.list)); err != nil {
			return fmt.Errorf("cannot seal segment %d: %w", seg.num, err)
		}
	}
	size, err := writeFooter(seg.f, seg.place(0), seg.end, seg.list)
	if err == nil {
		err = seg.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("cannot seal segment %d: %w", seg.num, err)
	}
	s.count.bytesFoot.Add(size - seg.end)
	s.segs.live.Add(size - seg.bytes.Swap(size))
	seg.list = nil
	return nil
}

// writeFooter ends a segment file at end with list; it returns the size of the file.
func writeFooter(f *os.File, p place, end int64, list []byte) (int64, error) {
	end = align(end)
	t := trailer{
		num: p.seg, salt: p.salt, footOff: end, count: uint32(len(list) / footEntrySize),
		footCRC: crc32.Checksum(list, castagnoli),
	}
	b := append(append(make([]byte, 0, len(list)+trailerSize), list...), t.encode()...)
	_, err := f.WriteAt(b, end)
	if err == nil {
		err = f.Truncate(end + int64(len(b)))
	}
	if err != nil {
		return 0, err
	}
	return end + int64(len(b)), nil
}

// list returns the records of a sealed segment.
func (s *Store) list(seg *segment) (records, error) {
	if seg.list != nil {
		return records{seg: seg.num, raw: seg.list}, nil
	}
	list, _, scanned, err := loadRecords(seg.f, seg.num, seg.salt, seg.bytes.Load())
	if scanned {
		s.o.Log.Warn("disk: segment has no good footer, scanned", "segment", seg.num, "records", list.count(), "err", err)
	}
	return list, err
}
