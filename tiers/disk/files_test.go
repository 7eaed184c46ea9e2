package disk

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What lies in the directory and was not made by a store stays, whatever it is called and whatever the store does.
func TestForeignFilesStay(t *testing.T) {
	o := smallOptions(t.TempDir())
	mustClose(t, mustOpen(t, o))
	foreign := []string{"index-old.html", "index-1/page", "index-.bad", "index-00000001.tar", "segments/000.ts", "segments/1.seg", "segments/note.seg.aside", "notes.tmp"}
	for _, name := range foreign {
		path := filepath.Join(o.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string) {
		t.Helper()
		for _, name := range foreign {
			if b, err := os.ReadFile(filepath.Join(o.Dir, name)); string(b) != "mine" {
				t.Errorf("%s: %s: %q, %v", when, name, b, err)
			}
		}
	}
	s := mustOpen(t, o)
	mustPut(t, s, 1, 1, 1000)
	check("a start")
	old := s.idx.Load()
	old.fail(os.ErrInvalid)
	eventually(t, "another index", func() bool { ix := s.idx.Load(); return ix != nil && ix != old })
	waitRebuilt(t, s)
	check("a rebuild")
	scan(t, s, "", 2*o.Size)
	check("evictions")
	mustClose(t, s)
	o.Fresh = true
	s = mustOpen(t, o)
	check("a fresh start")
	mustClose(t, s)
}

// A process that is killed while it replaces a file, or probes the device, leaves one that the next start removes.
func TestLeftoversGo(t *testing.T) {
	o := smallOptions(t.TempDir())
	mustClose(t, mustOpen(t, o))
	left := []string{"STORE.tmp", "CLASSES.tmp", "CLEAN.tmp", "segments/probe", "segments/probe.tmp"}
	for _, name := range left {
		if err := os.WriteFile(filepath.Join(o.Dir, name), make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := mustOpen(t, o)
	wantNoLeftovers(t, s)
	mustClose(t, s)
}

// Who looks whether the directory is in use keeps no store from starting.
func TestALookIsNoLock(t *testing.T) {
	o := smallOptions(t.TempDir())
	mustClose(t, mustOpen(t, o))
	f, err := os.Open(filepath.Join(o.Dir, "LOCK"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	time.AfterFunc(lockPatience/10, func() { done <- unix.Flock(int(f.Fd()), unix.LOCK_UN) })
	mustClose(t, mustOpen(t, o))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
