package fetch

import (
	"sync"
	"time"

	"weir/origin"
	"weir/tiers"
	"weir/tiers/spool"
)

// Relay reads a response that is for one client alone, and returns where the client
// reads it; both are to be closed. A slow client does not hold up the origin, whose
// connection is free when it has sent, as far as memory and spool reach.
func (m *Machine) Relay(up Upstream, resp *origin.Response) *tiers.FillReader {
	f, r := m.store.NewRelay(resp.ContentLength)
	m.watch(up, f)
	m.running.enter()
	go func() {
		defer m.running.leave()
		// Where this panics, whoever reads must not wait for ever.
		defer f.Abandon(ErrBroke)
		err := f.CopyFrom(m.Counted(up, resp.Body))
		resp.Body.Close()
		f.Abandon(err)
	}()
	return r
}

// Immediate returns the whole body of a response that is for one client alone, where it
// is small and here with its header. The origin's connection is then free.
func (m *Machine) Immediate(up Upstream, resp *origin.Response) ([]byte, bool) {
	body, ok := resp.Immediate(tiers.WholeMax)
	if ok {
		m.metrics.OriginBytes(up.Index, int64(len(body)))
	}
	return body, ok
}

// Permits is an origin that says how many exchanges it can have at a time.
type Permits interface{ Permits() int }

// holds are the transfers of one origin that wait for slow clients and keep its permits
// busy meanwhile. When they are more than three quarters of the permits the slowest is
// ended, so that others always get some.
type holds struct {
	budget *spool.Budget

	mu      sync.Mutex // protects waiting
	waiting map[*tiers.Fill]time.Time
}

// holdsOf returns those of an origin. They are kept by its index, which a reload that
// changes the origin leaves as it is: transfers from before keep its servers as busy as
// others, and what was made for a configuration must not outlive it.
func (m *Machine) holdsOf(up Upstream) *holds {
	if h, ok := m.holds.Load(up.Index); ok {
		return h.(*holds)
	}
	h, _ := m.holds.LoadOrStore(up.Index, &holds{budget: m.store.InFlight(), waiting: make(map[*tiers.Fill]time.Time)})
	return h.(*holds)
}

// watch holds the fill to its share of the origin's permits.
func (m *Machine) watch(up Upstream, f *tiers.Fill) {
	p, ok := up.Origin.(Permits)
	if !ok {
		return // nobody knows how many it has
	}
	h, most, began := m.holdsOf(up), p.Permits()*3/4, time.Now()
	f.Waits(func(waiting bool) {
		if h.note(f, began, waiting) > most {
			// The fill that tells is locked, and others may be waiting to tell.
			go h.cut(most)
		}
	})
}

// note notes whether the fill waits. When it does, note returns how many do.
func (h *holds) note(f *tiers.Fill, began time.Time, waiting bool) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !waiting {
		delete(h.waiting, f)
		return 0
	}
	h.waiting[f] = began
	return len(h.waiting)
}

// cut ends the slowest of those that wait, unless no more than most do by now.
func (h *holds) cut(most int) {
	h.mu.Lock()
	if len(h.waiting) <= most {
		h.mu.Unlock()
		return
	}
	all := make(map[*tiers.Fill]time.Time, len(h.waiting))
	for f, began := range h.waiting {
		all[f] = began
	}
	h.mu.Unlock()
	var slowest *tiers.Fill
	var least float64
	for f, began := range all {
		rate := float64(f.Taken()) / max(time.Since(began).Seconds(), 0.001)
		if slowest == nil || rate < least {
			slowest, least = f, rate
		}
	}
	h.mu.Lock()
	_, still := h.waiting[slowest]
	cut := still && len(h.waiting) > most
	if cut {
		delete(h.waiting, slowest)
	}
	h.mu.Unlock()
	if cut {
		h.budget.CountCut(spool.CutPermits)
		slowest.Cut(spool.ErrCut)
	}
}
