package script

import (
	"context"
	"fmt"
	"sync"
)

// Barrier is a named gate: who waits at it goes on when it is released, and a scenario can wait until somebody waits.
// Make it with NewBarrier; it may be used by many goroutines.
type Barrier struct {
	name string

	mu      sync.Mutex    // protects the fields below
	gate    chan struct{} // closed when released
	open    bool
	waiting int
	arrived int           // ever
	changed chan struct{} // closed and replaced whenever waiting or arrived changes
}

// NewBarrier makes a barrier that holds. The name appears in errors only.
func NewBarrier(name string) *Barrier {
	return &Barrier{name: name, gate: make(chan struct{}), changed: make(chan struct{})}
}

// Wait returns nil once the barrier is released, at once if it is already, or ctx's error.
func (b *Barrier) Wait(ctx context.Context) error {
	b.mu.Lock()
	gate := b.gate
	b.arrived++
	b.waiting++
	b.notifyLocked()
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.waiting--
		b.notifyLocked()
		b.mu.Unlock()
	}()
	select {
	case <-gate:
		return nil
	default:
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot pass barrier %s: %w", b.name, ctx.Err())
	}
}

func (b *Barrier) notifyLocked() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Release lets everybody go on who waits now or arrives later.
func (b *Barrier) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		b.open = true
		close(b.gate)
	}
}

// Hold makes the barrier hold again those who arrive from now on. Whoever Release let go stays free.
func (b *Barrier) Hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		b.open = false
		b.gate = make(chan struct{})
	}
}

// WaitStalled returns once n or more wait here at the same time.
func (b *Barrier) WaitStalled(ctx context.Context, n int) error {
	for {
		b.mu.Lock()
		waiting, arrived, changed := b.waiting, b.arrived, b.changed
		b.mu.Unlock()
		if waiting >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("cannot see %d stalled at %s (%d wait there, %d ever came): %w", n, b.name, waiting, arrived, ctx.Err())
		}
	}
}
