package tiers

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"weir/policy"
	"weir/tiers/disk"
)

// ram is the RAM tier. The shards' tables say what is stored, and are exact;
// the window keeps what nobody has asked for again yet, oldest out first;
// ristretto decides what stays of the rest, and answers hits without a lock of
// ours; the front leads to what was found before.
//
// Ristretto's books are dear: a Set allocates, wakes a goroutine and looks at five
// other objects. Most of what a cache is filled with is never asked for again, so
// an object is offered to ristretto only once it was: by a lookup that finds it in
// the window, by a put in its own place, or by a put not long after it was pushed
// out, which the ghosts tell. The window takes all the room that ristretto leaves,
// and at least a thirty-second part of the tier, since ristretto is given no more.
//
// Ristretto shows a Set only later, may drop it, and of two Sets of one key
// that are queued together keeps the first. So it is never believed: it holds
// cells, a put makes a cell of its own, and the key's table entry names the one
// cell that counts. All others of the key are dead: emptied, so that their
// coming up late is a miss and their bodies can be collected.
//
// The losing interleaving: Put(k, v1) queues cell A; the window forgets A;
// Put(k, v2) queues cell B; ristretto shows A and, since it now has k, rejects
// B. Were cells not emptied, v1 would come back from the dead. Here A answers
// nothing, the table leads to B, and the rejection puts B in A's place.
//
// Each Set that was taken ends in exactly one OnExit of its cell: replaced,
// rejected, evicted or deleted. That is what keeps the books.
type ram struct {
	main *ristretto.Cache[[]byte, *cell]

	shards []ramShard
	mask   uint32
	// maxObject is the largest cost that is kept.
	maxObject int64
	capacity  int64
	// homeCost is what a cell's home takes, in bytes: nothing without a disk.
	homeCost int64

	front  front
	ghosts ghosts

	bytes   atomic.Int64
	objects atomic.Int64
	// evicted is told of every object that left without being replaced or
	// deleted. It must not block: ristretto's own goroutine calls it.
	evicted func(*Object)
	// forgotten is told of every object that is no longer here, for whatever reason; nil:
	// nobody is. It must not block, and a shard is locked meanwhile.
	forgotten func(*Object)
	closing   atomic.Bool
}

type ramShard struct {
	// mu protects the fields below and what it says of cells. A hit that
	// ristretto answers never takes it. While it is held, ristretto may be
	// asked and Set, but not Del, which waits for a goroutine that waits for mu.
	mu     sync.Mutex
	cells  map[policy.Hash]*cell
	window *simplelru.LRU[policy.Hash, *cell]
	bytes  int64 // in the window
	_      [32]byte
}

// cell is one put of one object.
type cell struct {
	// obj is nil once the cell is dead; dead cells stay dead.
	obj  atomic.Pointer[Object]
	hash policy.Hash
	// asked counts the lookups of the current turn that ristretto was told of; see
	// front.
	asked atomic.Uint32
	// The rest is protected by the shard.

	// inMain: ristretto holds the cell, shown or queued.
	inMain   bool
	inWindow bool
	// rejected: ristretto was offered the cell and did not keep it.
	rejected bool
	// hit: a lookup found the cell in the table, after the rejection if there was one.
	hit  bool
	cost int64
	// home is where on disk the object was last known to lie, with this body and
	// with these metadata or older ones of the same object.
	home *disk.Place
}

const (
	// typicalCost is what an object is expected to take when the front and
	// ristretto's counters are sized.
	typicalCost = 4 << 10
	// countersEach is how many counters there are for each of these objects, of
	// about 3 bytes each. They are halved after as many lookups as there are
	// counters, so they are also how long ristretto remembers. On a Zipf(0.9)
	// stream over ten times what fits, 10 each gave 1.06 times the hits of LRU, 30
	// gave 1.10 and 100 gave 1.11; 30 take 2.4 % of the tier's size.
	countersEach = 30
	// headRoom is what the largest body may carry in fields besides.
	headRoom  = 32 << 10
	maxShards = 16
)

// placeCost is what a disk.Place takes.
const placeCost = 128

func newRAM(size, maxBody int64, evicted func(*Object)) (*ram, error) {
	largest := maxBody + objectOverhead + headRoom
	window := max(size/32, min(largest, size/2))
	shards := int64(1)
	for shards < maxShards && window/(shards*2) >= largest {
		shards *= 2
	}
	r := &ram{
		shards: make([]ramShard, shards), mask: uint32(shards - 1),
		maxObject: window / shards, capacity: size, evicted: evicted,
	}
	var err error
	r.main, err = ristretto.NewCache(&ristretto.Config[[]byte, *cell]{
		NumCounters:        max(countersEach*(size/typicalCost), 1000),
		MaxCost:            size - window,
		BufferItems:        64,
		IgnoreInternalCost: true,
		KeyToHash: func(k []byte) (uint64, uint64) {
			return binary.LittleEndian.Uint64(k), binary.LittleEndian.Uint64(k[8:])
		},
		OnReject: func(i *ristretto.Item[*cell]) { r.reject(i.Value) },
		OnExit:   r.exit,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make the RAM tier: %w", err)
	}
	r.front.init(size / typicalCost)
	r.ghosts.init(size / typicalCost)
	for i := range r.shards {
		s := &r.shards[i]
		s.cells = make(map[policy.Hash]*cell)
		// The window is bounded by bytes; the count only has to be out of the way.
		s.window, err = simplelru.NewLRU[policy.Hash, *cell](1<<30, nil)
		if err != nil {
			r.close()
			return nil, fmt.Errorf("cannot make the RAM tier's window: %w", err)
		}
	}
	return r, nil
}

// get returns the object under the hash when its text is the one asked for.
// The hit path: no allocation and no lock of ours, as long as h is on the heap.
func (r *ram) get(h *policy.Hash, text []byte) *Object {
	// Fast path: it was found before.
	at := r.front.at(h)
	if c := at.Load(); c != nil && c.hash == *h {
		if o := c.obj.Load(); o != nil {
			if r.front.tells(c) {
				r.main.Get(h[:])
			}
			return o.ifText(text)
		}
	}
	// Ristretto shows it.
	if c, ok := r.main.Get(h[:]); ok && c != nil {
		if o := c.obj.Load(); o != nil {
			at.Store(c)
			return o.ifText(text)
		}
	}
	// Slow path: it is in the window only, or it is not here.
	s := r.shard(h)
	s.mu.Lock()
	c := s.cells[*h]
	if c == nil {
		s.mu.Unlock()
		return nil
	}
	o := c.obj.Load()
	c.hit = true
	if !c.inMain && !c.rejected {
		// What was rejected waits until the window forgets it: ristretto would
		// hardly judge otherwise a moment later.
		r.offerLocked(c)
	}
	at.Store(c)
	s.mu.Unlock()
	return o.ifText(text)
}

// ifText returns o when its key is the text, else nil: a collision is a miss.
func (o *Object) ifText(text []byte) *Object {
	if o.Text == string(text) {
		return o
	}
	return nil
}

// current returns what is stored under the hash, whatever its text, without
// counting as a use.
func (r *ram) current(h *policy.Hash) *Object {
	s := r.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.cells[*h]; c != nil {
		return c.obj.Load()
	}
	return nil
}

// put publishes o; the next get sees it. It reports false when o is too large,
// and nothing is stored under its key then.
func (r *ram) put(o *Object) bool { return r.putIf(o, nil) }

// putIf is put when cond, called with what is stored (nil: nothing) while
// nobody can change that, agrees; nil always does. When it does not, nothing
// happens, and the answer is false.
func (r *ram) putIf(o *Object, cond func(current *Object) bool) bool {
	cost := r.cost(o)
	s := r.shard(&o.Hash)
	s.mu.Lock()
	old := s.cells[o.Hash]
	if cond != nil {
		var was *Object
		if old != nil {
			was = old.obj.Load()
		}
		if !cond(was) {
			s.mu.Unlock()
			return false
		}
	}
	if cost > r.maxObject {
		s.mu.Unlock()
		r.delete(&o.Hash)
		return false
	}
	if old != nil {
		r.killLocked(s, old)
	}
	c := &cell{hash: o.Hash, cost: cost, inWindow: true}
	c.obj.Store(o)
	s.cells[o.Hash] = c
	s.window.Add(o.Hash, c)
	s.bytes += cost
	r.bytes.Add(cost)
	r.objects.Add(1)
	if old != nil || r.ghosts.has(&o.Hash) {
		// It was asked for before. Ristretto may still show the dead cell of
		// the key, whose place this one takes.
		r.offerLocked(c)
	}
	gone := r.trimLocked(s, c)
	s.mu.Unlock()
	r.dismiss(gone)
	return true
}

// cost is what the object takes here.
func (r *ram) cost(o *Object) int64 {
	if o.isHead() {
		return o.cost() // its place is in it
	}
	return o.cost() + r.homeCost
}

// offerLocked hands the cell to ristretto, which holds no other living cell of
// the key.
func (r *ram) offerLocked(c *cell) {
	// Set may call exit for the cell that it replaces: a dead one, so that no
	// lock is taken twice.
	c.inMain = r.main.Set(c.hash[:], c, c.cost)
}

// departed is an object that was pushed out, and whether ristretto is still to
// be told.
type departed struct {
	obj  *Object
	tell bool
}

// trimLocked brings the tier back to its budget, at the window's expense, sparing
// what was just put. The caller dismisses what is returned without holding mu.
func (r *ram) trimLocked(s *ramShard, spared *cell) []departed {
	var gone []departed
	for r.bytes.Load() > r.capacity && s.window.Len() > 1 {
		gone = r.ageLocked(s, gone)
	}
	// Ristretto's own budget does not cover what it has queued, nor what grew
	// when it was replaced. Usually nothing is left to do here.
	for _, c := range s.cells {
		if r.bytes.Load() <= r.capacity {
			break
		}
		if c != spared {
			gone = append(gone, departed{c.obj.Load(), c.inMain})
			r.killLocked(s, c)
		}
	}
	return gone
}

// ageLocked takes the oldest cell out of the window. What ristretto holds is
// ristretto's from now on. What it rejected, and was asked for since, gets a
// second chance there: the asking has been counted. The rest is pushed out.
func (r *ram) ageLocked(s *ramShard, gone []departed) []departed {
	_, c, _ := s.window.RemoveOldest()
	s.bytes -= c.cost
	c.inWindow = false
	if !c.inMain && c.hit {
		c.hit = false
		r.offerLocked(c)
	}
	if !c.inMain {
		r.ghosts.add(&c.hash)
		gone = append(gone, departed{c.obj.Load(), false})
		r.killLocked(s, c)
	}
	return gone
}

// dismiss tells who must know of objects that were pushed out.
func (r *ram) dismiss(gone []departed) {
	for _, d := range gone {
		if d.tell {
			r.main.Del(d.obj.Hash[:])
		}
		if r.evicted != nil {
			r.evicted(d.obj)
		}
	}
}

// killLocked takes a living cell out of the table and the books and empties it.
func (r *ram) killLocked(s *ramShard, c *cell) {
	if o := c.obj.Swap(nil); o != nil && r.forgotten != nil {
		defer r.forgotten(o)
	}
	r.front.drop(c)
	delete(s.cells, c.hash)
	if c.inWindow {
		s.window.Remove(c.hash)
		s.bytes -= c.cost
		c.inWindow = false
	}
	r.bytes.Add(-c.cost)
	r.objects.Add(-1)
}

// reject hears that ristretto did not take the cell; exit follows. Where it
// already shows a dead cell of the key that is no judgement on the object: the
// living one takes the dead one's place.
func (r *ram) reject(c *cell) {
	if c == nil || c.obj.Load() == nil || r.closing.Load() {
		return
	}
	s := r.shard(&c.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	o := c.obj.Load()
	if o == nil {
		return
	}
	shown, ok := r.main.Get(c.hash[:])
	if !ok || shown == c {
		return
	}
	next := &cell{hash: c.hash, cost: c.cost, inWindow: c.inWindow, hit: c.hit, home: c.home}
	next.obj.Store(o)
	c.obj.Store(nil)
	r.front.drop(c)
	s.cells[c.hash] = next
	if c.inWindow {
		s.window.Add(c.hash, next)
	}
	r.offerLocked(next)
}

// exit hears that ristretto holds the cell no longer.
func (r *ram) exit(c *cell) {
	if c == nil || c.obj.Load() == nil || r.closing.Load() {
		return
	}
	s := r.shard(&c.hash)
	s.mu.Lock()
	o := c.obj.Load()
	if o == nil {
		s.mu.Unlock()
		return
	}
	c.inMain, c.rejected, c.hit = false, true, false
	r.front.drop(c) // so that the next lookup is seen here
	evicted := !c.inWindow
	if evicted {
		r.ghosts.add(&c.hash)
		r.killLocked(s, c)
	}
	s.mu.Unlock()
	if evicted && r.evicted != nil {
		r.evicted(o)
	}
}

// delete empties the key's cell at once. Ristretto's own Del only gives the
// room back: it may come late, and whatever it hits by then is told by exit.
func (r *ram) delete(h *policy.Hash) { r.deleteIf(h, nil) }

// deleteIf is delete when cond, called with what is stored (nil: nothing) while
// nobody can change that, agrees; nil always does.
func (r *ram) deleteIf(h *policy.Hash, cond func(current *Object) bool) {
	s := r.shard(h)
	s.mu.Lock()
	c := s.cells[*h]
	if cond != nil {
		var current *Object
		if c != nil {
			current = c.obj.Load()
		}
		if !cond(current) {
			c = nil
		}
	}
	if c != nil {
		r.killLocked(s, c)
	}
	s.mu.Unlock()
	if c != nil {
		r.main.Del(c.hash[:])
	}
}

func (r *ram) shard(h *policy.Hash) *ramShard {
	return &r.shards[binary.LittleEndian.Uint32(h[12:])&r.mask]
}

// close stops ristretto's goroutines. No call may run or follow.
func (r *ram) close() {
	r.closing.Store(true)
	r.front.close()
	r.main.Close()
}
