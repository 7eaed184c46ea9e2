package disk

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// putPatiently retries at the ceiling, which eviction lowers.
func putPatiently(t testing.TB, s *Store, i, version, size int) {
	t.Helper()
	h, k := keyOf(i)
	eventually(t, "room for a put", func() bool {
		err := s.Put(h, k, metaOf(i, version, size), bodyOf(i, version, size), later)
		if err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		return err == nil
	})
}

func realUse(t testing.TB, dir string) int64 {
	t.Helper()
	var n int64
	_ = filepath.Walk(dir, func(_ string, st os.FileInfo, err error) error {
		if err == nil && st.Mode().IsRegular() {
			n += st.Size()
		}
		return nil
	})
	return n
}

func TestEvictionKeepsTheBudget(t *testing.T) {
	o := smallOptions(t.TempDir())
	o.ReappendShare = -1
	var evicted atomic.Int64
	o.OnEvict = func(Evicted) { evicted.Add(1) }
	s := mustOpen(t, o)
	const n, size = 4000, 12_000
	var peak int64
	for i := range n {
		putPatiently(t, s, i, 1, size)
		if i%20 == 0 {
			peak = max(peak, realUse(t, o.Dir))
		}
	}
	if limit := o.Size + o.Size/20 + o.SegmentSize; peak > limit {
		t.Fatalf("peak use %d, at most %d is promised", peak, limit)
	}
	var st Stats
	eventually(t, "below the budget and accounted for", func() bool {
		st = s.Stats()
		return s.excess() <= 0 && st.EvictedFresh+st.Objects == n && st.EvictedFresh == evicted.Load()
	})
	if st.EvictedFresh == 0 || st.EvictedExpired != 0 {
		t.Fatalf("of %d objects %d are there, %d evicted fresh, %d expired", n, st.Objects, st.EvictedFresh, st.EvictedExpired)
	}
	for i := range n {
		h, k := keyOf(i)
		switch e, err := s.Get(h, k); {
		case err == nil:
			if !bytes.Equal(e.Body, bodyOf(i, 1, size)) {
				t.Fatal("wrong body")
			}
			e.Close()
		case err != ErrNotFound:
			t.Fatal(err)
		case i > n-500:
			t.Fatalf("object %d of %d is gone already", i, n)
		}
	}
	each := st.LiveBytes / st.Objects
	mustClose(t, s)
	s = mustOpen(t, o)
	defer mustClose(t, s)
	// Eviction may have gone on until the stop; what was reported and what is there must still add up.
	eventually(t, "counters", func() bool {
		got := s.Stats()
		return got.Objects+evicted.Load() == n && got.LiveBytes/each >= got.Objects-1 && got.LiveBytes/each <= got.Objects+1
	})
}

func TestEvictionReasons(t *testing.T) {
	o := smallOptions(t.TempDir())
	o.ReappendShare = -1
	var clock atomic.Int64
	clock.Store(1_000_000)
	o.Now = func() time.Time { return time.Unix(clock.Load(), 0) }
	var mu sync.Mutex
	reasons := map[Hash]Reason{}
	o.OnEvict = func(e Evicted) { mu.Lock(); reasons[e.Hash] = e.Reason; mu.Unlock() }
	s := mustOpen(t, o)
	defer mustClose(t, s)
	put := func(i int, expires int64) Hash {
		h, k := keyOf(i)
		eventually(t, "room for a put", func() bool {
			err := s.Put(h, k, nil, make([]byte, 50_000), time.Unix(expires, 0))
			if err != nil && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			return err == nil
		})
		return h
	}
	fresh, expired := put(1, 3_000_000), put(2, 1_500_000)
	replaced, deleted := put(3, 3_000_000), put(4, 3_000_000)
	if err := s.Delete(deleted); err != nil {
		t.Fatal(err)
	}
	clock.Store(2_000_000)
	for i := 0; s.Stats().SegmentsEvicted == 0; i++ {
		if i%10 == 0 {
			put(3, 3_000_000) // stays in a young segment
		}
		h, k := keyOf(100 + i)
		if err := s.Put(h, k, nil, make([]byte, 50_000), time.Time{}); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	eventually(t, "eviction", func() bool { mu.Lock(); defer mu.Unlock(); _, ok := reasons[expired]; return ok })
	mu.Lock()
	defer mu.Unlock()
	if r, ok := reasons[fresh]; !ok || r != ReasonFresh || reasons[expired] != ReasonExpired {
		t.Fatalf("reasons %v", reasons)
	}
	if _, ok := reasons[deleted]; ok {
		t.Fatal("a deleted object counts as evicted")
	}
	if _, ok := reasons[replaced]; ok {
		t.Fatal("a replaced object counts as evicted")
	}
}

func TestHitObjectsAreReappended(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	const hot = 5
	for i := range hot {
		mustPut(t, s, i, 1, 8000)
	}
	for i := range 4500 {
		putPatiently(t, s, 1000+i, 1, 10_000)
		if i%50 == 0 {
			for j := range hot {
				wantObject(t, s, j, 1, 8000)
			}
		}
	}
	if st := s.Stats(); st.SegmentsEvicted < 20 || st.Reappended < hot || st.WrittenReappend > st.WrittenUser/3 {
		t.Fatalf("%+v", st)
	}
}

// putUntil puts objects of a size until done, also while the store is closed. None is of a stripe in held, which eviction
// holds while the stop waits for puts.
func putUntil(t *testing.T, s *Store, size int, held map[int]bool, done func() bool) {
	t.Helper()
	for i := 1000; !done(); i++ {
		h, k := keyOf(i)
		if held[stripeOf(h)] {
			continue
		}
		err := s.Put(h, k, nil, bodyOf(i, 1, size), later)
		if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
}

// A stop in the middle of an eviction: which objects were hit is known to this process only, so it writes them again before
// it ends.
func TestStopDuringEviction(t *testing.T) {
	o := smallOptions(t.TempDir())
	var s *Store
	var ours, stopped atomic.Bool
	closed := make(chan error, 1)
	o.OnRead = func(time.Duration) {
		if !ours.Load() && stopped.CompareAndSwap(false, true) { // eviction has the first of them in hand
			go func() { closed <- s.Close() }()
			<-s.stop
		}
	}
	s = mustOpen(t, o)
	const hot = 10
	held := map[int]bool{}
	ours.Store(true)
	for i := range hot {
		mustPut(t, s, i, 1, 8000)
		wantObject(t, s, i, 1, 8000)
		h, _ := keyOf(i)
		held[stripeOf(h)] = true
	}
	ours.Store(false)
	putUntil(t, s, 10_000, held, stopped.Load)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Reappended; n < hot {
		t.Errorf("%d of %d written again", n, hot)
	}
	o.OnRead = nil
	s = mustOpen(t, o)
	defer mustClose(t, s)
	for i := range hot {
		wantObject(t, s, i, 1, 8000)
	}
}

// A reader that found its object just before eviction wrote it again elsewhere still gets it.
func TestReaderFollowsWhatIsReappended(t *testing.T) {
	o := smallOptions(t.TempDir())
	o.ReappendShare = 1 // the segment is all but empty
	s := mustOpen(t, o)
	defer mustClose(t, s)
	mustPut(t, s, 1, 1, 8000)
	mustPut(t, s, 2, 1, 8000)
	wantObject(t, s, 1, 1, 8000) // a hit; the other object gets none
	ix := s.idx.Load()
	was := map[int]entry{}
	for i := 1; i <= 2; i++ {
		h, _ := keyOf(i)
		e, ok, err := ix.get(h)
		if err != nil || !ok {
			t.Fatalf("object %d: %v, %v", i, ok, err)
		}
		was[i] = e
	}
	s.segs.rotate()
	eventually(t, "the segment is sealed", func() bool { return s.segs.oldestSealed() != nil })
	// The store is far below its budget, so that the keeper does not evict beside us.
	if err := s.evictSegment(s.segs.oldestSealed()); err != nil {
		t.Fatal(err)
	}
	h, k := keyOf(1)
	ent, now, err := s.follow(ix, h, k, was[1])
	if err != nil || !bytes.Equal(ent.Body, bodyOf(1, 1, 8000)) || now.pos() == was[1].pos() {
		t.Fatalf("what was written again is not found: %v", err)
	}
	ent.Close()
	h, k = keyOf(2)
	if _, _, err := s.follow(ix, h, k, was[2]); !errors.Is(err, errGone) {
		t.Fatalf("what was not written again: %v", err)
	}
	wantMiss(t, s, 2)
}

// A reader in the middle of a large body keeps its segments; others miss from the moment of the eviction.
func TestEvictionMidStream(t *testing.T) {
	o := smallOptions(t.TempDir())
	s := mustOpen(t, o)
	defer mustClose(t, s)
	const size = 2_500_000
	mustPut(t, s, 1, 1, size)
	h, k := keyOf(1)
	e, err := s.Get(h, k)
	if err != nil {
		t.Fatal(err)
	}
	r := e.NewReader(0, -1)
	head := make([]byte, 1000)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		putPatiently(t, s, 1000+i, 1, 60_000)
		if x, err := s.Get(h, k); err == ErrNotFound {
			break
		} else if err != nil {
			t.Fatal(err)
		} else {
			x.Close()
		}
	}
	eventually(t, "several segments gone", func() bool { return s.segs.floor.Load() > 1 })
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(append(head, rest...), bodyOf(1, 1, size)) {
		t.Fatalf("stream over an eviction: %v", err)
	}
	_ = r.Close()
	if s.Stats().ZombieBytes == 0 {
		t.Fatal("an evicted segment that is being read is not accounted for")
	}
	e.Close()
	eventually(t, "the space is back", func() bool { return s.Stats().ZombieBytes == 0 })
	wantMiss(t, s, 1)
}

// A body whose first chunk is evicted while it is still being written is refused at the latest by Commit.
func TestEvictionOfAnUncommittedChunk(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	h, k := keyOf(1)
	w, err := s.NewWriter(h, k)
	if err != nil {
		t.Fatal(err)
	}
	body := bodyOf(1, 1, 200_000)
	if err := w.Append(body); err != nil {
		t.Fatal(err)
	}
	first := w.extents[0].seg
	for i := 0; s.segs.floor.Load() <= first; i++ {
		putPatiently(t, s, 1000+i, 1, 60_000)
	}
	got := make([]byte, len(body))
	if _, err := w.ReadAt(got, 0); err != nil || !bytes.Equal(got, body) {
		t.Fatalf("what was appended must stay readable: %v", err)
	}
	if err := w.Commit(nil, later); !errors.Is(err, ErrEvicted) {
		t.Fatalf("commit: %v", err)
	}
	wantMiss(t, s, 1)
}

func TestCeiling(t *testing.T) {
	o := smallOptions(t.TempDir())
	s := mustOpen(t, o)
	defer mustClose(t, s)
	// Evicted segments that a reader holds cannot be given back, so puts must stop at the ceiling.
	var held []*Entry
	defer func() {
		for _, e := range held {
			e.Close()
		}
	}()
	full := false
	for i := 0; i < 2000 && !full; i++ {
		h, k := keyOf(i)
		err := s.Put(h, k, nil, bodyOf(i, 1, 100_000), later)
		if full = errors.Is(err, ErrFull); full {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, err := s.Get(h, k); err == nil {
			held = append(held, e)
		}
	}
	if !full {
		t.Fatal("puts never stopped")
	}
	if used := s.used(); used > o.Size+o.Size/20+o.SegmentSize {
		t.Fatalf("%d bytes used of %d", used, o.Size)
	}
	for _, e := range held {
		e.Close()
	}
	held = nil
	putPatiently(t, s, 5000, 1, 1000)
}
