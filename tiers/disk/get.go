package disk

import (
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// errGone: the entry points into a segment that is no longer there.
var errGone = errors.New("segment is gone")

// loaded is one record, read and checked.
type loaded struct {
	header    recHeader
	key, meta []byte
	body      []byte   // of an object
	extents   []extent // of a head
}

// Get finds what is stored under h and key. The errors are ErrNotFound, ErrCorrupt (a miss as well: the entry is gone
// now), ErrOffline, ErrClosed, or the device's. The caller must Close the entry.
func (s *Store) Get(h Hash, key []byte) (*Entry, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.gate.enter(); err != nil {
		s.count.misses.Add(1)
		return nil, err
	}
	defer s.gate.leave()
	ix := s.idx.Load()
	if ix == nil {
		return nil, ErrOffline
	}
	e, ok, err := ix.get(h)
	if err != nil {
		return nil, err
	}
	if !ok || !e.counts() {
		s.count.misses.Add(1)
		return nil, ErrNotFound
	}
	ent, e, err := s.follow(ix, h, key, e)
	if err == nil {
		s.count.hits.Add(1)
		return ent, nil
	}
	s.count.misses.Add(1)
	switch {
	case errors.Is(err, ErrNotFound):
		s.count.mismatches.Add(1)
		return nil, err
	case errors.Is(err, errGone) && e.oldest+1 == s.segs.floor.Load():
		return nil, ErrNotFound // the evictor is about to delete the entry
	}
	return nil, s.readFailed(h, e, err)
}

// follow loads what e, the index entry of h, names; it returns the entry that it used in the end as well.
//
// Losing interleaving: a reader finds e, eviction writes the object again elsewhere, raises the floor and removes the
// segment, and only then the reader looks into it. What was hit enough to be kept would be a miss, so whoever finds the
// segment gone asks the index again. Each round needs an eviction of its own, so this comes to an end.
func (s *Store) follow(ix *index, h Hash, key []byte, e entry) (*Entry, entry, error) {
	for {
		ent, err := (*Entry)(nil), errGone
		if e.oldest >= s.segs.floor.Load() {
			ent, err = s.load(h, key, e)
		}
		if !errors.Is(err, errGone) {
			return ent, e, err
		}
		cur, ok, ierr := ix.get(h)
		if ierr != nil || !ok || !cur.counts() || cur.pos() == e.pos() {
			return nil, e, err
		}
		e = cur
	}
}

// load turns an index entry into an Entry; ErrNotFound means that the key differs.
func (s *Store) load(h Hash, key []byte, e entry) (*Entry, error) {
	buf := borrow(int(e.len))
	r, err := s.readRecordInto(*buf, h, e)
	if err == nil && string(r.key) != string(key) {
		err = ErrNotFound
	}
	if err != nil {
		giveBack(buf)
		return nil, err
	}
	ent := &Entry{
		Meta: r.meta, Size: int64(r.header.size), Class: s.classes.table.Load().name(e.class),
		StoredAt: time.UnixMilli(r.header.stored), Expires: time.UnixMilli(r.header.expires),
		s: s, hash: h, entry: e, extents: r.extents, bodyCRC: r.header.bodyCRC, buf: buf,
	}
	if r.header.typ == recObject {
		ent.Body = r.body
	} else if err := ent.open(); err != nil {
		giveBack(buf)
		return nil, err
	}
	return ent, nil
}

// readRecord reads and checks the record that e names: one read. What it returns is the caller's.
func (s *Store) readRecord(h Hash, e entry) (loaded, error) {
	return s.readRecordInto(make([]byte, e.len), h, e)
}

// readRecordInto is readRecord into b, whose length is that of the record; what it returns lies there.
func (s *Store) readRecordInto(b []byte, h Hash, e entry) (loaded, error) {
	seg := s.segs.get(e.seg)
	if seg == nil {
		return loaded{}, errGone
	}
	defer seg.release()
	if e.off()+int64(e.len) > seg.bytes.Load() {
		return loaded{}, fmt.Errorf("%w: entry points behind its segment", errFormat)
	}
	if err := s.readSegment(seg, b, e.off(), 1); err != nil {
		return loaded{}, err
	}
	hd, err := decodeHeader(b, seg.place(e.off()), int64(len(b)))
	if err != nil {
		return loaded{}, err
	}
	if hd.crc != e.crc || hd.hash != h || hd.typ != e.typ || hd.length() != int64(e.len) {
		return loaded{}, fmt.Errorf("%w: not the record that the index names", errFormat)
	}
	p, err := splitPayload(&hd, b[recHeaderSize:])
	if err != nil {
		return loaded{}, err
	}
	seg.read.hit(e.ord)
	r := loaded{header: hd, key: p.key, meta: p.meta}
	if hd.typ == recObject {
		if hd.size != uint64(len(p.body)) {
			return loaded{}, fmt.Errorf("%w: size", errFormat)
		}
		r.body = p.body
		return r, nil
	}
	r.extents, err = decodeExtents(p.body, hd.size)
	return r, err
}

func (s *Store) readSegment(seg *segment, b []byte, off int64, patience int) error {
	began := time.Now()
	err := s.gate.readFull(seg.f, b, off, patience)
	s.o.OnRead(time.Since(began))
	return err
}

// readExtent fills b, whose length is that of the extent, and verifies it before the caller sees a byte.
func (s *Store) readExtent(seg *segment, x extent, b []byte) error {
	if err := s.readSegment(seg, b, x.off, patience); err != nil {
		return err
	}
	return verifyExtent(b, x)
}

func verifyExtent(b []byte, x extent) error {
	if crc32.Checksum(b, castagnoli) != x.crc {
		return fmt.Errorf("%w: extent checksum in segment %d at %d", errFormat, x.seg, x.off)
	}
	return nil
}

// readFailed answers for a read that went wrong: damage drops the entry, unless it was replaced meanwhile.
func (s *Store) readFailed(h Hash, e entry, cause error) error {
	mu := s.stripe(h)
	mu.Lock()
	defer mu.Unlock()
	ix := s.idx.Load()
	if ix == nil {
		return ErrOffline
	}
	return s.readFailedLocked(ix, h, e, cause)
}

func (s *Store) readFailedLocked(ix *index, h Hash, e entry, cause error) error {
	gone := errors.Is(cause, errGone)
	if errors.Is(cause, ErrSlow) {
		return cause
	}
	if !gone && !errors.Is(cause, errFormat) {
		s.count.readErrors.Add(1)
		return fmt.Errorf("cannot read from segment %d: %w", e.seg, cause)
	}
	cur, ok, err := ix.get(h)
	if err == nil && ok && cur.pos() == e.pos() {
		if gone {
			if ix.del(h) == nil {
				ix.account(cur, true, -1)
			}
		} else if err := s.buryLocked(ix, h, cur, true); err != nil {
			s.o.Log.Debug("disk: damaged entry dropped from the index only", "err", err)
		}
	}
	if gone {
		return ErrNotFound
	}
	s.count.corrupt.Add(1)
	s.o.Log.Warn("disk: stored bytes are damaged, entry dropped", "segment", e.seg, "offset", e.off(), "err", cause)
	return fmt.Errorf("%w: %w", ErrCorrupt, cause)
}
