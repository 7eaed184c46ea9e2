package disk

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A write error under Pebble panics in its commit path and is fatal in its background work. Here it is an outage: no
// operation hangs or crashes, and when the device is back the index is built again with everything in it.
//
// It runs in a process of its own: Pebble leaves goroutines behind that can never end after such a panic.
func TestIndexDeviceFails(t *testing.T) {
	if os.Getenv("WEIR_DISK_NO_LEAK_CHECK") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestIndexDeviceFails$", "-test.timeout=2m")
		cmd.Env = append(os.Environ(), "WEIR_DISK_NO_LEAK_CHECK=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	named := func(suffix string, kinds ...errorfs.OpKind) func(errorfs.Op) bool {
		return func(op errorfs.Op) bool {
			return strings.HasSuffix(op.Path, suffix) && (len(kinds) == 0 || slices.Contains(kinds, op.Kind))
		}
	}
	for name, match := range map[string]func(errorfs.Op) bool{
		"log": named(".log"), "tables": named(".sst"), "everything": named(""),
		// Pebble ends the process where it changes to a new log and cannot.
		"new log": named(".log", errorfs.OpCreate, errorfs.OpReuseForWrite), "end of a log": named(".log", errorfs.OpFileClose, errorfs.OpFileSync, errorfs.OpFileSyncData),
	} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			o := smallOptions(t.TempDir())
			o.indexFS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && match(op) {
					return syscall.ENOSPC
				}
				return nil
			}))
			s := mustOpen(t, o)
			last := map[int]int{}
			put := func(i, version int) error {
				h, k := keyOf(i)
				err := s.Put(h, k, metaOf(i, version, 300), bodyOf(i, version, 300), later)
				if err == nil {
					last[i] = version
				} else if errors.Is(err, ErrOffline) {
					delete(last, i) // either version may be found
				}
				return err
			}
			for i := range 500 {
				if err := put(i, 1); err != nil {
					t.Fatal(err)
				}
			}
			broken.Store(true)
			eventually(t, "outage", func() bool {
				for i := range 500 {
					if s.Healthy() != nil {
						break // what was put before the outage is what the test is about
					}
					if err := put(i, 2); err != nil && !errors.Is(err, ErrOffline) && !errors.Is(err, ErrFull) {
						t.Fatal(err)
					}
				}
				return s.Healthy() != nil
			})
			h, k := keyOf(1)
			if _, err := s.Get(h, k); !errors.Is(err, ErrOffline) && !errors.Is(err, ErrNotFound) && err != nil {
				t.Fatalf("get during the outage: %v", err)
			}
			broken.Store(false)
			eventually(t, "recovery", func() bool { return s.Healthy() == nil })
			waitRebuilt(t, s)
			if len(last) == 0 {
				t.Fatal("nothing was certain: the test proves nothing")
			}
			for i, v := range last {
				if s.Stats().SegmentsEvicted == 0 {
					wantObject(t, s, i, v, 300)
				}
			}
			if err := put(1, 3); err != nil {
				t.Fatal(err)
			}
			wantObject(t, s, 1, 3, 300)
			mustClose(t, s)
		})
	}
}

// TestLogHasNoHole: after one write to the log has failed nothing more is written to it, although the device takes writes
// again: what comes back after a crash ends where the log failed.
func TestLogHasNoHole(t *testing.T) {
	mem := vfs.NewMem()
	ix := &index{failed: make(chan struct{}), onFail: func(*index, error) {}}
	var broken atomic.Bool
	fs := guardFS{errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	})), ix}
	f, err := fs.Create("000001.log", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	write := func(s string) {
		t.Helper()
		if n, err := f.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("%d of %d bytes, %v: Pebble is told", n, len(s), err)
		}
	}
	write("first")
	if err := ix.failure(); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	write("lost")
	broken.Store(false)
	write("later")
	if err := ix.failure(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the index is told of %v", err)
	}
	if st, err := mem.Stat("000001.log"); err != nil || st.Size() != int64(len("first")) {
		t.Errorf("the log holds %d bytes (%v), want those before the error", st.Size(), err)
	}
}
