package tiers

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"time"

	"weir/policy"
)

// front is a table of cells that lookups found before, one for each place. A cell
// that holds an object is the one that counts for its key, wherever it was found,
// so what stands here needs no other proof: a hit costs two reads instead of
// ristretto's map, its lock and its books.
//
// Ristretto must still learn what is asked for, or it would evict what is asked
// for most. It is told of the first tellMost lookups of an object in a turn of a
// second. Its counters end at fifteen, so it knows no more of an object that is
// asked for more often; and one that is asked for less is told of each time.
type front struct {
	places []atomic.Pointer[cell]
	mask   uint32
	turn   atomic.Uint32
	stop   chan struct{}
	done   chan struct{}
}

const (
	tellMost    = 16
	turnLength  = time.Second
	leastPlaces = 1 << 8
	// mostPlaces is 128 KiB of memory. What is asked for most finds a place there,
	// and the table stays in the processor's cache; one of 2 MiB did not, and took a
	// fiftieth more time for a hit.
	mostPlaces = 1 << 14
)

// init makes room for about that many objects and begins the turns.
func (f *front) init(objects int64) {
	n := uint64(min(max(objects, leastPlaces), mostPlaces))
	f.places = make([]atomic.Pointer[cell], 1<<bits.Len64(n-1))
	f.mask = uint32(len(f.places) - 1)
	f.stop, f.done = make(chan struct{}), make(chan struct{})
	go f.turns()
}

func (f *front) turns() {
	defer close(f.done)
	t := time.NewTicker(turnLength)
	defer t.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-t.C:
			f.turn.Add(1)
		}
	}
}

func (f *front) close() {
	close(f.stop)
	<-f.done
}

// at is the place of the hash.
func (f *front) at(h *policy.Hash) *atomic.Pointer[cell] {
	return &f.places[binary.LittleEndian.Uint32(h[8:])&f.mask]
}

// tells counts a lookup of c and tells whether ristretto is to know of it. Of
// counts that are made at once some are lost; then it is told a few times more.
func (f *front) tells(c *cell) bool {
	const counts = 8 // bits
	turn, asked := f.turn.Load(), c.asked.Load()
	switch {
	case asked>>counts != turn&(1<<(32-counts)-1):
		c.asked.Store(turn<<counts | 1)
	case asked&(1<<counts-1) < tellMost:
		c.asked.Store(asked + 1)
	default:
		return false
	}
	return true
}

// drop forgets c, so that the memory of the dead is not held here.
func (f *front) drop(c *cell) { f.at(&c.hash).CompareAndSwap(c, nil) }
