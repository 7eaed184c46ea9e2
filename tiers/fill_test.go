package tiers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"weir/policy"
)

// source hands out a body in pieces of random sizes, then err.
type source struct {
	rest []byte
	err  error
	rnd  *rand.Rand
	most int
}

func newSource(body []byte, err error) *source {
	return &source{rest: body, err: err, rnd: rand.New(rand.NewPCG(uint64(len(body)), 7)), most: 40 * kib}
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, s.err
	}
	n := copy(p, s.rest[:min(len(s.rest), 1+s.rnd.IntN(s.most))])
	s.rest = s.rest[n:]
	return n, nil
}

// follow reads from the reader to its end, and checks every piece as it comes.
func follow(r *FillReader, want []byte) error {
	off := int(r.pos)
	for {
		p, err := r.Next()
		if err == io.EOF {
			if off != len(want) {
				return fmt.Errorf("end at %d of %d", off, len(want))
			}
			return nil
		}
		if err != nil {
			return err
		}
		if len(p) == 0 || off+len(p) > len(want) || !bytes.Equal(p, want[off:off+len(p)]) {
			return fmt.Errorf("wrong bytes: %d at %d of %d", len(p), off, len(want))
		}
		off += len(p)
	}
}

func nothing() {}

// fillCase is a body and where it may end up.
type fillCase struct {
	size  int
	known bool
	disk  bool
}

func (c fillCase) String() string {
	return fmt.Sprintf("size=%d,known=%v,disk=%v", c.size, c.known, c.disk)
}

func (c fillCase) length() int64 {
	if c.known {
		return int64(c.size)
	}
	return -1
}

// stored says which tiers keep the body under testOptions.
func (c fillCase) stored() (ram, disk bool) {
	return c.size <= 64*kib, c.disk && c.size <= 2*mib
}

// TestFill: for lengths around every boundary, known and unknown, with and
// without a disk, readers of all speeds get exactly the bytes, and what is
// stored is what was sent.
func TestFill(t *testing.T) {
	ramMax, diskMax := 64*kib, 2*mib
	sizes := []int{
		0, 1, fillFirst - 1, fillFirst, fillFirst + 1, 2 * fillFirst, ramMax - 1, ramMax, ramMax + 1,
		fillChunk - 1, fillChunk, fillChunk + 1, (fillWindow + 2) * fillChunk, diskMax, diskMax + 1, diskMax + 3*passWindow,
	}
	for _, disk := range []bool{false, true} {
		dir := ""
		if disk {
			dir = t.TempDir()
		}
		s := openTest(t, testOptions(dir))
		for i, size := range sizes {
			for _, known := range []bool{false, true} {
				c := fillCase{size, known, disk}
				t.Run(c.String(), func(t *testing.T) { testFill(t, s, c, 2*i+len(c.String())%2) })
			}
		}
	}
}

func testFill(t *testing.T, s *Store, c fillCase, key int) {
	body := bodyOf(key, 1, c.size)
	o := objectOf(key, 1, 0)
	hash, text := o.Hash, o.Text
	s.Delete(&hash)
	f := s.NewFill(hash, text, "", c.length())
	inRAM, onDisk := c.stored()

	var wg sync.WaitGroup
	read := func(r *FillReader, want []byte, mayLag bool) {
		wg.Go(func() {
			defer r.Close()
			if err := follow(r, want); err != nil && !(mayLag && errors.Is(err, ErrFellBehind)) {
				t.Error(err)
			}
		})
	}
	// Of a body that is only passed through, who comes late may find it gone.
	mayLag := !inRAM && !onDisk
	for range 4 {
		read(f.NewReader(0), body, false)
	}
	early := f.NewReader(0)
	wg.Go(func() { _, _ = early.Next(); early.Close(); early.Close() })
	if c.size > 10 {
		r := f.NewReader(0)
		r.Skip(int64(c.size / 3))
		read(r, body, mayLag)
	}
	if err := f.CopyFrom(newSource(body, io.EOF)); err != nil {
		t.Fatal(err)
	}
	if f.Length() != int64(c.size) {
		t.Fatalf("length %d, want %d", f.Length(), c.size)
	}
	if !mayLag {
		read(f.NewReader(0), body, false)
	}
	shown := false
	reason := f.Commit(o, func() {
		shown = s.Get(&hash, []byte(text)) != nil || s.lookupThenClose(hash, text)
	})
	wg.Wait()
	if stored := inRAM || onDisk; shown != stored || (reason == policy.ReasonNone) != stored {
		t.Fatalf("visible %v, reason %v, want stored %v", shown, reason, stored)
	}
	if got := s.Get(&hash, []byte(text)); (got != nil) != inRAM {
		t.Errorf("in RAM: %v, want %v", got != nil, inRAM)
	} else if got != nil && (got.Length != int64(c.size) || got.Body == nil || !bytes.Equal(got.Body, body)) {
		t.Error("RAM has another body")
	}
	got := s.GetDisk(&hash, []byte(text))
	if (got != nil) != onDisk {
		t.Fatalf("on disk: %v, want %v", got != nil, onDisk)
	}
	if got != nil {
		defer got.Close()
		all, err := io.ReadAll(got.NewReader(0, got.Length))
		if err != nil || !bytes.Equal(all, body) {
			t.Errorf("disk has another body (%v)", err)
		}
	}
	if !mayLag && onDisk && !inRAM {
		f.mu.Lock()
		defer f.mu.Unlock()
		if kept := keptBytes(f); kept > (fillWindow+2)*fillChunk {
			t.Errorf("%d bytes kept in memory", kept)
		}
	}
}

func (s *Store) lookupThenClose(h policy.Hash, text string) bool {
	o := s.GetDisk(&h, []byte(text))
	if o != nil {
		o.Close()
	}
	return o != nil
}

func keptBytes(f *Fill) int {
	kept := 0
	for _, c := range f.chunks {
		kept += len(c.buf)
	}
	return kept
}

// TestLastPieceWaitsForTheCommit: whoever has the whole of a body of stated
// length finds it in the cache.
func TestLastPieceWaitsForTheCommit(t *testing.T) {
	s := openTest(t, testOptions(""))
	body := bodyOf(1, 1, 1000)
	o := objectOf(1, 1, 0)
	f := s.NewFill(o.Hash, o.Text, "", 1000)
	r := f.NewReader(0)
	defer r.Close()
	if err := f.CopyFrom(bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	if r.Ready() {
		t.Error("the last piece is shown before the commit")
	}
	f.Commit(o, func() {
		if r.Ready() || s.lookup(1) == nil {
			t.Error("the end is shown before the object is visible")
		}
	})
	if err := follow(r, body); err != nil {
		t.Error(err)
	}
}

// TestWholeOfNothing: an empty body is whole, or is not said to be, in whatever form it lies.
func TestWholeOfNothing(t *testing.T) {
	s := openTest(t, testOptions(""))
	for _, length := range []int64{0, -1} {
		o := objectOf(1, 1, 0)
		f := s.NewFill(o.Hash, o.Text, "", length)
		r := f.NewReader(0)
		for _, step := range []func(){
			func() {},
			func() {
				if err := f.CopyFrom(bytes.NewReader(nil)); err != nil {
					t.Fatal(err)
				}
			},
			func() { f.Commit(o, nothing) },
		} {
			step()
			if p, ok := r.Whole(0, 0); ok && len(p) != 0 {
				t.Errorf("%d bytes of none", len(p))
			}
			if _, ok := r.Whole(0, 1); ok {
				t.Error("a byte of none is there")
			}
		}
		r.Close()
	}
}

// TestWholeBody: all of a small body in one piece is there once it has come and is visible, not before, and not when it
// broke, was spilled, or is large: it would hold its memory for as long as anybody likes.
func TestWholeBody(t *testing.T) {
	broken := errors.New("connection reset")
	for _, c := range []struct {
		name string
		size int
		// stored: with a commit; otherwise abandoned with err.
		stored bool
		err    error
		disk   bool
		want   bool
	}{
		{"stored", 1000, true, nil, false, true},
		{"stored on disk too", 1000, true, nil, true, true},
		{"not storable", 1000, false, nil, false, true},
		{"in pieces, made one", wholeMax, true, nil, false, true},
		{"large", 600 * kib, true, nil, false, false},
		{"in pieces", 600 * kib, false, nil, false, false},
		{"broken", 1000, false, broken, false, false},
		{"spilled", mib, true, nil, true, false},
		{"passed through", 3 * mib, true, nil, false, false},
	} {
		for _, stated := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, length stated %v", c.name, stated), func(t *testing.T) {
				dir := ""
				if c.disk {
					dir = t.TempDir()
				}
				opts := testOptions(dir)
				if c.size == 600*kib {
					opts.RAMSize, opts.RAMMaxObject = 64*mib, mib
				}
				s := openTest(t, opts)
				body := bodyOf(1, 1, c.size)
				o := objectOf(1, 1, 0)
				length := int64(-1)
				if stated {
					length = int64(c.size)
				}
				f := s.NewFill(o.Hash, o.Text, "", length)
				whole, reader := f.NewReader(0), f.NewReader(0)
				defer whole.Close()
				before := func(when string) {
					t.Helper()
					for _, n := range []int64{1, int64(c.size)} {
						if p, ok := whole.Whole(0, n); ok {
							t.Errorf("%s: %d bytes of %d are there", when, len(p), n)
						}
					}
				}
				before("nothing has come")
				followed := make(chan error, 1)
				go func() {
					defer reader.Close()
					followed <- follow(reader, body)
				}()
				if c.size > 2*mib {
					// Nobody waits for whoever only asks for the whole.
					whole.Skip(int64(c.size))
				}
				err := f.CopyFrom(bytes.NewReader(body))
				before("it has come, and is not decided about")
				switch {
				case err != nil:
					t.Fatal(err)
				case c.stored:
					f.Commit(o, func() { before("it is visible in the cache") })
				default:
					f.Abandon(c.err)
				}
				if err := <-followed; !errors.Is(err, c.err) {
					t.Errorf("the reader got %v", err)
				}
				size := int64(c.size)
				for _, part := range [][2]int64{{0, size}, {0, 0}, {size, 0}, {100, 200}, {size - 1, 1}} {
					p, ok := whole.Whole(part[0], part[1])
					if ok != c.want {
						t.Fatalf("bytes %d at %d: %v, want %v", part[1], part[0], ok, c.want)
					}
					if ok && (!bytes.Equal(p, body[part[0]:part[0]+part[1]]) || cap(p) != len(p)) {
						t.Errorf("bytes %d at %d: wrong ones, or room for more", part[1], part[0])
					}
				}
				for _, part := range [][2]int64{{0, size + 1}, {size, 1}, {size + 1, 0}, {0, -1}, {500, size}} {
					if _, ok := whole.Whole(part[0], part[1]); ok {
						t.Errorf("bytes %d at %d are there", part[1], part[0])
					}
				}
			})
		}
	}
}

func TestFillAborted(t *testing.T) {
	broken := errors.New("connection reset")
	for _, c := range []fillCase{{1000, true, false}, {30 * kib, false, true}, {mib, true, true}, {3 * mib, false, true}} {
		t.Run(c.String(), func(t *testing.T) {
			dir := ""
			if c.disk {
				dir = t.TempDir()
			}
			s := openTest(t, testOptions(dir))
			body := bodyOf(1, 1, c.size)
			o := objectOf(1, 1, 0)
			f := s.NewFill(o.Hash, o.Text, "", c.length())
			r := f.NewReader(0)
			got := make(chan error, 1)
			go func() {
				defer r.Close()
				got <- follow(r, body)
			}()
			err := f.CopyFrom(newSource(body[:c.size*2/3], broken))
			if !errors.Is(err, broken) {
				t.Fatalf("CopyFrom: %v", err)
			}
			f.Abandon(err)
			if err := <-got; !errors.Is(err, broken) || r.pos != int64(c.size*2/3) {
				t.Errorf("the reader got %d bytes and then %v", r.pos, err)
			}
			if s.lookup(1) != nil || s.lookupDisk(1) != nil {
				t.Error("a broken body is stored")
			}
			if reopened := f.TryReader(0); c.size > fillWindow*fillChunk*2 {
				if reopened != nil {
					t.Error("a reader was made for bytes that are gone")
				}
			} else if reopened == nil {
				t.Error("no reader was made for bytes that are in memory")
			} else {
				reopened.Close()
			}
			late := f.NewReader(int64(c.size))
			defer late.Close()
			if _, err := late.Next(); !errors.Is(err, broken) {
				t.Errorf("a late reader got %v", err)
			}
		})
	}
}

func TestFillAbandonedWhole(t *testing.T) {
	s := openTest(t, testOptions(""))
	body := bodyOf(1, 1, 1000)
	o := objectOf(1, 1, 0)
	f := s.NewFill(o.Hash, o.Text, "", -1)
	r := f.NewReader(0)
	defer r.Close()
	if err := f.CopyFrom(bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	f.Abandon(nil)
	if err := follow(r, body); err != nil {
		t.Error(err)
	}
	if s.lookup(1) != nil {
		t.Error("an abandoned body is stored")
	}
}

func TestFillOfWrongLength(t *testing.T) {
	s := openTest(t, testOptions(""))
	o := objectOf(1, 1, 0)
	long := s.NewFill(o.Hash, o.Text, "", 10)
	if err := long.CopyFrom(bytes.NewReader(make([]byte, 11))); err == nil {
		t.Error("a body longer than its Content-Length was taken")
	}
	long.Abandon(io.ErrUnexpectedEOF)
	short := s.NewFill(o.Hash, o.Text, "", 10)
	if err := short.CopyFrom(bytes.NewReader(make([]byte, 9))); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a short body was committed")
			}
		}()
		short.Commit(o, nothing)
	}()
	short.Abandon(io.ErrUnexpectedEOF)
}

// stepper is a source that hands out one piece a step.
type stepper struct {
	step chan int
	body []byte
	off  int
}

func (s *stepper) Read(p []byte) (int, error) {
	n, ok := <-s.step
	if !ok {
		return 0, io.EOF
	}
	n = copy(p[:min(n, len(p))], s.body[s.off:])
	s.off += n
	return n, nil
}

// TestDiskFailsMidway: the disk goes away while a body is on its way there. It
// is passed on; readers get right bytes or are told that they fell behind.
func TestDiskFailsMidway(t *testing.T) {
	var faults []string
	o := testOptions(t.TempDir())
	o.DiskFault = func(op string) { faults = append(faults, op) }
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.stall = 50 * time.Millisecond // of the laggard
	const size = 2 * mib
	body := bodyOf(1, 1, size)
	obj := objectOf(1, 1, 0)
	f := s.NewFill(obj.Hash, obj.Text, "", size)
	leader := f.NewReader(0)
	laggard := f.NewReader(0)
	src := newSource(body, io.EOF)
	closeAt := &readFunc{func(p []byte) (int, error) {
		if len(src.rest) < size/2 {
			if d := s.disk.Load(); d.Healthy() == nil {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		return src.Read(p)
	}}
	lead := make(chan error, 1)
	go func() {
		defer leader.Close()
		lead <- follow(leader, body)
	}()
	if err := f.CopyFrom(closeAt); err != nil {
		t.Fatal(err)
	}
	if ok, reason := f.Storable(); ok || reason != policy.ReasonStorage {
		t.Errorf("storable %v, reason %v", ok, reason)
	}
	if reason := f.Commit(obj, func() { t.Error("visible") }); reason != policy.ReasonStorage {
		t.Errorf("commit: %v", reason)
	}
	if err := <-lead; err != nil && !errors.Is(err, ErrFellBehind) {
		t.Error(err)
	}
	if err := follow(laggard, body); err != nil && !errors.Is(err, ErrFellBehind) {
		t.Error(err)
	}
	laggard.Close()
	if len(faults) == 0 || faults[0] != "write" {
		t.Errorf("faults: %v", faults)
	}
	s.disk.Store(nil)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

type readFunc struct {
	read func([]byte) (int, error)
}

func (r *readFunc) Read(p []byte) (int, error) { return r.read(p) }

func TestNobodyReadsWhatCannotBeStored(t *testing.T) {
	s := openTest(t, testOptions(""))
	o := objectOf(1, 1, 0)
	f := s.NewFill(o.Hash, o.Text, "", 8*mib)
	r := f.NewReader(0)
	got := make(chan error, 1)
	go func() { got <- f.CopyFrom(newSource(make([]byte, 8*mib), io.EOF)) }()
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if err := <-got; !errors.Is(err, ErrNoReaders) {
		t.Errorf("got %v, want %v", err, ErrNoReaders)
	}
	if n := f.Length(); n > passWindow+fillChunk {
		t.Errorf("%d bytes were read for nobody", n)
	}
	f.Abandon(ErrNoReaders)
}

// TestPassGivesUpWhoStops: the owner never runs ahead of who reads by more than a
// window and a piece, what is kept is bounded, and a reader that takes nothing
// while another waits is given up and told.
func TestPassGivesUpWhoStops(t *testing.T) {
	s := openTest(t, testOptions(""))
	s.stall = time.Millisecond
	const size = 16 * mib
	body := bodyOf(1, 1, size)
	o := objectOf(1, 1, 0)
	f := s.NewFill(o.Hash, o.Text, "", -1)
	fast, laggard, ahead := f.NewReader(0), f.NewReader(0), f.NewReader(0)
	// One that waits for a part that is far off holds up nobody, and makes
	// nobody else fall behind.
	ahead.Skip(size - 100)
	aheadGot := make(chan error, 1)
	go func() {
		defer ahead.Close()
		aheadGot <- follow(ahead, body)
	}()
	src := &readFunc{}
	inner := newSource(body, io.EOF)
	src.read = func(p []byte) (int, error) {
		f.mu.Lock()
		ran, kept := f.n-fast.pos, keptBytes(f)
		f.mu.Unlock()
		if ran > passWindow+fillChunk && f.n > passWindow {
			t.Errorf("owner at %d, fastest reader at %d", f.n, fast.pos)
		}
		if kept > 2*passWindow+3*fillChunk {
			t.Errorf("%d bytes are kept", kept)
		}
		return inner.Read(p)
	}
	owner := make(chan error, 1)
	go func() {
		err := f.CopyFrom(src)
		if err == nil {
			f.Commit(o, nothing)
		} else {
			f.Abandon(err)
		}
		owner <- err
	}()
	if err := follow(fast, body); err != nil {
		t.Errorf("the fastest reader got %v at %d", err, fast.pos)
	}
	fast.Close()
	if f.TryReader(0) != nil {
		t.Error("a reader was made for bytes that are gone")
	}
	if err := follow(laggard, body); !errors.Is(err, ErrFellBehind) {
		t.Errorf("the laggard got %v, want %v", err, ErrFellBehind)
	}
	laggard.Close()
	if err := <-aheadGot; err != nil {
		t.Errorf("the reader ahead got %v", err)
	}
	if err := <-owner; err != nil {
		t.Error(err)
	}
}

func TestWhoSetsThePace(t *testing.T) {
	for _, c := range []struct {
		at       []int64
		want     int64 // -1: nobody
		caughtUp bool
	}{
		{[]int64{40, 10, 20}, 10, false},
		{[]int64{10, 101}, 10, false},
		{[]int64{100, 10}, 10, true},
		{[]int64{101, 500}, -1, false}, // nobody can read what is there
	} {
		f := &Fill{n: 100}
		for _, at := range c.at {
			f.NewReader(at)
		}
		slow, caughtUp := f.slowestLocked()
		got := int64(-1)
		if slow != nil {
			got = slow.pos
		}
		if got != c.want || caughtUp != c.caughtUp {
			t.Errorf("readers at %v: pace %d, caught up %v, want %d, %v", c.at, got, caughtUp, c.want, c.caughtUp)
		}
	}
}

// TestPassCutsNobodyWhoReads: a fast reader and slow ones all get every byte of a
// body that cannot be stored, also when that shows only half way.
func TestPassCutsNobodyWhoReads(t *testing.T) {
	const size = 12 * mib
	body := bodyOf(1, 1, size)
	for _, length := range []int64{-1, size} {
		s := openTest(t, testOptions(""))
		o := objectOf(1, 1, 0)
		f := s.NewFill(o.Hash, o.Text, "", length)
		readers := []*FillReader{f.NewReader(0), f.NewReader(0), f.NewReader(0), f.NewReader(0)}
		errs := make(chan error, len(readers))
		for i, r := range readers {
			go func() {
				defer r.Close()
				// All but one give way between reads.
				for at := int64(0); ; {
					p, err := r.Next()
					if err == io.EOF && at == size {
						err = nil
					}
					if err != nil || at == size {
						errs <- err
						return
					}
					if !bytes.Equal(p, body[at:at+int64(len(p))]) {
						errs <- fmt.Errorf("reader %d: wrong bytes at %d", i, at)
						return
					}
					at += int64(len(p))
					for range i * 100 {
						runtime.Gosched()
					}
				}
			}()
		}
		if err := f.CopyFrom(newSource(body, io.EOF)); err != nil {
			t.Fatal(err)
		}
		f.Commit(o, nothing)
		for range readers {
			if err := <-errs; err != nil {
				t.Errorf("length %d: %v", length, err)
			}
		}
	}
}

// TestOnlyReaderAhead: when all readers wait for what is still to come, the
// owner goes there.
func TestOnlyReaderAhead(t *testing.T) {
	s := openTest(t, testOptions(""))
	const size = 8 * mib
	body := bodyOf(1, 1, size)
	o := objectOf(1, 1, 0)
	f := s.NewFill(o.Hash, o.Text, "", size)
	r := f.NewReader(0)
	got := make(chan error, 1)
	go func() {
		defer r.Close()
		r.Skip(size - mib/2)
		got <- follow(r, body)
	}()
	if err := f.CopyFrom(newSource(body, io.EOF)); err != nil {
		t.Fatal(err)
	}
	if reason := f.Commit(o, nothing); reason != policy.ReasonTooLarge {
		t.Errorf("commit: %v", reason)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// TestLeaderGoesOnWhenTheFastestLeaves: the pace is that of whoever is left.
func TestLeaderGoesOnWhenTheFastestLeaves(t *testing.T) {
	s := openTest(t, testOptions(""))
	const size = 6 * mib
	body := bodyOf(1, 1, size)
	o := objectOf(1, 1, 0)
	f := s.NewFill(o.Hash, o.Text, "", size)
	slow, fast := f.NewReader(0), f.NewReader(0)
	owner := make(chan error, 1)
	go func() {
		err := f.CopyFrom(newSource(body, io.EOF))
		f.Commit(o, nothing)
		owner <- err
	}()
	for fast.pos < passWindow/2 {
		if _, err := fast.Next(); err != nil {
			t.Fatal(err)
		}
	}
	fast.Close()
	if err := follow(slow, body); err != nil {
		t.Errorf("%v at %d", err, slow.pos)
	}
	slow.Close()
	if err := <-owner; err != nil {
		t.Error(err)
	}
}

// TestLargeSpillStaysWithinTheWindow: 256 MiB go to disk with a reader stuck at
// the start; memory holds the newest chunks only, and the stuck reader then
// gets every byte.
func TestLargeSpillStaysWithinTheWindow(t *testing.T) {
	size := int64(256 * mib)
	if testing.Short() || raceEnabled {
		size = 32 * mib
	}
	o := testOptions(t.TempDir())
	o.DiskMaxObject = size
	o.Disk.Size, o.Disk.SegmentSize, o.Disk.ChunkSize = 4*size, 32*mib, 256*kib
	s := openTest(t, o)
	obj := objectOf(1, 1, 0)
	f := s.NewFill(obj.Hash, obj.Text, "", -1)
	stuck := f.NewReader(0)
	defer stuck.Close()
	block := bodyOf(1, 1, 64*kib)
	left := size
	if err := f.CopyFrom(&readFunc{func(p []byte) (int, error) {
		if left == 0 {
			return 0, io.EOF
		}
		f.mu.Lock()
		kept, chunks := keptBytes(f), len(f.chunks)
		f.mu.Unlock()
		if kept > (fillWindow+2)*fillChunk || chunks > fillWindow+4 {
			t.Errorf("%d bytes in %d chunks are kept", kept, chunks)
		}
		at := int((size - left) % int64(len(block)))
		n := copy(p, block[at:])
		left -= int64(n)
		return n, nil
	}}); err != nil {
		t.Fatal(err)
	}
	if reason := f.Commit(obj, nothing); reason != policy.ReasonNone {
		t.Fatal(reason)
	}
	for off := int64(0); ; {
		p, err := stuck.Next()
		if err == io.EOF && off == size {
			break
		}
		if err != nil {
			t.Fatalf("%v at %d", err, off)
		}
		for len(p) > 0 {
			want := block[off%int64(len(block)):]
			n := min(len(p), len(want))
			if !bytes.Equal(p[:n], want[:n]) {
				t.Fatalf("wrong bytes at %d", off)
			}
			p, off = p[n:], off+int64(n)
		}
	}
}

// TestReaderSeesBytesBeforeTheNextArrive: nobody waits for the whole body.
func TestReaderSeesBytesBeforeTheNextArrive(t *testing.T) {
	s := openTest(t, testOptions(t.TempDir()))
	body := bodyOf(1, 1, 200*kib)
	o := objectOf(1, 1, 0)
	f := s.NewFill(o.Hash, o.Text, "", -1)
	r := f.NewReader(0)
	defer r.Close()
	src := &stepper{step: make(chan int), body: body}
	owner := make(chan error, 1)
	go func() { owner <- f.CopyFrom(src) }()
	for got := 0; got < len(body); {
		src.step <- 10 * kib
		p, err := r.Next()
		if err != nil || !bytes.Equal(p, body[got:got+len(p)]) {
			t.Fatalf("%v at %d", err, got)
		}
		got += len(p)
	}
	close(src.step)
	if err := <-owner; err != nil {
		t.Fatal(err)
	}
	f.Commit(o, nothing)
}
