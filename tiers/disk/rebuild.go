package disk

import (
	"errors"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2"
)

// replay brings in, after an unclean stop, what the segments hold and the index may miss: everything behind the
// watermark. Nobody is served before it is done: the index may still show what a record behind the watermark replaced.
func (s *Store) replay(ix *index) error {
	mark, _, err := ix.state(keyWatermark)
	if err != nil {
		return err
	}
	point, _, err := ix.state(keyCheckpoint)
	if err != nil {
		return err
	}
	t := *s.segs.table.Load()
	for i := len(t) - 1; i >= 0 && uint64(t[i].num) > mark; i-- {
		from := uint32(0)
		if uint64(t[i].num) == point>>32 {
			from = uint32(point)
		}
		if err := s.bringIn(t[i], from); err != nil {
			return err
		}
	}
	if len(t) > 0 {
		return ix.setState(keyWatermark, uint64(t[len(t)-1].num), false)
	}
	return nil
}

// bringIn applies the records of one segment, from an ordinal on, to the index: the highest position wins.
func (s *Store) bringIn(seg *segment, from uint32) error {
	list, err := s.list(seg)
	if err != nil {
		// What could be read counts; the rest of the segment is lost.
		s.o.Log.Warn("disk: segment read in part", "segment", seg.num, "err", err)
	}
	for group := range groups(list, int(from), groupSize, true) {
		if s.stopping() {
			return ErrClosed
		}
		err := s.applyGroup(group, func(rec footEntry, cur entry, ok bool) groupAction {
			if rec.typ == recChunk || rec.oldest < s.segs.floor.Load() || ok && cur.pos() >= rec.pos() {
				return groupKeep
			}
			return groupSet
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// startRebuild fills an index that may miss anything, newest segment first, in the background. What the index shows
// meanwhile is final: a newer record is never brought in after an older one.
func (s *Store) startRebuild(ix *index, done chan struct{}) {
	s.count.rebuilds.Add(1)
	below := s.segs.rotate()
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		defer close(done)
		if err := s.rebuild(ix, below); err != nil && !errors.Is(err, ErrClosed) {
			s.o.Log.Warn("disk: rebuild of the index ended early", "err", err)
		}
	}()
}

// announceRebuild must come before an index that misses anything is shown: a Delete that finds nothing in it has to
// write its tombstone all the same.
func (s *Store) announceRebuild() chan struct{} {
	done := make(chan struct{})
	s.rebuildMu.Lock()
	s.rebuilt = done
	s.rebuildMu.Unlock()
	return done
}

func (s *Store) rebuild(ix *index, below uint32) error {
	t := *s.segs.table.Load()
	n := 0
	for i := len(t) - 1; i >= 0; i-- {
		seg := t[i]
		if seg.num >= below || !seg.acquire() {
			continue
		}
		err := s.awaitSealed(seg)
		if err == nil && s.idx.Load() != ix {
			err = ErrOffline
		}
		if err == nil {
			err = s.bringIn(seg, 0)
		}
		seg.release()
		if err != nil {
			return err
		}
		n++
	}
	if err := ix.setState(keyComplete, 1, true); err != nil {
		return err
	}
	dirs, err := indexDirs(s.o.Dir)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if d.bad {
			_ = os.RemoveAll(d.path)
		}
	}
	s.o.Log.Info("disk: index rebuilt", "segments", n, "objects", ix.objects.Load())
	return nil
}

func (s *Store) awaitSealed(seg *segment) error {
	select {
	case <-seg.sealed:
		return nil
	case <-s.stop:
		return ErrClosed
	}
}

// replaceIndex puts a new generation in the place of one that failed and starts to fill it. The keeper calls it.
func (s *Store) replaceIndex() error {
	// A rebuild of the failed generation sees that and ends; two must not overlap.
	s.rebuildMu.Lock()
	running := s.rebuilt
	s.rebuildMu.Unlock()
	if running != nil {
		<-running
	}
	// The old files go first: a device that is full has room for the new ones then.
	dirs, err := indexDirs(s.o.Dir)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		_ = os.RemoveAll(d.path)
	}
	ix, err := s.newIndex()
	if err != nil {
		return err
	}
	done := s.announceRebuild()
	s.counted.Store(true)
	s.idx.Store(ix)
	if ferr := ix.failure(); ferr != nil {
		close(done)
		s.indexFailed(ix, ferr)
		return ferr
	}
	s.startRebuild(ix, done)
	s.o.Log.Info("disk: new index in place, rebuild under way")
	s.o.OnFault(s.Healthy())
	return nil
}

// counter returns what counts the entries that the index has now; the result is added to the totals when it is run.
// Entries that point into segments which are gone are dropped on the way.
func (s *Store) counter(ix *index) func() {
	snap := ix.db.NewSnapshot()
	return func() {
		counts, err := s.countSnapshot(ix, snap)
		if err != nil {
			if !errors.Is(err, ErrClosed) {
				ix.fail(err)
			}
			return
		}
		for i, c := range counts {
			ix.objects.Add(c.Objects)
			ix.live.Add(c.Live)
			ix.class[i].add(c.Objects, c.Live)
		}
		s.counted.Store(s.idx.Load() == ix)
	}
}

func (s *Store) countSnapshot(ix *index, snap *pebble.Snapshot) (counts map[uint8]classCount, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("index count: panic: %v", r)
		}
	}()
	defer func() { _ = snap.Close() }()
	if !ix.reads.TryRLock() {
		return nil, ErrClosed
	}
	defer ix.reads.RUnlock()
	it, err := snap.NewIter(&pebble.IterOptions{LowerBound: []byte("o"), UpperBound: []byte("p")})
	if err != nil {
		return nil, fmt.Errorf("index count: %w", err)
	}
	defer func() { _ = it.Close() }()
	counts = make(map[uint8]classCount)
	var dangling []footEntry
	for ok := it.First(); ok; ok = it.Next() {
		e, derr := decodeEntry(it.Value())
		if derr != nil || len(it.Key()) != 17 {
			return nil, fmt.Errorf("index count: %w: %w", errFormat, derr)
		}
		if e.counts() {
			c := counts[e.class]
			counts[e.class] = classCount{Objects: c.Objects + 1, Live: c.Live + int64(e.disk)}
		}
		if e.oldest < s.segs.floor.Load() {
			dangling = append(dangling, footEntry{hash: Hash(it.Key()[1:]), entry: e})
		}
		if len(dangling) == groupSize {
			s.dropDangling(dangling)
			dangling = dangling[:0]
		}
		if s.stopping() {
			return nil, ErrClosed
		}
	}
	s.dropDangling(dangling)
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("index count: %w", err)
	}
	return counts, nil
}

func (s *Store) dropDangling(list []footEntry) {
	err := s.applyGroup(list, func(rec footEntry, cur entry, ok bool) groupAction {
		if ok && cur.oldest < s.segs.floor.Load() {
			return groupDelete
		}
		return groupKeep
	})
	if err != nil {
		s.o.Log.Debug("disk: entries of lost segments stay for now", "err", err)
	}
}
