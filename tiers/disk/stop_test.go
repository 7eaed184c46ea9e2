package disk

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// closes closes s and fails when that does not end.
func closes(t *testing.T, s *Store) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- s.Close() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(time.Minute):
		t.Fatal("Close does not end")
		return nil
	}
}

// TestStopOnAFullDevice: the index cannot leave its tables on a device that is full, which a stop does not wait for. What was
// stored is there again when the device has room.
func TestStopOnAFullDevice(t *testing.T) {
	for _, suffix := range []string{".sst", ".log", ""} {
		t.Run("full for *"+suffix, func(t *testing.T) {
			var full atomic.Bool
			o := smallOptions(t.TempDir())
			o.indexFS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.HasSuffix(op.Path, suffix) {
					return syscall.ENOSPC
				}
				return nil
			}))
			s := mustOpen(t, o)
			const n = 50
			for i := range n {
				mustPut(t, s, i, 1, 300)
			}
			full.Store(true)
			began := time.Now()
			err := closes(t, s)
			// Of a log that failed the store has spoken when it did.
			if !errors.Is(err, syscall.ENOSPC) && (err != nil || suffix == ".sst") {
				t.Errorf("%v, want what the device said", err)
			}
			if took := time.Since(began); took >= s.o.closePatience {
				t.Errorf("it took %v: it was given up", took)
			}
			full.Store(false)
			s = mustOpen(t, o)
			defer mustClose(t, s)
			waitRebuilt(t, s)
			for i := range n {
				wantObject(t, s, i, 1, 300)
			}
		})
	}
}

// TestStopOnAFrozenDevice: a device that takes nothing keeps a stop waiting for a bounded time.
func TestStopOnAFrozenDevice(t *testing.T) {
	d := &heldWrites{}
	o := smallOptions(t.TempDir())
	o.ReadTimeout, o.closePatience, o.writeFault = 20*time.Millisecond, 100*time.Millisecond, d.write
	s := mustOpen(t, o)
	const n = 20
	for i := range n {
		mustPut(t, s, i, 1, 5000)
	}
	release := d.hold()
	h, k := keyOf(n)
	if err := s.Put(h, k, nil, bodyOf(n, 1, 5000), later); !errors.Is(err, ErrSlow) {
		t.Errorf("put: %v", err)
	}
	if err := closes(t, s); !errors.Is(err, ErrSlow) {
		t.Errorf("close: %v", err)
	}
	if _, err := Open(o); err == nil {
		t.Error("opened a second time while the first is at work")
	}
	release()
	eventually(t, "the lock is gone", func() bool {
		var err error
		s, err = Open(o)
		return err == nil
	})
	defer mustClose(t, s)
	waitRebuilt(t, s)
	for i := range n {
		wantObject(t, s, i, 1, 5000)
	}
}

// TestStopWhileTheIndexIsRead: somebody who waits for the index, whose reads cannot be given up, keeps a stop waiting for a
// bounded time as well.
func TestStopWhileTheIndexIsRead(t *testing.T) {
	o := smallOptions(t.TempDir())
	s := mustOpen(t, o)
	const n = 2000
	for i := range n {
		mustPut(t, s, i, 1, 100)
	}
	mustClose(t, s) // the index is in tables
	hang := make(chan struct{})
	var armed atomic.Bool
	var in atomic.Int64
	o.closePatience = 100 * time.Millisecond
	o.indexFS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if armed.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsRead && strings.HasSuffix(op.Path, ".sst") {
			in.Add(1)
			<-hang
		}
		return nil
	}))
	s = mustOpen(t, o)
	waitRebuilt(t, s)
	armed.Store(true)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for i := range n {
			if in.Load() > 0 {
				return
			}
			h, k := keyOf(i)
			if e, err := s.Get(h, k); err == nil {
				e.Close()
			}
		}
	}()
	eventually(t, "somebody waits for the index", func() bool { return in.Load() > 0 })
	if err := closes(t, s); !errors.Is(err, ErrSlow) {
		t.Errorf("close: %v", err)
	}
	close(hang)
	<-read
	eventually(t, "the lock is gone", func() bool {
		var err error
		s, err = Open(smallOptions(o.Dir))
		return err == nil
	})
	defer mustClose(t, s)
	wantObject(t, s, 1, 1, 100)
}

// TestStopWhileALargeObjectIsMoved: a stop does not wait for all of it. It stays where it is, and is moved another time.
func TestStopWhileALargeObjectIsMoved(t *testing.T) {
	o := smallOptions(t.TempDir())
	o.ChunkSize, o.MaxInline = 4<<10, 4<<10
	o.Classes = []Class{{Name: "pinned", Pin: true, Reserve: 4 << 20}}
	var s *Store
	var armed atomic.Bool
	var moved atomic.Int64
	closed := make(chan error, 1)
	o.read = func(f *os.File, b []byte, off int64) (int, error) {
		if armed.Load() { // nobody reads but eviction
			if moved.Add(1) == 3 {
				go func() { closed <- s.Close() }()
				<-s.stop
			}
		}
		return f.ReadAt(b, off)
	}
	s = mustOpen(t, o)
	h, k := keyOf(1)
	if _, err := s.In("pinned").Put(h, k, metaOf(1, 1, 800_000), bodyOf(1, 1, 800_000), later); err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	putUntil(t, s, 4000, map[int]bool{stripeOf(h): true}, func() bool { return moved.Load() >= 3 })
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if n := moved.Load(); n > 10 {
		t.Errorf("%d reads, and the stop came at the third", n)
	}
	armed.Store(false)
	s = mustOpen(t, o)
	defer mustClose(t, s)
	wantObject(t, s, 1, 1, 800_000)
}

// TestDeadGenerationRests: what Pebble tries again by itself it tries once a second when the generation has failed.
func TestDeadGenerationRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ix := &index{failed: make(chan struct{}), onFail: func(*index, error) {}}
		l := &indexLog{ix: ix}
		began := time.Now()
		l.background(syscall.ENOSPC)
		if ix.failure() == nil || time.Since(began) != 0 {
			t.Errorf("the first error: %v after %v", ix.failure(), time.Since(began))
		}
		l.background(syscall.ENOSPC)
		if took := time.Since(began); took != deadPause {
			t.Errorf("the second came back after %v", took)
		}
	})
}
