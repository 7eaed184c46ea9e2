package disk

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// gate is the way to the device for everything that clients wait for. A device that stalls must cost nobody more than
// the timeout, and must not gather goroutines.
//
// What the page cache has is read in the caller's goroutine, by preadv2 with RWF_NOWAIT (Linux 4.14), which fails
// instead of waiting. Only what would wait for the device is handed to another goroutine, of which there are at most
// deviceReads; the hand-over costs a microsecond or two, and the device takes a hundred. A read that was given up holds
// its place until the kernel lets go of it. While half of the places are held like that, nobody waits for another.
//
// Records are always written in another goroutine: a file system that is frozen, or whose device is full of what is to be
// written, blocks the write itself, and the creation of the next segment, for as long as it likes. While one that was given
// up is still there, nothing else is tried: all go to the same file.
type gate struct {
	timeout time.Duration
	// device holds a token for each read that may wait for the device, handed one for each record that is being written,
	// entered one for each lookup, writing one for each put.
	device, handed, entered, writing chan struct{}
	stuck                            atomic.Int64 // reads that were given up and still hold a token
	stuckWrites                      atomic.Int64 // likewise, of records
	timeouts                         atomic.Int64
	blocking                         atomic.Bool // the file system knows no RWF_NOWAIT
	// read takes the place of the device in tests.
	read func(f *os.File, b []byte, off int64) (int, error)
}

const (
	// deviceReads is more than devices work on at once and few enough to be lost in a stall.
	deviceReads = 128
	// lookups bounds the goroutines that may be inside the index, whose reads cannot be given up.
	lookups = 1024
	// puts bounds the goroutines that may wait for the device to take something.
	puts = 128
	// patience is how many times the timeout somebody waits who has part of a body already, and whom an error would cut off.
	patience = 10
)

func newGate(timeout time.Duration, read func(f *os.File, b []byte, off int64) (int, error)) *gate {
	return &gate{timeout: timeout, device: make(chan struct{}, deviceReads), handed: make(chan struct{}, puts), entered: make(chan struct{}, lookups), writing: make(chan struct{}, puts), read: read}
}

// enter begins a lookup; leave ends it.
func (g *gate) enter() error { return g.take(g.entered, g.timeout) }

func (g *gate) leave() { <-g.entered }

// beginPut begins a put, which may wait for the device; endPut ends it.
func (g *gate) beginPut() error { return g.take(g.writing, g.timeout) }

func (g *gate) endPut() { <-g.writing }

// handOver runs op, which writes to the device, in another goroutine and waits at most the timeout for it. Then the caller
// goes on with ErrSlow, and whatever op leads to is undone when it comes back: what op uses must not be used again.
func (g *gate) handOver(op, undo func()) error {
	if g.stuckWrites.Load() > 0 {
		return g.slow()
	}
	if err := g.take(g.handed, g.timeout); err != nil {
		return err
	}
	var settled atomic.Bool // by whoever comes first: op's end or the timeout
	done := make(chan struct{})
	go func() {
		defer func() { <-g.handed }()
		op()
		if settled.CompareAndSwap(false, true) {
			close(done)
			return
		}
		undo()
		g.stuckWrites.Add(-1)
	}()
	t := time.NewTimer(g.timeout)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
	}
	g.stuckWrites.Add(1)
	if settled.CompareAndSwap(false, true) {
		return g.slow()
	}
	g.stuckWrites.Add(-1)
	<-done
	return nil
}

// take waits for a place at most that long.
func (g *gate) take(places chan struct{}, bound time.Duration) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	if g.stalled() {
		return g.slow()
	}
	t := time.NewTimer(bound)
	defer t.Stop()
	select {
	case places <- struct{}{}:
		return nil
	case <-t.C:
		return g.slow()
	}
}

func (g *gate) stalled() bool { return g.stuck.Load() >= deviceReads/2 }

func (g *gate) slow() error {
	g.timeouts.Add(1)
	return fmt.Errorf("%w: no answer for %v", ErrSlow, g.timeout)
}

// readFull is readFull for those who cannot wait for ever. b holds garbage after an error.
func (g *gate) readFull(f *os.File, b []byte, off int64, patience int) error {
	n := g.cached(f, b, off)
	if n == len(b) {
		return nil
	}
	return g.fromDevice(f, b[n:], off+int64(n), time.Duration(patience)*g.timeout)
}

// cached reads what the page cache has, from the start of b on.
func (g *gate) cached(f *os.File, b []byte, off int64) int {
	if g.read != nil || g.blocking.Load() {
		return 0
	}
	n, errno := preadNoWait(f, b, off)
	if errno == unix.EOPNOTSUPP || errno == unix.ENOSYS {
		g.blocking.Store(true)
	}
	return n
}

// preadNoWait reads what can be read without waiting. It is unix.Preadv2 with one buffer, without the memory that it
// takes for each call.
func preadNoWait(f *os.File, b []byte, off int64) (int, unix.Errno) {
	if len(b) == 0 {
		return 0, 0
	}
	iov := unix.Iovec{Base: &b[0]}
	iov.SetLen(len(b))
	// The kernel puts the offset together from two halves of a long each, whose upper one counts where a long has 32 bits.
	n, _, errno := unix.Syscall6(unix.SYS_PREADV2, f.Fd(), uintptr(unsafe.Pointer(&iov)), 1, uintptr(off), uintptr(uint64(off)>>32), unix.RWF_NOWAIT)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// deviceRead is a read that its caller may give up.
type deviceRead struct {
	done chan error // has room for one

	mu   sync.Mutex // protects what follows
	into []byte     // nil once the caller has gone
}

// fromDevice reads in another goroutine and waits at most that long. The bytes are read into memory of that goroutine:
// the caller's may be in other hands by the time the device answers.
func (g *gate) fromDevice(f *os.File, b []byte, off int64, bound time.Duration) error {
	if g.stalled() {
		return g.slow()
	}
	if err := g.take(g.device, bound); err != nil {
		return err
	}
	r := &deviceRead{done: make(chan error, 1), into: b}
	n := len(b)
	go func() {
		defer func() { <-g.device }()
		own := make([]byte, n)
		err := readFull(g.reader(f), own, off)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.into == nil {
			g.stuck.Add(-1)
			return
		}
		copy(r.into, own)
		r.done <- err
	}()
	t := time.NewTimer(bound)
	defer t.Stop()
	select {
	case err := <-r.done:
		return err
	case <-t.C:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case err := <-r.done:
		return err // it came while the lock was taken
	default:
	}
	r.into = nil
	g.stuck.Add(1)
	return g.slow()
}

func (g *gate) reader(f *os.File) io.ReaderAt {
	if g.read == nil {
		return f
	}
	return readerFunc(func(b []byte, off int64) (int, error) { return g.read(f, b, off) })
}

type readerFunc func(b []byte, off int64) (int, error)

func (f readerFunc) ReadAt(b []byte, off int64) (int, error) { return f(b, off) }
