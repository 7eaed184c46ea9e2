package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"sync/atomic"
)

// segment is one file of records.
//
// Life: active (records are placed in it) -> sealing (no new places; waits for the writes under way) -> sealed (footer
// written, synced) -> evicted (unlinked; the file stays readable until the last reference is released).
type segment struct {
	num  uint32
	salt uint64
	path string
	f    *os.File

	// refs counts the table's own reference and every reader's; the file closes with the last.
	refs atomic.Int64
	// onClose returns the bytes of an evicted file to the budget when it is really gone.
	onClose func(*segment)
	// bytes the file takes in the budget.
	bytes atomic.Int64
	read  hitMap

	// pending counts records placed and not yet in the index. Add happens only while the segment is active. phase counts
	// those placed since the last checkpoint; protected by segments.mu.
	pending sync.WaitGroup
	phase   *sync.WaitGroup
	// checked is the ordinal of the last checkpoint; the sealer's.
	checked uint32
	// sealed is closed when the footer is written or was given up.
	sealed chan struct{}

	// Protected by segments.mu while active; read only afterwards.
	end  int64
	list []byte
}

// acquire takes a reference; false when the last one is already gone.
func (s *segment) acquire() bool {
	for {
		n := s.refs.Load()
		if n <= 0 {
			return false
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *segment) release() {
	if n := s.refs.Add(-1); n == 0 {
		_ = s.f.Close()
		if s.onClose != nil {
			s.onClose(s)
		}
	} else if n < 0 {
		panic("BUG: segment released twice")
	}
}

func (s *segment) place(off int64) place { return place{salt: s.salt, seg: s.num, off: off} }

// isSealed tells whether no write to the segment is under way any more.
func (s *segment) isSealed() bool {
	select {
	case <-s.sealed:
		return true
	default:
		return false
	}
}

// readFull fills b from off. A file that ends early is damage (errFormat), anything else is the device's error.
func readFull(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: file ends at %d", errFormat, off+int64(n))
	}
	return err
}

const (
	hitPage = 8192
	hitBits = 4
	hitMost = 1<<hitBits - 1
	// hitCells is how many counters share a word.
	hitCells = 32 / hitBits
)

// hitMap counts, for each record of a segment, how often it was read since it was written, up to fifteen. Pages of 4 KiB
// appear on the first hit, so a segment nobody reads costs one pointer for each 8192 records.
type hitMap struct {
	pages []atomic.Pointer[[hitPage / hitCells]atomic.Uint32]
}

func newHitMap(segmentSize int64) hitMap {
	n := segmentSize/recHeaderSize/hitPage + 1
	return hitMap{pages: make([]atomic.Pointer[[hitPage / hitCells]atomic.Uint32], n)}
}

func (m *hitMap) hit(ord uint32) { m.add(ord, 1) }

// add counts n hits at once.
func (m *hitMap) add(ord, n uint32) {
	i := int(ord / hitPage)
	if i >= len(m.pages) || n == 0 {
		return
	}
	p := m.pages[i].Load()
	if p == nil {
		m.pages[i].CompareAndSwap(nil, new([hitPage / hitCells]atomic.Uint32))
		p = m.pages[i].Load()
	}
	w, shift := &p[ord%hitPage/hitCells], ord%hitCells*hitBits
	for v := w.Load(); v>>shift&hitMost < hitMost; v = w.Load() {
		if w.CompareAndSwap(v, v+min(n, hitMost-v>>shift&hitMost)<<shift) {
			return
		}
	}
}

func (m *hitMap) hits(ord uint32) uint32 {
	i := int(ord / hitPage)
	if i >= len(m.pages) {
		return 0
	}
	p := m.pages[i].Load()
	if p == nil {
		return 0
	}
	return p[ord%hitPage/hitCells].Load() >> (ord % hitCells * hitBits) & hitMost
}

// carriedHits is with how many hits a record begins that is written again with n: what was asked for often outlives a
// quiet turn of the disk, and is forgotten after a few. Without that, all that was asked for once since it was written
// ranks alike, which on a Zipf(0.9) stream costs 1 % of the hits; LRU was better then.
func carriedHits(n uint32) uint32 { return n * 2 / 3 }

// segTable is an immutable list of the segments that can be read, ascending by number.
type segTable []*segment

func (t segTable) find(num uint32) *segment {
	if len(t) == 0 || num < t[0].num {
		return nil
	}
	// Fast path: numbers have no gaps.
	if i := int(num - t[0].num); i < len(t) && t[i].num == num {
		return t[i]
	}
	i := sort.Search(len(t), func(i int) bool { return t[i].num >= num })
	if i < len(t) && t[i].num == num {
		return t[i]
	}
	return nil
}

func (t segTable) numbers() []uint32 {
	list := make([]uint32, len(t))
	for i, s := range t {
		list[i] = s.num
	}
	return list
}

// segments is the set of segment files and the place where the next record goes.
type segments struct {
	dir     string
	opened  os.FileInfo // of dir
	size    int64
	storeID [16]byte
	now     func() int64
	freed   func()       // space has come back
	roomy   func() error // whether a segment may be begun
	// checkpoint is after how many records of a segment the index is told that it has them.
	checkpoint uint32

	table atomic.Pointer[segTable]
	// floor: objects that need a segment below it are gone.
	floor atomic.Uint32
	// live is the bytes of all segments in the table, zombie of those evicted but still open.
	live, zombie atomic.Int64

	mu     sync.Mutex // protects what follows
	next   uint32
	active *segment
	seal   []*segment // waiting for the sealer, oldest first
	kick   chan struct{}
	closed bool
}

func segPath(dir string, num uint32) string {
	return filepath.Join(dir, fmt.Sprintf("%010d.seg", num))
}

// held reports whether the directory is still the one that was opened. A directory that cannot be asked may come back.
func (ss *segments) held() bool {
	there, err := os.Stat(ss.dir)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	return os.SameFile(there, ss.opened)
}

// get returns the segment with a reference taken, or nil.
func (ss *segments) get(num uint32) *segment {
	if s := ss.table.Load().find(num); s != nil && s.acquire() {
		return s
	}
	return nil
}

// ticket is held by whoever writes a record, until the index shows it.
type ticket struct {
	seg   *segment
	phase *sync.WaitGroup
}

func (t ticket) done() {
	t.phase.Done()
	t.seg.pending.Done()
}

func (ss *segments) wakeSealer() {
	select {
	case ss.kick <- struct{}{}:
	default:
	}
}

// spot is a place taken for one record.
type spot struct {
	ticket
	off int64
	ord uint32
}

// reserve takes n bytes (aligned) at the end of the active segment, starting a new one when they do not fit. The caller
// must write the record, then call fill or leave the ordinal void, and then call done.
func (ss *segments) reserve(n int64) (spot, error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.closed {
		return spot{}, ErrClosed
	}
	if n > ss.size-segHeaderSize-trailerSize-footEntrySize-recAlign {
		return spot{}, ErrTooLarge
	}
	if a := ss.active; a == nil || a.end+n+int64(len(a.list))+footEntrySize+trailerSize > ss.size {
		if err := ss.rotateLocked(true); err != nil {
			return spot{}, err
		}
	}
	a := ss.active
	sp := spot{ticket: ticket{seg: a, phase: a.phase}, off: a.end, ord: uint32(len(a.list) / footEntrySize)}
	a.end += n
	a.list = append(a.list, make([]byte, footEntrySize)...)
	a.pending.Add(1)
	a.phase.Add(1)
	if sp.ord%ss.checkpoint == ss.checkpoint-1 {
		ss.wakeSealer()
	}
	a.bytes.Add(n + footEntrySize)
	ss.live.Add(n + footEntrySize)
	return sp, nil
}

// fill records what was written at sp, for the footer.
func (ss *segments) fill(sp spot, f footEntry) {
	ss.mu.Lock()
	f.put(sp.seg.list[int(sp.ord)*footEntrySize:])
	ss.mu.Unlock()
}

// rotateLocked hands the active segment to the sealer and, if asked, starts the next.
func (ss *segments) rotateLocked(start bool) error {
	var fresh *segment
	if start {
		s, err := ss.create()
		if err != nil {
			return err
		}
		fresh = s
	}
	if ss.active != nil {
		ss.seal = append(ss.seal, ss.active)
		ss.wakeSealer()
	}
	ss.active = fresh
	return nil
}

// rotate closes the active segment for new records and returns the number below which every segment is closed.
func (ss *segments) rotate() uint32 {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	_ = ss.rotateLocked(false)
	return ss.next
}

func (ss *segments) create() (*segment, error) {
	num := ss.next
	if err := ss.roomy(); err != nil {
		return nil, fmt.Errorf("cannot create segment %d: %w", num, err)
	}
	salt, err := randomSalt()
	if err != nil {
		return nil, err
	}
	path := segPath(ss.dir, num)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		// Left by a creation that failed half way, in this process or by somebody else: the number is burnt.
		ss.next++
	}
	if err != nil {
		return nil, fmt.Errorf("cannot create segment %d: %w", num, err)
	}
	ss.next++
	h := segHeader{num: num, salt: salt, created: ss.now(), store: ss.storeID}
	if _, err := f.WriteAt(h.encode(), 0); err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return nil, fmt.Errorf("cannot write the header of segment %d: %w", num, err)
	}
	s := ss.newSegment(num, salt, path, f)
	s.end = segHeaderSize
	s.bytes.Store(segHeaderSize + trailerSize)
	ss.add(s)
	return s, nil
}

func (ss *segments) newSegment(num uint32, salt uint64, path string, f *os.File) *segment {
	s := &segment{num: num, salt: salt, path: path, f: f, read: newHitMap(ss.size), phase: new(sync.WaitGroup), sealed: make(chan struct{})}
	s.refs.Store(1)
	return s
}

// add puts s, whose number is the highest, into the table. The caller holds mu or is alone.
func (ss *segments) add(s *segment) {
	old := *ss.table.Load()
	t := make(segTable, len(old), len(old)+1)
	copy(t, old)
	t = append(t, s)
	ss.table.Store(&t)
	ss.live.Add(s.bytes.Load())
}

// remove takes s out of the table and unlinks its file. The space counts as used until the last reader lets go.
func (ss *segments) remove(s *segment) error {
	ss.mu.Lock()
	old := *ss.table.Load()
	t := make(segTable, 0, len(old))
	for _, x := range old {
		if x != s {
			t = append(t, x)
		}
	}
	ss.table.Store(&t)
	ss.mu.Unlock()
	n := s.bytes.Load()
	ss.live.Add(-n)
	ss.zombie.Add(n)
	s.onClose = func(s *segment) {
		ss.zombie.Add(-n)
		ss.freed()
	}
	err := os.Remove(s.path)
	s.release()
	if err != nil {
		return fmt.Errorf("cannot remove segment %d: %w", s.num, err)
	}
	return nil
}

// oldestSealed returns the oldest segment if it is sealed, without a reference; only the evictor removes segments.
func (ss *segments) oldestSealed() *segment {
	t := *ss.table.Load()
	if len(t) == 0 || !t[0].isSealed() {
		return nil
	}
	return t[0]
}

// used is the bytes that segments take on the device.
func (ss *segments) used() int64 { return ss.live.Load() + ss.zombie.Load() }
