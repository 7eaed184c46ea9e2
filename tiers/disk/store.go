package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const stripeCount = 1024

// Store is an open disk store. All methods are safe for concurrent use.
type Store struct {
	o    Options
	lock *dirLock
	id   [16]byte
	segs segments

	// idx is nil while the index is being replaced.
	idx atomic.Pointer[index]
	gen uint64 // of the newest index directory; the keeper's, after Open

	// stripes order the writers of one hash; see "Order" in doc.go. Reads take none of them.
	stripes [stripeCount]sync.Mutex

	// life is read-held by every operation and write-held by Close.
	life   sync.RWMutex
	closed bool

	wfault     atomic.Pointer[error] // why puts are refused; nil: they are not
	indexBytes atomic.Int64
	asideBytes atomic.Int64
	asides     []string // oldest first; the keeper's, after Open

	rebuildMu sync.Mutex // protects rebuilt
	rebuilt   chan struct{}
	counted   atomic.Bool // the counters of the index are exact

	chunks  sync.Pool // *[]byte of ChunkSize
	scratch sync.Pool // *[]byte, records being built
	count   counters
	classes classes
	gate    *gate
	room    room

	// readOnly: the device took nothing when the store was opened.
	readOnly bool
	// squeezed: the oldest segment is to go, for want of room on the device.
	squeezed atomic.Bool

	unsynced []*segment // adopted at Open; then syncAdopted's

	vanished chan struct{} // closed by the keeper
	stop     chan struct{} // closed first: no work is begun any more
	written  chan struct{} // closed when the keeper has ended: no record comes any more
	evictReq chan struct{}
	keeper   sync.WaitGroup
	wg       sync.WaitGroup // everybody else in the background
}

// Open opens the store in o.Dir, creating it when there is none. It returns once what was committed before can be
// read; when the index has to be rebuilt that goes on in the background (see WaitRebuilt) and what is not found yet is
// a miss. The errors are those of the options, of the directory itself, and ErrLocked.
func Open(o Options) (*Store, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	segDir := filepath.Join(o.Dir, "segments")
	lock, err := openDir(o, segDir)
	if err != nil {
		return nil, err
	}
	s := &Store{o: o, readOnly: o.ReadOnly, lock: lock, vanished: make(chan struct{}), stop: make(chan struct{}), written: make(chan struct{}), evictReq: make(chan struct{}, 1), gate: newGate(o.ReadTimeout, o.read)}
	s.chunks.New = func() any { b := make([]byte, o.ChunkSize); return &b }
	s.scratch.New = func() any { return new([]byte) }
	s.segs = segments{dir: segDir, size: o.SegmentSize, kick: make(chan struct{}, 1), now: s.nowMillis, freed: s.room.signal, checkpoint: o.checkpoint, roomy: s.roomForSegment}
	if s.segs.opened, err = os.Stat(segDir); err != nil {
		_ = lock.unlock()
		return nil, fmt.Errorf("cannot open the disk store: %w", err)
	}
	s.room.init()
	s.segs.table.Store(&segTable{})
	switch {
	case o.ReadOnly:
		s.o.indexFS = newOverlay(o.indexFS)
		s.wfault.Store(&errReadOnlyStore)
	case o.Fresh:
		removeLeftovers(o.Dir)
		err = discard(o.Dir)
	default:
		removeLeftovers(o.Dir)
	}
	if err == nil {
		err = s.loadClasses()
	}
	if err == nil {
		err = s.recover()
	}
	if err != nil {
		s.releaseAll()
		_ = lock.unlock()
		return nil, err
	}
	return s, nil
}

// openDir locks the directory of a store, which it makes when there is none.
func openDir(o Options, segDir string) (*dirLock, error) {
	if o.ReadOnly {
		return lockToRead(o.Dir)
	}
	if err := os.MkdirAll(segDir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the disk store: %w", err)
	}
	return lockDir(o.Dir)
}

func (s *Store) nowMillis() int64 { return s.o.Now().UnixMilli() }

// enter starts an operation; leave ends it.
func (s *Store) enter() error {
	s.life.RLock()
	if s.closed {
		s.life.RUnlock()
		return ErrClosed
	}
	return nil
}

func (s *Store) leave() { s.life.RUnlock() }

func (s *Store) stripe(h Hash) *sync.Mutex { return &s.stripes[stripeOf(h)] }

func stripeOf(h Hash) int { return (int(h[0])<<8 | int(h[1])) % stripeCount }

// ID names this store for its whole life; a directory that was emptied gets another one.
func (s *Store) ID() [16]byte { return s.id }

// MaxObject is the largest body in bytes that the store takes.
func (s *Store) MaxObject() int64 { return s.o.maxObject() }

// ChunkSize is what a writer, and a reader of a large body, hold in memory, in bytes.
func (s *Store) ChunkSize() int64 { return int64(s.o.ChunkSize) }

// Healthy tells why the store is offline, in part (puts) or as a whole; nil when it is not.
func (s *Store) Healthy() error {
	if s.idx.Load() == nil {
		return fmt.Errorf("the index is being replaced: %w", ErrOffline)
	}
	if p := s.wfault.Load(); p != nil {
		return fmt.Errorf("%w: %w", ErrOffline, *p)
	}
	return nil
}

// Readable reports whether what is stored can be found, as far as the index knows it.
func (s *Store) Readable() bool { return s.idx.Load() != nil }

// Vanished is closed once the directory is found to be another one than was opened, or none: somebody removed it, or its
// file system went away. The store stays offline then. All that is left to do is to close it and to open another.
func (s *Store) Vanished() <-chan struct{} { return s.vanished }

// WaitRebuilt waits until no rebuild of the index is under way.
func (s *Store) WaitRebuilt(ctx context.Context) error {
	s.rebuildMu.Lock()
	ch := s.rebuilt
	s.rebuildMu.Unlock()
	if ch == nil {
		return nil
	}
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rebuilding tells whether the index may still miss what is in the segments.
func (s *Store) rebuilding() bool {
	s.rebuildMu.Lock()
	defer s.rebuildMu.Unlock()
	if s.rebuilt == nil {
		return false
	}
	select {
	case <-s.rebuilt:
		return false
	default:
		return true
	}
}

// Close waits for the operations under way, seals the last segment and leaves the mark of a clean stop. Entries and
// writers that are still open can be read until they are closed.
//
// A device that takes nothing would keep it waiting for ever: after ten seconds it answers ErrSlow. Then the store is what a
// crash would leave, which costs the next start some time and no object; its lock goes when the device comes back.
func (s *Store) Close() error {
	ended := make(chan error, 1)
	go func() { ended <- s.end() }()
	t := time.NewTimer(s.o.closePatience)
	defer t.Stop()
	select {
	case err := <-ended:
		return err
	case <-t.C:
		return fmt.Errorf("%w: the store is not closed after %v and is left as a crash would leave it", ErrSlow, s.o.closePatience)
	}
}

func (s *Store) end() error {
	s.life.Lock() // an operation that waits for the device has it
	if s.closed {
		s.life.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.life.Unlock()

	close(s.stop)
	// Eviction ends what it has in hand first: only this process knows which objects were hit.
	s.keeper.Wait()
	s.segs.rotate()
	s.segs.mu.Lock()
	s.segs.closed = true
	next := s.segs.next
	s.segs.mu.Unlock()
	close(s.written)
	s.wg.Wait()

	err := s.closeIndex(next)
	s.releaseAll()
	return errors.Join(err, s.lock.unlock())
}

func (s *Store) closeIndex(next uint32) error {
	ix := s.idx.Swap(nil)
	if ix == nil {
		return nil
	}
	if err := ix.close(!s.readOnly); err != nil {
		return err
	}
	if s.readOnly || ix.failure() != nil || !s.counted.Load() || s.wfault.Load() != nil {
		return nil // the next start does the longer way
	}
	return writeClean(s.o.Dir, ix.dir, cleanMark{
		Gen: ix.gen, Next: next, Segments: s.segs.table.Load().numbers(),
		Classes: ix.classCounts(),
	})
}

func (s *Store) releaseAll() {
	for _, seg := range *s.segs.table.Load() {
		seg.release()
	}
	s.segs.table.Store(&segTable{})
}

// used is what the store takes on the device now.
func (s *Store) used() int64 {
	return s.segs.used() + s.indexBytes.Load() + s.asideBytes.Load()
}

// Kinds of bytes written, for Stats.
type counters struct {
	hits, misses, mismatches, corrupt, readErrors   atomic.Int64
	evictFresh, evictExpired, segsEvicted, rebuilds atomic.Int64
	full, writeErrors                               atomic.Int64
	bytesUser, bytesMeta, bytesFoot, bytesReappend  atomic.Int64
	reappended, bytesKept, pinRefused               atomic.Int64
}

// Stats is a snapshot of what the store holds and has done since Open. Sizes are in bytes.
type Stats struct {
	Objects   int64 // that a Get can find; grows towards the truth while Counting
	LiveBytes int64 // of those, with headers, keys, metadata and padding
	// DiskBytes is what all files take, evicted ones that are still being read included.
	DiskBytes    int64
	SegmentBytes int64
	IndexBytes   int64
	ZombieBytes  int64 // evicted, still open by readers
	AsideBytes   int64 // files set aside: unknown version or another store's
	Segments     int
	Budget       int64

	Hits, Misses    int64
	KeyMismatches   int64 // another key under the same hash
	Corrupt         int64 // reads that did not verify
	ReadErrors      int64 // the device said no
	ReadTimeouts    int64 // the device said nothing
	WriteErrors     int64
	Full            int64 // puts refused at the ceiling
	RoomWaits       int64 // puts that had to wait for eviction
	EvictedFresh    int64
	EvictedExpired  int64
	SegmentsEvicted int64
	PinRefused      int64 // puts of pinned classes that have no more room
	Reappended      int64 // objects written again because they were hit, or promised to stay
	Rebuilds        int64
	WrittenUser     int64 // objects and chunks
	WrittenMeta     int64 // heads and tombstones
	WrittenFooters  int64
	WrittenReappend int64
	WrittenKept     int64 // of that, what was promised to stay
	Rebuilding      bool
	Counting        bool
	Offline         bool // puts or everything refused, see Healthy
}

// WrittenIndex is how many bytes the index has written since it was opened or replaced: its log, and its tables as often
// as they were written. It costs more than Stats.
func (s *Store) WrittenIndex() int64 {
	if s.enter() != nil {
		return 0
	}
	defer s.leave()
	if ix := s.idx.Load(); ix != nil {
		return ix.written()
	}
	return 0
}

// Stats costs a few atomic reads.
func (s *Store) Stats() Stats {
	c := &s.count
	st := Stats{
		DiskBytes: s.used(), SegmentBytes: s.segs.live.Load(), ZombieBytes: s.segs.zombie.Load(),
		IndexBytes: s.indexBytes.Load(), AsideBytes: s.asideBytes.Load(), Segments: len(*s.segs.table.Load()),
		Budget: s.o.Size, Hits: c.hits.Load(), Misses: c.misses.Load(), KeyMismatches: c.mismatches.Load(),
		Corrupt: c.corrupt.Load(), ReadErrors: c.readErrors.Load(), ReadTimeouts: s.gate.timeouts.Load(), WriteErrors: c.writeErrors.Load(), Full: c.full.Load(), RoomWaits: s.room.waits.Load(),
		EvictedFresh: c.evictFresh.Load(), EvictedExpired: c.evictExpired.Load(), SegmentsEvicted: c.segsEvicted.Load(),
		Reappended: c.reappended.Load(), WrittenKept: c.bytesKept.Load(), PinRefused: c.pinRefused.Load(), Rebuilds: c.rebuilds.Load(), WrittenUser: c.bytesUser.Load(),
		WrittenMeta: c.bytesMeta.Load(), WrittenFooters: c.bytesFoot.Load(), WrittenReappend: c.bytesReappend.Load(),
		Rebuilding: s.rebuilding(), Counting: !s.counted.Load(), Offline: s.Healthy() != nil,
	}
	if ix := s.idx.Load(); ix != nil {
		st.Objects, st.LiveBytes = ix.objects.Load(), ix.live.Load()
	}
	return st
}
