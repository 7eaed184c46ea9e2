package tiers

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"weir/policy"
	"weir/tiers/disk"
)

const (
	// fillChunk is the unit in which an arriving body is kept in memory. Large
	// enough that a 1 GiB body is a few thousand allocations, small enough
	// that a flight's window stays near a megabyte.
	fillChunk = 256 << 10
	// fillFirst is the first chunk of a body of unknown length: most bodies
	// are small, and a flight should not cost 256 KiB before that is known.
	fillFirst = 16 << 10
	// fillWindow is how many chunks stay in memory behind the newest once a
	// body is on its way to disk.
	fillWindow = 4
	// passWindow is how many bytes a body that cannot be stored may run ahead
	// of its slowest reader.
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
// chunks stay in memory; late readers read the rest back. When there is no
// place to store it, the body is passed through at the pace of the slowest
// reader, except one that has stopped.
//
//	memory --larger than ram.max_object--> spill --larger than disk.max_object, or disk trouble--> pass
type Fill struct {
	store  *Store
	hash   policy.Hash
	text   string
	policy string
	length int64
	ended  bool // the owner has called Commit or Abandon; only the owner's

	// mu protects the fields below it. Only the owner changes n, mode, chunks
	// and writer, so the owner reads those without it. Chunk bytes below n are
	// immutable.
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
	// readers are those that are open. Of a body that is passed through, pace
	// is how far the slowest had read when that was last looked up.
	readers []*FillReader
	pace    int64
	// writer stays for late readers, also after the commit and after storing
	// failed; refs counts the owner and the readers, the last of which
	// releases it, for good: whoever comes later finds what is in memory.
	writer   *disk.Writer
	refs     int
	released bool
}

type fillPiece struct {
	off int64
	buf []byte // bytes below Fill.n are published
}

type fillMode uint8

const (
	fillMemory fillMode = iota
	fillSpill
	fillPass
)

func (m fillMode) String() string {
	switch m {
	case fillMemory:
		return "memory"
	case fillSpill:
		return "spill"
	}
	return "pass"
}

// NewFill starts a body for the key, of the named policy. Length is its length in bytes when the
// origin stated one, else -1. The caller owns the fill: it calls CopyFrom, then
// Commit or Abandon, from one goroutine.
func (s *Store) NewFill(hash policy.Hash, text, policyName string, length int64) *Fill {
	f := &Fill{store: s, hash: hash, text: text, policy: policyName, length: length, refs: 1}
	f.moved.L, f.space.L = &f.mu, &f.mu
	if length > s.ramMax {
		if reason := f.spill(); reason != policy.ReasonNone {
			f.passLocked(reason)
		}
	}
	return f
}

// CopyFrom reads r to its end and publishes the bytes as they arrive. It
// returns nil at io.EOF, else the reader's error or ErrNoReaders. It reads into
// memory that readers share, so nothing is copied twice.
func (f *Fill) CopyFrom(r io.Reader) error {
	var surplus [1]byte
	for {
		buf := f.room()
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
			if perr := f.publish(n); perr != nil {
				return perr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// room returns where the next bytes go; nil when the stated length is full.
func (f *Fill) room() []byte {
	if f.length >= 0 && f.n >= f.length {
		return nil
	}
	if last := len(f.chunks) - 1; last >= 0 {
		c := f.chunks[last]
		if used := f.n - c.off; used < int64(len(c.buf)) {
			return c.buf[used:]
		}
	}
	size := int64(fillChunk)
	switch {
	case f.length >= 0 && f.mode == fillMemory:
		size = f.length
	case f.length >= 0:
		size = min(size, f.length-f.n)
	case f.n == 0:
		size = fillFirst
	case f.mode == fillMemory:
		// Doubling keeps the number of chunks, and the waste, small.
		size = min(f.n, fillChunk)
	}
	buf := make([]byte, size)
	f.mu.Lock()
	f.chunks = append(f.chunks, fillPiece{off: f.n, buf: buf})
	f.mu.Unlock()
	return buf
}

// publish makes n more bytes, written into room, visible to the readers.
func (f *Fill) publish(n int) error {
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
	switch {
	case f.mode == fillSpill:
		reason = f.appendDisk(last.buf[at : at+int64(n)])
	case f.mode == fillPass:
	case f.n <= f.store.ramMax:
		return nil
	default:
		reason = f.spill()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if reason != policy.ReasonNone {
		f.passLocked(reason)
	}
	f.trimLocked()
	return f.paceLocked()
}

func (f *Fill) appendDisk(p []byte) policy.Reason {
	if d := f.store.diskStore(); d == nil || f.n > f.store.diskLimit(d) {
		return policy.ReasonTooLarge
	}
	if err := f.writer.Append(p); err != nil {
		return f.store.writeTrouble(err)
	}
	return policy.ReasonNone
}

// spill moves the fill from memory to disk. The reason is why it cannot, or
// could only in part.
func (f *Fill) spill() policy.Reason {
	d := f.store.diskStore()
	if d == nil {
		return policy.ReasonTooLarge
	}
	if limit := f.store.diskLimit(d); f.length > limit || f.n > limit {
		return policy.ReasonTooLarge
	}
	if !f.store.admission.admits(f.policy, &f.hash) {
		return policy.ReasonNotAdmitted
	}
	w, err := d.In(f.policy).NewWriter(f.hash, []byte(f.text))
	if err != nil {
		return f.store.writeTrouble(err)
	}
	// The writer's own reference goes with Commit or Abort; this one is for the
	// readers, and goes with the last of them.
	w.Retain()
	for _, c := range f.chunks {
		if err = w.Append(c.buf[:min(int64(len(c.buf)), f.n-c.off)]); err != nil {
			break
		}
	}
	f.mu.Lock()
	f.mode, f.writer = fillSpill, w
	f.mu.Unlock()
	if err != nil {
		return f.store.writeTrouble(err)
	}
	return policy.ReasonNone
}

func (f *Fill) passLocked(reason policy.Reason) {
	f.mode, f.reason = fillPass, reason
	// There will be no commit that the last piece could wait for.
	f.shown = f.n
	f.moved.Broadcast()
}

// trimLocked forgets chunks that late readers will read from disk, or that
// nobody but a laggard wants.
func (f *Fill) trimLocked() {
	keep := f.n - fillWindow*fillChunk
	if f.mode == fillPass {
		keep = f.n - 2*passWindow
		if slow, _ := f.slowestLocked(); slow != nil {
			// What was in memory when storing failed is nowhere else.
			keep = min(keep, slow.pos)
		}
	}
	i := 0
	for i < len(f.chunks)-1 && f.chunks[i].off+int64(len(f.chunks[i].buf)) <= keep {
		i++
	}
	if i > 0 {
		// Copied, so that the forgotten chunks can be collected.
		f.chunks = append(make([]fillPiece, 0, fillWindow+2), f.chunks[i:]...)
	}
}

// paceLocked holds the owner back while a body that cannot be stored is far
// enough ahead of its slowest reader.
func (f *Fill) paceLocked() error {
	for f.mode == fillPass && f.n-f.pace >= passWindow {
		slow, caughtUp := f.slowestLocked()
		switch {
		case slow == nil && !f.anyAheadLocked():
			return ErrNoReaders
		case slow == nil:
			// All wait for a later part: the owner goes there.
			f.pace = f.n
		default:
			if f.pace = slow.pos; f.n-f.pace >= passWindow {
				f.awaitLocked(slow, caughtUp)
			}
		}
	}
	return nil
}

// slowestLocked is the reader that has come least far, and whether another has
// read everything and waits. Those that wait for a later part, of which nothing
// has arrived, and those that were given up set no pace.
func (f *Fill) slowestLocked() (slow *FillReader, caughtUp bool) {
	for _, r := range f.readers {
		if r.lost || r.pos > f.n {
			continue
		}
		caughtUp = caughtUp || r.pos == f.n
		if slow == nil || r.pos < slow.pos {
			slow = r
		}
	}
	return slow, caughtUp
}

func (f *Fill) anyAheadLocked() bool {
	for _, r := range f.readers {
		if !r.lost && r.pos > f.n {
			return true
		}
	}
	return false
}

// awaitLocked waits for a reader to move. While another waits for more, the
// slow one has passStall to do so, and is given up then.
func (f *Fill) awaitLocked(slow *FillReader, caughtUp bool) {
	if !caughtUp {
		f.space.Wait()
		return
	}
	at, stalled := slow.pos, false
	timer := time.AfterFunc(f.store.stall, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		stalled = true
		f.space.Signal()
	})
	f.space.Wait()
	timer.Stop()
	if stalled && slow.pos == at {
		slow.lost = true
	}
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
	f.moved.Broadcast()
}

// Length returns the bytes that have arrived so far.
func (f *Fill) Length() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// Commit publishes o, whose body CopyFrom has read to its proven end, and lets
// the readers see that end. It sets o's Hash, Text, Length and Body; o must not
// be changed afterwards. Visible is called when Get finds the object and before
// any reader is told the end. A body that cannot be stored gives the reason;
// its readers get it whole all the same.
func (f *Fill) Commit(o *Object, visible func()) policy.Reason {
	if f.length >= 0 && f.n != f.length {
		panic(fmt.Sprintf("BUG: commit of %d bytes of a body of %d", f.n, f.length))
	}
	f.ended = true
	defer f.release()
	defer f.finish(nil)
	o.Hash, o.Text, o.Length = f.hash, f.text, f.n
	g := f.store.guards.of(&f.hash)
	g.begin()
	defer g.end()
	switch f.mode {
	case fillMemory:
		return f.commitMemory(o, visible)
	case fillSpill:
		return f.commitSpilled(o, visible)
	}
	if f.writer != nil {
		f.writer.Abort()
	}
	return f.reason
}

func (f *Fill) commitMemory(o *Object, visible func()) policy.Reason {
	o.Body = f.join()
	if f.store.putRAM(o) {
		visible()
		// RAM has it: nobody need wait for the disk.
		f.finish(nil)
		return f.store.putDisk(o, true)
	}
	reason := f.store.putDisk(o, false)
	if reason == policy.ReasonNone {
		visible()
	}
	return reason
}

func (f *Fill) commitSpilled(o *Object, visible func()) policy.Reason {
	if reason := f.store.commitDisk(f.writer, o); reason != policy.ReasonNone {
		return reason
	}
	visible()
	return policy.ReasonNone
}

// join returns the body in one piece, which takes the place of the chunks. Only
// the owner calls it, at the end.
func (f *Fill) join() []byte {
	if len(f.chunks) == 0 {
		return []byte{}
	}
	if c := f.chunks[0]; len(f.chunks) == 1 && int64(len(c.buf)) == f.n {
		return c.buf[:f.n:f.n]
	}
	body := make([]byte, 0, f.n)
	for _, c := range f.chunks {
		body = append(body, c.buf[:min(int64(len(c.buf)), f.n-c.off)]...)
	}
	f.mu.Lock()
	f.chunks = []fillPiece{{buf: body}}
	f.mu.Unlock()
	return body
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

// release gives back the owner's or a reader's hold on the writer.
func (f *Fill) release() {
	f.mu.Lock()
	f.refs--
	last := f.refs == 0 && !f.released
	if last {
		f.released = true
	}
	f.mu.Unlock()
	if last && f.writer != nil {
		f.writer.Release()
	}
}
