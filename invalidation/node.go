package invalidation

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ID names a purge for ever: the node that took it, the incarnation of that
// node's log, and a number that counts up from 1 without gaps.
type ID struct {
	Node        string
	Incarnation uint64
	Number      uint64
}

// String is the ID as the API shows it, "<node>:<number>".
func (id ID) String() string { return id.Node + ":" + strconv.FormatUint(id.Number, 10) }

func (id ID) origin() Origin { return Origin{id.Node, id.Incarnation} }

// Origin is the log that purges come from.
type Origin struct {
	Node        string
	Incarnation uint64
}

// Purge is a set of facts that take effect together.
type Purge struct {
	ID ID
	// At is when its node took it, unix milliseconds; nothing depends on it.
	At int64
	// Epoch is what this node gave it.
	Epoch uint64
	Facts []Fact
	// Unlogged: it is in effect here and could not be written to the log yet.
	Unlogged bool
}

// Options configure a Node.
type Options struct {
	// Node is this node's name, 1 to 255 bytes.
	Node string
	// Dir holds the log; "" keeps everything in memory, for a node without a
	// disk tier: its facts die with the objects that they concern.
	Dir string
	// Later leaves the log in Dir for Load and Attach, so that a device that hangs
	// keeps nobody waiting. Until then purges are in effect in memory.
	Later bool
	// Mark is a file beside what the facts concern. A log and a mark that were
	// not written together, because one of them is lost or older, are not used
	// together.
	Mark string
	// MaxScopes bounds the distinct scopes in memory, about 80 bytes each; 0
	// means 786,432.
	MaxScopes int64
	// Recent is how many purges are kept in memory for List; 0 means 10,000.
	Recent int
	// MaxLog is the size in bytes at which the older half of the log goes; 0
	// means 128 MiB.
	MaxLog int64
	// MakeRoom is asked to free space on the device that holds the log when that
	// is full, and reports whether it did. It may be nil.
	MakeRoom func() bool
	// Log gets what an operator must know; nil discards it.
	Log *slog.Logger
	// Applied is told of each purge that took effect here, those of other nodes
	// included. It must not block.
	Applied func(Purge)
	// Now stamps purges; nil means time.Now.
	Now func() time.Time

	write    func(f *os.File, b []byte) error // in place of a synced write, in tests
	patience time.Duration                    // devicePatience, but in tests
	retry    time.Duration                    // retryEvery, but in tests
}

// ErrClosed: the node was closed.
var ErrClosed = errors.New("invalidation: closed")

// Node holds the facts of one process. All methods are safe for concurrent use.
type Node struct {
	o           Options
	table       table
	incarnation atomic.Uint64
	begun       bool // the log was begun at this start
	gate        *Gate
	// aliases are the incarnations that this process had before its log was
	// attached.
	aliases  atomic.Pointer[[]alias]
	sessions [2][16]byte
	logState atomic.Uint32
	away     away
	device   device
	quotas   quotas

	ops    chan *op
	stop   chan struct{}
	done   chan struct{}
	closed sync.Once

	mu        sync.Mutex // protects what follows; the writer changes it
	file      *logFile   // nil: in memory, or not attached yet
	positions Vector
	// adopted are the positions that were taken over from a peer before the log
	// was attached: nobody here has seen those purges.
	adopted     Vector
	recent      []Purge
	recentBytes int
	watchers    map[int]func(Purge)
	watched     int
}

// Open reads the log, or begins one. The error is that of the device that holds
// it; a log that is damaged is replaced, and whatever was stored before is invalid.
// A log that can be read and not written is used, and written once it can be.
func Open(o Options) (*Node, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Applied == nil {
		o.Applied = func(Purge) {}
	}
	if o.write == nil {
		o.write = writeSynced
	}
	if o.MakeRoom == nil {
		o.MakeRoom = func() bool { return false }
	}
	o.patience = cmp.Or(o.patience, devicePatience)
	o.retry = cmp.Or(o.retry, retryEvery)
	o.MaxScopes = cmp.Or(o.MaxScopes, defaultMaxScopes)
	o.Recent = cmp.Or(o.Recent, 10_000)
	o.MaxLog = cmp.Or(o.MaxLog, 128<<20)
	if o.Node == "" || len(o.Node) > maxNodeName {
		return nil, fmt.Errorf("a node needs a name of 1 to %d bytes, it has %q", maxNodeName, o.Node)
	}
	n := &Node{
		o: o, ops: make(chan *op, 256), stop: make(chan struct{}), done: make(chan struct{}), gate: newGate(),
		watchers: make(map[int]func(Purge)), device: device{patience: o.patience},
	}
	n.quotas.init(o.MaxScopes)
	n.reset()
	if o.Dir == "" {
		go n.writer()
		return n, nil
	}
	n.logState.Store(uint32(LogOpening))
	if !o.Later {
		l, err := n.Load()
		if err != nil {
			return nil, err
		}
		n.attach(l) // nobody uses the node yet
	}
	go n.writer()
	return n, nil
}

// reset begins a new incarnation, empty.
func (n *Node) reset() {
	n.table = table{}
	n.table.init(n.o.MaxScopes)
	n.table.epoch.Store(1) // 0 is what nobody has checked
	n.positions = make(Vector)
	n.recent, n.recentBytes = nil, 0
	n.adopted = make(Vector)
	n.sessions = [2][16]byte{}
	n.incarnation.Store(randomID())
	n.begun = true
}

func randomID() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // it never fails
		if id := binary.LittleEndian.Uint64(b[:]); id != 0 {
			return id
		}
	}
}

// Name is this node's name.
func (n *Node) Name() string { return n.o.Node }

// Incarnation names the log; objects of another one are invalid.
func (n *Node) Incarnation() uint64 { return n.incarnation.Load() }

// Self is where this node's own purges come from.
func (n *Node) Self() Origin { return Origin{n.o.Node, n.incarnation.Load()} }

// Fresh tells whether the log was begun when the node was opened, or is not
// attached yet: then nothing that was stored before is valid.
func (n *Node) Fresh() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.begun
}

// Gate says whether the cache may be used without asking the origin.
func (n *Node) Gate() *Gate { return n.gate }

// Epoch is what a fetch that begins now must remember.
func (n *Node) Epoch() uint64 { return n.table.epoch.Load() }

// Check tells whether an object may be used, and with Stale since when it is,
// unix milliseconds. checked belongs to the object, zero at first: that it is
// valid is kept there, for as long as nothing is purged.
func (n *Node) Check(s *Subject, checked *atomic.Uint64) (v Verdict, since int64) {
	if n.Known(checked) {
		return Valid, 0
	}
	if s.Incarnation != n.incarnation.Load() {
		shift, ok := n.shiftOf(s.Incarnation)
		if !ok {
			return Invalid, 0
		}
		moved := *s
		moved.Epoch += shift
		s = &moved
	}
	// The epoch first: a purge that comes now must be looked for again.
	epoch := n.table.epoch.Load()
	if v, since = n.table.check(s); v == Valid {
		checked.Store(epoch)
	}
	return v, since
}

// Known tells, without a Subject, whether the object was found valid since
// anything was purged: the one compare of the hit path.
func (n *Node) Known(checked *atomic.Uint64) bool {
	return checked.Load() == n.table.epoch.Load()
}

// Watch has fn told of each purge that takes effect from now on, in the order in
// which they do. It is called by the goroutine that applies and must not block.
func (n *Node) Watch(fn func(Purge)) (stop func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.watched++
	id := n.watched
	n.watchers[id] = fn
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.watchers, id)
	}
}

// List returns up to limit purges that were applied here after the one named, in
// the order in which they were; with an empty name, or one that is not kept any
// more, from the oldest kept.
func (n *Node) List(after string, limit int) []Purge {
	n.mu.Lock()
	defer n.mu.Unlock()
	from := 0
	for i := len(n.recent) - 1; i >= 0 && after != ""; i-- {
		if n.recent[i].ID.String() == after {
			from = i + 1
			break
		}
	}
	return slices.Clone(n.recent[from:min(len(n.recent), from+limit)])
}

// Last returns the newest purges, up to n, in the order in which they were applied.
func (n *Node) Last(count int) []Purge {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.recent[max(0, len(n.recent)-count):])
}

// Find returns a purge by its name, as long as it is kept.
func (n *Node) Find(id string) (Purge, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := len(n.recent) - 1; i >= 0; i-- {
		if n.recent[i].ID.String() == id {
			return n.recent[i], true
		}
	}
	return Purge{}, false
}

// Stats is what a node holds.
type Stats struct {
	// Epoch counts purges, those of other nodes included.
	Epoch, Floor uint64
	// Scopes are in memory.
	Scopes int64
	// FloorRaised counts how often there were too many, Widened the prefixes
	// that were taken as their host, or as everything.
	FloorRaised, Widened int64
	Last                 string // name of this node's last purge; "" before the first
	// Log is whether purges are in the log; Unlogged counts those that are not.
	Log      LogState
	Unlogged int64
	// Refused counts the purges that a token was refused for want of room.
	Refused int64
}

// Stats tells what the node holds.
func (n *Node) Stats() Stats {
	t := &n.table
	s := Stats{Epoch: t.epoch.Load(), Floor: t.floor.Load(), Scopes: t.scopes.Load(), FloorRaised: t.raised.Load(), Widened: t.widened.Load(), Log: n.LogState(), Unlogged: n.away.count.Load(), Refused: n.quotas.refused.Load()}
	n.mu.Lock()
	defer n.mu.Unlock()
	if last := n.positions[n.Self()]; last > 0 {
		s.Last = ID{Node: n.o.Node, Number: last}.String()
	}
	return s
}

// closePatience is how long Close waits for the device under the log.
const closePatience = 10 * time.Second

// Close ends the node; purges that were not acknowledged may or may not be in
// the log. A device that takes nothing would keep it waiting for ever: after ten
// seconds it gives the log up, with an error.
func (n *Node) Close() error {
	err := ErrClosed
	n.closed.Do(func() {
		close(n.stop)
		ended := make(chan error, 1)
		go func() {
			<-n.done
			ended <- n.closeLog()
		}()
		t := time.NewTimer(closePatience)
		defer t.Stop()
		select {
		case err = <-ended:
		case <-t.C:
			err = fmt.Errorf("the device has taken nothing for %v; purges that were not acknowledged may be missing", closePatience)
		}
	})
	return err
}
