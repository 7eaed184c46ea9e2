package disk

import (
	"errors"
	"sync"
	"testing"
	"time"
)

// Puts that come faster than eviction frees wait for it, and none is refused.
func TestPutsWaitForEviction(t *testing.T) {
	o := smallOptions(t.TempDir())
	o.Size, o.SegmentSize, o.ReadTimeout = 8<<20, 512<<10, time.Minute
	s := mustOpen(t, o)
	defer mustClose(t, s)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 250 {
				mustPut(t, s, 10_000*g+i, 1, []int{90_000, 60_000, 120_000}[i%3]) // inline and in chunks
			}
		})
	}
	wg.Wait()
	if st := s.Stats(); st.Full != 0 || st.SegmentsEvicted < 50 {
		t.Errorf("%+v", st)
	}
}

// A put at the ceiling that waits in vain is refused, and those behind it do not wait as well.
func TestPutsDoNotWaitForEver(t *testing.T) {
	o := smallOptions(t.TempDir())
	o.ReadTimeout = 50 * time.Millisecond
	s := mustOpen(t, o)
	defer mustClose(t, s)
	// Space that eviction cannot bring back: it evicts down to half of the budget, no further.
	s.segs.zombie.Add(2 * o.Size)
	defer s.segs.zombie.Add(-2 * o.Size)
	h, k := keyOf(1)
	began := time.Now()
	for range 20 {
		if err := s.Put(h, k, nil, []byte("x"), later); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < o.ReadTimeout || s.Stats().RoomWaits > 10 {
		t.Errorf("20 puts took %v, %d waited", took, s.Stats().RoomWaits)
	}
	// For how long nobody waits does not hang on a clock that can be set.
	if until := time.Duration(s.room.hopeless.Load()); until > time.Since(began)+time.Minute {
		t.Errorf("nobody waits for the next %v", until)
	}
}
