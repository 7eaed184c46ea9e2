package disk

import (
	"fmt"
	"io"
	"sort"
	"sync/atomic"
	"time"
)

// Entry is a stored object. Meta and Body are valid until Close, which gives their memory to the next read; nobody may
// change them.
type Entry struct {
	// Meta is nil in an entry that was opened by its Place.
	Meta []byte
	// Body is the whole body, verified, when it is small; nil for a large one (and for an empty one), which is read
	// through ReadAt or NewReader.
	Body []byte
	Size int64
	// Class is that of the Put; "" when its name is forgotten.
	Class    string
	StoredAt time.Time // of the record, so a refresh moves it
	Expires  time.Time

	s       *Store
	hash    Hash
	entry   entry
	extents []extent
	place   *Place   // that the entry was opened by, or told
	placed  []extent // the extents, where extents is nil since Body holds what is there
	bodyCRC uint32   // of a body within the record
	segs    segTable // ascending, each with a reference
	buf     *[]byte  // where Meta and Body of a record lie; nil: not there
	body    *[]byte  // where Body lies that has an extent of its own
	closed  atomic.Bool
}

// Inline tells whether Body holds everything.
func (e *Entry) Inline() bool { return len(e.extents) == 0 }

// open takes references to the segments of a head, so that an eviction does not break a reader. A body that would have
// been stored in one record is read at once.
func (e *Entry) open() error {
	nums := make([]uint32, 0, 4)
	for _, x := range e.extents {
		if len(nums) == 0 || nums[len(nums)-1] != x.seg {
			nums = append(nums, x.seg)
		}
	}
	sort.Slice(nums, func(i, j int) bool { return nums[i] < nums[j] })
	for i, n := range nums {
		if i > 0 && nums[i-1] == n {
			continue
		}
		seg := e.s.segs.get(n)
		if seg == nil {
			e.release()
			return errGone
		}
		e.segs = append(e.segs, seg)
	}
	if len(e.extents) != 1 || e.Size > e.s.o.MaxInline {
		return nil
	}
	defer e.release()
	e.body = borrow(int(e.extents[0].len))
	if err := e.s.readExtent(e.segs[0], e.extents[0], *e.body); err != nil {
		giveBack(e.body)
		return err
	}
	e.Body, e.placed, e.extents = *e.body, e.extents, nil
	return nil
}

func (e *Entry) release() {
	for _, seg := range e.segs {
		seg.release()
	}
	e.segs = nil
}

// Close gives up the segments of a large body, and the memory of Meta and Body. It may be called more than once, but not
// while a read is under way, and nothing that was in Meta or Body may be looked at afterwards.
func (e *Entry) Close() {
	if e.closed.Swap(true) {
		return
	}
	e.release()
	e.Meta, e.Body = nil, nil
	for _, b := range []*[]byte{e.buf, e.body} {
		if b != nil {
			giveBack(b)
		}
	}
	e.buf, e.body = nil, nil
}

// chunkAt returns the verified bytes from off to the end of the chunk that holds off, in buf or in the entry itself.
func (e *Entry) chunkAt(off int64, buf []byte) ([]byte, error) {
	if off < 0 {
		return nil, fmt.Errorf("cannot read at %d: negative offset", off)
	}
	if off >= e.Size {
		return nil, io.EOF
	}
	if e.closed.Load() {
		return nil, ErrClosed
	}
	if e.Inline() {
		return e.Body[off:], nil
	}
	i := off / int64(e.extents[0].len)
	x := e.extents[i]
	buf = grow(buf, int(x.len))
	if err := e.extent(x, buf); err != nil {
		return nil, err
	}
	return buf[off-i*int64(e.extents[0].len):], nil
}

// extent reads one extent into b; damage drops the entry.
func (e *Entry) extent(x extent, b []byte) error {
	err := e.s.readExtent(e.segs.find(x.seg), x, b)
	if err == nil {
		return nil
	}
	if e.s.enter() != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer e.s.leave()
	if e.place != nil {
		return e.place.failed(err)
	}
	return e.s.readFailed(e.hash, e.entry, err)
}

// grow returns b with length n, with a new array when it is too small: the chunk size of an object is that of the time
// when it was written.
func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// ReadAt reads body bytes as io.ReaderAt does. Only bytes of verified chunks are written to p, except that after an
// error the rest of p holds garbage. Safe for concurrent use; for a stream NewReader is cheaper.
func (e *Entry) ReadAt(p []byte, off int64) (int, error) {
	return readAt(e.s, e, p, off)
}

// NewReader reads n bytes from off on; a negative n: to the end. It verifies each chunk before it hands out a byte of
// it and reads only the chunks it needs. Close it before the entry.
func (e *Entry) NewReader(off, n int64) *Reader {
	end := e.Size
	if n >= 0 && off+n < end {
		end = off + n
	}
	return &Reader{s: e.s, src: e, off: off, end: end}
}

// chunkSource hands out verified bytes by chunk: a stored object, or one that is being written.
type chunkSource interface {
	chunkAt(off int64, buf []byte) ([]byte, error)
}

func readAt(s *Store, src chunkSource, p []byte, off int64) (int, error) {
	bp := s.chunks.Get().(*[]byte)
	defer s.chunks.Put(bp)
	n := 0
	for n < len(p) {
		b, err := src.chunkAt(off+int64(n), *bp)
		n += copy(p[n:], b)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Reader streams a body, holding one chunk at a time from the first read until it is drained or closed. One goroutine.
type Reader struct {
	s        *Store
	src      chunkSource
	off, end int64
	buf      *[]byte
	rest     []byte
}

// next makes rest non-empty or says why it cannot.
func (r *Reader) next() error {
	if len(r.rest) > 0 {
		return nil
	}
	if r.off >= r.end {
		r.drop()
		return io.EOF
	}
	if r.buf == nil {
		r.buf = r.s.chunks.Get().(*[]byte)
	}
	b, err := r.src.chunkAt(r.off, *r.buf)
	if err != nil {
		r.drop()
		return err
	}
	r.rest = b[:min(int64(len(b)), r.end-r.off)]
	return nil
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.next(); err != nil {
		return 0, err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.off += int64(n)
	return n, nil
}

// WriteTo implements io.WriterTo: no copy between the chunk and w.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		switch err := r.next(); {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		}
		n, err := w.Write(r.rest)
		r.rest = r.rest[n:]
		r.off += int64(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// Holds returns what the reader holds in memory between two reads, in bytes.
func (r *Reader) Holds() int64 { return int64(r.s.o.ChunkSize) }

// Yield gives the chunk buffer back until the next read, which reads and verifies the chunk again. It is for a reader
// that waits for something slow. What WriteTo lends to its writer must not be in use.
func (r *Reader) Yield() { r.drop() }

func (r *Reader) drop() {
	r.rest = nil
	if r.buf != nil {
		r.s.chunks.Put(r.buf)
		r.buf = nil
	}
}

// Close gives the chunk buffer back; further reads answer io.EOF. It does not close what is read from.
func (r *Reader) Close() error {
	r.drop()
	r.end = r.off
	return nil
}
