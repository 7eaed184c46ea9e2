package invalidation

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// A node whose device hangs at the start serves on without its log. What it
// fetches and what is purged meanwhile has the epochs and the incarnation of a log
// that was never written. When the log can be read at last, those epochs are moved
// behind all that the log holds: each purge that was made in the meantime binds what
// the disk has, and what was fetched in the meantime stays as valid as it was.

// alias is an incarnation that was in use before the log was attached, and by how
// much its epochs were moved.
type alias struct {
	incarnation, shift uint64
}

// shiftOf returns by how much epochs of the incarnation were moved; false when it
// is not one of this process.
func (n *Node) shiftOf(incarnation uint64) (uint64, bool) {
	if list := n.aliases.Load(); list != nil {
		for _, a := range *list {
			if a.incarnation == incarnation {
				return a.shift, true
			}
		}
	}
	return 0, false
}

// Loaded is a log that was read and is not in use yet.
type Loaded struct {
	n *Node
	// cause is why the log can be read and not written; nil when it can be.
	cause error
}

// Load reads the log, or begins one. It may wait for the device for as long as that
// likes. The error is that of the device.
func (n *Node) Load() (*Loaded, error) {
	from := &Node{o: n.o}
	from.away.mark.Store(n.away.mark.Load())
	from.reset()
	l := &Loaded{n: from}
	if err := from.openLog(); err != nil {
		if from.file == nil {
			return nil, fmt.Errorf("cannot open the log of purges: %w", err)
		}
		l.cause = err
	}
	return l, nil
}

// Attach goes on with a log that was loaded. From then on what is stored beside it
// is valid, as far as no purge touches it. done as in Apply; its error is that the
// log is already attached.
func (n *Node) Attach(l *Loaded, done func(error)) bool {
	return n.do(&op{attach: l, done: func(r opResult) { done(r.err) }})
}

// Close gives up a log that was not attached.
func (l *Loaded) Close() error { return l.n.file.close() }

// attachOp is Attach on the writer.
func (n *Node) attachOp(l *Loaded) error {
	if n.LogState() != LogOpening {
		return errors.New("the log of purges is attached already")
	}
	n.attach(l)
	return nil
}

// attach merges what is in memory into what was loaded. The writer calls it, or
// nobody else uses the node.
//
// Losing interleaving: a fetch that begins now reads the epoch, and then the
// incarnation (stored.Moment). With the moved epoch and the old incarnation it would
// seem to be younger than it is, so the incarnation is changed first.
func (n *Node) attach(l *Loaded) {
	from := l.n
	shift := from.table.epoch.Load() - 1
	n.mu.Lock()
	n.aliases.Store(&[]alias{{n.incarnation.Load(), shift}})
	epoch := n.table.epoch.Load() + shift
	n.table.behind(&from.table, shift)
	n.incarnation.Store(from.incarnation.Load())
	n.table.epoch.Store(epoch)
	n.attachPositions(from)
	for i := range n.recent {
		n.recent[i].Epoch += shift
	}
	n.recent, n.recentBytes = append(from.recent, n.recent...), n.recentBytes+from.recentBytes
	n.file, n.sessions, n.begun = from.file, from.sessions, from.begun
	n.mu.Unlock()
	for i := range n.away.purges {
		n.away.purges[i].Epoch += shift
	}
	n.logState.Store(uint32(LogBehind))
	err := l.cause
	if err == nil {
		err = n.catchUpLog()
	}
	if err != nil {
		n.fallBehind(err)
		if n.away.count.Load() > 0 {
			n.away.unmarked = false // the mark may have been written since
			n.unmark()
		}
		return
	}
	n.settled()
}

// attachPositions merges how far the logs were applied. Purges that were passed
// over by adopting a peer's vector are missing for what is on disk. The caller holds
// mu.
func (n *Node) attachPositions(from *Node) {
	next := from.positions.Clone()
	for o, number := range n.positions {
		if number > n.adopted[o] && n.adopted[o] <= next[o] || n.adopted[o] == 0 {
			next[o] = max(next[o], number)
		}
	}
	if len(next) > MaxOrigins {
		// What was purged in memory is in the table; only the way back to it goes.
		next = from.positions.Clone()
	}
	n.positions, n.adopted = next, make(Vector)
}

// behind moves everything in t by shift, behind all that is in log, and adds that.
func (t *table) behind(log *table, shift uint64) {
	for i := range t.shards {
		s := &t.shards[i]
		merged := log.shards[i].cells
		s.mu.Lock()
		for h, c := range s.cells {
			d := merged[h]
			d.add(c.moved(shift))
			merged[h] = d
		}
		s.cells = merged
		s.mu.Unlock()
	}
	var scopes int64
	for i := range t.shards {
		scopes += int64(len(t.shards[i].cells))
	}
	t.scopes.Store(scopes)
	all := *log.all.Load()
	all.add(t.all.Load().moved(shift))
	t.all.Store(&all)
	for fm := range t.prefixes {
		// More lengths than admitLength would take, once, are better than prefixes
		// that nobody looks for.
		list := slices.Concat(*t.prefixes[fm].Load(), *log.prefixes[fm].Load())
		slices.Sort(list)
		list = slices.Compact(list)
		t.prefixes[fm].Store(&list)
	}
	floor := log.floor.Load()
	if f := t.floor.Load(); f > 0 {
		floor = max(floor, f+shift)
	}
	t.floor.Store(floor)
}

// moved returns the cell with its epochs moved.
func (c cell) moved(shift uint64) cell {
	if c.hard > 0 {
		c.hard += shift
	}
	if c.soft > 0 {
		c.soft += shift
	}
	return c
}

// there reports that the log is not the file any more that stands in its place.
func (l *logFile) there() error {
	ours, err := l.f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(l.path)
	if err != nil {
		return err
	}
	if !os.SameFile(ours, now) {
		return fmt.Errorf("%s was replaced", l.path)
	}
	return nil
}
