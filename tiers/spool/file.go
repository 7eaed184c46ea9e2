package spool

import (
	"io"
	"sync"
)

// File is one body, or the end of one, in a Spool. One goroutine appends; any number
// of others read what was appended.
type File struct {
	s *Spool

	mu sync.Mutex // protects the fields below; not held while the device is used
	// blocks hold the bytes from base to size.
	base, size int64
	blocks     []uint32
	// busy counts the uses of the device that are under way, those that nobody waits
	// for any more included; gone are blocks to be given back when there are none.
	busy int
	gone []uint32
	over bool // Release was called
	// failed: a write failed, or was not waited for any more; nothing is appended.
	failed bool
}

func (s *Spool) newFile(at int64) *File {
	if !s.Up() {
		return nil
	}
	return &File{s: s, base: at, size: at}
}

// Base returns the offset of the first byte that can be read, Size that behind the
// last.
func (f *File) Base() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.base
}

// Size is described at Base.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Append adds p to the end; all of it, or nothing and the error says why: ErrFull, or
// what is wrong with the device. Nobody may change p, not even behind an error.
func (f *File) Append(p []byte) error {
	f.mu.Lock()
	at := f.size - f.base
	need := int((at+int64(len(p))+blockSize-1)/blockSize) - len(f.blocks)
	if at+int64(len(p)) > f.s.o.Size/16 {
		f.mu.Unlock()
		return ErrFull
	}
	if f.over {
		// Blocks that were taken now would never be given back.
		f.mu.Unlock()
		return ErrFull
	}
	if f.failed || !f.s.Up() {
		f.mu.Unlock()
		return errSilent
	}
	if need > 0 {
		more := f.s.take(need)
		if more == nil {
			f.mu.Unlock()
			return ErrFull
		}
		f.blocks = append(f.blocks, more...)
	}
	spans := f.spansLocked(at, p)
	f.busy++
	f.mu.Unlock()
	err := f.s.do(f.s.o.patience, func() error {
		defer f.idle()
		for _, s := range spans {
			if _, err := f.s.f.Load().WriteAt(s.p, s.at); err != nil {
				return err
			}
		}
		return nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failed = true
		return err
	}
	f.size += int64(len(p))
	return nil
}

// span is a part of a block, at an offset of the file.
type span struct {
	p  []byte
	at int64
}

// spansLocked cuts p, which begins at bytes behind base, at the ends of blocks.
func (f *File) spansLocked(at int64, p []byte) []span {
	spans := make([]span, 0, 2+len(p)/blockSize)
	for len(p) > 0 {
		within := at % blockSize
		n := min(int64(len(p)), blockSize-within)
		spans = append(spans, span{p[:n], int64(f.blocks[at/blockSize])*blockSize + within})
		p, at = p[n:], at+n
	}
	return spans
}

// ReadAt reads as io.ReaderAt does, but for offsets below Base, which are an error.
// Behind any error but io.EOF nobody may use p again: a device that is late may still
// write to it.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	if off < f.base || f.over {
		f.mu.Unlock()
		return 0, io.ErrUnexpectedEOF
	}
	n := min(int64(len(p)), f.size-off)
	if n <= 0 {
		f.mu.Unlock()
		return 0, io.EOF
	}
	spans := f.spansLocked(off-f.base, p[:n])
	f.busy++
	f.mu.Unlock()
	// A body breaks without these bytes, so more patience is worth it.
	err := f.s.do(3*f.s.o.patience, func() error {
		defer f.idle()
		for _, s := range spans {
			if _, err := f.s.f.Load().ReadAt(s.p, s.at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return int(n), nil
}

// idle ends a use of the device.
func (f *File) idle() {
	f.mu.Lock()
	f.busy--
	gone := f.settleLocked()
	f.mu.Unlock()
	f.s.give(gone)
}

// settleLocked returns the blocks that can be given back now.
func (f *File) settleLocked() []uint32 {
	if f.busy > 0 {
		return nil
	}
	gone := f.gone
	f.gone = nil
	return gone
}

// Discard gives up the bytes below off, which nobody reads any more.
func (f *File) Discard(off int64) {
	f.mu.Lock()
	n := (min(off, f.size) - f.base) / blockSize
	var gone []uint32
	if n > 0 && !f.over {
		f.gone = append(f.gone, f.blocks[:n]...)
		f.blocks = append([]uint32(nil), f.blocks[n:]...)
		f.base += n * blockSize
		gone = f.settleLocked()
	}
	f.mu.Unlock()
	f.s.give(gone)
}

// Release gives up everything. It may be called more than once.
func (f *File) Release() {
	f.mu.Lock()
	f.over = true
	f.gone = append(f.gone, f.blocks...)
	f.blocks = nil
	gone := f.settleLocked()
	f.mu.Unlock()
	f.s.give(gone)
}
