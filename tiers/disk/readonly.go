package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// A store on a file system that is read-only is opened as well: what can be read is served, and nothing is written. What
// the index has to note meanwhile (records that it missed, what was found damaged) stays in memory. When the file system
// takes writes again the store is given up, as when its directory vanishes, and is to be opened anew.

// errReadOnlyStore is why a store takes no puts that was opened to be read only.
var errReadOnlyStore = errors.New("the file system is read-only")

// lockToRead locks the directory of a store on a file system that takes no writes.
func lockToRead(dir string) (*dirLock, error) {
	path := filepath.Join(dir, "LOCK")
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		path = dir
		f, err = os.Open(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot lock %s: %w", path, ErrLocked)
		}
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	return &dirLock{f: f}, nil
}

// writable gives a store up that was opened to be read only, once its device takes writes.
func (s *Store) writable() bool {
	if !s.readOnly || s.probe() != nil {
		return false
	}
	s.o.Log.Info("disk: the device takes writes again, the store is opened anew", "dir", s.o.Dir)
	close(s.vanished)
	return true
}

// overlayFS shows what is on the device, and keeps in memory what is changed. It holds what Pebble writes when it opens an
// index and notes a little in it; compactions are switched off.
type overlayFS struct {
	vfs.FS
	mem *vfs.MemFS

	mu   sync.Mutex // protects gone
	gone map[string]bool
}

func newOverlay(base vfs.FS) *overlayFS {
	return &overlayFS{FS: base, mem: vfs.NewMem(), gone: make(map[string]bool)}
}

func (f *overlayFS) inMemory(name string) bool {
	_, err := f.mem.Stat(name)
	return err == nil
}

func (f *overlayFS) isGone(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone[name]
}

func (f *overlayFS) note(name string, gone bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone[name] = gone
}

// fetch brings a file into memory that is to be changed.
func (f *overlayFS) fetch(name string) error {
	if f.inMemory(name) {
		return nil
	}
	if f.isGone(name) {
		return &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	if err := f.mem.MkdirAll(f.PathDir(name), 0o700); err != nil {
		return err
	}
	return vfs.CopyAcrossFS(f.FS, name, f.mem, name)
}

// Create implements vfs.FS.
func (f *overlayFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.mem.MkdirAll(f.PathDir(name), 0o700); err != nil {
		return nil, err
	}
	f.note(name, false)
	return f.mem.Create(name, c)
}

// Link implements vfs.FS.
func (f *overlayFS) Link(oldname, newname string) error {
	if err := f.fetch(oldname); err != nil {
		return err
	}
	f.note(newname, false)
	return f.mem.Link(oldname, newname)
}

// Open implements vfs.FS.
func (f *overlayFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if f.inMemory(name) {
		return f.mem.Open(name, opts...)
	}
	if f.isGone(name) {
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	return f.FS.Open(name, opts...)
}

// OpenReadWrite implements vfs.FS.
func (f *overlayFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := f.fetch(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f.note(name, false)
	return f.mem.OpenReadWrite(name, c, opts...)
}

// OpenDir implements vfs.FS.
func (f *overlayFS) OpenDir(name string) (vfs.File, error) {
	if err := f.mem.MkdirAll(name, 0o700); err != nil {
		return nil, err
	}
	return f.mem.OpenDir(name)
}

// Remove implements vfs.FS.
func (f *overlayFS) Remove(name string) error {
	f.note(name, true)
	if f.inMemory(name) {
		return f.mem.Remove(name)
	}
	return nil
}

// RemoveAll implements vfs.FS.
func (f *overlayFS) RemoveAll(name string) error {
	f.note(name, true)
	return f.mem.RemoveAll(name)
}

// Rename implements vfs.FS.
func (f *overlayFS) Rename(oldname, newname string) error {
	if err := f.fetch(oldname); err != nil {
		return err
	}
	f.note(oldname, true)
	f.note(newname, false)
	return f.mem.Rename(oldname, newname)
}

// ReuseForWrite implements vfs.FS.
func (f *overlayFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.Remove(oldname); err != nil {
		return nil, err
	}
	return f.Create(newname, c)
}

// MkdirAll implements vfs.FS.
func (f *overlayFS) MkdirAll(dir string, perm os.FileMode) error { return f.mem.MkdirAll(dir, perm) }

// Lock implements vfs.FS. The store has a lock of its own.
func (f *overlayFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// List implements vfs.FS.
func (f *overlayFS) List(dir string) ([]string, error) {
	names, berr := f.FS.List(dir)
	list := names[:0]
	for _, name := range names {
		if path := f.PathJoin(dir, name); !f.isGone(path) && !f.inMemory(path) {
			list = append(list, name)
		}
	}
	more, err := f.mem.List(dir)
	if err != nil && berr != nil {
		return nil, berr
	}
	return append(list, more...), nil
}

// Stat implements vfs.FS.
func (f *overlayFS) Stat(name string) (vfs.FileInfo, error) {
	if f.inMemory(name) {
		return f.mem.Stat(name)
	}
	if f.isGone(name) {
		return nil, &os.PathError{Op: "stat", Path: name, Err: os.ErrNotExist}
	}
	return f.FS.Stat(name)
}

// Unwrap implements vfs.FS.
func (f *overlayFS) Unwrap() vfs.FS { return f.FS }
