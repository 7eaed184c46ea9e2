package metrics

import (
	"runtime"
	"sync/atomic"
)

const (
	// maxShards bounds memory (about 5 KiB a shard) on machines with many
	// cores; beyond it two cores meet on a cell rarely enough.
	maxShards = 64

	// wordsPerLine is 128 bytes, the pair of lines that x86 prefetches together.
	wordsPerLine = 16
)

// tierCells is what one shard counts for one tier.
type tierCells struct {
	bytes     atomic.Uint64
	durations histogram
	ttfb      histogram
}

// shard is one share of everything the hit path counts. A request adds to one
// shard only; readers add all shards up.
type shard struct {
	started atomic.Uint64
	// requests is indexed by result*tiers+tier, "other" included in both.
	requests []atomic.Uint64
	tiers    []tierCells
	// A write to started must not take these slice headers away from the cores
	// that use the next shard.
	_ [wordsPerLine]uint64
}

func newShards(results, tiers int) []shard {
	s := make([]shard, shardCount(runtime.GOMAXPROCS(0)))
	for i := range s {
		n := results * tiers
		// Whole lines for each slice, so that two shards do not meet at the ends.
		s[i].requests = make([]atomic.Uint64, n, (n+2*wordsPerLine-1)/wordsPerLine*wordsPerLine)
		s[i].tiers = make([]tierCells, tiers, tiers+1)
	}
	return s
}

// shardCount returns the power of two that is not below procs, at most maxShards.
func shardCount(procs int) int {
	n := 1
	for n < procs && n < maxShards {
		n *= 2
	}
	return n
}
