package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// mostWait is how many ticks pass between two looks at a device that is away: it is in use within a few seconds of being
// back.
const mostWait = 3

// keepLoop is the store's housekeeper: it evicts, probes a faulty device, and replaces a failed index.
func (s *Store) keepLoop() {
	t := time.NewTicker(s.o.tick)
	defer t.Stop()
	wait, skipped := 1, 0
	for {
		select {
		case <-s.stop:
			return
		case <-s.evictReq:
			s.evict()
			continue
		case <-t.C:
		}
		if !s.lock.held() || !s.segs.held() {
			s.vanish()
			return
		}
		s.indexBytes.Store(s.measureIndex())
		if s.writable() {
			return
		}
		if !s.readOnly && s.canShrink() && s.short(0) {
			s.squeezed.Store(true) // others have taken what is kept free
		}
		s.evict()
		if skipped++; skipped < wait {
			continue
		}
		skipped = 0
		// A device that stays away is asked more rarely.
		if s.heal() {
			wait = 1
		} else {
			wait = min(2*wait, mostWait)
		}
	}
}

// vanish gives the store up: its directory has gone, or that of its segments, and what is still open of it leads nowhere.
func (s *Store) vanish() {
	err := fmt.Errorf("%w: %s", ErrVanished, s.o.Dir)
	s.wfault.Store(&err)
	s.counted.Store(false)
	if ix := s.idx.Load(); ix != nil {
		ix.fail(err)
	}
	s.o.Log.Error("disk: the directory is gone, the store is lost", "dir", s.o.Dir)
	s.o.OnFault(err)
	close(s.vanished)
}

// heal tries to end an outage; true when there is none any more.
func (s *Store) heal() bool {
	ok := true
	if s.idx.Load() == nil {
		// A database that panics over a full device can never be closed, so none is opened before a probe succeeds.
		err := s.probeOrRelieve()
		if err == nil {
			err = s.replaceIndex()
		}
		if err != nil {
			s.o.Log.Warn("disk: index still offline", "err", err)
			ok = false
		}
	}
	if s.wfault.Load() != nil && !s.readOnly {
		if err := s.probeOrRelieve(); err != nil {
			ok = false
		} else {
			// The segment that could not be written is left behind.
			s.segs.rotate()
			s.wfault.Store(nil)
			s.o.Log.Info("disk: the device takes writes again")
			s.o.OnFault(s.Healthy())
		}
	}
	return ok
}

// probeOrRelieve is probe, after giving up the oldest segment where the device is full.
func (s *Store) probeOrRelieve() error {
	err := s.probe()
	if isFull(err) && s.relieve() {
		err = s.probe()
	}
	return err
}

const probeName = "probe"

// probe writes and syncs a file of 1 MiB and removes it.
func (s *Store) probe() error {
	if s.o.writeFault != nil {
		if err := s.o.writeFault(1 << 20); err != nil {
			return err
		}
	}
	path := filepath.Join(s.segs.dir, probeName)
	err := writeFileSync(path, make([]byte, 1<<20))
	_ = os.Remove(path)
	return err
}

// writeFailed switches puts off until a probe succeeds.
func (s *Store) writeFailed(err error) {
	s.count.writeErrors.Add(1)
	if s.wfault.CompareAndSwap(nil, &err) {
		s.o.Log.Error("disk: the device does not take writes, puts are switched off", "err", err)
		s.o.OnFault(err)
	}
}

// indexFailed is called once for each generation, from any goroutine.
func (s *Store) indexFailed(ix *index, err error) {
	if !s.idx.CompareAndSwap(ix, nil) {
		return // still being opened: Open sees the error
	}
	s.counted.Store(false)
	ix.bury()
	s.o.Log.Error("disk: the index failed, offline until it is replaced", "err", err)
	s.o.OnFault(fmt.Errorf("index: %w", err))
}

func (s *Store) measureIndex() int64 {
	var n int64
	dirs, err := indexDirs(s.o.Dir)
	if err != nil {
		return 0
	}
	for _, d := range dirs {
		n += dirSize(d.path)
	}
	return n
}

// dropAside removes the oldest file that was set aside; it goes before anything that can be served.
func (s *Store) dropAside() {
	path := s.asides[0]
	s.asides = s.asides[1:]
	st, err := os.Stat(path)
	if err == nil {
		s.asideBytes.Add(-st.Size())
		err = os.Remove(path)
	}
	if err != nil {
		s.o.Log.Warn("disk: cannot remove a file that was set aside", "err", err)
	}
}
