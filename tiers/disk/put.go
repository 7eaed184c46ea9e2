package disk

import (
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// draft is a record to be written.
type draft struct {
	typ             recType
	class           uint8
	hash            Hash
	key, meta, body []byte
	extents         []extent // of a head; body is their encoding
	expires, stored int64
	size            uint64
	// force lets the record pass the ceiling: a tombstone is small and a delete must not fail because the store is full;
	// what eviction writes again is less than what it frees a moment later.
	force bool
	// admit asks whether the class has room for it.
	admit bool
	// hits that the record begins with.
	hits uint32
	// was is what the index was found to say of hash by whoever holds the stripe since; nil: it is asked.
	was *lookup
	// at is where the record was placed, and bodyCRC the checksum of its body, once it was written.
	at      entry
	bodyCRC uint32
}

// place returns where the object lies that storeLocked has stored; nil when that would take too much memory.
func (d *draft) place(s *Store) *Place {
	if len(d.extents) > mostPlaced {
		return nil
	}
	return &Place{s: s, hash: d.hash, entry: d.at, size: int64(d.size), bodyCRC: d.bodyCRC, extents: d.extents}
}

// lookup is what an index says of a hash.
type lookup struct {
	ix    *index
	entry entry
	ok    bool
}

// before returns what the index says of the draft's hash. The caller holds the stripe.
func (d *draft) before(ix *index) (entry, bool, error) {
	if d.was == nil || d.was.ix != ix {
		e, ok, err := ix.get(d.hash)
		if err != nil {
			return entry{}, false, err
		}
		d.was = &lookup{ix: ix, entry: e, ok: ok}
	}
	return d.was.entry, d.was.ok, nil
}

// Put stores body with its metadata under h and key, replacing what is there. Nothing of the arguments is kept. On an
// error the store holds what it held before. expires is when the object stops being fresh; zero: it never was.
func (s *Store) Put(h Hash, key, meta, body []byte, expires time.Time) error {
	_, err := Shelf{s: s}.Put(h, key, meta, body, expires)
	return err
}

// Put is Store.Put for an object of the class; ErrPinnedFull when the class is pinned and has no more room.
// The place is where the object lies now, as Entry.Place has it.
func (c Shelf) Put(h Hash, key, meta, body []byte, expires time.Time) (*Place, error) {
	if int64(len(body)) > c.s.o.MaxInline {
		return c.putLarge(h, key, meta, body, expires)
	}
	if err := c.s.enter(); err != nil {
		return nil, err
	}
	defer c.s.leave()
	return c.putInline(h, key, meta, body, expires)
}

func (c Shelf) putInline(h Hash, key, meta, body []byte, expires time.Time) (p *Place, err error) {
	err = c.s.withRoom(recHeaderSize+int64(len(key)+len(meta)+len(body)), func() (err error) {
		p, err = c.putRecord(h, key, meta, body, expires)
		return err
	})
	return p, err
}

func (c Shelf) putRecord(h Hash, key, meta, body []byte, expires time.Time) (*Place, error) {
	s := c.s
	if err := s.gate.beginPut(); err != nil {
		return nil, err
	}
	defer s.gate.endPut()
	mu := s.stripe(h)
	mu.Lock()
	defer mu.Unlock()
	d := draft{
		typ: recObject, class: c.class, admit: true, hash: h, key: key, meta: meta, body: body,
		expires: unixMillis(expires), stored: s.nowMillis(), size: uint64(len(body)),
	}
	n, err := s.storeLocked(&d)
	s.count.bytesUser.Add(n)
	if err != nil {
		return nil, err
	}
	return d.place(s), nil
}

func (c Shelf) putLarge(h Hash, key, meta, body []byte, expires time.Time) (*Place, error) {
	w, err := c.NewWriter(h, key)
	if err != nil {
		return nil, err
	}
	if err := w.Append(body); err != nil {
		w.Abort()
		return nil, err
	}
	err = w.Commit(meta, expires)
	return w.place, err
}

// storeLocked writes d and shows it in the index; the caller holds the stripe. It returns the bytes written.
func (s *Store) storeLocked(d *draft) (int64, error) {
	ix := s.idx.Load()
	if ix == nil {
		return 0, ErrOffline
	}
	if err := s.admitDraft(ix, d); err != nil {
		return 0, err
	}
	e, seg, err := s.write(d)
	if err != nil {
		return 0, err
	}
	// Losing interleaving: a seal between the write and the index would move the watermark past a record that is in
	// neither; pending keeps the segment unsealed until the index shows the record.
	if err = s.showLocked(ix, d, e); err != nil {
		// It may wait for the device, which the caller does not; the segment cannot be sealed before.
		go func() {
			defer seg.done()
			s.annul(seg.seg, e)
		}()
		return align(int64(e.len)), err
	}
	seg.seg.read.add(e.ord, d.hits)
	seg.done()
	d.at = e
	return align(int64(e.len)), nil
}

// admitDraft asks for room for what d makes of its object. The caller holds the stripe.
func (s *Store) admitDraft(ix *index, d *draft) error {
	if !d.admit || !s.classes.table.Load().rules[d.class].pin {
		return nil
	}
	old, ok, err := d.before(ix)
	if err != nil {
		return err
	}
	h := recHeader{keyLen: uint32(len(d.key)), metaLen: uint32(len(d.meta)), bodyLn: uint32(len(d.body))}
	e := entry{disk: uint64(align(h.length()))}
	e.addExtents(d.extents)
	return s.admit(ix, d.class, int64(e.disk), old, ok)
}

// annul takes back a record that the caller is told was not stored, so that no replay or rebuild shows it later. Its
// segment cannot be sealed before, since the record is still pending.
func (s *Store) annul(seg *segment, e entry) {
	s.segs.fill(spot{ticket: ticket{seg: seg}, off: e.off(), ord: e.ord}, footEntry{})
	if err := s.writeAt(seg, make([]byte, recHeaderSize), e.off()); err != nil {
		s.o.Log.Debug("disk: a record that was not stored stays in its segment", "err", err)
	}
}

// write appends d to the active segment. When it succeeds the caller owes the ticket its done.
func (s *Store) write(d *draft) (entry, ticket, error) {
	if p := s.wfault.Load(); p != nil {
		return entry{}, ticket{}, fmt.Errorf("%w: %w", ErrOffline, *p)
	}
	h := recHeader{
		typ: d.typ, class: d.class, hash: d.hash, keyLen: uint32(len(d.key)), metaLen: uint32(len(d.meta)), bodyLn: uint32(len(d.body)),
		expires: d.expires, stored: d.stored, size: d.size,
	}
	if len(d.key) > MaxKeyLen || len(d.meta) > MaxMetaLen || h.length() > min(s.o.SegmentSize, maxRecord) {
		return entry{}, ticket{}, ErrTooLarge
	}
	bp := s.scratch.Get().(*[]byte)
	n := align(h.length())
	b := append((*bp)[:0], make([]byte, recHeaderSize)...)
	b = append(b, d.key...)
	b = append(b, d.meta...)
	b = append(b, d.body...)
	b = append(b, make([]byte, n-h.length())...)
	*bp = b
	km := recHeaderSize + len(d.key) + len(d.meta)
	h.kmCRC = crc32.Checksum(b[recHeaderSize:km], castagnoli)
	h.bodyCRC = crc32.Checksum(b[km:km+len(d.body)], castagnoli)
	d.bodyCRC = h.bodyCRC
	e, t, err := s.writeRecord(&h, b, d.extents, d.force)
	if cap(b) <= 1<<20 && !errors.Is(err, ErrSlow) { // the buffer of a slow write is still in use
		s.scratch.Put(bp)
	}
	return e, t, err
}

// writeRecord places and writes b, a whole padded record whose header is still to be filled in from h. After ErrSlow b is
// still in use and must not be changed.
func (s *Store) writeRecord(h *recHeader, b []byte, extents []extent, force bool) (entry, ticket, error) {
	if err := s.checkRoom(int64(len(b))); err != nil && !force {
		return entry{}, ticket{}, err
	}
	var e entry
	var t ticket
	var err error
	if slow := s.gate.handOver(
		func() { e, t, err = s.placeRecord(h, b, extents) },
		func() {
			if err == nil {
				s.annul(t.seg, e)
				t.done()
			}
		},
	); slow != nil {
		return entry{}, ticket{}, slow
	}
	return e, t, err
}

// placeRecord is writeRecord where it may wait for the device.
func (s *Store) placeRecord(h *recHeader, b []byte, extents []extent) (entry, ticket, error) {
	sp, err := s.segs.reserve(int64(len(b)))
	if err != nil {
		if err != ErrClosed && err != ErrTooLarge {
			err = s.fullOr(err)
		}
		return entry{}, ticket{}, err
	}
	h.ord = sp.ord
	h.encode(b, sp.seg.place(sp.off))
	if err := s.writeAt(sp.seg, b, sp.off); err != nil {
		sp.done()
		return entry{}, ticket{}, s.fullOr(fmt.Errorf("cannot write to segment %d: %w", sp.seg.num, err))
	}
	e := entry{
		typ: h.typ, class: h.class, seg: sp.seg.num, off8: uint32(sp.off / recAlign), len: uint32(h.length()), crc: h.crc, ord: sp.ord,
		expires: unixSeconds(h.expires), oldest: sp.seg.num, disk: uint64(align(h.length())),
	}
	e.addExtents(extents)
	s.segs.fill(sp, footEntry{hash: h.hash, entry: e})
	return e, sp.ticket, nil
}

func (s *Store) writeAt(seg *segment, b []byte, off int64) error {
	if s.o.writeFault != nil {
		if err := s.o.writeFault(len(b)); err != nil {
			return err
		}
	}
	began := time.Now()
	_, err := seg.f.WriteAt(b, off)
	s.o.OnWrite(time.Since(began))
	return err
}

// checkRoom refuses a write of n bytes at the hard ceiling and wakes the evictor well before it.
func (s *Store) checkRoom(n int64) error {
	if s.used() > s.evictAbove() {
		s.kickEvict()
	}
	if !s.fits(n) {
		return ErrFull
	}
	return nil
}

// showLocked makes e what the index says of h, unless something newer is there. The caller holds the stripe.
func (s *Store) showLocked(ix *index, d *draft, e entry) error {
	old, ok, err := d.before(ix)
	if err != nil {
		return err
	}
	// Losing interleaving: eviction raises the floor and then walks the records of its segment. A head committed after
	// that walk with a chunk in that segment would never be found again by an eviction; it is refused here instead.
	if e.oldest < s.segs.floor.Load() {
		return ErrEvicted
	}
	if ok && old.pos() >= e.pos() {
		return nil
	}
	if err := ix.set(d.hash, e); err != nil {
		return err
	}
	ix.account(old, ok, -1)
	ix.account(e, true, 1)
	return nil
}

// account adds or takes away one entry from the totals.
func (ix *index) account(e entry, ok bool, sign int64) {
	if ok && e.counts() {
		ix.objects.Add(sign)
		ix.live.Add(sign * int64(e.disk))
		ix.class[e.class].add(sign, sign*int64(e.disk))
	}
}

// Delete removes what is under h, if anything. The delete survives a rebuild of the index.
func (s *Store) Delete(h Hash) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	mu := s.stripe(h)
	mu.Lock()
	defer mu.Unlock()
	ix := s.idx.Load()
	if ix == nil {
		// The rebuild that follows will find the tombstone.
		_, seg, err := s.write(&draft{typ: recTomb, hash: h, stored: s.nowMillis(), force: true})
		if err == nil {
			seg.done()
		}
		return err
	}
	cur, ok, err := ix.get(h)
	if err != nil {
		return err
	}
	if (!ok || !cur.counts() && !cur.unbacked()) && !s.rebuilding() {
		return nil
	}
	return s.buryLocked(ix, h, cur, ok)
}

// buryLocked writes a tombstone over cur. When the device takes none, the index alone gets one, at once durable, and
// the error says that a rebuild could bring the object back; the next Delete tries again.
//
// Losing interleaving without that mark: a first Delete fails to write its tombstone and only drops the index entry, a
// second one finds nothing and succeeds, the process is killed before the drop has left Pebble's buffer, and the object
// is back after a delete that was acknowledged.
func (s *Store) buryLocked(ix *index, h Hash, cur entry, ok bool) error {
	n, err := s.storeLocked(&draft{
		typ: recTomb, hash: h, stored: s.nowMillis(), force: true, was: &lookup{ix: ix, entry: cur, ok: ok},
	})
	s.count.bytesMeta.Add(n)
	if err == nil || !ok || errors.Is(err, ErrSlow) {
		return err // where the device takes no record now, the index would wait for it as well
	}
	tomb := entry{typ: recTomb, seg: cur.seg, off8: cur.off8, len: recHeaderSize, oldest: cur.oldest, disk: unbackedTomb}
	if ix.write(objectKey(h), tomb.encode(), true) == nil {
		ix.account(cur, true, -1)
	}
	return err
}
