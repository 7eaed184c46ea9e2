package disk

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// placeOf returns where object i lies.
func placeOf(t testing.TB, s *Store, i int) *Place {
	t.Helper()
	e, err := s.Get(keyOf(i))
	if err != nil {
		t.Fatalf("get %d: %v", i, err)
	}
	defer e.Close()
	p := e.Place()
	if p == nil {
		t.Fatalf("object %d has no place", i)
	}
	return p
}

func wantAt(t testing.TB, s *Store, p *Place, i, version, size int) {
	t.Helper()
	e, err := s.At(p)
	if err != nil {
		t.Fatalf("object %d by its place: %v", i, err)
	}
	defer e.Close()
	r := e.NewReader(0, -1)
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil || e.Size != int64(size) || !bytes.Equal(body, bodyOf(i, version, size)) {
		t.Fatalf("object %d by its place: %d bytes of %d, wrong ones (%v)", i, len(body), e.Size, err)
	}
}

// wantNowhere: nothing is at p any more, and that is no miss of the object.
func wantNowhere(t testing.TB, s *Store, p *Place) {
	t.Helper()
	before := s.Stats()
	if e, err := s.At(p); err != ErrNotFound {
		if err == nil {
			e.Close()
		}
		t.Fatalf("by an old place: got %v, want ErrNotFound", err)
	}
	if now := s.Stats(); now.Misses != before.Misses || now.Corrupt != before.Corrupt {
		t.Errorf("an old place counts as a miss or as damage: %+v", now)
	}
}

// placed are the forms that a stored object has: what refresh makes of a record is a head whose one extent lies in it.
var placed = []struct {
	name             string
	size             int
	refreshed, whole bool
}{
	{"empty", 0, false, true},
	{"record", 5000, false, true},
	{"largest record", 64 << 10, false, true},
	{"refreshed record", 5000, true, true},
	{"chunks", 300_000, false, false},
	{"refreshed chunks", 300_000, true, false},
}

func TestAtAPlace(t *testing.T) {
	for _, c := range placed {
		t.Run(c.name, func(t *testing.T) {
			s := mustOpen(t, smallOptions(t.TempDir()))
			defer mustClose(t, s)
			mustPut(t, s, 1, 1, c.size)
			if c.refreshed {
				h, k := keyOf(1)
				if _, err := s.UpdateMeta(h, k, []byte("renewed"), later); err != nil {
					t.Fatal(err)
				}
			}
			p := placeOf(t, s, 1)
			before := s.Stats().Hits
			for range 3 {
				wantAt(t, s, p, 1, 1, c.size)
			}
			if n := s.Stats().Hits - before; n != 3 {
				t.Errorf("%d hits counted of 3", n)
			}
			e, err := s.At(p)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if e.Inline() != c.whole || c.whole && !bytes.Equal(e.Body, bodyOf(1, 1, c.size)) || e.Meta != nil {
				t.Errorf("read whole: %v, want %v; %d bytes of body, %d of metadata", e.Inline(), c.whole, len(e.Body), len(e.Meta))
			}
			// The place of what was found by its place is the same.
			wantAt(t, s, e.Place(), 1, 1, c.size)
		})
	}
}

// A read by place is a hit for eviction too. A place in an evicted segment is nobody's: neither of what was written again
// nor of what is gone.
func TestPlaceInAnEvictedSegment(t *testing.T) {
	for _, c := range placed {
		t.Run(c.name, func(t *testing.T) {
			o := smallOptions(t.TempDir())
			o.ReappendShare = 1 // the segment is all but empty
			s := mustOpen(t, o)
			defer mustClose(t, s)
			places := map[int]*Place{}
			for i := 1; i <= 2; i++ {
				mustPut(t, s, i, 1, c.size)
				if c.refreshed {
					h, k := keyOf(i)
					if _, err := s.UpdateMeta(h, k, metaOf(i, 1, c.size), later); err != nil {
						t.Fatal(err)
					}
				}
				places[i] = placeOf(t, s, i)
			}
			held, err := s.At(places[2])
			if err != nil {
				t.Fatal(err)
			}
			// Those were hits. They are taken back, so that the one by place is what counts.
			seg := s.segs.get(places[1].entry.seg)
			seg.read = newHitMap(o.SegmentSize)
			seg.release()
			wantAt(t, s, places[1], 1, 1, c.size)
			s.segs.rotate()
			eventually(t, "the segment is sealed", func() bool { return s.segs.oldestSealed() != nil })
			// The store is far below its budget, so that the keeper does not evict beside us.
			if err := s.evictSegment(s.segs.oldestSealed()); err != nil {
				t.Fatal(err)
			}
			wantNowhere(t, s, places[1])
			wantNowhere(t, s, places[2])
			wantMiss(t, s, 2)
			if c.size <= int(s.o.MaxInline) && !c.refreshed { // what eviction writes again
				wantObject(t, s, 1, 1, c.size)
				wantAt(t, s, placeOf(t, s, 1), 1, 1, c.size)
			} else {
				wantMiss(t, s, 1)
			}
			// Whoever had it open before reads on.
			r := held.NewReader(0, -1)
			if body, err := io.ReadAll(r); err != nil || !bytes.Equal(body, bodyOf(2, 1, c.size)) {
				t.Errorf("open over an eviction: %d bytes, %v", len(body), err)
			}
			_ = r.Close()
			if zombie := s.Stats().ZombieBytes != 0; zombie == c.whole {
				t.Errorf("the evicted segment is held: %v, want %v", zombie, !c.whole)
			}
			held.Close()
			eventually(t, "the space is back", func() bool { return s.Stats().ZombieBytes == 0 })
		})
	}
}

// From the moment at which the floor rises nobody finds what is below it, although the segment is still there: a Delete may
// have relied on its absence.
func TestPlaceBelowTheFloor(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	mustPut(t, s, 1, 1, 5000)
	p := placeOf(t, s, 1)
	s.segs.floor.Store(p.entry.seg + 1)
	wantNowhere(t, s, p)
}

func TestPlaceInAnotherStore(t *testing.T) {
	o := smallOptions(t.TempDir())
	s := mustOpen(t, o)
	mustPut(t, s, 1, 1, 5000)
	p := placeOf(t, s, 1)
	mustClose(t, s)
	if _, err := s.At(p); !errors.Is(err, ErrClosed) {
		t.Errorf("in a closed store: %v", err)
	}
	s = mustOpen(t, o)
	defer mustClose(t, s)
	wantNowhere(t, s, p)
	wantAt(t, s, placeOf(t, s, 1), 1, 1, 5000)
}

// harm flips one bit of what is stored at off in the segment.
func harm(t testing.TB, s *Store, seg uint32, off int64) {
	t.Helper()
	f, err := os.OpenFile(segPath(s.segs.dir, seg), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}

// Damage at a place is found before a byte of it is handed out, counted, and drops the entry.
func TestDamageAtAPlace(t *testing.T) {
	for _, c := range placed {
		if c.size == 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := mustOpen(t, smallOptions(t.TempDir()))
			defer mustClose(t, s)
			mustPut(t, s, 1, 1, c.size)
			if c.refreshed {
				h, k := keyOf(1)
				if _, err := s.UpdateMeta(h, k, nil, later); err != nil {
					t.Fatal(err)
				}
			}
			p := placeOf(t, s, 1)
			if len(p.extents) > 0 {
				last := p.extents[len(p.extents)-1]
				harm(t, s, last.seg, last.off+int64(last.len)-1)
			} else {
				harm(t, s, p.entry.seg, p.entry.off()+int64(p.entry.len)/2)
			}
			e, err := s.At(p)
			if !c.whole {
				if err != nil {
					t.Fatal(err)
				}
				b := make([]byte, c.size)
				var n int
				n, err = e.ReadAt(b, 0)
				if want := bodyOf(1, 1, c.size); n >= c.size || !bytes.Equal(b[:n], want[:n]) {
					t.Errorf("%d bytes were handed out, or wrong ones", n)
				}
				e.Close()
			}
			if !errors.Is(err, ErrCorrupt) || s.Stats().Corrupt != 1 {
				t.Errorf("%v, counted %d times", err, s.Stats().Corrupt)
			}
			wantMiss(t, s, 1)
			if !c.whole {
				// Nobody is led into the damage a second time.
				wantNowhere(t, s, p)
			}
		})
	}
}

// The losing interleaving: somebody goes to a place whose object was replaced, and finds it damaged. What was put since
// is not dropped for it.
func TestDamageAtAPlaceThatWasLeft(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	mustPut(t, s, 1, 1, 5000)
	p := placeOf(t, s, 1)
	mustPut(t, s, 1, 2, 5000)
	harm(t, s, p.entry.seg, p.entry.off()+3000)
	if _, err := s.At(p); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
	wantObject(t, s, 1, 2, 5000)
}

func TestPlaceIsBounded(t *testing.T) {
	o := smallOptions(t.TempDir())
	o.ChunkSize = minChunk
	s := mustOpen(t, o)
	defer mustClose(t, s)
	for i, extents := range []int{2, mostPlaced, mostPlaced + 1} {
		size := extents * minChunk
		mustPut(t, s, i, 1, size)
		e, err := s.Get(keyOf(i))
		if err != nil {
			t.Fatal(err)
		}
		p := e.Place()
		e.Close()
		if (p != nil) != (extents <= mostPlaced) {
			t.Errorf("%d extents: place %v", extents, p)
		}
		if p != nil {
			wantAt(t, s, p, i, 1, size)
			if least := int64(extents * 32); p.Bytes() < least {
				t.Errorf("%d extents take %d bytes, at least %d", extents, p.Bytes(), least)
			}
		}
		wantObject(t, s, i, 1, size)
	}
}

// TestStalledDeviceByPlace: a read by a place that is given up is ErrSlow and no more; what the device brings later is in
// nobody's memory, and the place still counts.
func TestStalledDeviceByPlace(t *testing.T) {
	d := &stallable{}
	o := smallOptions(t.TempDir())
	o.ReadTimeout, o.read = 20*time.Millisecond, d.read
	s := mustOpen(t, o)
	defer mustClose(t, s)
	const objects, size = 8, 5000
	var places []*Place
	for i := range objects {
		mustPut(t, s, i, 1, size)
		places = append(places, placeOf(t, s, i))
	}
	d.stall()
	for _, p := range places {
		if e, err := s.At(p); !errors.Is(err, ErrSlow) {
			if err == nil {
				e.Close()
			}
			t.Fatalf("got %v, want ErrSlow", err)
		}
	}
	// The buffers of those reads are lent again now.
	var lent []*[]byte
	for range objects {
		b := borrow(size)
		clear(*b)
		lent = append(lent, b)
	}
	d.release()
	eventually(t, "reads that were given up have ended", func() bool { return s.gate.stuck.Load() == 0 && len(s.gate.device) == 0 })
	for i, b := range lent {
		if len(bytes.Trim(*b, "\x00")) != 0 {
			t.Errorf("buffer %d has bytes of a read that was given up", i)
		}
		giveBack(b)
	}
	for i, p := range places {
		wantAt(t, s, p, i, 1, size)
	}
	if st := s.Stats(); st.Corrupt != 0 || st.ReadErrors != 0 || st.ReadTimeouts == 0 {
		t.Errorf("%+v", st)
	}
}
