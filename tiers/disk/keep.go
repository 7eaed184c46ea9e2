package disk

import "errors"

// errStopped: the store is being closed, or the device takes no writes; nothing that is promised may be evicted now.
var errStopped = errors.New("eviction waits: what is promised cannot be written again now")

// keeping decides, while one segment is evicted, which of its objects are promised to stay.
type keeping struct {
	s     *Store
	ix    *index
	rules *classTable
	num   uint32
	now   int64
	// gone is what this eviction takes from each class; the index counts it until the end.
	gone    [maxClasses]int64
	dropped map[Hash]struct{}
}

// keepPromised writes again what seg holds of fresh objects that their classes are guaranteed, before it goes. Unlike
// what is written again because it was hit, this is not bounded by a share but by what is guaranteed in all.
//
// With P promised bytes on a disk of D, each D-P bytes that arrive push P bytes round once: the write amplification is
// 1 + P/(D-P).
func (s *Store) keepPromised(seg *segment, list records) error {
	k := keeping{s: s, ix: s.idx.Load(), rules: s.classes.table.Load(), num: seg.num, now: s.o.Now().Unix()}
	if !k.rules.any {
		return nil
	}
	if k.ix == nil || s.wfault.Load() != nil {
		return errStopped
	}
	k.dropped = make(map[Hash]struct{})
	for i := range list.count() {
		if s.stopping() {
			return errStopped
		}
		rec := list.at(i)
		if rec.typ == recVoid || rec.typ == recTomb || k.rules.rules[rec.class].limit == 0 {
			continue
		}
		cur, ok, err := k.ix.get(rec.hash)
		if err != nil {
			return err
		}
		if !ok || !k.promised(rec.hash, cur) {
			continue
		}
		n, err := s.move(k.ix, rec.hash, cur, seg)
		s.count.bytesKept.Add(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// promised tells whether the object, which the index has under h, goes with the segment and must not.
func (k *keeping) promised(h Hash, cur entry) bool {
	rule := k.rules.rules[cur.class]
	if !cur.counts() || cur.oldest > k.num || int64(cur.expires) <= k.now || rule.limit == 0 {
		return false
	}
	if _, dropped := k.dropped[h]; dropped {
		return false
	}
	if k.ix.class[cur.class].live.Load()-k.gone[cur.class] <= rule.limit {
		return true
	}
	k.gone[cur.class] += int64(cur.disk)
	k.dropped[h] = struct{}{}
	return false
}

// move writes again what the object has in seg. Of a large one that is the chunks that lie there, and its list of
// chunks; so no eviction writes more than the segment that it frees. An object that cannot be read is dropped as by
// any reader. A stop ends it, with errStopped. It returns the bytes written.
func (s *Store) move(ix *index, h Hash, cur entry, seg *segment) (int64, error) {
	r, err := s.readRecord(h, cur)
	if errors.Is(err, ErrSlow) {
		return 0, err
	}
	if err != nil {
		_ = s.readFailed(h, cur, err)
		return 0, nil
	}
	if r.header.typ == recObject {
		return s.reappendOne(footEntry{hash: h, entry: cur}, seg.read.hits(cur.ord))
	}
	extents := append([]extent(nil), r.extents...)
	written := int64(0)
	for i, x := range extents {
		if x.seg != seg.num {
			continue
		}
		if s.stopping() {
			return written, errStopped // it may be a gigabyte
		}
		y, err := s.moveExtent(h, cur.class, seg, x, uint64(i)*uint64(r.extents[0].len))
		if errors.Is(err, errFormat) {
			_ = s.readFailed(h, cur, err)
			return written, nil
		}
		if err != nil {
			return written, err
		}
		extents[i] = y
		written += align(recHeaderSize + int64(x.len))
	}
	s.count.bytesReappend.Add(written)
	n, err := s.moveHead(ix, h, cur, draft{
		typ: recHead, hash: h, class: cur.class, key: r.key, meta: r.meta, body: appendExtents(nil, extents), extents: extents,
		expires: r.header.expires, stored: r.header.stored, size: r.header.size, force: true,
	})
	return written + n, err
}

// moveExtent writes one extent again, as a chunk. off is where it stands in the body.
func (s *Store) moveExtent(h Hash, class uint8, seg *segment, x extent, off uint64) (extent, error) {
	bp := s.chunks.Get().(*[]byte)
	defer s.chunks.Put(bp)
	b := grow(*bp, int(x.len))
	if err := s.readExtent(seg, x, b); err != nil {
		return extent{}, err
	}
	e, to, err := s.write(&draft{typ: recChunk, hash: h, class: class, body: b, stored: s.nowMillis(), size: off, force: true})
	if err != nil {
		return extent{}, err
	}
	to.done()
	return extent{seg: e.seg, crc: x.crc, off: e.off() + recHeaderSize, len: x.len}, nil
}

// moveHead shows the moved object, unless something took its place meanwhile; its chunks are dead bytes then.
func (s *Store) moveHead(ix *index, h Hash, was entry, d draft) (int64, error) {
	mu := s.stripe(h)
	mu.Lock()
	defer mu.Unlock()
	cur, ok, err := ix.get(h)
	if err != nil || !ok || cur.pos() != was.pos() {
		return 0, err
	}
	n, err := s.storeLocked(&d)
	s.count.bytesReappend.Add(n)
	if err == nil {
		s.count.reappended.Add(1)
	}
	return n, err
}
