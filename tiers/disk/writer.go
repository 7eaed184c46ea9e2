package disk

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Writer stores a body that arrives in pieces. Chunks go to the active segment as they fill, and nothing can be found
// through the store before Commit. One goroutine writes (Append, then Commit or Abort, once); any number of others may
// read what has been appended, each holding a reference of its own.
//
// References: NewWriter returns with one, which Commit and Abort release. Retain takes one more and must be called by
// somebody who holds one; Release gives one back. With the last one the segments and the buffer go.
type Writer struct {
	s     *Store
	class uint8
	hash  Hash
	key   []byte
	refs  atomic.Int64

	// Only the writing goroutine uses these.
	finished bool
	err      error
	place    *Place // after Commit: where the object lies, as Entry.Place has it

	mu      sync.RWMutex // protects what follows; held for copies, never during I/O
	buf     []byte       // a record header's room, then the chunk that is being filled
	extents []extent
	segs    segTable // ascending, each with a reference
	size    int64
	gone    bool
}

// NewWriter starts a body under h and key. It reserves nothing.
func (s *Store) NewWriter(h Hash, key []byte) (*Writer, error) { return Shelf{s: s}.NewWriter(h, key) }

// NewWriter is Store.NewWriter for an object of the class; ErrPinnedFull, here or from Commit, when the class is pinned
// and has no more room.
func (c Shelf) NewWriter(h Hash, key []byte) (*Writer, error) {
	s := c.s
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if len(key) > MaxKeyLen {
		return nil, ErrTooLarge
	}
	if err := s.Healthy(); err != nil {
		return nil, err
	}
	if ix := s.idx.Load(); ix != nil {
		if err := s.admit(ix, c.class, 0, entry{}, false); err != nil {
			return nil, err
		}
	}
	w := &Writer{s: s, class: c.class, hash: h, key: append([]byte(nil), key...)}
	w.refs.Store(1)
	return w, nil
}

// Append adds a copy of p. After an error the writer takes no more; what was appended before stays readable.
func (w *Writer) Append(p []byte) error {
	if w.finished {
		return ErrClosed
	}
	if w.err == nil && w.size+int64(len(p)) > w.s.o.maxObject() {
		w.err = ErrTooLarge
	}
	for len(p) > 0 && w.err == nil {
		n := w.fill(p)
		p = p[n:]
		if len(p) > 0 {
			w.err = w.flush()
		}
	}
	return w.err
}

// fill copies what fits into the current chunk.
func (w *Writer) fill(p []byte) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	chunk := w.s.o.ChunkSize
	have := max(len(w.buf)-recHeaderSize, 0)
	n := min(chunk-have, len(p))
	if w.buf == nil || recHeaderSize+have+n+recAlign > cap(w.buf) {
		// A small body must not cost a whole chunk: the buffer doubles up to it.
		c := min(max(2*(have+n), 4<<10), chunk)
		b := make([]byte, recHeaderSize+have, recHeaderSize+c+recAlign)
		copy(b, w.buf)
		w.buf = b
	}
	w.buf = append(w.buf, p[:n]...)
	w.size += int64(n)
	return n
}

// flush writes the current chunk as a record. Readers go on reading it from the buffer until it is in the list.
func (w *Writer) flush() error {
	if len(w.buf) <= recHeaderSize {
		return nil
	}
	if err := w.s.enter(); err != nil {
		return err
	}
	defer w.s.leave()
	if len(w.segs) > 0 && w.segs[0].num < w.s.segs.floor.Load() {
		return ErrEvicted
	}
	if p := w.s.wfault.Load(); p != nil {
		return fmt.Errorf("%w: %w", ErrOffline, *p)
	}
	return w.s.withRoom(int64(len(w.buf)), w.writeChunk)
}

func (w *Writer) writeChunk() error {
	if err := w.s.gate.beginPut(); err != nil {
		return err
	}
	defer w.s.gate.endPut()
	n := len(w.buf) - recHeaderSize
	h := recHeader{
		typ: recChunk, class: w.class, hash: w.hash, bodyLn: uint32(n), kmCRC: crc32.Checksum(nil, castagnoli),
		bodyCRC: crc32.Checksum(w.buf[recHeaderSize:], castagnoli),
		stored:  w.s.nowMillis(), size: uint64(w.size - int64(n)),
	}
	// Header and padding lie outside what readers look at, so the record is completed in place.
	rec := w.buf[:align(int64(len(w.buf)))]
	clear(rec[len(w.buf):])
	e, seg, err := w.s.writeRecord(&h, rec, nil, false)
	if err != nil {
		return err
	}
	defer seg.done()
	w.s.count.bytesUser.Add(int64(len(rec)))
	return w.publish(seg.seg, extent{seg: e.seg, crc: h.bodyCRC, off: e.off() + recHeaderSize, len: uint32(n)})
}

// publish moves readers from the buffer to the segment.
func (w *Writer) publish(seg *segment, x extent) error {
	hold := len(w.segs) == 0 || w.segs[len(w.segs)-1] != seg
	if hold && !seg.acquire() {
		return ErrEvicted
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if hold {
		w.segs = append(w.segs, seg)
	}
	w.extents = append(w.extents, x)
	w.buf = w.buf[:recHeaderSize]
	return nil
}

// Size is the number of bytes appended so far.
func (w *Writer) Size() int64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.size
}

// Commit makes the body visible, complete, under the writer's hash and key, and releases the writer's reference. On an
// error nothing became visible.
func (w *Writer) Commit(meta []byte, expires time.Time) error {
	if w.finished {
		return ErrClosed
	}
	w.finished = true
	defer w.Release()
	if w.err != nil {
		return w.err
	}
	if len(w.extents) == 0 && w.size <= w.s.o.MaxInline {
		if err := w.s.enter(); err != nil {
			return err
		}
		defer w.s.leave()
		var body []byte
		if w.size > 0 {
			body = w.buf[recHeaderSize:]
		}
		p, err := Shelf{s: w.s, class: w.class}.putInline(w.hash, w.key, meta, body, expires)
		w.place = p
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.mu.Lock()
	w.buf = nil // readers find everything in the segments
	w.mu.Unlock()
	if err := w.s.enter(); err != nil {
		return err
	}
	defer w.s.leave()
	return w.s.withRoom(recHeaderSize+int64(len(w.key)+len(meta)+len(w.extents)*extentSize), func() error {
		return w.writeHead(meta, expires)
	})
}

func (w *Writer) writeHead(meta []byte, expires time.Time) error {
	if err := w.s.gate.beginPut(); err != nil {
		return err
	}
	defer w.s.gate.endPut()
	mu := w.s.stripe(w.hash)
	mu.Lock()
	defer mu.Unlock()
	d := draft{
		typ: recHead, class: w.class, admit: true, hash: w.hash, key: w.key, meta: meta, body: appendExtents(nil, w.extents), extents: w.extents,
		expires: unixMillis(expires), stored: w.s.nowMillis(), size: uint64(w.size),
	}
	n, err := w.s.storeLocked(&d)
	w.s.count.bytesMeta.Add(n)
	if err == nil {
		w.place = d.place(w.s)
	}
	return err
}

// Abort gives the body up and releases the writer's reference. Chunks that were written are dead bytes until their
// segment is evicted. After Commit it does nothing.
func (w *Writer) Abort() {
	if w.finished {
		return
	}
	w.finished = true
	w.Release()
}

// Retain takes a reference for a reader.
func (w *Writer) Retain() {
	if w.refs.Add(1) <= 1 {
		panic("BUG: Retain on a released writer")
	}
}

// Release gives a reference back.
func (w *Writer) Release() {
	n := w.refs.Add(-1)
	if n < 0 {
		panic("BUG: writer released twice")
	}
	if n > 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	for _, seg := range w.segs {
		seg.release()
	}
	w.segs, w.buf, w.extents = nil, nil, nil
}

// chunkAt implements chunkSource; io.EOF means "nothing appended there yet".
func (w *Writer) chunkAt(off int64, buf []byte) ([]byte, error) {
	x, seg, b, err := w.locate(off, buf)
	if err != nil || seg == nil {
		return b, err
	}
	chunk := int64(w.s.o.ChunkSize)
	b = grow(buf, int(x.len))
	err = w.s.readExtent(seg, x, b)
	if errors.Is(err, ErrSlow) {
		return nil, err
	}
	if err != nil {
		w.s.count.corrupt.Add(1)
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return b[off%chunk:], nil
}

// locate finds off: in an extent, or in the buffer, from which it is copied. The segment stays open through the
// caller's own reference to the writer.
func (w *Writer) locate(off int64, buf []byte) (extent, *segment, []byte, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	switch {
	case w.gone:
		return extent{}, nil, nil, ErrClosed
	case off < 0:
		return extent{}, nil, nil, fmt.Errorf("cannot read at %d: negative offset", off)
	case off >= w.size:
		return extent{}, nil, nil, io.EOF
	}
	chunk := int64(w.s.o.ChunkSize)
	if i := int(off / chunk); i < len(w.extents) {
		return w.extents[i], w.segs.find(w.extents[i].seg), nil, nil
	}
	tail := w.buf[recHeaderSize+off-int64(len(w.extents))*chunk:]
	b := grow(buf, len(tail))
	copy(b, tail)
	return extent{}, nil, b, nil
}

// ReadAt reads what has been appended so far. Short of p it answers io.EOF, which says nothing about the end of the
// body: the caller knows that. It needs a reference and is safe for concurrent use.
func (w *Writer) ReadAt(p []byte, off int64) (int, error) {
	return readAt(w.s, w, p, off)
}

// NewReader streams what has been appended, from off on; it answers io.EOF where the writer is now, and a later Read
// goes on from there. It needs a reference for as long as it is used.
func (w *Writer) NewReader(off int64) *Reader {
	return &Reader{s: w.s, src: w, off: off, end: 1<<63 - 1}
}
