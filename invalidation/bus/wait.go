package bus

import (
	"context"
	"slices"
	"strings"
	"time"

	"weir/invalidation"
)

// waiter waits for the peers' word on one purge.
type waiter struct {
	origin invalidation.Origin
	number uint64
	began  time.Time
	acks   map[string]time.Duration
	done   chan struct{}
}

// Wait waits until every peer has said that this node's purge is in effect there,
// or ctx ends. Began is when the purge was asked for. It returns who has applied
// it, peers only, and the names of those that have not; with Revalidate a purge
// that a quorum does not have is pending, whoever is known.
func (b *Bus) Wait(ctx context.Context, id invalidation.ID, began time.Time) (applied []invalidation.Ack, pending []string) {
	w := &waiter{
		origin: invalidation.Origin{Node: id.Node, Incarnation: id.Incarnation}, number: id.Number, began: began,
		acks: make(map[string]time.Duration), done: make(chan struct{}),
	}
	b.mu.Lock()
	b.waiters[w] = struct{}{}
	now := time.Now()
	b.noticeStop(now)
	b.settle(now)
	b.mu.Unlock()
	select {
	case <-w.done:
	case <-ctx.Done():
	case <-b.stopped:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiters, w)
	b.look(w, time.Now())
	for name, after := range w.acks {
		applied = append(applied, invalidation.Ack{Node: name, After: after})
	}
	slices.SortFunc(applied, func(x, y invalidation.Ack) int { return strings.Compare(x.Node, y.Node) })
	return applied, b.pendingOf(w)
}

// Applied tells who has applied a purge of any node, as far as is known here, and
// who has not.
func (b *Bus) Applied(id invalidation.ID) (applied, pending []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := invalidation.Origin{Node: id.Node, Incarnation: id.Incarnation}
	for name, p := range b.peers {
		if p.vector[o] >= id.Number {
			applied = append(applied, name)
		} else {
			pending = append(pending, name)
		}
	}
	slices.Sort(applied)
	slices.Sort(pending)
	return applied, append(pending, b.missing()...)
}

// checkWaiters tells those whose wait is over.
func (b *Bus) checkWaiters(now time.Time) {
	for w := range b.waiters {
		b.look(w, now)
		if len(b.pendingOf(w)) == 0 {
			delete(b.waiters, w)
			close(w.done)
		}
	}
}

func (b *Bus) look(w *waiter, now time.Time) {
	for name, p := range b.peers {
		if _, ok := w.acks[name]; !ok && p.vector[w.origin] >= w.number {
			w.acks[name] = now.Sub(w.began)
		}
	}
}

func (b *Bus) pendingOf(w *waiter) (pending []string) {
	for name := range b.peers {
		if _, ok := w.acks[name]; !ok {
			pending = append(pending, name)
		}
	}
	slices.Sort(pending)
	pending = append(pending, b.missing()...)
	if len(pending) == 0 && b.o.OnIsolation == Revalidate && len(w.acks)+1 < b.o.Quorum {
		pending = append(pending, "(a quorum)")
	}
	return pending
}
