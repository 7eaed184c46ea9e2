package invalidation

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// op is what the writer is asked to do.
type op struct {
	// facts are a purge of this node's own; apply are those of others.
	facts []Fact
	apply []Purge
	// adopt, when not nil, is the vector of a peer, to be taken as it is.
	adopt Vector
	// renew begins a new incarnation.
	renew bool
	// attach, when not nil, is a log to go on with.
	attach *Loaded

	// done is told the outcome by the writer, and must not block.
	done func(opResult)
}

// alone tells whether the op is no part of a group.
func (o *op) alone() bool { return o.adopt != nil || o.renew || o.attach != nil }

type opResult struct {
	purge Purge
	err   error
}

// do hands the op to the writer. It returns false when the node is closed; done
// may then never be called.
func (n *Node) do(o *op) bool {
	select {
	case n.ops <- o:
		return true
	case <-n.done:
		return false
	}
}

// wait hands the op to the writer and waits for it.
func (n *Node) wait(o *op) (Purge, error) {
	done := make(chan opResult, 1)
	o.done = func(r opResult) { done <- r }
	if !n.do(o) {
		return Purge{}, ErrClosed
	}
	select {
	case r := <-done:
		return r.purge, r.err
	case <-n.done:
		// It may have been the last that the writer did.
		select {
		case r := <-done:
			return r.purge, r.err
		default:
			return Purge{}, ErrClosed
		}
	}
}

// Purge makes facts true: when it returns, they are in effect here and in the log.
// Where that cannot be written, Unlogged is set and what is on disk is given up
// should the process end before it can be. The error is that of the facts, or
// ErrClosed; then nothing has changed.
func (n *Node) Purge(facts []Fact) (Purge, error) {
	if err := ValidatePurge(facts); err != nil {
		return Purge{}, err
	}
	return n.wait(&op{facts: facts})
}

// writer is the only goroutine that writes to the log and applies. Purges that
// come together are synced together.
func (n *Node) writer() {
	defer close(n.done)
	group := make([]*op, 0, cap(n.ops))
	retry := time.NewTicker(n.o.retry)
	defer retry.Stop()
	for {
		select {
		case o := <-n.ops:
			group = append(group[:0], o)
		case <-retry.C:
			n.look()
			n.restore()
			continue
		case <-n.stop:
			n.restore()
			return
		}
	more:
		for len(group) < cap(group) {
			select {
			case o := <-n.ops:
				group = append(group, o)
			default:
				break more
			}
		}
		n.serve(group)
	}
}

// serve does a group's ops in order, those that can be together.
func (n *Node) serve(group []*op) {
	for len(group) > 0 {
		if group[0].alone() {
			n.change(group[0])
			group = group[1:]
			continue
		}
		i := slices.IndexFunc(group, (*op).alone)
		if i < 0 {
			i = len(group)
		}
		n.commit(group[:i])
		group = group[i:]
	}
}

// batch is what a group of ops comes to.
type batch struct {
	purges []Purge
	// ends is how many purges there are after each op.
	ends []int
	errs []error
}

// ErrGap: a purge was handed over whose predecessors are not here.
var ErrGap = errors.New("invalidation: purges are missing before this one")

// number gives the group's purges their numbers and epochs.
func (n *Node) number(group []*op) *batch {
	b := &batch{}
	at := make(Vector) // only the writer changes n.positions
	position := func(o Origin) uint64 {
		if v, ok := at[o]; ok {
			return v
		}
		return n.positions[o]
	}
	epoch, self := n.table.epoch.Load(), n.Self()
	add := func(p Purge) {
		epoch++
		p.Epoch = epoch
		at[p.ID.origin()] = p.ID.Number
		b.purges = append(b.purges, p)
	}
	for _, o := range group {
		var err error
		if o.facts != nil {
			add(Purge{ID: ID{self.Node, self.Incarnation, position(self) + 1}, At: n.o.Now().UnixMilli(), Facts: o.facts})
		}
		for _, p := range o.apply {
			from := p.ID.origin()
			have := position(from)
			if p.ID.Number <= have {
				continue
			}
			if p.ID.Number > have+1 || have == 0 && len(n.positions)+len(at) >= MaxOrigins {
				err = fmt.Errorf("%w: %v of incarnation %x, and here is %d", ErrGap, p.ID, from.Incarnation, have)
				break
			}
			add(p)
		}
		b.ends = append(b.ends, len(b.purges))
		b.errs = append(b.errs, err)
	}
	return b
}

// commit writes and applies a group.
func (n *Node) commit(group []*op) {
	b := n.number(group)
	logged := n.log(b.purges)
	from := 0
	for i, o := range group {
		var last Purge
		for _, p := range b.purges[from:b.ends[i]] {
			p.Unlogged = !logged
			n.applied(p)
			last = p
		}
		from = b.ends[i]
		o.done(opResult{purge: last, err: b.errs[i]})
	}
}

// applied makes a purge that is in the log take effect, and tells.
func (n *Node) applied(p Purge) {
	n.mu.Lock()
	n.take(p)
	watchers := make([]func(Purge), 0, 4)
	for _, fn := range n.watchers {
		watchers = append(watchers, fn)
	}
	n.mu.Unlock()
	n.o.Applied(p)
	for _, fn := range watchers {
		fn(p)
	}
}

// take applies p: its effects first, then its epoch. The caller holds mu, or is
// alone.
//
// A soft purge makes stale from now on, also where the clock of the node it came from
// is ahead.
func (n *Node) take(p Purge) {
	at := min(p.At, n.o.Now().UnixMilli())
	for _, f := range p.Facts {
		n.table.effect(f, p.Epoch, at)
	}
	n.table.epoch.Store(max(p.Epoch, n.table.epoch.Load()))
	n.table.bound()
	o := p.ID.origin()
	n.positions[o] = max(n.positions[o], p.ID.Number)
	n.remember(p)
}

// maxRecentBytes bounds the recent purges in memory.
const maxRecentBytes = 16 << 20

// remember keeps p for List, Find and peers. The caller holds mu, or is alone.
func (n *Node) remember(p Purge) {
	n.recent = append(n.recent, p)
	n.recentBytes += p.Size()
	for len(n.recent) > 1 && n.recentBytes > maxRecentBytes {
		n.recentBytes -= n.recent[0].Size()
		n.recent[0] = Purge{} // what it names can be collected
		n.recent = n.recent[1:]
	}
	if len(n.recent) >= 2*n.o.Recent {
		for i := range n.recent[:len(n.recent)-n.o.Recent] {
			n.recentBytes -= n.recent[i].Size()
		}
		n.recent = slices.Clone(n.recent[len(n.recent)-n.o.Recent:])
	}
}
