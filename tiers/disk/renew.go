package disk

import "time"

// UpdateMeta replaces the metadata and expiry of what is stored under h and key and leaves its body where it is. It
// answers ErrNotFound when there is nothing to refresh. It reads the record, to learn where the body is; who knows the
// place of the object asks UpdateMetaAt.
func (s *Store) UpdateMeta(h Hash, key, meta []byte, expires time.Time) (*Place, error) {
	return s.updateMeta(h, meta, expires, func(ix *index, cur entry) (draft, error) {
		r, err := s.readRecord(h, cur)
		if err != nil {
			return draft{}, s.readFailedLocked(ix, h, cur, err)
		}
		if string(r.key) != string(key) {
			s.count.mismatches.Add(1)
			return draft{}, ErrNotFound
		}
		at := Place{entry: cur, size: int64(r.header.size), bodyCRC: r.header.bodyCRC, extents: r.extents}
		return draft{key: key, size: r.header.size, extents: at.body()}, nil
	})
}

// UpdateMetaAt is UpdateMeta for who knows the place of the object: nothing is read, and the index is asked once. It
// compares the place with the one that the index names, segment and offset: ErrNotFound means that something else
// was stored under the hash since, or that eviction has written the object again elsewhere, which UpdateMeta finds.
// The key must be that of the object at the place.
func (s *Store) UpdateMetaAt(p *Place, key, meta []byte, expires time.Time) (*Place, error) {
	if p.s != s || p.left.Load() {
		return nil, ErrNotFound
	}
	return s.updateMeta(p.hash, meta, expires, func(_ *index, cur entry) (draft, error) {
		if cur.pos() != p.entry.pos() {
			return draft{}, ErrNotFound
		}
		return draft{key: key, size: uint64(p.size), extents: p.body()}, nil
	})
}

// updateMeta writes a record with other metadata for what the index has under h, once. Make is called under the stripe and
// says where the body is.
func (s *Store) updateMeta(h Hash, meta []byte, expires time.Time, make func(ix *index, cur entry) (draft, error)) (*Place, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.gate.beginPut(); err != nil {
		return nil, err
	}
	defer s.gate.endPut()
	mu := s.stripe(h)
	mu.Lock()
	defer mu.Unlock()
	ix := s.idx.Load()
	if ix == nil {
		return nil, ErrOffline
	}
	cur, ok, err := ix.get(h)
	if err != nil {
		return nil, err
	}
	if !ok || !cur.counts() || cur.oldest < s.segs.floor.Load() {
		return nil, ErrNotFound
	}
	d, err := make(ix, cur)
	if err != nil {
		return nil, err
	}
	d.typ, d.class, d.hash, d.meta, d.was = recHead, cur.class, h, meta, &lookup{ix: ix, entry: cur, ok: true}
	d.expires, d.stored = unixMillis(expires), s.nowMillis()
	if len(d.extents) == 0 {
		d.typ = recObject // an empty body needs no extent
	}
	d.body = appendExtents(nil, d.extents)
	n, err := s.storeLocked(&d)
	s.count.bytesMeta.Add(n)
	if err != nil {
		return nil, err
	}
	return d.place(s), nil
}
