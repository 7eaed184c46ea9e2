package disk

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// TestUpdateMetaAt: at the place that a put, a lookup or another update told, the metadata changes without a read and
// the body stays; the old place leads nowhere any more.
func TestUpdateMetaAt(t *testing.T) {
	for _, c := range placed {
		t.Run(c.name, func(t *testing.T) {
			o := smallOptions(t.TempDir())
			var reads atomic.Int64
			o.OnRead = func(time.Duration) { reads.Add(1) }
			s := mustOpen(t, o)
			defer mustClose(t, s)
			h, k := keyOf(1)
			p, err := s.In("").Put(h, k, metaOf(1, 1, c.size), bodyOf(1, 1, c.size), later)
			if err != nil {
				t.Fatal(err)
			}
			if c.refreshed {
				p = placeOf(t, s, 1)
			}
			for n := range 3 {
				before := reads.Load()
				meta := fmt.Sprintf("renewed %d", n)
				next, err := s.UpdateMetaAt(p, k, []byte(meta), later)
				if err != nil {
					t.Fatal(err)
				}
				if n := reads.Load() - before; n != 0 {
					t.Errorf("%d reads for an update at a known place", n)
				}
				if _, err := s.UpdateMetaAt(p, k, []byte("late"), later); err != ErrNotFound {
					t.Errorf("update at an old place: %v, want ErrNotFound", err)
				}
				wantAt(t, s, next, 1, 1, c.size)
				if got, body, err := readAll(s, 1); err != nil || string(got) != meta || len(body) != c.size {
					t.Errorf("metadata %q, %d bytes of body, %v; want %q, %d", got, len(body), err, meta, c.size)
				}
				p = next
			}
		})
	}
}

// TestUpdateMetaAtComparesThePlace: what was put, deleted or written again elsewhere since is left alone, and a place of
// another store is none.
func TestUpdateMetaAtComparesThePlace(t *testing.T) {
	h, k := keyOf(1)
	for name, since := range map[string]func(t *testing.T, s *Store){
		"put":     func(t *testing.T, s *Store) { mustPut(t, s, 1, 2, 5000) },
		"deleted": func(t *testing.T, s *Store) { _ = s.Delete(h) },
		"renewed": func(t *testing.T, s *Store) {
			if _, err := s.UpdateMeta(h, k, metaOf(1, 2, 5000), later); err != nil {
				t.Fatal(err)
			}
		},
		"written again": func(t *testing.T, s *Store) {
			e, _, _ := s.idx.Load().get(h)
			if _, err := s.reappendOne(footEntry{hash: h, entry: e}, 1); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, smallOptions(t.TempDir()))
			defer mustClose(t, s)
			mustPut(t, s, 1, 1, 5000)
			p := placeOf(t, s, 1)
			since(t, s)
			before, _, _ := readAll(s, 1)
			if _, err := s.UpdateMetaAt(p, k, []byte("late"), later); err != ErrNotFound {
				t.Errorf("got %v, want ErrNotFound", err)
			}
			if now, _, _ := readAll(s, 1); string(now) != string(before) {
				t.Errorf("the metadata are %q, they were %q", now, before)
			}
		})
	}
	a, b := mustOpen(t, smallOptions(t.TempDir())), mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, a)
	defer mustClose(t, b)
	mustPut(t, a, 1, 1, 5000)
	mustPut(t, b, 1, 2, 5000)
	if _, err := b.UpdateMetaAt(placeOf(t, a, 1), k, nil, later); err != ErrNotFound {
		t.Errorf("a place of another store: %v", err)
	}
}
