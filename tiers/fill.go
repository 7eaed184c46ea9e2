package tiers

import (
	"errors"
	"fmt"
	"io"
	"sync"

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
	// of its fastest reader.
	passWindow = 1 << 20
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
// place to store it, the body is passed through at the pace of the fastest
// reader.
//
//	memory --larger than ram.max_object--> spill --larger than disk.max_object, or disk trouble--> pass
type Fill struct {
	store  *Store
	hash   policy.Hash
	text   string
	length int64

	// mu protects the fields below it. Chunk bytes below n are immutable.
	mu     sync.Mutex
	moved  sync.Cond
	mode   fillMode
	reason policy.Reason
	n      int64
	// shown is how far readers may see. It trails n by the last piece of a body
	// of stated length until that is committed: whoever has the whole answer
	// finds it in the cache with the next request.
	shown int64
	done  bool
	err    error
	chunks []fillPiece
	// readers counts open readers; fastest is the furthest position of any.
	readers int
	fastest int64
	// writer stays for late readers, also after the commit and after storing
	// failed; refs counts the owner and the readers, the last of which
	// releases it.
	writer *disk.Writer
	refs   int
}

type fillPiece struct {
	off int64
	buf []byte // its capacity is its room; bytes below Fill.n are published
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

// NewFill starts a body for the key. Length is its length in bytes when the
// origin stated one, else -1. The caller owns the fill: it calls CopyFrom, then
// Commit or Abandon, from one goroutine.
func (s *Store) NewFill(hash policy.Hash, text string, length int64) *Fill {
	f := &Fill{store: s, hash: hash, text: text, length: length, refs: 1}
	f.moved.L = &f.mu
	if length > s.ramMax {
		f.spillLocked()
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
		if buf == nil {
			// The stated length is reached; the reader must now say so.
			n, err := r.Read(surplus[:])
			if n > 0 {
				return fmt.Errorf("cannot fill: body exceeds its Content-Length of %d", f.length)
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			continue
		}
		n, err := r.Read(buf)
		if n > 0 {
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
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.length >= 0 && f.n >= f.length {
		return nil
	}
	if last := len(f.chunks) - 1; last >= 0 {
		c := f.chunks[last]
		if used := f.n - c.off; used < int64(cap(c.buf)) {
			return c.buf[used:cap(c.buf)]
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
	f.chunks = append(f.chunks, fillPiece{off: f.n, buf: buf})
	return buf
}

// publish makes n more bytes, written into room, visible to the readers.
func (f *Fill) publish(n int) error {
	f.mu.Lock()
	last := f.chunks[len(f.chunks)-1]
	at := f.n - last.off
	fresh := last.buf[at : at+int64(n)]
	f.n += int64(n)
	if f.n != f.length {
		f.shown = f.n
	}
	if f.mode == fillMemory && f.n > f.store.ramMax {
		f.spillLocked()
	} else if f.mode == fillSpill {
		f.mu.Unlock()
		// Outside the lock: a slow disk must not hold up readers of memory.
		err := f.appendDisk(fresh)
		f.mu.Lock()
		if err != nil {
			f.passLocked(policy.ReasonStorage)
		}
	}
	if f.mode == fillPass {
		f.shown = f.n
	}
	if f.mode != fillMemory {
		f.trimLocked()
	}
	f.moved.Broadcast()
	defer f.mu.Unlock()
	return f.paceLocked()
}

func (f *Fill) appendDisk(p []byte) error {
	if f.n > f.store.diskMax {
		f.mu.Lock()
		f.passLocked(policy.ReasonTooLarge)
		f.mu.Unlock()
		return nil
	}
	if err := f.writer.Append(p); err != nil {
		f.store.diskTrouble("write", err)
		return err
	}
	return nil
}

// spillLocked moves the fill from memory to disk, or to passing through when
// there is no disk that would take it.
func (f *Fill) spillLocked() {
	f.mode = fillSpill
	d := f.store.diskStore()
	if d == nil || f.length > f.store.diskMax || f.n > f.store.diskMax {
		f.passLocked(policy.ReasonTooLarge)
		return
	}
	w, err := d.NewWriter(f.hash, []byte(f.text))
	if err != nil {
		f.store.diskTrouble("write", err)
		f.passLocked(policy.ReasonStorage)
		return
	}
	// The writer's own reference goes with Commit or Abort; this one is for the
	// readers, and goes with the last of them.
	w.Retain()
	f.writer = w
	for _, c := range f.chunks {
		p := c.buf[:min(int64(len(c.buf)), f.n-c.off)]
		if err := w.Append(p); err != nil {
			f.store.diskTrouble("write", err)
			f.passLocked(policy.ReasonStorage)
			return
		}
	}
}

func (f *Fill) passLocked(reason policy.Reason) {
	if f.mode != fillPass {
		f.mode = fillPass
		f.reason = reason
	}
}

// trimLocked forgets chunks that late readers will read from disk, or that
// nobody but a laggard wants.
func (f *Fill) trimLocked() {
	keep := f.n - fillWindow*fillChunk
	if f.mode == fillPass {
		keep = f.n - 2*passWindow
	}
	i := 0
	for i < len(f.chunks)-1 && f.chunks[i].off+int64(cap(f.chunks[i].buf)) <= keep {
		i++
	}
	if i > 0 {
		// Copied down, so that the forgotten chunks can be collected.
		f.chunks = append(make([]fillPiece, 0, fillWindow+2), f.chunks[i:]...)
	}
}

// paceLocked holds the owner back while a body that cannot be stored is far
// enough ahead of its fastest reader.
func (f *Fill) paceLocked() error {
	for f.mode == fillPass && f.n-f.fastest >= passWindow {
		if f.readers == 0 {
			return ErrNoReaders
		}
		f.moved.Wait()
	}
	return nil
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
	defer f.release()
	defer f.finish(nil)
	f.mu.Lock()
	mode, reason, w := f.mode, f.reason, f.writer
	f.mu.Unlock()
	o.Hash, o.Text, o.Length = f.hash, f.text, f.n
	switch mode {
	case fillMemory:
		o.Body = f.join()
		inRAM := f.store.putRAM(o)
		if inRAM {
			visible()
			// RAM has it: nobody need wait for the disk.
			f.finish(nil)
		}
		reason = f.store.putDisk(o, inRAM)
		if !inRAM && reason == policy.ReasonNone {
			visible()
		}
		return reason
	case fillSpill:
		if err := w.Commit(o.encode(nil), o.expires()); err != nil {
			f.store.diskTrouble("write", err)
			return policy.ReasonStorage
		}
		// A smaller object of the same key may still be in RAM.
		f.store.ram.delete(&f.hash)
		visible()
		return policy.ReasonNone
	}
	if w != nil {
		w.Abort()
	}
	return reason
}

// join returns the body in one piece. Only the owner calls it, at the end.
func (f *Fill) join() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.chunks) == 0 {
		return []byte{}
	}
	if c := f.chunks[0]; len(f.chunks) == 1 && int64(cap(c.buf)) == f.n {
		return c.buf[:f.n:f.n]
	}
	body := make([]byte, 0, f.n)
	for _, c := range f.chunks {
		body = append(body, c.buf[:min(int64(len(c.buf)), f.n-c.off)]...)
	}
	return body
}

// Abandon gives the fill up: nothing was and nothing will be visible to Get. Its
// readers get what arrived and then err, or io.EOF when err is nil and the body
// is complete and only may not be stored.
func (f *Fill) Abandon(err error) {
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
	last := f.refs == 0
	w := f.writer
	f.mu.Unlock()
	if last && w != nil {
		w.Release()
	}
}

// NewReader returns a reader of the body from off. It must be closed.
func (f *Fill) NewReader(off int64) *FillReader {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers++
	f.refs++
	return &FillReader{fill: f, pos: off}
}

// Skip moves the reader to off before its first Next.
func (r *FillReader) Skip(off int64) { r.pos = off }

// FillReader follows a Fill. One goroutine uses it.
type FillReader struct {
	fill   *Fill
	pos    int64
	closed bool
	buf    []byte
}

// Ready tells whether Next would answer without waiting.
func (r *FillReader) Ready() bool {
	r.fill.mu.Lock()
	defer r.fill.mu.Unlock()
	return r.pos < r.fill.shown || r.fill.done
}

// Next waits for bytes and returns at least one of them, or io.EOF at the end
// of a complete body, or the error that broke it. The bytes are borrowed: valid
// until the next call, not to be changed.
func (r *FillReader) Next() ([]byte, error) {
	f := r.fill
	f.mu.Lock()
	for r.pos >= f.shown && !f.done {
		f.moved.Wait()
	}
	if r.pos >= f.shown {
		defer f.mu.Unlock()
		if f.err != nil {
			return nil, f.err
		}
		return nil, io.EOF
	}
	p, ok := r.memoryLocked()
	if ok {
		r.advanceLocked(len(p))
		f.mu.Unlock()
		return p, nil
	}
	w, n := f.writer, f.shown
	f.mu.Unlock()
	if w == nil {
		return nil, ErrFellBehind
	}
	return r.readBack(w, n)
}

// memoryLocked returns what of the body is in memory from the reader's
// position on.
func (r *FillReader) memoryLocked() ([]byte, bool) {
	f := r.fill
	for i := len(f.chunks) - 1; i >= 0; i-- {
		c := f.chunks[i]
		if c.off > r.pos {
			continue
		}
		end := min(int64(len(c.buf)), f.shown-c.off)
		if r.pos-c.off >= end {
			return nil, false
		}
		return c.buf[r.pos-c.off : end : end], true
	}
	return nil, false
}

func (r *FillReader) advanceLocked(n int) {
	r.pos += int64(n)
	if r.pos > r.fill.fastest {
		r.fill.fastest = r.pos
		if r.fill.mode == fillPass {
			r.fill.moved.Broadcast()
		}
	}
}

// readBack reads from disk what is no longer in memory.
func (r *FillReader) readBack(w *disk.Writer, limit int64) ([]byte, error) {
	if r.buf == nil {
		r.buf = make([]byte, 64<<10)
	}
	p := r.buf[:min(int64(len(r.buf)), limit-r.pos)]
	n, err := w.ReadAt(p, r.pos)
	if n == 0 {
		if err == nil || err == io.EOF {
			err = ErrFellBehind
		}
		return nil, fmt.Errorf("cannot read back a body that is being filled: %w", err)
	}
	r.fill.mu.Lock()
	r.advanceLocked(n)
	r.fill.mu.Unlock()
	return p[:n], nil
}

// Close gives the reader back. It may be called more than once.
func (r *FillReader) Close() {
	if r.closed {
		return
	}
	r.closed = true
	f := r.fill
	f.mu.Lock()
	f.readers--
	f.moved.Broadcast()
	f.mu.Unlock()
	f.release()
}
