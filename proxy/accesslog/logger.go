package accesslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// ringLines is about a fifth of a second at 40,000 requests a second, and
	// with usual lines 3 MiB.
	ringLines = 8192

	// wakeEvery wakes the writer before its time when lines come fast; it
	// divides the ring so that the writer starts long before the ring is full.
	wakeEvery = 512

	// flushEvery is how long a line may wait at most for the writer.
	flushEvery = time.Second

	// batchBytes is the size at which a batch is written.
	batchBytes = 64 << 10
)

// ErrClosed is returned for calls on a Logger that was closed.
var ErrClosed = errors.New("access log is closed")

// Options of Open. The zero value logs nowhere.
type Options struct {
	Target Target

	// Stderr is where the target Stderr writes; nil means os.Stderr.
	Stderr io.Writer
	// Now dates the lines about lost lines; nil means time.Now.
	Now func() time.Time

	// lines is the length of the ring, for tests; 0 means ringLines.
	lines int
}

// Logger writes entries to a target. All methods may be called from any
// goroutine. A nil *Logger is one that is off.
type Logger struct {
	stderr io.Writer
	now    func() time.Time

	enabled     atomic.Bool
	ring        *ring
	target      atomic.Pointer[Target] // stored by the writer
	dropped     atomic.Uint64
	writeErrors atomic.Uint64

	wake chan struct{}
	swap chan swapRequest
	stop chan struct{}
	done chan struct{}
	once sync.Once
	// closeErr is written before done is closed.
	closeErr error
}

// swapRequest asks the writer to put what is queued into its present sink,
// close that, and go on with the next.
type swapRequest struct {
	next  sink
	reply chan error
}

// Open opens the target and starts the goroutine that writes; Close ends it.
func Open(o Options) (*Logger, error) {
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.lines == 0 {
		o.lines = ringLines
	}
	first, err := open(o.Target, o.Stderr)
	if err != nil {
		return nil, err
	}
	l := &Logger{
		stderr: o.Stderr,
		now:    o.Now,
		ring:   newRing(o.lines),
		wake:   make(chan struct{}, 1),
		swap:   make(chan swapRequest),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	l.target.Store(&first.target)
	l.enabled.Store(o.Target.Kind != Off)
	go l.run(writer{log: l, sink: first})
	return l, nil
}

// Enabled tells whether an Entry is worth filling.
func (l *Logger) Enabled() bool { return l != nil && l.enabled.Load() }

// Log queues the line of e, or drops it when the queue is full. It never blocks.
// While the log is off, and after Close, it does nothing.
func (l *Logger) Log(e *Entry) {
	if !l.Enabled() {
		return
	}
	pos, ok := l.ring.push(e)
	if !ok {
		l.dropped.Add(1)
		return
	}
	if pos%wakeEvery == wakeEvery-1 {
		select {
		case l.wake <- struct{}{}:
		default: // it is awake already
		}
	}
}

// Dropped returns how many lines were lost since Open: the queue was full, or a
// write failed.
func (l *Logger) Dropped() uint64 {
	if l == nil {
		return 0
	}
	return l.dropped.Load()
}

// WriteErrors returns how many writes failed since Open.
func (l *Logger) WriteErrors() uint64 {
	if l == nil {
		return 0
	}
	return l.writeErrors.Load()
}

// Reopen opens the file anew, after something moved the old one away. When it
// returns nil, everything logged before the call is in the old file and that
// is closed. On an error of opening, the old file stays in use. ctx bounds the
// wait for a disk that does not answer; the change is then made later or not
// at all.
func (l *Logger) Reopen(ctx context.Context) error {
	return l.replace(ctx, nil)
}

// SetTarget moves the log to t, as Reopen does.
func (l *Logger) SetTarget(ctx context.Context, t Target) error {
	return l.replace(ctx, &t)
}

// Close writes what is queued, closes the target and ends the goroutine. When
// ctx ends first the goroutine is left behind, stuck in a write to a disk that
// does not answer.
func (l *Logger) Close(ctx context.Context) error {
	if l == nil {
		return nil
	}
	l.once.Do(func() { close(l.stop) })
	select {
	case <-l.done:
		return l.closeErr
	case <-ctx.Done():
		return fmt.Errorf("cannot finish access log: %w", ctx.Err())
	}
}
