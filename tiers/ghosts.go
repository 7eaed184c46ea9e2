package tiers

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"weir/policy"
)

// ghosts remembers the keys of objects that were pushed out of RAM, so that what
// comes back soon is taken for more than what comes once. It is a table of
// fingerprints, one for each place: an entry lasts until another key needs its
// place. What it forgets costs one more miss, what it confuses one vain offer.
type ghosts struct {
	prints []atomic.Uint32 // 0 is an empty place
	mask   uint32
}

// ghostsEach is how many places there are for each object that is expected, of
// four bytes each: 0.4 % of the tier's size. Small objects are several times as
// many, and with fewer places than objects the table would forget what it is for.
const ghostsEach = 4

func (g *ghosts) init(objects int64) {
	n := uint64(max(ghostsEach*objects, 1<<10))
	g.prints = make([]atomic.Uint32, 1<<bits.Len64(n-1))
	g.mask = uint32(len(g.prints) - 1)
}

// at returns the key's place and fingerprint.
func (g *ghosts) at(h *policy.Hash) (place *atomic.Uint32, print uint32) {
	return &g.prints[binary.LittleEndian.Uint32(h[4:])&g.mask], binary.LittleEndian.Uint32(h[:]) | 1
}

// add remembers a key.
func (g *ghosts) add(h *policy.Hash) {
	place, print := g.at(h)
	place.Store(print)
}

// has reports whether the key is remembered.
func (g *ghosts) has(h *policy.Hash) bool {
	place, print := g.at(h)
	return place.Load() == print
}
