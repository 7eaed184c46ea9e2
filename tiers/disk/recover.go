package disk

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

const (
	storeName   = "STORE"
	asideSuffix = ".aside"
	badSuffix   = ".bad"
)

// recover brings the store to life: segments first, then the index over them, then what the index misses.
func (s *Store) recover() error {
	clean, wasClean, err := takeClean(s.o.Dir, s.readOnly)
	if err != nil {
		return err
	}
	if err := s.loadSegments(); err != nil {
		return err
	}
	if !s.readOnly {
		s.clearRoom()
	}
	s.segs.next = max(s.segs.next, clean.Next, 1)
	floor := s.segs.next
	if t := *s.segs.table.Load(); len(t) > 0 {
		floor = t[0].num
	}
	s.segs.floor.Store(floor)
	wasClean = wasClean && slices.Equal(clean.Segments, s.segs.table.Load().numbers())
	ix, fresh, err := s.openLatest(clean, wasClean)
	if err != nil {
		return err
	}
	if mark, _, err := ix.state(keyWatermark); err == nil {
		// A number up to the watermark would not be replayed.
		s.segs.next = max(s.segs.next, uint32(min(mark, 1<<32-2))+1)
	}
	s.idx.Store(ix)
	if ferr := ix.failure(); ferr != nil {
		s.indexFailed(ix, ferr)
	}
	var count func()
	switch {
	case fresh:
		s.counted.Store(true)
	case wasClean:
		ix.setCounts(clean.Classes)
		s.counted.Store(true)
	default:
		// The snapshot is taken before the first change, so its count and the changes add up.
		count = s.counter(ix)
		if err := s.replay(ix); err != nil {
			s.o.Log.Warn("disk: replay failed", "err", err)
			ix.fail(err)
		}
	}
	s.indexBytes.Store(s.measureIndex())
	s.start(ix, count)
	return nil
}

// start runs the background work.
func (s *Store) start(ix *index, count func()) {
	s.wg.Go(s.sealLoop)
	s.keeper.Go(s.keepLoop)
	if count != nil {
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			count()
		}()
	}
	s.wg.Go(s.syncAdopted)
	if _, complete, err := ix.state(keyComplete); err == nil && !complete && ix.failure() == nil {
		s.startRebuild(ix, s.announceRebuild())
	}
	s.kickEvict()
}

// syncAdopted brings to the device what the last process left in the kernel. Nobody waits for that: until it is done, a
// power cut costs what it would have cost before.
func (s *Store) syncAdopted() {
	for _, seg := range s.unsynced {
		if s.stopping() || !seg.acquire() {
			continue
		}
		if err := seg.f.Sync(); err != nil {
			s.writeFailed(fmt.Errorf("cannot sync segment %d: %w", seg.num, err))
		}
		seg.release()
	}
	s.unsynced = nil
}

// loadSegments opens what is in the segment directory. What cannot be used is set aside; its number is burnt.
func (s *Store) loadSegments() error {
	names, err := os.ReadDir(s.segs.dir)
	if err != nil {
		return fmt.Errorf("cannot list the segments: %w", err)
	}
	var nums []uint32
	for _, de := range names {
		base, ok := strings.CutSuffix(de.Name(), ".seg")
		aside := strings.HasSuffix(de.Name(), asideSuffix)
		if aside {
			base, _, _ = strings.Cut(de.Name(), ".")
		}
		n, perr := strconv.ParseUint(base, 10, 32)
		switch {
		case (!ok && !aside) || perr != nil || n >= 1<<32-2:
			continue // not ours
		case aside:
			s.noteAside(filepath.Join(s.segs.dir, de.Name()))
		case filepath.Base(segPath("", uint32(n))) == de.Name():
			nums = append(nums, uint32(n))
		default:
			continue
		}
		s.segs.next = max(s.segs.next, uint32(n)+1)
	}
	slices.Sort(nums)
	opened := make([]openedSegment, 0, len(nums))
	for _, num := range nums {
		o, err := openSegmentFile(segPath(s.segs.dir, num), num, s.readOnly)
		if err != nil {
			s.rejectSegment(num, err)
			continue
		}
		o.header.num = num
		opened = append(opened, o)
	}
	if err := s.loadID(opened); err != nil {
		for _, o := range opened {
			_ = o.f.Close()
		}
		return err
	}
	for _, o := range opened {
		s.adopt(o)
	}
	return nil
}

// rejectSegment deals with a file that does not open as a segment.
func (s *Store) rejectSegment(num uint32, cause error) {
	path := segPath(s.segs.dir, num)
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Size() <= segHeaderSize {
		// The process died while it created the file.
		if !s.readOnly {
			_ = os.Remove(path)
		}
		return
	}
	if !errors.Is(cause, errFormat) && !errors.Is(cause, errVersion) {
		s.count.readErrors.Add(1)
		s.o.Log.Error("disk: cannot open a segment, it is left out", "segment", num, "err", cause)
		return
	}
	s.setAside(path, cause)
}

func (s *Store) setAside(path string, cause error) {
	if s.readOnly {
		s.o.Log.Error("disk: segment left out", "path", path, "err", cause)
		return
	}
	to := path + asideSuffix
	if err := os.Rename(path, to); err != nil {
		s.o.Log.Error("disk: cannot set a segment aside", "path", path, "err", err)
		return
	}
	s.o.Log.Error("disk: segment set aside, it goes when space is needed", "path", to, "err", cause)
	s.noteAside(to)
}

func (s *Store) noteAside(path string) {
	if st, err := os.Stat(path); err == nil {
		s.asideBytes.Add(st.Size())
		s.asides = append(s.asides, path)
	}
}

// loadID reads the identity of the store; when it is lost, the newest segment knows it.
func (s *Store) loadID(opened []openedSegment) error {
	path := filepath.Join(s.o.Dir, storeName)
	if b, err := readFileLimited(path, 4096); err == nil {
		if h, err := decodeSegHeader(b); err == nil {
			s.id, s.segs.storeID = h.store, h.store
			return nil
		} else if errors.Is(err, errVersion) {
			return fmt.Errorf("cannot use %s: %w", path, err)
		}
	} else if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errFormat) {
		return fmt.Errorf("cannot read the identity of the disk store: %w", err)
	}
	for i := len(opened) - 1; i >= 0 && s.id == [16]byte{}; i-- {
		s.id = opened[i].header.store
	}
	if s.id == [16]byte{} {
		if _, err := rand.Read(s.id[:]); err != nil {
			return fmt.Errorf("cannot draw an identity: %w", err)
		}
	}
	s.segs.storeID = s.id
	if s.readOnly {
		return nil
	}
	return writeFileSync(path, segHeader{store: s.id, created: s.nowMillis()}.encode())
}

// adopt puts an opened segment into the table, after writing the footer of one that was not sealed.
func (s *Store) adopt(o openedSegment) {
	num := o.header.num
	if o.header.store != s.id && o.header.store != [16]byte{} {
		_ = o.f.Close()
		s.setAside(segPath(s.segs.dir, num), errors.New("it belongs to another store"))
		return
	}
	seg := s.segs.newSegment(num, o.header.salt, segPath(s.segs.dir, num), o.f)
	seg.bytes.Store(o.size)
	if !o.sealed {
		list, end, _, err := loadRecords(o.f, num, seg.salt, o.size)
		if err != nil {
			s.o.Log.Warn("disk: unsealed segment read in part", "segment", num, "err", err)
		}
		if list.count() == 0 && err == nil {
			_ = o.f.Close()
			if !s.readOnly {
				_ = os.Remove(seg.path)
			}
			return
		}
		size, err := int64(0), error(errReadOnlyStore)
		if !s.readOnly {
			size, err = writeFooter(o.f, seg.place(0), end, list.raw)
		}
		if err != nil {
			s.o.Log.Warn("disk: segment stays without a footer", "err", err)
			seg.list = list.raw
		} else {
			seg.bytes.Store(size)
			s.unsynced = append(s.unsynced, seg)
		}
	}
	close(seg.sealed)
	s.segs.add(seg)
}

// openLatest opens the newest index, or starts one when there is none that can be trusted. fresh tells that it is new.
func (s *Store) openLatest(clean cleanMark, wasClean bool) (ix *index, fresh bool, err error) {
	latest, err := s.sweepIndexes()
	if err != nil {
		return nil, false, err
	}
	if latest != "" {
		ix, err := s.tryOpen(latest, clean, wasClean)
		if err == nil {
			return ix, false, nil
		}
		s.o.Log.Error("disk: the index cannot be used, it is built again from the segments", "err", err)
		if s.readOnly {
			s.gen++
		} else if err := os.Rename(latest, latest+badSuffix); err != nil {
			return nil, false, fmt.Errorf("cannot set the index aside: %w", err)
		}
	}
	ix, err = s.newIndex()
	return ix, true, err
}

func (s *Store) tryOpen(dir string, clean cleanMark, wasClean bool) (*index, error) {
	if wasClean && clean.Gen == s.gen {
		if err := clean.matches(dir); err != nil {
			return nil, err
		}
	} else if err := checkManifest(dir); err != nil {
		return nil, err
	}
	return openIndex(s.o, dir, s.gen, s.indexFailed)
}

// sweepIndexes removes all but the newest index directory and sets s.gen to the highest number seen.
func (s *Store) sweepIndexes() (latest string, err error) {
	dirs, err := indexDirs(s.o.Dir)
	if err != nil {
		return "", err
	}
	var best uint64
	for _, d := range dirs {
		s.gen = max(s.gen, d.gen)
		if !d.bad && d.gen > best {
			latest, best = d.path, d.gen
		}
	}
	for _, d := range dirs {
		if d.path != latest && !s.readOnly {
			_ = os.RemoveAll(d.path)
		}
	}
	if latest != "" && best != s.gen {
		// A newer one was given up; this one is older than what was deleted since.
		if !s.readOnly {
			_ = os.RemoveAll(latest)
		}
		latest = ""
	}
	return latest, nil
}

// generations is the highest number that an index of this process has had.
var generations atomic.Uint64

// nextGeneration is above gen and above every number used before. A generation that failed may still be open, and
// remove files by their names, when its directory has vanished and another one stands in its place.
func nextGeneration(gen uint64) uint64 {
	for {
		last := generations.Load()
		next := max(gen, last) + 1
		if generations.CompareAndSwap(last, next) {
			return next
		}
	}
}

// newIndex starts the next generation, empty. Whatever is in the segments now is for a rebuild to bring in.
func (s *Store) newIndex() (*index, error) {
	s.gen = nextGeneration(s.gen)
	dir := filepath.Join(s.o.Dir, fmt.Sprintf("index-%08d", s.gen))
	ix, err := openIndex(s.o, dir, s.gen, s.indexFailed)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	below := s.segs.rotate()
	err = ix.setState(keyWatermark, uint64(below-1), true)
	if err == nil && len(*s.segs.table.Load()) == 0 {
		err = ix.setState(keyComplete, 1, true)
	}
	if err != nil {
		_ = ix.close(false)
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return ix, nil
}
