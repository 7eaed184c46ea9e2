package disk

import (
	"fmt"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guardFS stands between a generation of the index and its device. It does two things.
//
// It keeps from Pebble that its write-ahead log cannot be written. Pebble panics then, which a caller can recover
// from, but where it changes to a new log it does so with a mutex unlocked that a deferred call unlocks again: the
// runtime ends the process. Here the index fails, as by any other error of its device, and what Pebble writes to its logs
// from then on goes nowhere: a log ends where it failed, and has no hole. Nobody is told that it was written, since the
// generation has failed before.
//
// And it lets a generation that has failed come to its end. Pebble tries a flush again for as long as it fails, when it is
// opened as well, and nothing can be closed before. So nothing that such a generation writes reaches the device any more,
// and all of it succeeds. Its directory is never opened again.
type guardFS struct {
	vfs.FS
	ix *index
}

func isLog(name string) bool { return filepath.Ext(name) == ".log" }

// Create implements vfs.FS.
func (f guardFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.ix.failure() != nil {
		return nowhere()
	}
	file, err := f.FS.Create(name, c)
	return f.guard(name, file, err)
}

// ReuseForWrite implements vfs.FS.
func (f guardFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.ix.failure() != nil {
		return nowhere()
	}
	file, err := f.FS.ReuseForWrite(oldname, newname, c)
	return f.guard(newname, file, err)
}

// OpenDir implements vfs.FS. A new log is followed by a sync of its directory.
func (f guardFS) OpenDir(name string) (vfs.File, error) {
	if f.ix.failure() != nil {
		return nowhere()
	}
	d, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return logFile{d, f.ix}, nil
}

// Remove implements vfs.FS.
func (f guardFS) Remove(name string) error {
	if f.ix.failure() != nil {
		return nil
	}
	return f.FS.Remove(name)
}

// Rename implements vfs.FS.
func (f guardFS) Rename(oldname, newname string) error {
	if f.ix.failure() != nil {
		return nil
	}
	return f.FS.Rename(oldname, newname)
}

// List implements vfs.FS. The directory of a generation that has failed may be gone, and an open that fails so late leaves
// goroutines behind.
func (f guardFS) List(dir string) ([]string, error) {
	if f.ix.failure() != nil {
		return nil, nil
	}
	return f.FS.List(dir)
}

// Unwrap implements vfs.FS.
func (f guardFS) Unwrap() vfs.FS { return f.FS }

// nowhere is a file in memory, which needs neither room nor a descriptor.
func nowhere() (vfs.File, error) { return vfs.NewMem().Create("nowhere", vfs.WriteCategoryUnspecified) }

func (f guardFS) guard(name string, file vfs.File, err error) (vfs.File, error) {
	switch {
	case !isLog(name) && err != nil:
		return nil, err
	case !isLog(name):
		return guardedFile{file, f.ix}, nil
	case err != nil:
		f.ix.logFailed(err)
		if file, err = nowhere(); err != nil {
			return nil, err
		}
	}
	return logFile{file, f.ix}, nil
}

// guardedFile is a file that is no log.
type guardedFile struct {
	vfs.File
	ix *index
}

// Write implements vfs.File.
func (g guardedFile) Write(p []byte) (int, error) {
	if g.ix.failure() != nil {
		return len(p), nil
	}
	return g.File.Write(p)
}

// Sync implements vfs.File.
func (g guardedFile) Sync() error {
	if g.ix.failure() != nil {
		return nil
	}
	return g.File.Sync()
}

// SyncData implements vfs.File.
func (g guardedFile) SyncData() error {
	if g.ix.failure() != nil {
		return nil
	}
	return g.File.SyncData()
}

// SyncTo implements vfs.File.
func (g guardedFile) SyncTo(length int64) (full bool, err error) {
	if g.ix.failure() != nil {
		return true, nil
	}
	return g.File.SyncTo(length)
}

// Close implements vfs.File.
func (g guardedFile) Close() error {
	err := g.File.Close()
	if g.ix.failure() != nil {
		return nil
	}
	return err
}

// logFailed fails the index when err is an error of a log.
func (ix *index) logFailed(err error) {
	if err != nil {
		ix.fail(fmt.Errorf("index log: %w", err))
	}
}

// logFile is a log, or a directory, whose errors fail the index and are told to nobody else.
type logFile struct {
	vfs.File
	ix *index
}

// Write implements vfs.File.
func (l logFile) Write(p []byte) (int, error) {
	if l.ix.failure() == nil {
		_, err := l.File.Write(p)
		l.ix.logFailed(err)
	}
	return len(p), nil
}

// Sync implements vfs.File.
func (l logFile) Sync() error {
	l.ix.logFailed(l.File.Sync())
	return nil
}

// SyncTo implements vfs.File.
func (l logFile) SyncTo(length int64) (full bool, err error) {
	full, err = l.File.SyncTo(length)
	l.ix.logFailed(err)
	return full, nil
}

// SyncData implements vfs.File.
func (l logFile) SyncData() error {
	l.ix.logFailed(l.File.SyncData())
	return nil
}

// Close implements vfs.File.
func (l logFile) Close() error {
	l.ix.logFailed(l.File.Close())
	return nil
}
