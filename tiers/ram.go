package tiers

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"weir/policy"
)

// ram is the RAM tier: ristretto for what proved itself, and before it a
// window of what was just filled.
//
// Ristretto shows a Set only later, may drop it, and of two Sets of one key
// that are queued together keeps the first. So values are cells: a key has at
// most one live cell, and replacing an object stores into its cell, visible at
// once whatever ristretto has queued.
//
// The losing interleaving: Put(k, v1) queues cell A; the window forgets A;
// Put(k, v2) makes cell B; ristretto then shows A, and v1 would come back from
// the dead. Therefore a cell that leaves the window while ristretto does not
// show it is emptied: A can surface later, but only as a miss.
type ram struct {
	main *ristretto.Cache[[]byte, *cell]

	shards []ramShard
	mask   uint32
	// maxObject is the largest cost that is kept.
	maxObject int64
	capacity  int64

	bytes   atomic.Int64
	objects atomic.Int64
	// evicted is told of every object that left without being replaced or
	// deleted. It must not block: ristretto's own goroutine calls it.
	evicted func(*Object)
}

type ramShard struct {
	// mu protects the fields below and serialises writers of its keys. It is
	// never taken by a hit that ristretto answers.
	mu     sync.Mutex
	window *simplelru.LRU[policy.Hash, *cell]
	bytes  int64
	limit  int64
	// writes counts puts and deletes. Promotion from disk gives way when it
	// moved since the disk was read: what was read may be old by now.
	writes uint64
	_      [16]byte
}

type cell struct {
	obj  atomic.Pointer[Object]
	cost atomic.Int64
	// where says which of inMain and inWindow hold the cell.
	where atomic.Uint32
	// hits counts lookups that the window answered, and share is what the
	// window accounts for the cell; both protected by the shard.
	hits  uint32
	share int64
}

const (
	inMain uint32 = 1 << iota
	inWindow
)

// typicalCost is what an object is expected to take when ristretto's counters
// are sized. Counters at ten times the objects are what its hit ratio needs;
// they cost about 3 bytes each.
const typicalCost = 4 << 10

func newRAM(size, maxObject int64, evicted func(*Object)) (*ram, error) {
	window := max(size/32, min(maxObject+objectOverhead, size/2))
	shards := int64(1)
	for shards < 16 && window/(shards*2) >= maxObject+objectOverhead {
		shards *= 2
	}
	r := &ram{shards: make([]ramShard, shards), mask: uint32(shards - 1), maxObject: window / shards, capacity: size, evicted: evicted}
	main, err := ristretto.NewCache(&ristretto.Config[[]byte, *cell]{
		NumCounters:        max(10*(size/typicalCost), 1000),
		MaxCost:            size - window,
		BufferItems:        64,
		IgnoreInternalCost: true,
		KeyToHash: func(k []byte) (uint64, uint64) {
			return binary.LittleEndian.Uint64(k), binary.LittleEndian.Uint64(k[8:])
		},
		OnEvict:  func(i *ristretto.Item[*cell]) { r.leave(i.Value, inMain) },
		OnReject: func(i *ristretto.Item[*cell]) { r.leave(i.Value, inMain) },
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make the RAM tier: %w", err)
	}
	r.main = main
	for i := range r.shards {
		s := &r.shards[i]
		s.limit = window / shards
		// The window is bounded by bytes; the count only has to be out of the way.
		s.window, err = simplelru.NewLRU[policy.Hash, *cell](1<<30, nil)
		if err != nil {
			return nil, fmt.Errorf("cannot make the RAM tier's window: %w", err)
		}
	}
	return r, nil
}

// get returns the object under the hash when its text is the one asked for.
// The hit path: no allocation and no global lock, as long as h is on the heap.
func (r *ram) get(h *policy.Hash, text []byte) *Object {
	// Fast path: ristretto shows it.
	if c, ok := r.main.Get(h[:]); ok && c != nil {
		if o := c.obj.Load(); o != nil {
			if string(text) == o.Text {
				return o
			}
			return nil
		}
	}
	// Slow path: it was just filled, or it is not here.
	s := r.shard(h)
	s.mu.Lock()
	c, ok := s.window.Get(*h)
	if ok {
		c.hits++
	}
	s.mu.Unlock()
	if !ok {
		return nil
	}
	if o := c.obj.Load(); o != nil && string(text) == o.Text {
		return o
	}
	return nil
}

// put publishes o; the next get sees it. It reports false when o is too large.
func (r *ram) put(o *Object) bool {
	cost := o.cost()
	if cost > r.maxObject {
		r.delete(&o.Hash)
		return false
	}
	s := r.shard(&o.Hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	r.putLocked(s, o, cost)
	return true
}

// generation returns the number that promote compares.
func (r *ram) generation(h *policy.Hash) uint64 {
	s := r.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// promote publishes an object that was read from disk, unless a put or delete
// came between: generation was taken before the disk was read.
func (r *ram) promote(o *Object, generation uint64) {
	cost := o.cost()
	if cost > r.maxObject {
		return
	}
	s := r.shard(&o.Hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes == generation {
		r.putLocked(s, o, cost)
		// A promotion changes nothing that another promotion could get wrong.
		s.writes = generation
	}
}

func (r *ram) putLocked(s *ramShard, o *Object, cost int64) {
	s.writes++
	if c := r.liveLocked(s, &o.Hash); c != nil {
		r.replaceLocked(s, c, o, cost)
		return
	}
	c := &cell{share: cost}
	c.obj.Store(o)
	c.cost.Store(cost)
	c.where.Store(inMain | inWindow)
	r.bytes.Add(cost)
	r.objects.Add(1)
	s.window.Add(o.Hash, c)
	s.bytes += cost
	if !r.main.Set(o.Hash[:], c, cost) {
		r.leave(c, inMain)
	}
	r.trimLocked(s)
}

// liveLocked returns the one live cell of a key, or nil.
func (r *ram) liveLocked(s *ramShard, h *policy.Hash) *cell {
	if c, ok := s.window.Peek(*h); ok {
		return c
	}
	if c, ok := r.main.Get(h[:]); ok && c != nil && c.obj.Load() != nil {
		return c
	}
	return nil
}

func (r *ram) replaceLocked(s *ramShard, c *cell, o *Object, cost int64) {
	c.obj.Store(o)
	old := c.cost.Swap(cost)
	r.bytes.Add(cost - old)
	if c.where.Load() == 0 {
		// Ristretto evicted it meanwhile: the books close at zero.
		r.bytes.Add(-c.cost.Swap(0))
	}
	if s.window.Contains(o.Hash) {
		s.bytes += cost - c.share
		c.share = cost
		r.trimLocked(s)
	}
	if cost != old {
		if cur, ok := r.main.Get(o.Hash[:]); ok && cur == c {
			r.main.Set(o.Hash[:], c, cost)
		}
	}
}

// trimLocked brings the window back to its budget. What was asked for while it
// was here gets a second chance with ristretto, which has counted the asking.
func (r *ram) trimLocked(s *ramShard) {
	for s.bytes > s.limit && s.window.Len() > 1 {
		h, c, _ := s.window.RemoveOldest()
		s.bytes -= c.share
		cur, ok := r.main.Get(h[:])
		if ok && cur == c {
			r.leave(c, inWindow)
			continue
		}
		o := c.obj.Load()
		if o == nil || c.hits == 0 {
			r.leave(c, inWindow)
			// Emptied, so that it cannot surface from ristretto's queue later.
			c.obj.Store(nil)
			continue
		}
		c.obj.Store(nil)
		r.drop(c)
		again := &cell{}
		again.obj.Store(o)
		again.cost.Store(c.share)
		again.where.Store(inMain)
		r.bytes.Add(c.share)
		r.objects.Add(1)
		if !r.main.Set(h[:], again, c.share) {
			r.leave(again, inMain)
		}
	}
}

// leave takes one place off the cell; with the last one the object is gone.
func (r *ram) leave(c *cell, place uint32) {
	if c == nil {
		return
	}
	for {
		w := c.where.Load()
		if w&place == 0 {
			return
		}
		if !c.where.CompareAndSwap(w, w&^place) {
			continue
		}
		if w&^place == 0 {
			r.bytes.Add(-c.cost.Swap(0))
			r.objects.Add(-1)
			if o := c.obj.Load(); o != nil && r.evicted != nil {
				r.evicted(o)
			}
		}
		return
	}
}

// drop takes the cell out of the books whatever still holds it.
func (r *ram) drop(c *cell) {
	if c.where.Swap(0) != 0 {
		r.bytes.Add(-c.cost.Swap(0))
		r.objects.Add(-1)
	}
}

// delete empties the key's cell at once. Ristretto's own Del may come late or
// never; nothing here relies on it.
func (r *ram) delete(h *policy.Hash) {
	s := r.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if c, ok := s.window.Peek(*h); ok {
		s.window.Remove(*h)
		s.bytes -= c.share
		c.obj.Store(nil)
		r.drop(c)
	}
	if c, ok := r.main.Get(h[:]); ok && c != nil {
		c.obj.Store(nil)
		r.drop(c)
		r.main.Del(h[:])
	}
}

func (r *ram) shard(h *policy.Hash) *ramShard {
	return &r.shards[binary.LittleEndian.Uint32(h[12:])&r.mask]
}

func (r *ram) close() { r.main.Close() }
