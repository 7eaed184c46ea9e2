package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// index is one generation of the Pebble database. Pebble is kept at arm's length:
//
//   - All writes go through one goroutine, in groups. A WAL write error panics inside Pebble while it holds its commit
//     lock, and a flush without space blocks writers for as long as it lasts; whoever waits for a write waits for the
//     failed channel as well, so nobody hangs with it.
//   - Its logger does not exit the process; what it calls fatal marks this generation as failed.
//   - A failed generation is never used again: the store builds the next one from the segments.
type index struct {
	db    *pebble.DB
	cache *pebble.Cache
	dir   string
	gen   uint64

	ops    chan *indexOp
	failed chan struct{}
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once
	err    atomic.Pointer[error]
	onFail func(*index, error)

	patience time.Duration // for a write; then the generation has failed

	// reads is held for reading while the database is being read and for writing to close it.
	reads  sync.RWMutex
	burial sync.Once

	// objects and disk bytes that the entries of this generation describe. Changed under the stripe lock of the hash.
	objects, live atomic.Int64
	class         [maxClasses]tally
}

// indexOp is one change, or, in more, several that become visible at once.
type indexOp struct {
	key, val []byte // val nil: delete
	more     []*indexOp
	sync     bool
	done     chan error
}

var (
	keyComplete  = []byte("s-complete")
	keyWatermark = []byte("s-watermark")
	// keyCheckpoint is a segment (high half) and an ordinal below which the index has its records.
	keyCheckpoint = []byte("s-checkpoint")
)

func objectKey(h Hash) []byte {
	k := make([]byte, 1+len(h))
	k[0] = 'o'
	copy(k[1:], h[:])
	return k
}

// indexOptions follow what was measured: a block cache above twice the memtable (below that Pebble reserves it down to
// nothing), one compaction at a time, bloom filters on every level, no compression of what does not compress.
func indexOptions(fs vfs.FS, budget int64, cache *pebble.Cache, mem int64, l *indexLog) *pebble.Options {
	o := &pebble.Options{
		FS:                          fs,
		Cache:                       cache,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(mem),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               max(4*mem, 4<<20),
		MaxManifestFileSize:         max(budget>>10, 256<<10),
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		MaxOpenFiles:                256,
		// What collects them in the background crashes the process when an open fails after it was begun.
		DisableTableStats: true,
		Logger:            l,
		EventListener: &pebble.EventListener{
			DataCorruption:  func(i pebble.DataCorruptionInfo) { l.fail(fmt.Errorf("damaged table %s: %w", i.Path, i.Details)) },
			BackgroundError: l.background,
		},
	}
	o.Experimental.ReadSamplingMultiplier = -1
	o.Experimental.MultiLevelCompactionHeuristic = &pebble.NoMultiLevel{}
	o.TargetFileSizes[0] = max(mem/2, 1<<20)
	for i := range o.Levels {
		o.Levels[i].BlockSize = 4 << 10
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	return o
}

// memTableSize is bounded above by what a small process can hold several times, below by what keeps the WAL of a small
// store within a fraction of its budget.
func memTableSize(budget int64) int64 { return min(max(budget/128, 256<<10), 4<<20) }

func cacheSize(budget int64) int64 { return min(max(budget/1024, 4*memTableSize(budget)), 128<<20) }

// openIndex opens or creates generation gen in dir. A panic inside Pebble comes back as an error, and so does a device that
// is full: Pebble itself would try again until it is not.
func openIndex(o Options, dir string, gen uint64, onFail func(*index, error)) (*index, error) {
	ix := &index{
		dir: dir, gen: gen, onFail: onFail, patience: o.indexPatience,
		ops: make(chan *indexOp, 128), failed: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
	}
	ix.cache = pebble.NewCache(cacheSize(o.Size))
	opened := make(chan error, 1)
	go func() { opened <- ix.openDB(o) }()
	select {
	case err := <-opened:
		if err != nil {
			return nil, err
		}
	case <-ix.failed:
		// What is being opened comes to its end by itself: see guardFS.
		go func() {
			if <-opened == nil {
				_ = ix.closeDB(false)
			}
		}()
		return nil, fmt.Errorf("cannot open index %s: %w", dir, ix.failure())
	}
	go ix.writeLoop()
	return ix, nil
}

// openDB opens the database. When it fails nothing is left.
func (ix *index) openDB(o Options) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot open index %s: panic: %v", ix.dir, r)
		}
	}()
	fs := guardFS{o.indexFS, ix}
	opts := indexOptions(fs, o.Size, ix.cache, memTableSize(o.Size), &indexLog{ix: ix, log: o.Log})
	opts.DisableAutomaticCompactions = o.ReadOnly
	db, err := pebble.Open(ix.dir, opts)
	if err != nil {
		ix.cache.Unref()
		return fmt.Errorf("cannot open index %s: %w", ix.dir, err)
	}
	ix.db = db
	return nil
}

// fail marks the generation as unusable, once. Safe from any goroutine, Pebble's own included.
func (ix *index) fail(err error) {
	ix.once.Do(func() {
		ix.err.Store(&err)
		close(ix.failed)
		ix.onFail(ix, err)
	})
}

func (ix *index) failure() error {
	if p := ix.err.Load(); p != nil {
		return *p
	}
	return nil
}

// get returns the entry under h; ok is false when there is none. An error means that the generation has failed.
func (ix *index) get(h Hash) (e entry, ok bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			ix.fail(fmt.Errorf("index read: panic: %v", r))
			e, ok, err = entry{}, false, ErrOffline
		}
	}()
	if ix.err.Load() != nil || !ix.reads.TryRLock() {
		return entry{}, false, ErrOffline
	}
	defer ix.reads.RUnlock()
	var key [17]byte
	key[0] = 'o'
	copy(key[1:], h[:])
	v, closer, err := ix.db.Get(key[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return entry{}, false, nil
	}
	if err == nil {
		e, err = decodeEntry(v)
		if cerr := closer.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		ix.fail(fmt.Errorf("index read: %w", err))
		return entry{}, false, ErrOffline
	}
	return e, true, nil
}

func (ix *index) set(h Hash, e entry) error { return ix.write(objectKey(h), e.encode(), false) }

func (ix *index) del(h Hash) error { return ix.write(objectKey(h), nil, false) }

// write hands one change to the writer and waits until it is visible to get (and, with sync, on the device).
func (ix *index) write(key, val []byte, sync bool) error {
	return ix.submit(&indexOp{key: key, val: val, sync: sync, done: make(chan error, 1)})
}

// writeMany is write for several changes.
func (ix *index) writeMany(ops []*indexOp) error {
	if len(ops) == 0 {
		return nil
	}
	return ix.submit(&indexOp{more: ops, done: make(chan error, 1)})
}

func (ix *index) submit(op *indexOp) error {
	t := time.NewTimer(ix.patience)
	defer t.Stop()
	select {
	case ix.ops <- op:
	case <-ix.failed:
		return ErrOffline
	case <-t.C:
		return ix.tooSlow()
	}
	select {
	case err := <-op.done:
		return err
	case <-ix.failed:
		return ErrOffline
	case <-t.C:
		return ix.tooSlow()
	}
}

// tooSlow gives the generation up: a write that nobody waits for any more may still come to be seen.
func (ix *index) tooSlow() error {
	ix.fail(fmt.Errorf("%w: the index has not taken a write for %v", ErrSlow, ix.patience))
	return ErrOffline
}

// writeLoop is the only goroutine that writes to Pebble. It ends on stop or on failure.
func (ix *index) writeLoop() {
	defer close(ix.done)
	group := make([]*indexOp, 0, cap(ix.ops))
	for {
		group = group[:0]
		select {
		case op := <-ix.ops:
			group = append(group, op)
		case <-ix.stop:
			return
		case <-ix.failed:
			return
		}
	more:
		for len(group) < cap(group) {
			select {
			case op := <-ix.ops:
				group = append(group, op)
			default:
				break more
			}
		}
		err := ix.apply(group)
		if err == nil {
			err = ix.failure() // of the log: see guardFS
		}
		if err != nil {
			ix.fail(fmt.Errorf("index write: %w", err))
			err = ErrOffline
		}
		for _, op := range group {
			op.done <- err
		}
	}
}

func (ix *index) apply(group []*indexOp) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	b := ix.db.NewBatch()
	wo := pebble.NoSync
	for _, op := range group {
		if op.sync {
			wo = pebble.Sync
		}
		if err := op.addTo(b); err != nil {
			return err
		}
	}
	if err := b.Commit(wo); err != nil {
		return err
	}
	return b.Close()
}

func (op *indexOp) addTo(b *pebble.Batch) error {
	for _, o := range op.more {
		if err := o.addTo(b); err != nil {
			return err
		}
	}
	switch {
	case op.key == nil:
		return nil
	case op.val == nil:
		return b.Delete(op.key, nil)
	}
	return b.Set(op.key, op.val, nil)
}

// written is how many bytes Pebble has written: its log, and tables, by flushes and compactions.
func (ix *index) written() (n int64) {
	defer func() { _ = recover() }() // a failed database has nothing to say
	if ix.err.Load() != nil || !ix.reads.TryRLock() {
		return 0
	}
	defer ix.reads.RUnlock()
	m := ix.db.Metrics()
	n = int64(m.WAL.BytesWritten)
	for i := range m.Levels {
		n += int64(m.Levels[i].TableBytesFlushed + m.Levels[i].TableBytesCompacted)
	}
	return n
}

// state reads one of the keys that describe the index itself.
func (ix *index) state(key []byte) (n uint64, ok bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("index read: panic: %v", r)
		}
	}()
	v, closer, err := ix.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if len(v) == 8 {
		n, ok = binary.LittleEndian.Uint64(v), true
	}
	return n, ok, closer.Close()
}

func (ix *index) setState(key []byte, n uint64, sync bool) error {
	return ix.write(key, binary.LittleEndian.AppendUint64(nil, n), sync)
}

// bury closes a failed generation once nobody uses it, in a goroutine that nobody waits for: it may be stuck inside
// Pebble for as long as the device is, and after a panic in the commit path for good, since Pebble keeps its locks. The
// goroutine, the memtables and the files of that generation are the price of an outage of that kind.
func (ix *index) bury() {
	ix.burial.Do(func() {
		go func() {
			<-ix.done
			_ = ix.closeDB(false)
		}()
	})
}

// close stops the generation. With flush it leaves everything in tables and an empty log.
func (ix *index) close(flush bool) (err error) {
	if ix.failure() != nil {
		ix.bury()
		return nil
	}
	close(ix.stop)
	<-ix.done
	err = ix.closeDB(flush)
	if err == nil {
		err = ix.failure()
	}
	return err
}

func (ix *index) closeDB(flush bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("index close: panic: %v", r)
		}
	}()
	ix.reads.Lock()
	defer ix.reads.Unlock()
	defer ix.cache.Unref()
	if flush {
		if err := ix.flush(); err != nil {
			_ = ix.db.Close()
			return fmt.Errorf("cannot flush the index: %w", err)
		}
	}
	if err := ix.db.Close(); err != nil {
		return fmt.Errorf("cannot close the index: %w", err)
	}
	return nil
}

// flush is pebble's Flush, which on a device that is full tries again for as long as it is.
func (ix *index) flush() error {
	flushed, err := ix.db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-flushed:
		return ix.failure()
	case <-ix.failed:
		return ix.failure()
	}
}

// indexLog is Pebble's logger and event sink. Pebble expects Fatalf not to return; where it is called its callers
// return an error afterwards, and this generation is not used any more.
type indexLog struct {
	ix  *index
	log *slog.Logger
}

func (l *indexLog) Infof(string, ...any) {}

func (l *indexLog) Errorf(format string, args ...any) {
	l.log.Debug("disk index: " + fmt.Sprintf(format, args...))
}

func (l *indexLog) Fatalf(format string, args ...any) {
	l.fail(fmt.Errorf(format, args...))
}

func (l *indexLog) fail(err error) { l.ix.fail(err) }

// deadPause is between two attempts of a generation that has failed. Pebble makes none, and goes on for as long as somebody
// is stuck in it: that was a thousand attempts a second, and a processor.
const deadPause = time.Second

// background is told of errors in flushes and compactions. Those of the device do not heal while Pebble retries without
// a pause, so the generation is given up; others (a cancelled compaction) are no fault.
func (l *indexLog) background(err error) {
	if l.ix.failure() != nil {
		time.Sleep(deadPause) // Pebble's lock is held, which nobody waits for but what closes the generation
		return
	}
	var errno syscall.Errno
	if pebble.IsCorruptionError(err) || errors.As(err, &errno) {
		l.fail(fmt.Errorf("index background work: %w", err))
		return
	}
	l.log.Debug("disk index: background work", "err", err)
}
