package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// opens opens a store, or fails when that does not end.
func opens(t *testing.T, o Options) (*Store, error) {
	t.Helper()
	type outcome struct {
		s   *Store
		err error
	}
	ended := make(chan outcome, 1)
	go func() {
		s, err := Open(o)
		ended <- outcome{s, err}
	}()
	select {
	case r := <-ended:
		return r.s, r.err
	case <-time.After(20 * time.Second):
		t.Fatal("Open does not end")
		return nil, nil
	}
}

// TestOpenOnAFullDevice: a start on a device that is full ends, with an error, whatever the stop before it was like; and
// all that was stored is there once there is room.
func TestOpenOnAFullDevice(t *testing.T) {
	for _, killed := range []bool{false, true} {
		for _, suffix := range []string{"", ".sst", ".log", "MANIFEST"} {
			t.Run(suffix, func(t *testing.T) {
				var full atomic.Bool
				o := smallOptions(t.TempDir())
				s := mustOpen(t, o)
				const n = 200
				for i := range n {
					mustPut(t, s, i, 1, 300)
				}
				if killed {
					dir := t.TempDir()
					if err := os.CopyFS(dir, os.DirFS(o.Dir)); err != nil { // what a kill would leave
						t.Fatal(err)
					}
					mustClose(t, s)
					o.Dir = dir
				} else {
					mustClose(t, s)
				}
				o.indexFS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
					if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.Contains(filepath.Base(op.Path), suffix) {
						return syscall.ENOSPC
					}
					return nil
				}))
				full.Store(true)
				for range 2 {
					s, err := opens(t, o)
					if err == nil {
						t.Logf("a full device for %q is no hindrance", suffix)
						_ = closes(t, s) // which may speak of the full device
						continue
					}
					if !errors.Is(err, syscall.ENOSPC) {
						t.Errorf("open: %v", err)
					}
				}
				full.Store(false)
				s, err := opens(t, o)
				if err != nil {
					t.Fatal(err)
				}
				defer mustClose(t, s)
				waitRebuilt(t, s)
				for i := range n {
					wantObject(t, s, i, 1, 300)
				}
			})
		}
	}
}

// limited is a file system on which the segments of a store have that much room, less what others take.
type limited struct {
	dir    string
	size   atomic.Int64
	others atomic.Int64
	files  atomic.Int64
}

func (l *limited) used() int64 { return dirSize(filepath.Join(l.dir, "segments")) }

func (l *limited) space(string) (space, error) {
	return space{bytes: max(l.size.Load()-l.others.Load()-l.used(), 0), files: l.files.Load()}, nil
}

// write fails as a full file system would.
func (l *limited) write(n int) error {
	if l.used()+l.others.Load() > l.size.Load() {
		return syscall.ENOSPC
	}
	return nil
}

func newLimited(dir string, size int64) *limited {
	l := &limited{dir: dir}
	l.size.Store(size)
	l.files.Store(1000)
	return l
}

// TestFullDeviceMakesTheStoreSmaller: as others fill the file system the oldest segments go; puts and hits go on, and the
// store grows again when there is room.
func TestFullDeviceMakesTheStoreSmaller(t *testing.T) {
	o := smallOptions(t.TempDir())
	l := newLimited(o.Dir, 2*o.Size)
	o.space, o.writeFault = l.space, l.write
	s := mustOpen(t, o)
	defer mustClose(t, s)
	next := 0
	fill := func(bytes int64) {
		for ; bytes > 0; bytes -= 20_000 {
			putPatiently(t, s, next, 1, 20_000)
			next++
		}
	}
	last := func() {
		t.Helper()
		for i := next - 5; i < next; i++ {
			wantObject(t, s, i, 1, 20_000)
		}
	}
	fill(2 * o.Size)
	whole := s.Stats().SegmentBytes
	last()
	l.others.Store(2*o.Size - whole/2)
	eventually(t, "the oldest segments go", func() bool { return !s.short(0) })
	fill(o.Size)
	last()
	small := s.Stats().SegmentBytes
	if small > whole*2/3 || s.Healthy() != nil {
		t.Errorf("%d bytes, were %d; %v", small, whole, s.Healthy())
	}
	l.others.Store(0)
	fill(2 * o.Size)
	last()
	if grown := s.Stats().SegmentBytes; grown < whole*9/10 {
		t.Errorf("%d bytes where there is room, were %d", grown, whole)
	}
}

// TestFilesGone: a file system on which no more files can be made is full as well.
func TestFilesGone(t *testing.T) {
	o := smallOptions(t.TempDir())
	l := newLimited(o.Dir, 4*o.Size)
	o.space, o.writeFault = l.space, l.write
	s := mustOpen(t, o)
	defer mustClose(t, s)
	for i := range 200 {
		putPatiently(t, s, i, 1, 20_000)
	}
	before := s.Stats().Segments
	l.files.Store(3)
	eventually(t, "segments go", func() bool { return s.Stats().Segments < before })
	l.files.Store(1000)
	eventually(t, "it takes puts", func() bool {
		h, k := keyOf(7777)
		return s.Put(h, k, nil, bodyOf(7777, 1, 100), later) == nil
	})
}

// TestMakeRoom: others get the oldest segment, as long as there is one.
func TestMakeRoom(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	for i := range 100 {
		putPatiently(t, s, i, 1, 20_000)
	}
	eventually(t, "a sealed segment", func() bool { return s.segs.oldestSealed() != nil })
	before := s.Stats().Segments
	if !s.MakeRoom() || s.Stats().Segments >= before {
		t.Errorf("%d segments, were %d", s.Stats().Segments, before)
	}
	wantObject(t, s, 99, 1, 20_000)
}

// TestSegmentsVanish: a store whose segments were removed beneath it says so.
func TestSegmentsVanish(t *testing.T) {
	o := smallOptions(t.TempDir())
	s := mustOpen(t, o)
	mustPut(t, s, 1, 1, 300)
	if err := os.RemoveAll(filepath.Join(o.Dir, "segments")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Vanished():
	case <-time.After(20 * time.Second):
		t.Fatal("nobody has noticed")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = mustOpen(t, o)
	defer mustClose(t, s)
	waitRebuilt(t, s)
	h, k := keyOf(1)
	if e, err := s.Get(h, k); err == nil {
		e.Close()
		t.Error("an object of a segment that is gone")
	}
	mustPut(t, s, 2, 1, 300)
	wantObject(t, s, 2, 1, 300)
}
