package disk

import (
	"bytes"
	"sync"
	"testing"
)

func TestBuffersComeInClasses(t *testing.T) {
	const least, most = 1 << leastBuffer, 1 << mostBuffer
	// The room of each is a power of two and what a record has beside such a body.
	for _, c := range []struct{ n, room int }{
		{0, least},
		{1, least},
		{least + bufferSlack, least},
		{least + bufferSlack + 1, 2 * least},
		{100 << 10, 128 << 10},
		{128 << 10, 128 << 10},
		{128<<10 + 200, 128 << 10},
		{most/2 + bufferSlack + 1, most},
		{most, most},
		{most + bufferSlack, most},
	} {
		for range 3 { // new, and what was given back
			b := borrow(c.n)
			if len(*b) != c.n || cap(*b) != c.room+bufferSlack {
				t.Errorf("for %d bytes: length %d, room %d, want %d", c.n, len(*b), cap(*b), c.room+bufferSlack)
			}
			// It was shortened by its last user.
			*b = (*b)[:0]
			giveBack(b)
		}
	}
}

// What is no class's is not kept: neither what is larger than the largest nor what came from elsewhere.
func TestBuffersThatAreNotKept(t *testing.T) {
	for _, n := range []int{0, 1, 100, bufferSlack, 1 << (leastBuffer - 1), 6 << leastBuffer, 1<<mostBuffer + bufferSlack + 1, 2 << mostBuffer, 2<<mostBuffer + bufferSlack} {
		b := make([]byte, n)
		if n > 1<<mostBuffer+bufferSlack {
			b = *borrow(n)
			if len(b) != n {
				t.Fatalf("%d bytes of %d", len(b), n)
			}
		}
		giveBack(&b)
		for class := range readBuffers {
			if got, ok := readBuffers[class].Get().(*[]byte); ok && got == &b {
				t.Errorf("%d bytes are kept", n)
			}
		}
	}
}

// However often and by whom an entry is closed, its memory goes to one reader.
func TestEntryGivesBackOnce(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	const size = 20_000
	mustPut(t, s, 1, 1, size)
	mustPut(t, s, 2, 1, size)
	h, k := keyOf(2)
	if _, err := s.UpdateMeta(h, k, nil, later); err != nil {
		t.Fatal(err)
	}
	for round := range 200 {
		e, err := s.Get(keyOf(1 + round%2))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(e.Close)
		}
		wg.Wait()
		e.Close()
		if e.Body != nil || e.Meta != nil {
			t.Fatal("a closed entry still shows what was in it")
		}
		if _, err := e.ReadAt(make([]byte, 1), 0); err != ErrClosed {
			t.Fatalf("read from a closed entry: %v, want ErrClosed", err)
		}
		for _, n := range []int{1, size} {
			seen := map[*byte]bool{}
			for range 4 {
				b := borrow(n)
				if seen[&(*b)[0]] {
					t.Fatalf("round %d: two readers have the same memory", round)
				}
				seen[&(*b)[0]] = true
			}
		}
	}
}

// While an entry is open its memory is nobody else's, whatever is read, looked for in vain or given up meanwhile.
func TestEntryKeepsItsBytesWhileOpen(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	const n = 12
	sizes := []int{100, 20_000, 60_000}
	size := func(i int) int { return sizes[i%len(sizes)] }
	for i := range n {
		mustPut(t, s, i, 1, size(i))
		if i >= n/2 {
			h, k := keyOf(i)
			if _, err := s.UpdateMeta(h, k, metaOf(i, 1, size(i)), later); err != nil {
				t.Fatal(err)
			}
		}
	}
	var held []*Entry
	for i := range n {
		e, err := s.Get(keyOf(i))
		if err != nil {
			t.Fatal(err)
		}
		at, err := s.At(e.Place())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, e, at)
	}
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for j := range 300 {
				i := (g + j) % n
				h, _ := keyOf(i)
				if e, err := s.Get(h, []byte("another key")); err != ErrNotFound {
					t.Errorf("another key: %v", err)
					if err == nil {
						e.Close()
					}
				}
				for _, p := range []*Place{held[2*i].Place(), nil} {
					var e *Entry
					var err error
					if p != nil {
						e, err = s.At(p)
					} else {
						e, err = s.Get(keyOf(i))
					}
					if err != nil || !bytes.Equal(e.Body, bodyOf(i, 1, size(i))) {
						t.Errorf("object %d: wrong bytes (%v)", i, err)
						return
					}
					e.Close()
				}
			}
		})
	}
	wg.Wait()
	for j, e := range held {
		i := j / 2
		if !bytes.Equal(e.Body, bodyOf(i, 1, size(i))) || j%2 == 0 && !bytes.Equal(e.Meta, metaOf(i, 1, size(i))) {
			t.Errorf("object %d: its memory was given to somebody else while it was open", i)
		}
		e.Close()
	}
}
