package disk

import (
	"errors"
	"sync/atomic"
)

// Place is where a stored object lies. Who has it finds the object again without the index. It holds nothing open: the
// object may be gone by the time it is asked for.
type Place struct {
	s       *Store
	hash    Hash
	entry   entry
	size    int64
	extents []extent // of a head
	bodyCRC uint32   // of an object
	// left is set once what lies here was found damaged or gone.
	left atomic.Bool
}

// mostPlaced is how many extents a place may hold. What has more is found by the index each time, which costs little
// beside so much body.
const mostPlaced = 64

// Place tells where the object lies; nil when that would take too much memory.
func (e *Entry) Place() *Place {
	if e.place != nil {
		return e.place
	}
	p := &Place{s: e.s, hash: e.hash, entry: e.entry, size: e.Size, extents: e.placed, bodyCRC: e.bodyCRC}
	if e.placed == nil {
		p.extents = e.extents
	}
	if len(p.extents) > mostPlaced {
		return nil
	}
	e.place = p
	return p
}

// body returns the extents of the body.
func (p *Place) body() []extent {
	if p.entry.typ == recHead || p.size == 0 {
		return p.extents
	}
	// It is the end of the record.
	return []extent{{seg: p.entry.seg, crc: p.bodyCRC, off: p.entry.off() + int64(p.entry.len) - p.size, len: uint32(p.size)}}
}

// Bytes is what the place takes in memory.
func (p *Place) Bytes() int64 { return 192 + int64(cap(p.extents))*32 }

// At is Get for who knows the place, with the same checks of every byte and the same errors. ErrNotFound means that the
// object is not at this place any more; it may be at another one, which Get knows. That a place still holds what the
// index has under the hash is for the caller to know: it is the last object put there as long as nothing was put or
// deleted since. Meta is not read.
//
// Losing interleaving: eviction writes the object again elsewhere, and a reader uses the old place until the segment is
// removed. The bytes are the same.
func (s *Store) At(p *Place) (*Entry, error) {
	if p.s != s || p.left.Load() {
		return nil, ErrNotFound
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if s.idx.Load() == nil {
		return nil, ErrOffline
	}
	if p.entry.oldest < s.segs.floor.Load() {
		return nil, ErrNotFound
	}
	e, err := s.loadAt(p)
	switch {
	case err == nil:
		s.count.hits.Add(1)
		return e, nil
	case errors.Is(err, errGone):
		return nil, ErrNotFound
	}
	return nil, p.failed(err)
}

// failed answers for a read at the place that went wrong. Damage to a body that is
// read in pieces shows after At has returned; nobody may be led to it again.
func (p *Place) failed(err error) error {
	if errors.Is(err, errFormat) || errors.Is(err, errGone) {
		p.left.Store(true)
	}
	return p.s.readFailed(p.hash, p.entry, err)
}

func (s *Store) loadAt(p *Place) (*Entry, error) {
	e := &Entry{Size: p.size, s: s, hash: p.hash, entry: p.entry, place: p}
	if p.entry.typ == recHead {
		seg := s.segs.get(p.entry.seg)
		if seg == nil {
			return nil, errGone
		}
		seg.read.hit(p.entry.ord)
		seg.release()
		e.extents = p.extents
		return e, e.open()
	}
	buf := borrow(int(p.entry.len))
	r, err := s.readRecordInto(*buf, p.hash, p.entry)
	if err != nil {
		giveBack(buf)
		return nil, err
	}
	e.Body, e.buf = r.body, buf
	return e, nil
}
