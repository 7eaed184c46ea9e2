package tiers

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"weir/policy"
	"weir/tiers/disk"
	"weir/tiers/spool"
)

const (
	// fillChunk is the unit in which an arriving body is kept in memory. Large
	// enough that a 1 GiB body is a few thousand allocations, small enough
	// that a flight's window stays near a megabyte.
	fillChunk = 256 << 10
	// fillFirst is the first chunk of a body of unknown length: most bodies
	// are small, and a flight should not cost 256 KiB before that is known.
	fillFirst = 16 << 10
	// fillFree is what a fill holds without asking the budget: without one chunk it
	// could not go on at all, and small bodies are not worth the books.
	fillFree = spool.PieceSize
	// fillWindow is how many chunks stay in memory behind the newest once a
	// body is on its way to disk.
	fillWindow = 4
	// passWindow is how many bytes in memory a body that cannot be stored may run
	// ahead of its slowest reader.
	passWindow = 1 << 20
	// passStall is how long the readers of such a body wait for one of them
	// that takes nothing, before it is given up. Whoever takes something now
	// and then is waited for.
	passStall = 30 * time.Second
)

var (
	// ErrFellBehind: the body cannot be stored, and this reader is so far
	// behind the others that the bytes it needs are gone.
	ErrFellBehind = errors.New("tiers: reader fell behind a body that cannot be stored")
	// ErrNoReaders: the body cannot be stored and nobody reads it any more.
	ErrNoReaders = errors.New("tiers: no reader is left for a body that cannot be stored")
)

// Fill is a body on its way in: one owner writes, any number of readers
// follow, nobody waits for the whole. Small bodies gather in memory; beyond the
// RAM tier's largest object they go to disk as they arrive, and only the newest
// chunks stay in memory; late readers read the rest back. What the budget of
// bodies in flight has no room for goes to disk sooner, or to the spool, from where
// the commit takes it. When there is no place to store it, the body is passed
// through: as far as memory and spool reach at the pace of the origin, and beyond
// that at the pace of the slowest reader, except one that has stopped.
//
//	memory --larger than ram.max_object, or no room--> spill --larger than disk.max_object, or disk trouble--> pass
//	memory --no room, and no disk--> spool --no room there, or too large--> pass
type Fill struct {
	store  *Store
	budget *spool.Budget
	hash   policy.Hash
	text   string
	policy string
	length int64
	ended  bool // the owner has called Commit or Abandon; only the owner's
	// relay: the body is for the readers that are there, and nobody comes later.
	relay bool
	// waits is told when the owner begins and ceases to wait for readers; nil: nobody is.
	waits func(bool)

	// mu protects the fields below it. Only the owner changes n, mode, chunks,
	// writer and file, so the owner reads those without it; once the body has ended,
	// readers take away chunks. Chunk bytes below n are immutable for as long as
	// somebody borrows them.
	mu sync.Mutex
	// moved wakes readers, space the owner.
	moved  sync.Cond
	space  sync.Cond
	mode   fillMode
	reason policy.Reason
	n      int64
	// shown is how far readers may see. It trails n by the last piece of a body
	// of stated length until that is committed: whoever has the whole answer
	// finds it in the cache with the next request.
	shown  int64
	done   bool
	err    error
	chunks []fillPiece
	// mem are the bytes of chunks, taken those of them that were taken from the
	// budget; buffer are those that were taken for the writer. spare is a chunk that
	// nobody borrows.
	mem, taken, buffer int64
	spare              []byte
	// readers are those that are open. Of a body that is passed through, pace
	// is how far the slowest had read when that was last looked up.
	readers []*FillReader
	pace    int64
	// cut ends a body that is passed through, for the sake of others.
	cut error
	// writer stays for late readers, also after the commit and after storing
	// failed; refs counts the owner and the readers, the last of which
	// releases it, for good: whoever comes later finds what is in memory.
	writer   *disk.Writer
	refs     int
	released bool
	// file has what is in the spool, as long as somebody may read it.
	file *spool.File
	// loan is the body once RAM has had it, where it is large.
	loan *spool.Loan
}

type fillPiece struct {
	off int64
	buf []byte // bytes below Fill.n are published
}

type fillMode uint8

const (
	fillMemory fillMode = iota
	fillSpill
	fillSpool
	fillPass
)

func (m fillMode) String() string {
	switch m {
	case fillMemory:
		return "memory"
	case fillSpill:
		return "spill"
	case fillSpool:
		return "spool"
	}
	return "pass"
}

// NewFill starts a body for the key, of the named policy. Length is its length in bytes when the
// origin stated one, else -1. The caller owns the fill: it calls CopyFrom, then
// Commit or Abandon, from one goroutine.
func (s *Store) NewFill(hash policy.Hash, text, policyName string, length int64) *Fill {
	f := &Fill{store: s, budget: s.budget, hash: hash, text: text, policy: policyName, length: length, refs: 1}
	f.moved.L, f.space.L = &f.mu, &f.mu
	if length > s.ramMax {
		if reason := f.leaveMemory(); reason != policy.ReasonNone {
			f.passLocked(reason)
		}
	}
	return f
}

// NewRelay starts a body that is stored nowhere and has the one reader that is
// returned, which must be closed. Its origin is not held up by a slow reader as far as
// memory and spool reach.
func (s *Store) NewRelay(length int64) (*Fill, *FillReader) {
	f := &Fill{store: s, budget: s.budget, length: length, refs: 1, relay: true, mode: fillPass}
	f.moved.L, f.space.L = &f.mu, &f.mu
	return f, f.addReaderLocked(0)
}

// Waits makes told what is called when the owner begins to wait for slow readers, and
// when it ceases to. It must come before CopyFrom, and told must not block.
func (f *Fill) Waits(told func(waiting bool)) { f.waits = told }

// Cut ends the body, where it is passed through and its owner waits for readers: it
// makes room for others. It may be called from any goroutine.
func (f *Fill) Cut(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = err
	f.space.Signal()
}

// CopyFrom reads r to its end and publishes the bytes as they arrive. It
// returns nil at io.EOF, else the reader's error, ErrNoReaders, or that of Cut. It reads into
// memory that readers share, so nothing is copied twice.
func (f *Fill) CopyFrom(r io.Reader) error {
	var surplus [1]byte
	for {
		buf, err := f.room()
		if err != nil {
			return err
		}
		full := len(buf) == 0
		if full {
			// The stated length is reached; the reader must now say so.
			buf = surplus[:]
		}
		n, err := r.Read(buf)
		if n > 0 {
			if full {
				return fmt.Errorf("cannot fill: body exceeds its Content-Length of %d", f.length)
			}
			f.publish(n)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// publish makes n more bytes, written into room, visible to the readers.
func (f *Fill) publish(n int) {
	last := f.chunks[len(f.chunks)-1]
	at := f.n - last.off
	f.mu.Lock()
	f.n += int64(n)
	if f.n != f.length || f.mode == fillPass {
		f.shown = f.n
		f.moved.Broadcast()
	}
	f.mu.Unlock()
	// Not under the lock: a slow disk must not hold up readers of memory.
	reason := policy.ReasonNone
	switch f.mode {
	case fillSpill:
		reason = f.appendDisk(last.buf[at : at+int64(n)])
	case fillSpool:
		reason = f.appendSpool(last.buf[at : at+int64(n)])
	case fillPass:
	case fillMemory:
		if f.n <= f.store.ramMax {
			return
		}
		reason = f.leaveMemory()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if reason != policy.ReasonNone {
		f.passLocked(reason)
	}
	f.trimLocked()
}

func (f *Fill) passLocked(reason policy.Reason) {
	f.mode, f.reason = fillPass, reason
	// There will be no commit that the last piece could wait for.
	f.shown = f.n
	f.moved.Broadcast()
}

// Storable says whether the body can still be stored, and if not, why. It may
// turn from true to false while the body arrives, never back.
func (f *Fill) Storable() (bool, policy.Reason) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mode != fillPass, f.reason
}

// finish ends the body for the readers, once: they get what arrived and then
// io.EOF, or err.
func (f *Fill) finish(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return
	}
	f.done, f.err, f.shown = true, err, f.n
	f.spare = nil
	f.moved.Broadcast()
}

// Length returns the bytes that have arrived so far.
func (f *Fill) Length() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// Bytes returns the whole body when CopyFrom has read it to its end and it is
// in memory. The bytes are shared with the readers and must not be changed.
func (f *Fill) Bytes() ([]byte, bool) {
	f.mu.Lock()
	inMemory := f.mode == fillMemory
	f.mu.Unlock()
	if !inMemory {
		return nil, false
	}
	return f.join(), true
}

// Abandon gives the fill up: nothing was and nothing will be visible to Get. Its
// readers get what arrived and then err, or io.EOF when err is nil and the body
// is complete and only may not be stored. After Commit or another Abandon it does
// nothing.
func (f *Fill) Abandon(err error) {
	if f.ended {
		return
	}
	f.ended = true
	f.finish(err)
	if f.writer != nil {
		f.writer.Abort()
	}
	f.release()
}

// release gives back the owner's or a reader's hold on what is outside of memory, and
// on the budget.
func (f *Fill) release() {
	f.mu.Lock()
	f.refs--
	last := f.refs == 0 && !f.released
	if last {
		f.released = true
		f.budget.Give(f.taken + f.buffer)
		f.mem, f.taken, f.buffer = 0, 0, 0
	}
	f.mu.Unlock()
	if !last {
		return
	}
	if f.writer != nil {
		f.writer.Release()
	}
	if f.file != nil {
		f.file.Release()
	}
}
