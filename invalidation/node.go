package invalidation

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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

// Origin is where purges come from.
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
}

// position is what is known of an origin.
type position struct {
	highest uint64 // number of the last purge that was applied
	lowest  uint64 // of the first that the log still has; 0: none
}

// Options configure a Node.
type Options struct {
	// Node is this node's name, 1 to 255 bytes.
	Node string
	// Dir holds the log; "" keeps everything in memory, for a node without a
	// disk tier: its facts die with the objects that they concern.
	Dir string
	// Mark is a file beside what the facts concern. A log and a mark that were
	// not written together, because one of them is lost or older, are not used
	// together.
	Mark string
	// MaxScopes bounds the distinct scopes in memory, about 64 bytes each; 0
	// means 1,048,576.
	MaxScopes int64
	// Recent is how many purges are kept for List; 0 means 10,000.
	Recent int
	// MaxLog is the size in bytes at which the log is rewritten; 0 means 64 MiB.
	MaxLog int64
	// Log gets what an operator must know; nil discards it.
	Log *slog.Logger
	// Applied is told of each purge that took effect here. It must not block.
	Applied func(Purge)
	// Now stamps purges; nil means time.Now.
	Now func() time.Time

	write func(f *os.File, b []byte) error // in place of a synced write, in tests
}

// ErrNotLogged: the purge could not be written to the log, and has no effect.
var ErrNotLogged = errors.New("the purge could not be written to the log")

// ErrClosed: the node was closed.
var ErrClosed = errors.New("invalidation: closed")

// Node holds the facts of one process. All methods are safe for concurrent use.
type Node struct {
	o           Options
	table       table
	incarnation uint64
	sessions    [2][16]byte

	ops    chan *op
	stop   chan struct{}
	done   chan struct{}
	closed sync.Once

	mu        sync.Mutex // protects what follows; the writer changes it
	positions map[Origin]*position
	recent    []Purge

	// The writer's own.
	f      *os.File
	size   int64
	broken error // the file may hold what was not acknowledged
}

type op struct {
	facts []Fact
	done  chan opResult
}

type opResult struct {
	purge Purge
	err   error
}

// Open reads the log, or begins one. The error is that of the directory; a log
// that is damaged is replaced, and whatever was stored before is invalid.
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
	o.MaxScopes = cmp.Or(o.MaxScopes, defaultMaxScopes)
	o.Recent = cmp.Or(o.Recent, 10_000)
	o.MaxLog = cmp.Or(o.MaxLog, 64<<20)
	if o.Node == "" || len(o.Node) > maxNodeName {
		return nil, fmt.Errorf("a node needs a name of 1 to %d bytes, it has %q", maxNodeName, o.Node)
	}
	n := &Node{o: o, ops: make(chan *op, 256), stop: make(chan struct{}), done: make(chan struct{})}
	n.reset()
	if o.Dir != "" {
		if err := n.openLog(); err != nil {
			return nil, fmt.Errorf("cannot open the log of purges: %w", err)
		}
	}
	go n.writer()
	return n, nil
}

// reset begins a new incarnation, empty.
func (n *Node) reset() {
	n.table = table{}
	n.table.init(n.o.MaxScopes)
	n.table.epoch.Store(1) // 0 is what nobody has checked
	n.positions = make(map[Origin]*position)
	n.recent = nil
	n.sessions = [2][16]byte{}
	n.incarnation = randomID()
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

func writeSynced(f *os.File, b []byte) error {
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

func (n *Node) openLog() error {
	if err := os.MkdirAll(n.o.Dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(n.o.Dir, logName)
	f, err := os.Open(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if _, err := os.Stat(n.o.Mark); n.o.Mark != "" && err == nil {
			n.forget(errors.New("it is gone"))
		}
	case err != nil:
		return err
	default:
		end, lerr := n.load(f)
		st, serr := f.Stat()
		_ = f.Close()
		switch {
		case lerr != nil && !errors.Is(lerr, errDamaged):
			return lerr
		case lerr != nil || serr != nil:
			n.forget(errors.Join(lerr, serr))
		case !n.markFits():
			n.forget(errors.New("it and what is stored were not written together"))
		case st.Size() > end:
			// Whatever was being written was not acknowledged. Should it have
			// been after all, a fetch may have seen its epoch: none of the
			// next may be below that.
			n.table.epoch.Add(1 << 32)
		}
	}
	// The new session: first the log, which knows two, then the mark.
	n.sessions[0] = n.sessions[1]
	_, _ = rand.Read(n.sessions[1][:])
	if err := n.rewrite(); err != nil {
		return err
	}
	if n.o.Mark == "" {
		return nil
	}
	return writeFileSync(n.o.Mark, n.sessions[1][:])
}

// forget starts anew after a log that cannot be used.
func (n *Node) forget(cause error) {
	n.o.Log.Warn("the log of purges cannot be used; whatever was stored before is invalid", "dir", n.o.Dir, "error", cause)
	n.reset()
}

// markFits tells whether the mark is of this log's last session, or of the one
// before: the process may have died between the two writes.
func (n *Node) markFits() bool {
	if n.o.Mark == "" {
		return true
	}
	b, err := os.ReadFile(n.o.Mark)
	return err == nil && len(b) == 16 && (string(b) == string(n.sessions[0][:]) || string(b) == string(n.sessions[1][:]))
}

// rewrite replaces the log by a snapshot and the recent purges.
func (n *Node) rewrite() error {
	for _, p := range n.positions {
		p.lowest = 0
	}
	for i := range n.recent {
		id := n.recent[i].ID
		if p := n.positions[Origin{id.Node, id.Incarnation}]; p != nil && (p.lowest == 0 || id.Number < p.lowest) {
			p.lowest = id.Number
		}
	}
	b := n.snapshot(nil)
	for i := range n.recent {
		b = n.recent[i].append(b)
	}
	path := filepath.Join(n.o.Dir, logName)
	if err := writeFileSync(path, b); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if n.f != nil {
		_ = n.f.Close()
	}
	n.f, n.size, n.broken = f, int64(len(b)), nil
	return nil
}

// Name is this node's name.
func (n *Node) Name() string { return n.o.Node }

// Incarnation names the log; objects of another one are invalid.
func (n *Node) Incarnation() uint64 { return n.incarnation }

// Epoch is what a fetch that begins now must remember.
func (n *Node) Epoch() uint64 { return n.table.epoch.Load() }

// Check tells whether an object may be used, and with Stale since when it is,
// unix milliseconds. checked belongs to the object, zero at first: that it is
// valid is kept there, for as long as nothing is purged.
func (n *Node) Check(s *Subject, checked *atomic.Uint64) (v Verdict, since int64) {
	if n.Known(checked) {
		return Valid, 0
	}
	if s.Incarnation != n.incarnation {
		return Invalid, 0
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

// Purge makes facts true: when it returns, they are in the log and in effect
// here. The error is ErrNotLogged, wrapped, or that of the facts; then nothing
// has changed.
func (n *Node) Purge(facts []Fact) (Purge, error) {
	if len(facts) == 0 || len(facts) > MaxFacts {
		return Purge{}, fmt.Errorf("a purge of %d scopes; valid is 1 to %d", len(facts), MaxFacts)
	}
	for i := range facts {
		if err := facts[i].Validate(); err != nil {
			return Purge{}, err
		}
	}
	o := &op{facts: facts, done: make(chan opResult, 1)}
	select {
	case n.ops <- o:
	case <-n.done:
		return Purge{}, ErrClosed
	}
	select {
	case r := <-o.done:
		return r.purge, r.err
	case <-n.done:
		// It may have been the last that the writer did.
		select {
		case r := <-o.done:
			return r.purge, r.err
		default:
			return Purge{}, ErrClosed
		}
	}
}

// writer is the only goroutine that writes to the log and applies. Purges that
// come together are synced together.
func (n *Node) writer() {
	defer close(n.done)
	group := make([]*op, 0, cap(n.ops))
	for {
		group = group[:0]
		select {
		case o := <-n.ops:
			group = append(group, o)
		case <-n.stop:
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
		n.commit(group)
	}
}

func (n *Node) commit(group []*op) {
	self := Origin{n.o.Node, n.incarnation}
	number := uint64(0)
	if p := n.positions[self]; p != nil { // only this goroutine changes it
		number = p.highest
	}
	epoch := n.table.epoch.Load()
	purges := make([]Purge, len(group))
	var b []byte
	for i, o := range group {
		purges[i] = Purge{
			ID: ID{self.Node, self.Incarnation, number + uint64(i) + 1}, At: n.o.Now().UnixMilli(),
			Epoch: epoch + uint64(i) + 1, Facts: o.facts,
		}
		if n.o.Dir != "" {
			b = purges[i].append(b)
		}
	}
	if err := n.log(b); err != nil {
		n.o.Log.Error("purges refused: the log cannot be written", "purges", len(group), "error", err)
		for _, o := range group {
			o.done <- opResult{err: fmt.Errorf("%w: %w", ErrNotLogged, err)}
		}
		return
	}
	for i, o := range group {
		n.mu.Lock()
		n.take(purges[i])
		n.mu.Unlock()
		n.o.Applied(purges[i])
		o.done <- opResult{purge: purges[i]}
	}
}

// log writes and syncs b. After an error nothing of it is in the log, or the log
// is replaced before anything else is written.
func (n *Node) log(b []byte) error {
	if n.o.Dir == "" {
		return nil
	}
	if n.broken != nil || n.size+int64(len(b)) > n.o.MaxLog {
		if err := n.replaceLog(); err != nil {
			return err
		}
	}
	if err := n.o.write(n.f, b); err != nil {
		// What was written in part must not be found behind what comes next,
		// and after a failed sync nobody knows what is on the device.
		n.broken = err
		return err
	}
	n.size += int64(len(b))
	return nil
}

// replaceLog rewrites the log. What was kept for others is the part that goes
// when it would be large again at once.
func (n *Node) replaceLog() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.rewrite()
	if err == nil && n.size > n.o.MaxLog/2 {
		n.recent = slices.Clone(n.recent[len(n.recent)/2:])
	}
	return err
}

// take applies p: its effects first, then its epoch. The caller holds mu, or is
// alone.
func (n *Node) take(p Purge) {
	for _, f := range p.Facts {
		n.table.effect(f, p.Epoch, p.At)
	}
	n.table.epoch.Store(max(p.Epoch, n.table.epoch.Load()))
	n.table.bound()
	o := Origin{p.ID.Node, p.ID.Incarnation}
	pos := n.positions[o]
	if pos == nil {
		pos = &position{}
		n.positions[o] = pos
	}
	pos.highest = max(pos.highest, p.ID.Number)
	if pos.lowest == 0 {
		pos.lowest = p.ID.Number
	}
	n.recent = append(n.recent, p)
	if len(n.recent) >= 2*n.o.Recent {
		n.recent = slices.Clone(n.recent[len(n.recent)-n.o.Recent:])
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
}

// Stats tells what the node holds.
func (n *Node) Stats() Stats {
	t := &n.table
	s := Stats{Epoch: t.epoch.Load(), Floor: t.floor.Load(), Scopes: t.scopes.Load(), FloorRaised: t.raised.Load(), Widened: t.widened.Load()}
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.positions[Origin{n.o.Node, n.incarnation}]; p != nil {
		s.Last = ID{Node: n.o.Node, Number: p.highest}.String()
	}
	return s
}

// Close ends the node; purges that were not acknowledged may or may not be in
// the log.
func (n *Node) Close() error {
	err := ErrClosed
	n.closed.Do(func() {
		close(n.stop)
		<-n.done
		err = nil
		if n.f != nil {
			err = n.f.Close()
		}
	})
	return err
}
