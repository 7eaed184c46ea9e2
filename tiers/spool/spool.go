package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// blockSize is the unit of the spool's room, in bytes: most bodies that come here
	// have megabytes, and a block is two reads of an origin.
	blockSize = 64 << 10
	// keepBlocks is what the file keeps when it is empty, in blocks: less than that
	// is not worth a truncation.
	keepBlocks = 64
	// MinSize holds a few bodies.
	MinSize = 16 << 20
)

var (
	// ErrFull: there is no room for more.
	ErrFull = errors.New("spool: no room is left")
	// errSilent: the device does not answer.
	errSilent = errors.New("spool: the device does not answer")
)

// Options configure a Spool.
type Options struct {
	// Dir is where the file is made.
	Dir string
	// Size bounds the file, in bytes.
	Size int64
	// Log gets what an operator must know; nil discards it.
	Log *slog.Logger

	patience time.Duration // how long the device is waited for; but in tests devicePatience
}

const (
	devicePatience = 2 * time.Second
	// restAfter is how long nothing more is spooled after the device has failed.
	restAfter = 5 * time.Second
	warnEvery = time.Minute
	// shrinkAfter is for how long the file keeps its room on disk while it is empty.
	shrinkAfter = 10 * time.Second
)

// Spool is a file without a name whose blocks belong to Files. It is safe for
// concurrent use.
type Spool struct {
	o    Options
	f    *os.File
	used atomic.Int64 // blocks
	// restsUntil is when the device is tried again after a failure, unix nanoseconds;
	// silent counts the calls that it has not answered in time, and not since.
	restsUntil atomic.Int64
	silent     atomic.Int64

	mu     sync.Mutex // protects the fields below
	free   []uint32   // blocks below next that belong to no File
	next   uint32     // blocks from here on were never used
	warned time.Time
	closed bool
	// idle will truncate the file, unless it is used again; shrinking: it does so now.
	idle      *time.Timer
	shrinking bool
}

// Open makes the file and tries to write to it.
func Open(o Options) (*Spool, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.patience == 0 {
		o.patience = devicePatience
	}
	f, err := nameless(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot make a spool file in %s: %w", o.Dir, err)
	}
	s := &Spool{o: o, f: f}
	if err := s.do(func() error { _, err := f.WriteAt(make([]byte, 4<<10), 0); return err }); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot write to a spool file in %s: %w", o.Dir, err)
	}
	return s, nil
}

// nameless makes a file and takes its name away.
func nameless(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "weir-spool-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Used returns how many bytes are spooled, Size how many may be.
func (s *Spool) Used() int64 {
	if s == nil {
		return 0
	}
	return s.used.Load() * blockSize
}

// Size is described at Used.
func (s *Spool) Size() int64 {
	if s == nil {
		return 0
	}
	return s.o.Size
}

// Up reports whether the spool takes more at present, as far as its device goes.
func (s *Spool) Up() bool {
	return s != nil && s.silent.Load() == 0 && time.Now().UnixNano() >= s.restsUntil.Load()
}

// do runs f, which uses the device, and waits for it as long as there is patience. An
// f that is not waited for any more ends some time later, so it may touch nothing that
// others use by then.
func (s *Spool) do(f func() error) error {
	done := make(chan error, 1)
	var settled atomic.Bool // by whoever comes first: the answer, or the end of patience
	go func() {
		err := f()
		if settled.Swap(true) {
			s.silent.Add(-1)
		}
		done <- err
	}()
	timer := time.NewTimer(s.o.patience)
	defer timer.Stop()
	var err error
	select {
	case err = <-done:
	case <-timer.C:
		s.silent.Add(1)
		if settled.Swap(true) {
			s.silent.Add(-1)
			err = <-done
			break
		}
		err = errSilent
	}
	if err != nil {
		s.trouble(err)
	}
	return err
}

func (s *Spool) trouble(err error) {
	now := time.Now()
	s.restsUntil.Store(now.Add(restAfter).UnixNano())
	s.mu.Lock()
	warn := now.Sub(s.warned) >= warnEvery
	if warn {
		s.warned = now
	}
	s.mu.Unlock()
	if warn {
		s.o.Log.Warn("the spool cannot be used; bodies wait for their readers instead", "path", s.o.Dir, "error", err)
	}
}

// take returns n blocks, or nil.
func (s *Spool) take(n int) []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := len(s.free) + int(s.o.Size/blockSize) - int(s.next)
	if s.closed || s.shrinking || n > room {
		return nil
	}
	blocks := make([]uint32, 0, n)
	for len(blocks) < n {
		if last := len(s.free) - 1; last >= 0 {
			blocks = append(blocks, s.free[last])
			s.free = s.free[:last]
			continue
		}
		blocks = append(blocks, s.next)
		s.next++
	}
	s.used.Add(int64(n))
	return blocks
}

// give takes blocks back, that nobody reads or writes. An empty file gives its room
// on disk back.
func (s *Spool) give(blocks []uint32) {
	if len(blocks) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, blocks...)
	if s.used.Add(-int64(len(blocks))) > 0 {
		return
	}
	if s.closed {
		_ = s.f.Close()
		return
	}
	if s.next > keepBlocks && s.idle == nil {
		s.idle = time.AfterFunc(shrinkAfter, s.shrink)
	}
}

// shrink truncates the file if nothing of it is used. For as long as that takes,
// nothing is spooled.
func (s *Spool) shrink() {
	s.mu.Lock()
	s.idle = nil
	if s.closed || s.used.Load() > 0 || s.silent.Load() > 0 {
		s.mu.Unlock()
		return
	}
	s.shrinking = true
	s.mu.Unlock()
	err := s.f.Truncate(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shrinking = false
	if err == nil {
		s.free, s.next = nil, 0
	}
	if s.closed {
		_ = s.f.Close()
	}
}

// Close lets the file go once nobody uses it any more.
func (s *Spool) Close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if s.idle != nil {
		s.idle.Stop()
	}
	if s.used.Load() == 0 && !s.shrinking {
		_ = s.f.Close()
	}
}
