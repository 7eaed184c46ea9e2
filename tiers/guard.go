package tiers

import (
	"sync"
	"sync/atomic"

	"weir/policy"
)

// guards order what happens to one key in both tiers; sharded by hash, so that
// keys may share one.
//
// The losing interleaving that marks prevent: RAM has v2 already, the disk not
// yet; somebody who missed RAM a moment ago reads v1 from disk and promotes it
// over v2. Likewise a delete that has emptied RAM and not yet the disk. A
// promotion is therefore valid only when no write of the key was under way when
// the disk was read, and none began or ended since.
type guards [256]guard

type guard struct {
	// mu serialises writes to the disk tier, and what is checked before them.
	mu      sync.Mutex
	pending atomic.Int64
	ended   atomic.Uint64
}

func (g *guards) of(h *policy.Hash) *guard { return &g[h[1]] }

// begin and end stand around a write to RAM and disk.
func (g *guard) begin() { g.pending.Add(1) }

// end counts before it lets go: whoever sees nothing pending sees the count.
func (g *guard) end() {
	g.ended.Add(1)
	g.pending.Add(-1)
}

// mark is what a promotion compares. It is taken before the disk is read.
type mark struct {
	guard *guard
	ended uint64
}

func (g *guard) mark() mark { return mark{g, g.ended.Load()} }

// valid tells whether what was read from disk since is still what is stored. A
// write that was under way at the mark has either ended, which was counted, or
// is pending still.
func (m mark) valid() bool { return m.guard.pending.Load() == 0 && m.guard.ended.Load() == m.ended }
