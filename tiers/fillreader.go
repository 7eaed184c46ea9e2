package tiers

import (
	"fmt"
	"io"

	"weir/tiers/spool"
)

// FillReader follows a Fill. One goroutine uses it.
type FillReader struct {
	fill *Fill
	// pos, held, place (in fill.readers) and closed are protected by fill.mu. What
	// Next has returned last begins at held.
	pos, held int64
	place     int
	closed    bool
	// lost: the others went on without it; protected by fill.mu.
	lost bool
	// lent is what it reads once RAM has the body and that is large; protected by
	// fill.mu.
	lent *spool.LoanReader
	// buf is where pieces are copied to, taken what the budget has given for it.
	buf   []byte
	taken int64
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
	switch {
	case f.loan != nil:
		r := f.store.lendAgain(&f.hash, f.loan, min(off, f.n), f.n)
		if r == nil {
			return nil
		}
		r2 := f.addReaderLocked(off)
		r2.lent = r
		return r2
	case f.mode != fillPass && !f.released, off >= f.firstLocked():
	default:
		return nil
	}
	return f.addReaderLocked(off)
}

// firstLocked is the offset of the first byte that can be had without the disk tier.
func (f *Fill) firstLocked() int64 {
	first := f.n
	if len(f.chunks) > 0 {
		first = f.chunks[0].off
	}
	if f.file != nil && !f.released {
		first = min(first, f.file.Base())
	}
	return first
}

func (f *Fill) addReaderLocked(off int64) *FillReader {
	r := &FillReader{fill: f, pos: off, held: off, place: len(f.readers)}
	f.readers = append(f.readers, r)
	f.refs++
	return r
}

// Skip moves the reader to off before its first Next.
func (r *FillReader) Skip(off int64) {
	f := r.fill
	f.mu.Lock()
	defer f.mu.Unlock()
	if off == r.pos {
		return
	}
	r.pos, r.held = off, off
	if r.lent != nil {
		r.lent.Skip(min(off, f.n))
	}
	f.space.Signal()
}

// Ready tells whether Next would answer without waiting.
func (r *FillReader) Ready() bool {
	r.fill.mu.Lock()
	defer r.fill.mu.Unlock()
	return r.pos < r.fill.shown || r.fill.done
}

// Whole returns n bytes of the body from off when all of it has arrived, lies
// in one piece in memory and is small; else ok is false. They are shared and must not be
// changed, and are valid for as long as anybody likes.
func (r *FillReader) Whole(off, n int64) (p []byte, ok bool) {
	f := r.fill
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.done || f.err != nil || f.mode != fillMemory || len(f.chunks) != 1 {
		return nil, false
	}
	if c := f.chunks[0]; len(c.buf) <= wholeMax && n >= 0 && off+n <= min(f.shown, int64(len(c.buf))) {
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
	r.held = r.pos
	for r.pos >= f.shown && !f.done {
		f.moved.Wait()
	}
	switch {
	case r.pos < f.shown:
	case f.err != nil:
		defer f.mu.Unlock()
		return nil, f.err
	default:
		f.mu.Unlock()
		return nil, io.EOF
	}
	if f.loan != nil {
		f.mu.Unlock()
		return r.nextLent()
	}
	if p, ok := r.memoryLocked(); ok {
		large := len(p) > wholeMax
		if large {
			p = p[:spool.PieceSize]
		}
		// The losing interleaving: while the piece is copied, RAM gets the body, and it
		// is lent to the reader from its position on. So that is the next one by then.
		r.advanceLocked(len(p))
		f.mu.Unlock()
		if large {
			// Not as it is: it would hold all of the chunk for as long as it waits. Held
			// keeps the chunk's memory from being used again meanwhile.
			r.needBuffer(false)
			p = r.buf[:copy(r.buf, p)]
		}
		return p, nil
	}
	w, file, n := f.writer, f.file, f.shown
	f.mu.Unlock()
	switch {
	case file != nil && r.pos >= file.Base():
		r.needBuffer(false)
		return r.readBack(file, n)
	case w != nil:
		r.needBuffer(true)
		return r.readBack(w, n)
	}
	return nil, ErrFellBehind
}

// nextLent is Next for a large body that RAM has, or has had.
func (r *FillReader) nextLent() ([]byte, error) {
	if r.lent == nil {
		return nil, spool.ErrCut
	}
	p, err := r.lent.Next()
	r.fill.mu.Lock()
	r.pos += int64(len(p))
	r.fill.mu.Unlock()
	return p, err
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
	f := r.fill
	r.pos += int64(n)
	if f.done && f.mode == fillPass {
		// There is no owner that would.
		f.trimLocked()
	}
	if r.pos > f.pace {
		f.space.Signal()
	}
}

// readBack reads what is no longer in memory.
func (r *FillReader) readBack(from io.ReaderAt, limit int64) ([]byte, error) {
	p := r.buf[:min(int64(len(r.buf)), limit-r.pos)]
	n, err := from.ReadAt(p, r.pos)
	if n == 0 {
		r.buf = nil // the spool may still use it
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

// readBackSize is one read from the disk tier, where the budget has room for that. It
// verifies a chunk at a time, so smaller reads cost more.
const readBackSize = 256 << 10

func (r *FillReader) needBuffer(large bool) {
	if r.buf != nil {
		return
	}
	size := int64(spool.PieceSize)
	if large && r.fill.budget.TryTake(readBackSize) {
		size, r.taken = readBackSize, readBackSize
	}
	r.buf = make([]byte, size)
}

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
	lent := r.lent
	f.space.Signal()
	f.mu.Unlock()
	if lent != nil {
		lent.Close()
	}
	f.budget.Give(r.taken)
	r.buf, r.taken = nil, 0
	f.release()
}
