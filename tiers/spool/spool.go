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
	f    atomic.Pointer[os.File] // nil before it is open
	used atomic.Int64            // blocks
	// restsUntil is when the device is tried again after a failure, unix nanoseconds;
	// silent counts the calls that it has not answered in time, and not since.
	restsUntil atomic.Int64
	silent     atomic.Int64
	opening    atomic.Bool

	mu     sync.Mutex // protects the fields below
	free   []uint32   // blocks below next that belong to no File
	next   uint32     // blocks from here on were never used
	warned time.Time
	closed bool
	err    error // the last trouble
	// idle will truncate the file, unless it is used again; shrinking: it does so now.
	idle      *time.Timer
	shrinking bool
}

// New returns a spool, whose file is made behind New, since that may take as long as
// the device likes. Until that has worked, and while it does not, there is no room.
func New(o Options) *Spool {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.patience == 0 {
		o.patience = devicePatience
	}
	s := &Spool{o: o}
	s.opening.Store(true)
	go s.open()
	return s
}

// open makes the file, and tries to write to it.
func (s *Spool) open() {
	defer s.opening.Store(false)
	_ = s.do(func() error {
		f, err := nameless(s.o.Dir)
		if err != nil {
			return fmt.Errorf("cannot make a spool file in %s: %w", s.o.Dir, err)
		}
		if _, err := f.WriteAt(make([]byte, 4<<10), 0); err != nil {
			_ = f.Close()
			return fmt.Errorf("cannot write to a spool file in %s: %w", s.o.Dir, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed {
			return f.Close()
		}
		if !s.f.CompareAndSwap(nil, f) {
			return f.Close()
		}
		s.err = nil
		return nil
	})
}

// nameless makes a file and takes its name away.
func nameless(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
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

// Path returns the directory of the spool's file.
func (s *Spool) Path() string { return s.o.Dir }

// Trouble returns what is wrong with the device, or nil.
func (s *Spool) Trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f.Load() != nil && s.up() {
		return nil
	}
	return s.err
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

// Up reports whether the spool takes more at present, as far as its device goes. A
// file that could not be made is tried again.
func (s *Spool) Up() bool {
	if s == nil || !s.up() {
		return false
	}
	if s.f.Load() != nil {
		return true
	}
	if !s.opening.Swap(true) {
		go s.open()
	}
	return false
}

func (s *Spool) up() bool {
	return s.silent.Load() == 0 && time.Now().UnixNano() >= s.restsUntil.Load()
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
	s.err = err
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
		s.closeFile()
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
	err := s.f.Load().Truncate(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shrinking = false
	if err == nil {
		s.free, s.next = nil, 0
	}
	if s.closed {
		s.closeFile()
	}
}

func (s *Spool) closeFile() {
	if f := s.f.Load(); f != nil {
		_ = f.Close()
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
		s.closeFile()
	}
}
