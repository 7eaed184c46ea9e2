package disk

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// heldWrites is a device that can be made to take no writes until it is released.
type heldWrites struct {
	held atomic.Pointer[chan struct{}]
	in   atomic.Int64
}

func (d *heldWrites) write(int) error {
	if held := d.held.Load(); held != nil {
		d.in.Add(1)
		<-*held
		d.in.Add(-1)
	}
	return nil
}

func (d *heldWrites) hold() (release func()) {
	ch := make(chan struct{})
	d.held.Store(&ch)
	return func() {
		d.held.Store(nil)
		close(ch)
	}
}

// While the device takes nothing (a file system that is frozen), puts and deletes come back, goroutines do not pile up,
// and reads go on; what was refused does not appear later, in a rebuild either.
func TestWritesThatHang(t *testing.T) {
	d := &heldWrites{}
	o := smallOptions(t.TempDir())
	o.ReadTimeout, o.writeFault = 20*time.Millisecond, d.write
	s := mustOpen(t, o)
	const n = 20
	for i := range n {
		mustPut(t, s, i, 1, 5000)
	}
	release := d.hold()
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			h, k := keyOf(i % (2 * n))
			var err error
			switch i % 4 {
			case 0:
				err = s.Delete(h)
			case 1:
				_, err = s.UpdateMeta(h, k, metaOf(i, 9, 9), later)
			default:
				err = s.Put(h, k, metaOf(i, 9, 9), bodyOf(i, 9, 200_000*(i%4-2)), later) // small, or in chunks
			}
			if !errors.Is(err, ErrSlow) && !errors.Is(err, ErrNotFound) && err != nil || err == nil && i%(2*n) < n {
				t.Errorf("operation %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if in := d.in.Load(); in == 0 || in > puts {
		t.Errorf("%d writes hang in the device", in)
	}
	if now := runtime.NumGoroutine(); now > before+puts {
		t.Errorf("%d goroutines, %d before", now, before)
	}
	for i := range n {
		wantObject(t, s, i, 1, 5000)
	}
	release()
	eventually(t, "the device has taken or dropped them", func() bool { return d.in.Load() == 0 && s.gate.stuckWrites.Load() == 0 })
	mustPut(t, s, 1000, 1, 5000)
	mustPut(t, s, 1001, 1, 200_000)
	mustClose(t, s)
	if err := os.RemoveAll(indexDir(t, o.Dir)); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	defer mustClose(t, s)
	waitRebuilt(t, s)
	for i := range n {
		wantObject(t, s, i, 1, 5000)
		wantMiss(t, s, n+i)
	}
	wantObject(t, s, 1000, 1, 5000)
	wantObject(t, s, 1001, 1, 200_000)
}

// A body whose chunk the device does not take can be read on, as far as it came.
func TestChunkThatHangs(t *testing.T) {
	d := &heldWrites{}
	o := smallOptions(t.TempDir())
	o.ReadTimeout, o.writeFault = 20*time.Millisecond, d.write
	s := mustOpen(t, o)
	defer mustClose(t, s)
	h, k := keyOf(1)
	w, err := s.NewWriter(h, k)
	if err != nil {
		t.Fatal(err)
	}
	w.Retain()
	defer w.Release()
	body := bodyOf(1, 1, 2*o.ChunkSize+100)
	if err := w.Append(body[:o.ChunkSize+100]); err != nil {
		t.Fatal(err)
	}
	release := d.hold()
	if err := w.Append(body[o.ChunkSize+100:]); !errors.Is(err, ErrSlow) {
		t.Fatal(err)
	}
	got := make([]byte, 2*o.ChunkSize)
	if _, err := w.ReadAt(got, 0); err != nil || string(got) != string(body[:len(got)]) {
		t.Errorf("what was appended reads differently: %v", err)
	}
	if err := w.Commit(nil, later); !errors.Is(err, ErrSlow) {
		t.Error(err)
	}
	release()
	wantMiss(t, s, 1)
}

// An index that takes no writes has failed: nobody waits for it for ever.
func TestIndexThatHangs(t *testing.T) {
	failed := make(chan error, 1)
	ix := &index{
		ops: make(chan *indexOp), failed: make(chan struct{}), patience: 10 * time.Millisecond,
		onFail: func(_ *index, err error) { failed <- err },
	}
	if err := ix.set(Hash{}, entry{}); !errors.Is(err, ErrOffline) {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, ErrSlow) {
		t.Error(err)
	}
	if err := ix.set(Hash{}, entry{}); !errors.Is(err, ErrOffline) {
		t.Error(err)
	}
}
