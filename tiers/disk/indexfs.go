package disk

import (
	"fmt"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logFS keeps from Pebble that its write-ahead log cannot be written. Pebble panics then, which a caller can recover
// from, but where it changes to a new log it does so with a mutex unlocked that a deferred call unlocks again: the
// runtime ends the process. Here the index fails, as by any other error of its device, and what Pebble writes to its logs
// from then on goes nowhere: a log ends where it failed, and has no hole. Nobody is told that it was written, since the
// generation has failed before.
type logFS struct {
	vfs.FS
	ix *index
}

func isLog(name string) bool { return filepath.Ext(name) == ".log" }

// Create implements vfs.FS.
func (f logFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return f.log(name, file, err)
}

// ReuseForWrite implements vfs.FS.
func (f logFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(oldname, newname, c)
	return f.log(newname, file, err)
}

// OpenDir implements vfs.FS. A new log is followed by a sync of its directory.
func (f logFS) OpenDir(name string) (vfs.File, error) {
	d, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return logFile{d, f.ix}, nil
}

// Unwrap implements vfs.FS.
func (f logFS) Unwrap() vfs.FS { return f.FS }

func (f logFS) log(name string, file vfs.File, err error) (vfs.File, error) {
	if !isLog(name) {
		return file, err
	}
	if err != nil {
		f.ix.logFailed(err)
		// In memory it needs no descriptor, which may be what there was none of.
		if file, err = vfs.NewMem().Create("log", vfs.WriteCategoryUnspecified); err != nil {
			return nil, err
		}
	}
	return logFile{file, f.ix}, nil
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
