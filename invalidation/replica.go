package invalidation

import (
	"errors"
	"fmt"
)

// What peers need of a node: how far it is, what it has, and ways to be brought
// up to date.

// ErrTruncated: the log has gone on, and what was asked for is not in it.
var ErrTruncated = errors.New("invalidation: the log no longer has these purges")

// Vector tells how far each origin's purges were applied here. The copy is the
// caller's.
func (n *Node) Vector() Vector {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.positions.Clone()
}

// Read returns purges of the origin with numbers behind after, in order and
// without gaps, until they have about maxBytes; none when there are no more. The
// error is ErrTruncated, or that of the device.
func (n *Node) Read(o Origin, after uint64, maxBytes int) ([]Purge, error) {
	n.mu.Lock()
	highest := n.positions[o]
	n.mu.Unlock()
	if highest <= after {
		return nil, nil
	}
	var list []Purge
	var err error
	n.mu.Lock()
	file := n.file
	n.mu.Unlock()
	if file != nil {
		list, _, err = file.read(o, after, maxBytes)
	}
	if n.LogState() != LogWritten && (len(list) == 0 || list[0].ID.Number != after+1) {
		// The log is behind what is in memory.
		if recent := n.readRecent(o, after, maxBytes); len(recent) > 0 && recent[0].ID.Number == after+1 {
			list, err = recent, nil
		}
	}
	if err == nil && (len(list) == 0 || list[0].ID.Number != after+1) {
		err = fmt.Errorf("%w: %s of incarnation %x behind %d", ErrTruncated, o.Node, o.Incarnation, after)
	}
	return list, err
}

func (n *Node) readRecent(o Origin, after uint64, maxBytes int) (list []Purge) {
	n.mu.Lock()
	defer n.mu.Unlock()
	bytes := 0
	for i := range n.recent {
		p := &n.recent[i]
		if p.ID.origin() != o || p.ID.Number <= after {
			continue
		}
		if list = append(list, *p); bytes >= maxBytes {
			break
		}
		bytes += p.Size()
	}
	return list
}

// Apply makes purges of other nodes take effect here, in order. Those that are in
// effect already are passed over; at the first whose predecessors are missing it
// stops with ErrGap. done is told the outcome by the goroutine that applies and
// must not block; it is not called when Apply returns false, because the node is
// closed.
func (n *Node) Apply(purges []Purge, done func(error)) bool {
	return n.do(&op{apply: purges, done: func(r opResult) { done(r.err) }})
}

// Adopt takes the vector of a peer whose purges cannot be had one by one:
// everything that was fetched before is invalid, and so nothing that those purges
// speak of is served. done as in Apply.
func (n *Node) Adopt(v Vector, done func(error)) bool {
	return n.do(&op{adopt: v, done: func(r opResult) { done(r.err) }})
}

// Renew begins a new incarnation, for a node whose peers know of purges of its
// own that it does not: its log is older than what it once acknowledged, and its
// numbers must not be given out twice. Everything that was fetched before is
// invalid. done as in Apply.
func (n *Node) Renew(done func(error)) bool {
	return n.do(&op{renew: true, done: func(r opResult) { done(r.err) }})
}

// change does what is no part of a group, and tells the outcome.
func (n *Node) change(o *op) {
	var err error
	switch {
	case o.attach != nil:
		err = n.attachOp(o.attach)
	case n.LogState() == LogOpening:
		err = n.changeUnattached(o)
	default:
		err = n.changeOrigin(o)
	}
	o.done(opResult{err: err})
}

// adoptable returns the positions that an adoption leads to.
func (n *Node) adoptable(v Vector) (Vector, error) {
	next := n.positions.Clone()
	for from, number := range v {
		if from != n.Self() {
			next[from] = max(next[from], number)
		}
	}
	if len(next) > MaxOrigins {
		return nil, fmt.Errorf("%d logs of purges are known (valid is up to %d)", len(next), MaxOrigins)
	}
	return next, nil
}

// changeUnattached is changeOrigin while the log is not attached. What this process
// has fetched is invalid; what is on disk is not judged yet: which purges it lacks
// shows when the log is attached.
func (n *Node) changeUnattached(o *op) error {
	next, err := n.adoptable(o.adopt)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for from, number := range next {
		if number > n.positions[from] {
			n.adopted[from] = number
		}
	}
	n.positions = next
	n.incarnation.Store(randomID())
	n.table.epoch.Add(1)
	return nil
}

// changeOrigin does what invalidates everything: adopt and renew.
func (n *Node) changeOrigin(o *op) error {
	next, err := n.adoptable(o.adopt)
	if err != nil {
		return err
	}
	s := n.state()
	s.epoch++
	s.all.hard = s.epoch
	incarnation := n.incarnation.Load()
	if o.renew {
		incarnation = randomID()
	}
	err = n.logChange(incarnation, s, next)
	n.mu.Lock()
	n.table.all.Store(&s.all)
	n.table.epoch.Store(s.epoch)
	n.incarnation.Store(incarnation)
	n.positions = next
	n.mu.Unlock()
	if err != nil {
		if n.LogState() == LogWritten {
			n.fallBehind(err)
		}
		n.away.purges, n.away.bytes, n.away.lost = nil, 0, true
		n.unmark()
	}
	return nil
}

// logChange writes that everything is invalid, and the positions that are thereby
// reached.
func (n *Node) logChange(incarnation uint64, s state, positions Vector) error {
	switch {
	case n.LogState() == LogMemory:
		return nil
	case n.LogState() != LogWritten:
		return n.away.cause
	case incarnation != n.incarnation.Load():
		file, snapshot := n.file, n.snapshot(nil, incarnation, s)
		return n.device.do(func() error { return file.replace(snapshot, file.keep(0, n.o.MaxLog), nil) })
	case n.file.broken != nil:
		return n.file.broken
	}
	// The state first: a log that ends between the two has purged more than it
	// needed to.
	file, records := n.file, positions.appendRecords(s.append(nil))
	return n.device.do(func() error { return file.append(records, nil, nil) })
}
