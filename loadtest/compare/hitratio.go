package compare

import (
	"context"
	"fmt"
	"iter"

	lru "github.com/hashicorp/golang-lru/v2"

	"weir/loadtest/compare/bare"
)

const (
	ratioScenario = "hit-ratio"
	// LRU is the name under which the computed hit ratio stands in results.
	LRU = "lru"

	ratioObjects  = 1_000_000
	ratioCapacity = ratioObjects / 10
	ratioSize     = 1 << 10
	ratioWarm     = 500_000
	ratioMeasured = 700_000
	ratioSeed     = 2
)

// ratioGroup sends one Zipf stream to every system, each with the memory of a
// tenth of the bodies, and computes what LRU would have made of it.
var ratioGroup = group{
	name: "hit-ratio", scenarios: []string{ratioScenario}, systems: proxies, rounds: 1,
	run: func(ctx context.Context, t turn) error {
		t.record(ratioScenario, LRU, t.round, map[string]float64{valueHits: round4(lruRatio(newZipf(ratioObjects, 0.9, ratioSeed)))})
		for _, sys := range t.systems {
			if err := t.ratioOf(ctx, sys); err != nil {
				t.fault(ratioScenario, sys.name, t.round, err)
			}
		}
		return nil
	},
}

// ratioPaths are the paths of the next n draws.
func ratioPaths(draws *zipf, n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for range n {
			if !yield(bare.Path(bare.KindLong, ratioSize, draws.draw())) {
				return
			}
		}
	}
}

// lruRatio is the hit ratio of an LRU that counts objects and nothing else.
func lruRatio(draws *zipf) float64 {
	cache, err := lru.New[int, struct{}](ratioCapacity)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	hits := 0
	for n := range ratioWarm + ratioMeasured {
		rank := draws.draw()
		if _, ok := cache.Get(rank); ok {
			if n >= ratioWarm {
				hits++
			}
			continue
		}
		cache.Add(rank, struct{}{})
	}
	return float64(hits) / ratioMeasured
}

func round4(v float64) float64 { return round(v*10000) / 10000 }

// ratioOf measures one system. Hits are counted at the origin, as what it was
// not asked for, so that no system's own word is taken.
func (t turn) ratioOf(ctx context.Context, sys system) error {
	one := t
	one.systems = []system{sys}
	all := one.begin(ctx, options{memoryMiB: ratioCapacity * ratioSize >> 20, connections: 64})
	defer stopAll(all)
	for _, i := range all {
		draws := newZipf(ratioObjects, 0.9, ratioSeed)
		stream := func(n int) (bare.Stats, error) {
			before, err := t.originStats(ctx)
			if err != nil {
				return before, err
			}
			if err := t.whole(ctx, i, ratioPaths(draws, n)); err != nil {
				return before, err
			}
			after, err := t.originStats(ctx)
			return bare.Stats{Requests: after.Requests - before.Requests}, err
		}
		if _, err := stream(ratioWarm); err != nil {
			return err
		}
		asked, err := stream(ratioMeasured)
		if err != nil {
			return err
		}
		hits := 1 - float64(asked.Requests)/ratioMeasured
		if hits < 0 {
			return fmt.Errorf("the origin was asked %d times in %d requests", asked.Requests, ratioMeasured)
		}
		t.record(ratioScenario, sys.name, t.round, map[string]float64{valueHits: round4(hits)})
		t.say("  %-14s %-14s %.3f", ratioScenario, sys.name, hits)
	}
	return nil
}
