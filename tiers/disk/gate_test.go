package disk

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stallable is a device that can be made to answer nothing until it is released.
type stallable struct {
	mu   sync.Mutex
	held chan struct{} // nil: it answers
	in   atomic.Int64
}

func (d *stallable) stall() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = make(chan struct{})
}

func (d *stallable) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.held)
	d.held = nil
}

func (d *stallable) read(f *os.File, b []byte, off int64) (int, error) {
	d.mu.Lock()
	held := d.held
	d.mu.Unlock()
	if held != nil {
		d.in.Add(1)
		<-held
		d.in.Add(-1)
	}
	return f.ReadAt(b, off)
}

// While the device answers nothing, lookups are misses, goroutines do not pile up, and no byte of a read that was given
// up appears anywhere; when it is back, everything is there.
func TestStalledDevice(t *testing.T) {
	d := &stallable{}
	o := smallOptions(t.TempDir())
	o.ReadTimeout, o.read = 20*time.Millisecond, d.read
	s := mustOpen(t, o)
	for i := range 20 {
		mustPut(t, s, i, 1, 5000)
	}
	mustPut(t, s, 100, 1, 300_000)
	large, err := s.Get(keyOf(100))
	if err != nil {
		t.Fatal(err)
	}
	d.stall()
	before := runtime.NumGoroutine()
	slow := func(i int) {
		t.Helper()
		if e, err := s.Get(keyOf(i)); !errors.Is(err, ErrSlow) {
			if err == nil {
				e.Close()
			}
			t.Errorf("object %d: %v", i, err)
		}
	}
	slow(1)
	var wg sync.WaitGroup
	for i := range 4 * deviceReads {
		wg.Go(func() { slow(i % 20) })
	}
	wg.Wait()
	if n := runtime.NumGoroutine() - before; n > deviceReads+5 || int64(n) > d.in.Load()+5 || n < deviceReads/2 {
		t.Errorf("%d goroutines more than before, %d reads wait, %d may", n, d.in.Load(), deviceReads)
	}
	// Half of the places are lost: nobody waits any more.
	began := time.Now()
	for i := range 20 {
		slow(i)
	}
	if took := time.Since(began); took > 15*o.ReadTimeout {
		t.Errorf("20 lookups took %v although it is known that the device stalls", took)
	}
	r := large.NewReader(0, -1)
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, ErrSlow) {
		t.Errorf("in a large body: %v", err)
	}
	_ = r.Close()
	if st := s.Stats(); st.Corrupt != 0 || st.ReadErrors != 0 || st.ReadTimeouts == 0 || st.Objects != 21 {
		t.Errorf("%+v", st)
	}
	d.release()
	eventually(t, "reads that were given up have ended", func() bool { return s.gate.stuck.Load() == 0 && len(s.gate.device) == 0 })
	for i := range 20 {
		wantObject(t, s, i, 1, 5000)
	}
	large.Close()
	wantObject(t, s, 100, 1, 300_000)
	mustClose(t, s)
}

// The body of a large object is waited for longer, and arrives.
func TestSlowDeviceInALargeBody(t *testing.T) {
	d := &stallable{}
	o := smallOptions(t.TempDir())
	o.ReadTimeout, o.read = 200*time.Millisecond, d.read
	s := mustOpen(t, o)
	defer mustClose(t, s)
	mustPut(t, s, 1, 1, 300_000)
	e, err := s.Get(keyOf(1))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	d.stall()
	time.AfterFunc(2*o.ReadTimeout, d.release)
	b := make([]byte, 300_000)
	if n, err := e.ReadAt(b, 0); n != len(b) || err != nil || !bytes.Equal(b, bodyOf(1, 1, len(b))) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Bytes that the page cache has are read without another goroutine, whatever part of them that is.
func TestReadsFromThePageCache(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := bodyOf(1, 1, 1<<20)
	if _, err := f.Write(want); err != nil {
		t.Fatal(err)
	}
	g := newGate(time.Second, nil)
	got := make([]byte, len(want)-100)
	if err := g.readFull(f, got, 100, 1); err != nil || !bytes.Equal(got, want[100:]) {
		t.Fatal("wrong bytes", err)
	}
	if g.blocking.Load() {
		t.Log("this file system knows no RWF_NOWAIT; every read goes through another goroutine")
	} else if n := g.cached(f, got, 100); n != len(got) {
		t.Errorf("%d bytes of %d were read at once", n, len(got))
	}
	// The same by way of the device.
	clear(got)
	g.blocking.Store(true)
	if err := g.readFull(f, got, 100, 1); err != nil || !bytes.Equal(got, want[100:]) {
		t.Fatal("wrong bytes", err)
	}
	if err := g.readFull(f, got, int64(len(want)-10), 1); !errors.Is(err, errFormat) {
		t.Errorf("behind the end: %v", err)
	}
}
