package tiers

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"weir/policy"
	"weir/tiers/spool"
)

// openBounded opens a store whose bodies in flight take at most limit bytes of memory
// and spooled bytes of a spool; 0: there is none.
func openBounded(t *testing.T, dir string, limit, spooled int64) *Store {
	t.Helper()
	var sp *spool.Spool
	if spooled > 0 {
		sp = spool.New(spool.Options{Dir: t.TempDir(), Size: spooled})
		for !sp.Up() {
			runtime.Gosched()
		}
	}
	o := testOptions(dir)
	o.RAMSize, o.RAMMaxObject = 16*mib, mib
	o.InFlight = spool.NewBudget(limit, sp)
	return openTest(t, o)
}

// drained fails the test when something is still taken.
func drained(t *testing.T, s *Store) {
	t.Helper()
	if b := s.budget; b.Used() != 0 || b.Spool().Used() != 0 {
		t.Errorf("%d bytes of memory and %d of the spool are still taken", b.Used(), b.Spool().Used())
	}
}

// TestFillsWithoutRoom: whatever memory, spool and disk have room for, readers of all
// speeds get exactly the bytes, what is stored is what was sent, and everything is
// given back.
func TestFillsWithoutRoom(t *testing.T) {
	for _, c := range []struct {
		limit, spool int64
		disk         bool
		stored       bool // all that the tiers take
	}{
		{64 * kib, 128 * mib, false, true},
		{64 * kib, 0, false, false},
		{mib, 128 * mib, true, true},
		{512 * kib, 0, true, false},
		{600 * kib, 16 * mib, true, false},
	} {
		t.Run(fmt.Sprintf("limit=%d,spool=%d,disk=%v", c.limit, c.spool, c.disk), func(t *testing.T) {
			dir := ""
			if c.disk {
				dir = t.TempDir()
			}
			s := openBounded(t, dir, c.limit, c.spool)
			var wg sync.WaitGroup
			for i, size := range []int{
				0, 1, fillFirst + 1, fillFree, fillFree + 1, 3 * fillFree, 300 * kib, mib - 1, mib, mib + 1, 2 * mib, 3*mib + 7,
				200 * kib, 700 * kib, mib, mib,
			} {
				wg.Go(func() { fillOnce(t, s, i, size, i%2 == 0, c.stored && (size <= mib || c.disk && size <= 2*mib)) })
			}
			wg.Wait()
			drained(t, s)
		})
	}
}

// fillOnce brings a body in with readers of several speeds.
func fillOnce(t *testing.T, s *Store, i, size int, known, stored bool) {
	body, o := bodyOf(i, 1, size), objectOf(i, 1, 0)
	hash, text := o.Hash, o.Text
	length := int64(-1)
	if known {
		length = int64(size)
	}
	f := s.NewFill(hash, text, "", length)
	var wg sync.WaitGroup
	half := make(chan struct{})
	var once sync.Once
	for n := range 3 {
		r := f.NewReader(0)
		wg.Go(func() {
			defer r.Close()
			if n == 0 && size > mib/2 && stored {
				<-half // it takes nothing until then
			}
			if err := follow(r, body); err != nil {
				t.Errorf("%d bytes, reader %d: %v", size, n, err)
			}
		})
	}
	src := newSource(body, io.EOF)
	err := f.CopyFrom(&readFunc{func(p []byte) (int, error) {
		if len(src.rest) <= size/2 {
			once.Do(func() { close(half) })
		}
		return src.Read(p)
	}})
	if err != nil {
		t.Error(err)
		f.Abandon(err)
		return
	}
	reason := f.Commit(o, nothing)
	if stored && reason != policy.ReasonNone {
		t.Errorf("%d bytes: %v, want stored %v", size, reason, stored)
	}
	if late := f.TryReader(0); late != nil {
		if err := follow(late, body); err != nil {
			t.Errorf("%d bytes, a late reader: %v", size, err)
		}
		late.Close()
	}
	wg.Wait()
	if got := s.Lookup(&hash, []byte(text)); reason == policy.ReasonNone && got != nil {
		d := s.NewDelivery(got, 0, got.Length, nil)
		if err := compare(d, body); err != nil {
			t.Errorf("%d bytes, from the store: %v", size, err)
		}
		d.Close()
		got.Close()
	}
}

// compare reads a delivery to its end.
func compare(d *Delivery, want []byte) error {
	for off := 0; ; {
		p, err := d.Next()
		if err == io.EOF && off == len(want) {
			return nil
		}
		if err != nil || !bytes.Equal(p, want[off:min(off+len(p), len(want))]) {
			return fmt.Errorf("wrong bytes at %d of %d: %w", off, len(want), err)
		}
		off += len(p)
	}
}

// TestManyFillsAtOnce: fills that are all under way at once take no more than the
// budget and a chunk each, and are stored all the same (FAULTS F6).
func TestManyFillsAtOnce(t *testing.T) {
	const fills, size, limit = 100, mib, 4 * mib
	s := openBounded(t, "", limit, 256*mib)
	var begun, wg sync.WaitGroup
	var most, stored atomic.Int64
	begun.Add(fills)
	for i := range fills {
		wg.Go(func() {
			body, o := bodyOf(i, 1, size), objectOf(i, 1, 0)
			f := s.NewFill(o.Hash, o.Text, "", size)
			r := f.NewReader(0)
			src := newSource(body, io.EOF)
			waited := false
			err := f.CopyFrom(&readFunc{func(p []byte) (int, error) {
				if len(src.rest) < size/2 && !waited {
					waited = true
					begun.Done()
					begun.Wait()
				}
				for now, was := s.budget.Used(), most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
				}
				return src.Read(p)
			}})
			if err != nil {
				t.Error(err)
			}
			if f.Commit(o, nothing) == policy.ReasonNone {
				stored.Add(1)
			}
			if err := follow(r, body); err != nil {
				t.Error(err)
			}
			r.Close()
		})
	}
	wg.Wait()
	if m := most.Load(); m > limit {
		t.Errorf("%d bytes were taken, of %d", m, limit)
	}
	if n := stored.Load(); n != fills {
		t.Errorf("%d of %d were stored", n, fills)
	}
	drained(t, s)
}

// TestRelay: the origin of a body that is passed through is done when it has sent, and
// not when the client has read, as far as memory and spool reach; a body beyond that
// waits for its reader (FAULTS F2).
func TestRelay(t *testing.T) {
	for _, c := range []struct {
		size         int
		limit, spool int64
		ahead        bool
	}{
		{8 * mib, 64 * kib, 256 * mib, true},
		{mib / 2, mib, 0, true},
		{4 * mib, 8 * mib, 0, false},
		{8 * mib, 64 * kib, 16 * mib, false},
		{256 * kib, 64 * kib, 0, false},
	} {
		t.Run(fmt.Sprintf("size=%d,limit=%d,spool=%d", c.size, c.limit, c.spool), func(t *testing.T) {
			s := openBounded(t, "", c.limit, c.spool)
			body := bodyOf(1, 1, c.size)
			f, r := s.NewRelay(-1)
			waits := make(chan struct{}, 1)
			f.Waits(func(waiting bool) {
				if waiting {
					select {
					case waits <- struct{}{}:
					default:
					}
				}
			})
			sent := make(chan error, 1)
			go func() {
				err := f.CopyFrom(newSource(body, io.EOF))
				f.Abandon(err)
				sent <- err
			}()
			select {
			case err := <-sent:
				if err != nil || !c.ahead {
					t.Errorf("all was sent before anything was read (%v)", err)
				}
				sent <- err
			case <-waits:
				if c.ahead {
					t.Error("the origin waits for the reader")
				}
			}
			if used := s.budget.Used(); used > c.limit {
				t.Errorf("%d bytes are taken, of %d", used, c.limit)
			}
			if err := follow(r, body); err != nil {
				t.Error(err)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
			r.Close()
			drained(t, s)
		})
	}
}

// TestRelayIsCut: a relay that waits for its reader ends when others need its place.
func TestRelayIsCut(t *testing.T) {
	s := openBounded(t, "", mib, 0)
	f, r := s.NewRelay(-1)
	f.Waits(func(waiting bool) {
		if waiting {
			go f.Cut(spool.ErrCut)
		}
	})
	err := f.CopyFrom(newSource(make([]byte, 4*mib), io.EOF))
	if err != spool.ErrCut {
		t.Errorf("got %v", err)
	}
	f.Abandon(err)
	for err == nil || err == spool.ErrCut {
		if _, err = r.Next(); err == spool.ErrCut {
			break
		}
	}
	if err != spool.ErrCut {
		t.Errorf("the reader got %v", err)
	}
	r.Close()
	drained(t, s)
}

// TestReadersOfEvictedBodies: readers that take nothing of bodies which RAM has
// forgotten hold no more memory than the budget, and get every byte in the end
// (FAULTS E2).
func TestReadersOfEvictedBodies(t *testing.T) {
	const objects, size, limit = 80, mib, 4 * mib
	s := openBounded(t, "", limit, 256*mib)
	deliveries := make([]*Delivery, objects)
	for i := range objects {
		o := objectOf(i, 1, size)
		if s.Put(o) != policy.ReasonNone {
			t.Fatal("not stored")
		}
		deliveries[i] = s.NewDelivery(o, 0, size, func() { t.Error("a reader was cut") })
		if p, err := deliveries[i].Next(); err != nil || !bytes.Equal(p, o.Body[:len(p)]) {
			t.Fatalf("wrong first bytes: %v", err)
		}
	}
	s.ram.settle()
	for s.budget.Used() > limit {
		s.ram.settle()
	}
	if spooled := s.budget.Spool().Used(); spooled < (objects-16-5)*size {
		t.Errorf("%d bytes are spooled", spooled)
	}
	for i, d := range deliveries {
		body := bodyOf(i, 1, size)
		if err := compare(d, body[spool.PieceSize:]); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		d.Close()
		d.Close()
	}
	drained(t, s)
	for i := range s.lending {
		if n := len(s.lending[i].loans); n > 0 {
			t.Errorf("%d loans are left", n)
		}
	}
}

// TestReaderWhileItIsLent: a reader gets each byte once, also when the body comes to
// RAM, and is lent to it, while the reader copies a piece of it.
func TestReaderWhileItIsLent(t *testing.T) {
	s := openBounded(t, "", 64*mib, 0)
	for i := range 300 {
		body, o := bodyOf(i, 1, 500*kib), objectOf(i, 1, 0)
		f := s.NewFill(o.Hash, o.Text, "", -1)
		if err := f.CopyFrom(bytes.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		begun := make(chan struct{}, 4)
		for range cap(begun) {
			r := f.NewReader(0)
			wg.Go(func() {
				defer r.Close()
				begun <- struct{}{}
				if err := follow(r, body); err != nil {
					t.Errorf("body %d: %v", i, err)
				}
			})
		}
		<-begun
		f.Commit(o, nothing)
		wg.Wait()
		if t.Failed() {
			return
		}
	}
	drained(t, s)
}
