package disk

import "testing"

func TestHitsAreCountedUpToABound(t *testing.T) {
	m := newHitMap(minSegment)
	for _, ord := range []uint32{0, 1, 7, 8, 2000} {
		for n := uint32(1); n <= 20; n++ {
			m.hit(ord)
			if got := m.hits(ord); got != min(n, hitMost) {
				t.Fatalf("record %d: %d hits counted of %d", ord, got, n)
			}
		}
	}
	m.add(3, 9)
	m.add(3, 9)
	if m.hits(3) != hitMost || m.hits(2) != 0 || m.hits(4) != 0 {
		t.Fatalf("%d %d %d", m.hits(2), m.hits(3), m.hits(4))
	}
	m.hit(1 << 30) // a segment of a time when they were larger
}

// What was asked for often outlives a turn of the disk in which nobody asks for it, what was asked for once does not.
func TestHitsAreCarried(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	const n = 10
	for i := range 2 * n {
		mustPut(t, s, i, 1, 8000)
	}
	for i := range 2 * n {
		for range 1 + i/n*9 { // once the first half, ten times the other
			wantObject(t, s, i, 1, 8000)
		}
	}
	turn := func() {
		from := s.segs.next
		for i := 1000; s.segs.floor.Load() <= from; i++ {
			putPatiently(t, s, i, 1, 50_000)
		}
	}
	turn()
	turn()
	for i := range 2 * n {
		h, k := keyOf(i)
		_, err := s.Get(h, k)
		if i < n && err == nil || i >= n && err != nil {
			t.Errorf("object %d: %v", i, err)
		}
	}
}
