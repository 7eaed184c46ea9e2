package disk

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Reason tells why an object was evicted.
type Reason uint8

const (
	// ReasonExpired: it was no longer fresh.
	ReasonExpired Reason = iota
	// ReasonFresh: it was fresh; the disk is too small for what is promised.
	ReasonFresh
)

func (r Reason) String() string {
	if r == ReasonFresh {
		return "fresh"
	}
	return "expired"
}

// Evicted is one object that eviction removed. What was replaced or deleted before is not reported.
type Evicted struct {
	Hash    Hash
	Class   string
	Size    int64 // bytes it took on disk
	Expires time.Time
	Reason  Reason
}

// lastReappend is how long a stop waits at most, beside one read and one write, for what an eviction is writing again.
const lastReappend = 2 * time.Second

func (s *Store) kickEvict() {
	select {
	case s.evictReq <- struct{}{}:
	default:
	}
}

// evictAbove is the use from which on the oldest segment goes. One segment below the budget, so that the active segment
// can fill while an eviction runs.
func (s *Store) evictAbove() int64 { return s.o.Size - s.o.SegmentSize }

// excess is by how much the store is above that. Evicted files that readers hold open count only up to half of the
// budget: evicting more does not bring them back, and slow readers must not empty the cache. The hard ceiling counts
// them in full.
func (s *Store) excess() int64 {
	zombies := min(s.segs.zombie.Load(), s.o.Size/2)
	return s.segs.live.Load() + zombies + s.indexBytes.Load() + s.asideBytes.Load() - s.evictAbove()
}

// evict brings the store back under its budget; the keeper calls it.
func (s *Store) evict() {
	if s.readOnly {
		return
	}
	if s.squeezed.Load() {
		s.relieve()
	}
	for s.excess() > 0 && !s.stopping() {
		if len(s.asides) > 0 {
			s.dropAside()
			continue
		}
		seg := s.segs.oldestSealed()
		if seg == nil {
			return // the sealer wakes us
		}
		err := s.evictSegment(seg)
		if errors.Is(err, errStopped) {
			return // the next tick tries again
		}
		if err != nil {
			s.o.Log.Warn("disk: eviction", "segment", seg.num, "err", err)
		}
		s.indexBytes.Store(s.measureIndex())
	}
}

func (s *Store) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// evictSegment frees the oldest segment: first what is promised or was hit is written again, then the floor rises, so that nothing
// that needs the segment can be found or committed, then the file goes, then its index entries. A kill before the last
// step leaves entries below the floor, which the next start drops; a kill between the last two in the other order could
// bring back an entry whose absence a Delete has already relied on.
func (s *Store) evictSegment(seg *segment) error {
	list, lerr := s.list(seg)
	if lerr == nil {
		if err := s.keepPromised(seg, list); err != nil {
			return fmt.Errorf("%w: %w", errStopped, err)
		}
	}
	if s.wfault.Load() == nil && lerr == nil {
		s.reappend(seg, list)
	}
	s.segs.floor.Store(seg.num + 1)
	rerr := s.segs.remove(seg)
	err := s.forget(list)
	s.count.segsEvicted.Add(1)
	return errors.Join(lerr, err, rerr)
}

// forget deletes the index entries of objects that need a segment below the floor.
func (s *Store) forget(list records) error {
	now := s.o.Now().Unix()
	for group := range groups(list, 0, evictGroupSize, false) {
		var gone []Evicted
		err := s.applyGroup(group, func(rec footEntry, cur entry, ok bool) groupAction {
			if !ok || cur.oldest >= s.segs.floor.Load() {
				return groupKeep
			}
			if cur.counts() {
				ev := Evicted{Hash: rec.hash, Class: s.classes.table.Load().name(cur.class), Size: int64(cur.disk), Expires: time.Unix(int64(cur.expires), 0)}
				if int64(cur.expires) > now {
					ev.Reason = ReasonFresh
				}
				gone = append(gone, ev)
			}
			return groupDelete
		})
		if err != nil {
			return fmt.Errorf("cannot delete the entries of segment %d: %w", list.seg, err)
		}
		for _, ev := range gone {
			if ev.Reason == ReasonFresh {
				s.count.evictFresh.Add(1)
			} else {
				s.count.evictExpired.Add(1)
			}
			s.o.OnEvict(ev)
		}
	}
	return nil
}

// reappend writes again what is in seg, was hit since (or often before, see carriedHits), is fresh and is small, up to a
// share of the segment; what was hit most comes first. It is FIFO with reinsertion (CLOCK), bounded, so that the write
// amplification is. A stop does not end it at once, since nobody knows the hits afterwards, but before long.
func (s *Store) reappend(seg *segment, list records) {
	left := int64(float64(seg.bytes.Load()) * max(s.o.ReappendShare, 0))
	now := s.o.Now().Unix()
	var ranks [hitMost + 1][]uint32 // ordinals by hits; readers go on counting meanwhile
	for i := range list.count() {
		if n := seg.read.hits(uint32(i)); n > 0 {
			ranks[n] = append(ranks[n], uint32(i))
		}
	}
	var deadline time.Time // set by a stop
	for hits, rank := range slices.Backward(ranks[:]) {
		for _, ord := range rank {
			rec := list.at(int(ord))
			if s.stopping() && deadline.IsZero() {
				deadline = time.Now().Add(lastReappend)
			}
			if left <= 0 || !deadline.IsZero() && time.Now().After(deadline) {
				return
			}
			if rec.typ != recObject || int64(rec.len) > left || int64(rec.expires) <= now {
				continue
			}
			n, err := s.reappendAny(seg, rec, uint32(hits), left, now)
			if errors.Is(err, errStopped) {
				continue // a large one; there may be small ones behind it
			}
			if err != nil {
				s.o.Log.Debug("disk: re-append stopped", "err", err)
				return
			}
			left -= n
		}
	}
}

// reappendAny writes again the object that rec is, or whose body it has been since a refresh gave it other metadata.
func (s *Store) reappendAny(seg *segment, rec footEntry, hits uint32, left, now int64) (int64, error) {
	ix := s.idx.Load()
	if ix == nil {
		return 0, ErrOffline
	}
	cur, ok, err := ix.get(rec.hash)
	switch {
	case err != nil || !ok:
		return 0, err
	case cur.pos() == rec.pos():
		return s.reappendOne(rec, hits)
	case cur.typ == recHead && cur.oldest == seg.num && int64(cur.disk) <= left && int64(cur.expires) > now:
		return s.move(ix, rec.hash, cur, seg)
	}
	return 0, nil
}

// reappendOne copies one record, which was hit so often, to the active segment if the index still points at it.
func (s *Store) reappendOne(rec footEntry, hits uint32) (int64, error) {
	mu := s.stripe(rec.hash)
	mu.Lock()
	defer mu.Unlock()
	ix := s.idx.Load()
	if ix == nil {
		return 0, ErrOffline
	}
	cur, ok, err := ix.get(rec.hash)
	if err != nil || !ok || cur.pos() != rec.pos() {
		return 0, err
	}
	r, err := s.readRecord(rec.hash, cur)
	if errors.Is(err, ErrSlow) {
		return 0, err
	}
	if err != nil {
		_ = s.readFailedLocked(ix, rec.hash, cur, err)
		return 0, nil
	}
	n, err := s.storeLocked(&draft{
		typ: recObject, class: cur.class, hash: rec.hash, key: r.key, meta: r.meta, body: r.body,
		expires: r.header.expires, stored: r.header.stored, size: r.header.size, force: true,
		hits: carriedHits(hits),
	})
	if err == nil {
		s.count.bytesReappend.Add(n)
		s.count.reappended.Add(1)
	}
	return n, err
}

// Groups of records whose entries are changed in one write. Their stripes are held meanwhile, and puts wait for these: an
// eviction has small groups (with 256, which hold a fifth of all stripes, the slowest of a thousand puts took twice as
// long), a rebuild, which should be over soon, large ones.
const (
	groupSize      = 256
	evictGroupSize = 32
)

// groups yields the records of list, from an ordinal on, in groups of that size; reverse: newest first.
func groups(list records, from, size int, reverse bool) func(yield func([]footEntry) bool) {
	return func(yield func([]footEntry) bool) {
		n := list.count()
		group := make([]footEntry, 0, size)
		for i := from; i < n; i++ {
			at := i
			if reverse {
				at = from + n - 1 - i
			}
			if rec := list.at(at); rec.typ != recVoid {
				group = append(group, rec)
			}
			if len(group) == size {
				if !yield(group) {
					return
				}
				group = group[:0]
			}
		}
		if len(group) > 0 {
			yield(group)
		}
	}
}

type groupAction uint8

const (
	groupKeep groupAction = iota
	groupDelete
	groupSet // the record becomes the entry
)

// applyGroup changes the index for many records in one write. decide sees, for each record in turn, what the index
// holds for its hash, the group's own changes included. The stripes of all hashes are held meanwhile, taken in
// ascending order; everybody else holds one at most, so this cannot deadlock.
func (s *Store) applyGroup(group []footEntry, decide func(rec footEntry, cur entry, ok bool) groupAction) error {
	ix := s.idx.Load()
	if ix == nil {
		return ErrOffline
	}
	stripes := make([]int, len(group))
	for i := range group {
		stripes[i] = stripeOf(group[i].hash)
	}
	slices.Sort(stripes)
	stripes = slices.Compact(stripes)
	for _, i := range stripes {
		s.stripes[i].Lock()
	}
	defer func() {
		for _, i := range stripes {
			s.stripes[i].Unlock()
		}
	}()
	type change struct {
		was, is   entry
		had, have bool
	}
	changes := make(map[Hash]*change)
	for _, rec := range group {
		c := changes[rec.hash]
		if c == nil {
			cur, ok, err := ix.get(rec.hash)
			if err != nil {
				return err
			}
			c = &change{was: cur, had: ok, is: cur, have: ok}
			changes[rec.hash] = c
		}
		switch decide(rec, c.is, c.have) {
		case groupDelete:
			c.is, c.have = entry{}, false
		case groupSet:
			c.is, c.have = rec.entry, true
		case groupKeep:
		}
	}
	ops := make([]*indexOp, 0, len(changes))
	for h, c := range changes {
		switch {
		case c.have && (!c.had || c.was != c.is):
			ops = append(ops, &indexOp{key: objectKey(h), val: c.is.encode()})
		case !c.have && c.had:
			ops = append(ops, &indexOp{key: objectKey(h)})
		default:
			c.was, c.is, c.had, c.have = entry{}, entry{}, false, false
		}
	}
	if err := ix.writeMany(ops); err != nil {
		return err
	}
	for _, c := range changes {
		ix.account(c.was, c.had, -1)
		ix.account(c.is, c.have, 1)
	}
	return nil
}
