package tiers

import (
	"fmt"
	"io"

	"weir/tiers/disk"
)

// FillReader follows a Fill. One goroutine uses it.
type FillReader struct {
	fill *Fill
	// pos, place (in fill.readers) and closed are protected by fill.mu.
	pos    int64
	place  int
	closed bool
	// lost: the others went on without it; protected by fill.mu.
	lost bool
	buf  []byte
}

// NewReader returns a reader of the body from off, which must be closed. Whoever
// is not the first to read asks TryReader.
func (f *Fill) NewReader(off int64) *FillReader {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addReaderLocked(off)
}

// TryReader is NewReader unless the bytes at off can no longer be had: then it
// returns nil. They are gone when the body is passed through and too far on, or
// when it was stored and everybody is done with the fill.
func (f *Fill) TryReader(off int64) *FillReader {
	f.mu.Lock()
	defer f.mu.Unlock()
	if (f.mode == fillPass || f.released) && len(f.chunks) > 0 && off < f.chunks[0].off {
		return nil
	}
	return f.addReaderLocked(off)
}

func (f *Fill) addReaderLocked(off int64) *FillReader {
	r := &FillReader{fill: f, pos: off, place: len(f.readers)}
	f.readers = append(f.readers, r)
	f.refs++
	return r
}

// Skip moves the reader to off before its first Next.
func (r *FillReader) Skip(off int64) {
	r.fill.mu.Lock()
	defer r.fill.mu.Unlock()
	r.pos = off
	r.fill.space.Signal()
}

// Ready tells whether Next would answer without waiting.
func (r *FillReader) Ready() bool {
	r.fill.mu.Lock()
	defer r.fill.mu.Unlock()
	return r.pos < r.fill.shown || r.fill.done
}

// Whole returns n bytes of the body from off when all of it has arrived and lies
// in one piece in memory; else ok is false. They are shared and must not be
// changed, and are valid for as long as anybody likes.
func (r *FillReader) Whole(off, n int64) (p []byte, ok bool) {
	f := r.fill
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.done || f.err != nil || f.mode != fillMemory || len(f.chunks) != 1 {
		return nil, false
	}
	if c := f.chunks[0]; n >= 0 && off+n <= min(f.shown, int64(len(c.buf))) {
		return c.buf[off : off+n : off+n], true
	}
	return nil, false
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
	if r.pos > r.fill.pace {
		r.fill.space.Signal()
	}
}

// readBack reads from disk what is no longer in memory.
func (r *FillReader) readBack(w *disk.Writer, limit int64) ([]byte, error) {
	if r.buf == nil {
		r.buf = make([]byte, readBackSize)
	}
	p := r.buf[:min(int64(len(r.buf)), limit-r.pos)]
	n, err := w.ReadAt(p, r.pos)
	if n == 0 {
		if err == nil || err == io.EOF {
			// Storing failed before the disk had this.
			err = ErrFellBehind
		}
		return nil, fmt.Errorf("cannot read back a body that is being filled: %w", err)
	}
	r.fill.mu.Lock()
	r.advanceLocked(n)
	r.fill.mu.Unlock()
	return p[:n], nil
}

// readBackSize is one read of a body that is no longer in memory.
const readBackSize = 64 << 10

// Close gives the reader back. It may be called more than once.
func (r *FillReader) Close() {
	f := r.fill
	f.mu.Lock()
	if r.closed {
		f.mu.Unlock()
		return
	}
	r.closed = true
	last := len(f.readers) - 1
	moved := f.readers[last]
	f.readers[r.place], moved.place = moved, r.place
	f.readers[last] = nil
	f.readers = f.readers[:last]
	f.space.Signal()
	f.mu.Unlock()
	f.release()
}
