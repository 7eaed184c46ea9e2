package disk

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
)

func TestWriterFollowers(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	const size = 900_000
	want := bodyOf(1, 1, size)
	h, k := keyOf(1)
	w, err := s.NewWriter(h, k)
	if err != nil {
		t.Fatal(err)
	}
	// Followers read at every step; one signal for each append says how far they must get.
	const followers = 4
	grown := make([]chan int, followers)
	var wg sync.WaitGroup
	for f := range followers {
		grown[f] = make(chan int, size)
		w.Retain()
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer w.Release()
			r := w.NewReader(0)
			defer r.Close()
			got := 0
			buf := make([]byte, 10_000+f)
			for upTo := range grown[f] {
				for got < upTo {
					n, err := r.Read(buf)
					if err != nil {
						t.Errorf("follower at %d of %d: %v", got, upTo, err)
						return
					}
					if !bytes.Equal(buf[:n], want[got:got+n]) {
						t.Errorf("follower: wrong bytes at %d", got)
						return
					}
					got += n
				}
				at := got / 2
				p := make([]byte, got-at)
				if n, err := w.ReadAt(p, int64(at)); err != nil || n != len(p) || !bytes.Equal(p, want[at:got]) {
					t.Errorf("ReadAt %d of %d: %d, %v", at, got, n, err)
				}
			}
			if got != size {
				t.Errorf("follower got %d bytes", got)
			}
		}()
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for off := 0; off < size; {
		n := min(1+rng.IntN(40_000), size-off)
		if err := w.Append(want[off : off+n]); err != nil {
			t.Fatal(err)
		}
		off += n
		for _, ch := range grown {
			ch <- off
		}
		wantMiss(t, s, 1)
	}
	if _, err := w.ReadAt(make([]byte, 1), size); err != io.EOF {
		t.Fatalf("read at the end: %v", err)
	}
	if err := w.Commit(metaOf(1, 1, size), later); err != nil {
		t.Fatal(err)
	}
	for _, ch := range grown {
		close(ch)
	}
	wg.Wait()
	wantObject(t, s, 1, 1, size)
	if _, err := w.ReadAt(make([]byte, 1), 0); err != ErrClosed {
		t.Fatalf("read without a reference: %v", err)
	}
}

func TestWriterSizes(t *testing.T) {
	o := smallOptions(t.TempDir())
	s := mustOpen(t, o)
	for i, n := range sizes {
		h, k := keyOf(i)
		w, err := s.NewWriter(h, k)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Append(bodyOf(i, 1, n)); err != nil {
			t.Fatal(err)
		}
		if w.Size() != int64(n) {
			t.Fatalf("size %d of %d", w.Size(), n)
		}
		if err := w.Commit(metaOf(i, 1, n), later); err != nil {
			t.Fatal(err)
		}
		wantObject(t, s, i, 1, n)
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	defer mustClose(t, s)
	for i, n := range sizes {
		wantObject(t, s, i, 1, n)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	o := smallOptions(t.TempDir())
	s := mustOpen(t, o)
	mustPut(t, s, 2, 1, 100)
	h, k := keyOf(1)
	w, err := s.NewWriter(h, k)
	if err != nil {
		t.Fatal(err)
	}
	body := bodyOf(1, 1, 500_000)
	if err := w.Append(body); err != nil {
		t.Fatal(err)
	}
	w.Retain()
	w.Abort()
	wantMiss(t, s, 1)
	got := make([]byte, len(body))
	if _, err := w.ReadAt(got, 0); err != nil || !bytes.Equal(got, body) {
		t.Fatalf("a follower after the abort: %v", err)
	}
	w.Release()
	if err := w.Append(body); err != ErrClosed {
		t.Fatal(err)
	}
	if err := w.Commit(nil, later); err != ErrClosed {
		t.Fatal(err)
	}
	if n := s.Stats().Objects; n != 1 {
		t.Fatalf("%d objects", n)
	}
	for range 2 {
		o.Dir = crash(t, s)
		s = mustOpen(t, o)
		wantMiss(t, s, 1)
		wantObject(t, s, 2, 1, 100)
	}
	mustClose(t, s)
}

func TestRanges(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	const size = 1_000_000
	mustPut(t, s, 1, 1, size)
	want := bodyOf(1, 1, size)
	h, k := keyOf(1)
	e, err := s.Get(h, k)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Inline() || e.Size != size {
		t.Fatalf("inline %v, size %d", e.Inline(), e.Size)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		off := rng.IntN(size)
		n := 1 + rng.IntN(size-off)
		p := make([]byte, n)
		if m, err := e.ReadAt(p, int64(off)); err != nil || m != n || !bytes.Equal(p, want[off:off+n]) {
			t.Fatalf("ReadAt(%d, %d): %d, %v", off, n, m, err)
		}
		var buf bytes.Buffer
		r := e.NewReader(int64(off), int64(n))
		if _, err := io.Copy(&buf, r); err != nil || !bytes.Equal(buf.Bytes(), want[off:off+n]) {
			t.Fatalf("NewReader(%d, %d): %d bytes, %v", off, n, buf.Len(), err)
		}
		_ = r.Close()
	}
	if n, err := e.ReadAt(make([]byte, 10), size-4); n != 4 || err != io.EOF {
		t.Fatalf("read over the end: %d, %v", n, err)
	}
	if _, err := e.ReadAt(make([]byte, 1), -1); err == nil {
		t.Fatal("negative offset accepted")
	}
}

// A range reads its own chunks only: damage elsewhere does not concern it.
func TestRangeReadsItsChunksOnly(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	const size = 400_000
	mustPut(t, s, 1, 1, size)
	h, k := keyOf(1)
	e, err := s.Get(h, k)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	x := e.extents[2]
	seg := s.segs.get(x.seg)
	if _, err := seg.f.WriteAt([]byte{^bodyOf(1, 1, size)[2*(64<<10)+5]}, x.off+5); err != nil {
		t.Fatal(err)
	}
	seg.release()
	p := make([]byte, 100_000)
	if _, err := e.ReadAt(p, 0); err != nil || !bytes.Equal(p, bodyOf(1, 1, size)[:len(p)]) {
		t.Fatalf("range before the damage: %v", err)
	}
	n, err := e.ReadAt(p, 64<<10)
	if !errors.Is(err, ErrCorrupt) || n != 64<<10 {
		t.Fatalf("range over the damage: %d bytes, %v", n, err)
	}
	wantMiss(t, s, 1)
	if st := s.Stats(); st.Corrupt != 1 || st.Objects != 0 {
		t.Fatalf("%+v", st)
	}
}

func TestTooLargeWhileAppending(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	h, k := keyOf(1)
	w, err := s.NewWriter(h, k)
	if err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 1<<20)
	for err == nil {
		err = w.Append(piece)
	}
	if !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	if err := w.Commit(nil, later); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	wantMiss(t, s, 1)
}
