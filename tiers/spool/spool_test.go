package spool

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, size int64) *Spool {
	t.Helper()
	s := New(Options{Dir: t.TempDir(), Size: size})
	t.Cleanup(s.Close)
	for !s.Up() {
		if err := s.Trouble(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	return s
}

// bodyOf returns n bytes that no other seed has.
func bodyOf(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i+8 <= n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b
}

// TestFilesKeepTheirBytes: files that grow, shrink and end side by side each hand out
// what was appended to them, and what they give back is used again.
func TestFilesKeepTheirBytes(t *testing.T) {
	s := open(t, 64<<20)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 2))
			for round := range 4 {
				body := bodyOf(uint64(g*100+round), 1<<20+rnd.IntN(1<<20))
				at := int64(rnd.IntN(1 << 20))
				f := s.newFile(at)
				if f == nil {
					t.Error("no file")
					return
				}
				read, buf := 0, make([]byte, 50_000)
				for done := 0; done < len(body) || read < len(body); {
					if n := min(1+rnd.IntN(100_000), len(body)-done); n > 0 {
						if err := f.Append(body[done : done+n]); err != nil {
							t.Error(err)
							return
						}
						done += n
					}
					n, err := f.ReadAt(buf, at+int64(read))
					if err != nil || !bytes.Equal(buf[:n], body[read:read+n]) {
						t.Errorf("wrong bytes at %d of %d: %v", read, len(body), err)
						return
					}
					read += n
					if round%2 == 0 {
						f.Discard(at + int64(read))
					}
				}
				f.Release()
			}
		})
	}
	wg.Wait()
	if used := s.Used(); used != 0 {
		t.Errorf("%d bytes are still used", used)
	}
}

func TestSpoolIsBounded(t *testing.T) {
	s := open(t, 16<<20)
	piece := make([]byte, 1<<20)
	var files []*File
	for range 16 {
		f := s.newFile(0)
		if err := f.Append(piece); err != nil {
			t.Fatal(err)
		}
		if err := f.Append(piece[:1]); !errors.Is(err, ErrFull) {
			t.Errorf("a file may be larger than its share: %v", err)
		}
		files = append(files, f)
	}
	extra := s.newFile(0)
	if err := extra.Append(piece[:1]); !errors.Is(err, ErrFull) {
		t.Errorf("a full spool takes more: %v", err)
	}
	files[3].Release()
	files[3].Release()
	used := s.Used()
	if err := files[3].Append(piece[:1]); !errors.Is(err, ErrFull) || s.Used() != used {
		t.Errorf("a file that was released takes more, for good: %v, %d bytes used, were %d", err, s.Used(), used)
	}
	if err := extra.Append(piece); err != nil {
		t.Errorf("what was given back is not used again: %v", err)
	}
	if _, err := files[3].ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("a file that was released can be read")
	}
	names, err := os.ReadDir(s.o.Dir)
	if err != nil || len(names) > 0 {
		t.Errorf("the spool's file has a name: %v %v", names, err)
	}
}

// TestReadersKeepBlocks: a block is not used again while a read of it is under way.
func TestReadersKeepBlocks(t *testing.T) {
	s := open(t, 16<<20)
	f := s.newFile(0)
	if err := f.Append(make([]byte, blockSize)); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.busy++ // as ReadAt does
	f.mu.Unlock()
	f.Release()
	if s.Used() != blockSize {
		t.Error("the block was given back beneath a read")
	}
	f.idle()
	if s.Used() != 0 {
		t.Error("the block was not given back behind the read")
	}
}

// TestSilentDevice: a call that the device does not answer ends, nothing is spooled
// while it lasts, and its blocks are not used by others.
func TestSilentDevice(t *testing.T) {
	s := open(t, 16<<20)
	hang := make(chan struct{})
	if err := s.do(time.Millisecond, func() error { <-hang; return nil }); !errors.Is(err, errSilent) {
		t.Fatalf("got %v", err)
	}
	if s.Up() || s.newFile(0) != nil {
		t.Error("a device that is silent is used")
	}
	close(hang)
	for s.silent.Load() != 0 {
		time.Sleep(time.Millisecond)
	}
	s.restsUntil.Store(0)
	if !s.Up() {
		t.Error("a device that has answered is not used")
	}
}

// TestSpoolComesBack: where no file can be made there is no room, the trouble says
// why, and once one can be made there is.
func TestSpoolComesBack(t *testing.T) {
	dir := t.TempDir() + "/place"
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := New(Options{Dir: dir, Size: MinSize})
	defer s.Close()
	for s.Trouble() == nil {
		time.Sleep(time.Millisecond)
	}
	if s.Up() || s.newFile(0) != nil {
		t.Error("a spool without a file has room")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	s.restsUntil.Store(0)
	for s.newFile(0) == nil {
		time.Sleep(time.Millisecond)
	}
	if err := s.Trouble(); err != nil {
		t.Error(err)
	}
}

// TestLoan: a loan counts only while it is read and nobody else's, and is moved to
// the spool when there is more than the budget, beneath its readers.
func TestLoan(t *testing.T) {
	b := NewBudget(4<<20, open(t, 64<<20))
	defer b.Close()
	var wg sync.WaitGroup
	for i := range 12 {
		body := bodyOf(uint64(i), 1<<20)
		l := b.NewLoan(bytes.Clone(body), false, nil)
		half := make(chan struct{})
		for range 3 {
			r := l.Reader(100, 1<<20-200, nil)
			first, err := r.Next()
			if err != nil || !bytes.Equal(first, body[100:100+len(first)]) {
				t.Fatalf("wrong first bytes: %v", err)
			}
			wg.Go(func() {
				defer r.Close()
				<-half
				for off := 100 + PieceSize; ; {
					p, err := r.Next()
					if err == io.EOF {
						if off != 1<<20-100 {
							t.Errorf("ended at %d", off)
						}
						return
					}
					if err != nil || !bytes.Equal(p, body[off:off+len(p)]) {
						t.Errorf("wrong bytes at %d: %v", off, err)
						return
					}
					off += len(p)
				}
			})
		}
		if used := b.Used(); used > 4<<20+1<<20 {
			t.Errorf("%d bytes are taken", used)
		}
		l.Disown()
		l.Disown()
		defer func() { l.Reader(0, 1, nil).Close() }()
		go func() { // once all are there
			for b.Used() > 4<<20 {
				time.Sleep(time.Millisecond)
			}
			close(half)
		}()
	}
	wg.Wait()
	if b.Used() != 0 || b.Spool().Used() != 0 {
		t.Errorf("%d bytes of memory and %d of the spool are still taken", b.Used(), b.Spool().Used())
	}
}

// TestLoanIsCut: without a spool the readers of what has counted longest are told to
// end, and only as many as must.
func TestLoanIsCut(t *testing.T) {
	b := NewBudget(2<<20, nil)
	defer b.Close()
	cut := make(chan int, 8)
	var readers []*LoanReader
	for i := range 4 {
		l := b.NewLoan(make([]byte, 1<<20), true, nil)
		readers = append(readers, l.Reader(0, 1<<20, func() { cut <- i }))
	}
	first, second := <-cut, <-cut
	if first != 0 || second != 1 {
		t.Errorf("cut %d and %d", first, second)
	}
	if _, err := readers[0].Next(); !errors.Is(err, ErrCut) {
		t.Errorf("a reader that was cut gets %v", err)
	}
	if _, err := readers[3].Next(); err != nil {
		t.Error(err)
	}
	for _, r := range readers {
		r.Close()
		r.Close()
	}
	if b.Used() != 0 || b.CutCount(CutMemory) != 2 {
		t.Errorf("%d bytes taken, %d cut", b.Used(), b.CutCount(CutMemory))
	}
}
