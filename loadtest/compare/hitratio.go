package compare

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"weir/loadtest/compare/bare"
)

const (
	ratioScenario  = "hit-ratio"
	policyScenario = "hit-ratio-policy"
	// LRU is the name under which the computed hit ratio stands in results.
	LRU = "lru"

	ratioObjects  = 1_000_000
	ratioCapacity = ratioObjects / 10
	ratioSize     = 1 << 10
	ratioSeed     = 2
)

// ratioStream is how long a stream is: what warms the cache, and what counts.
type ratioStream struct{ warm, measured int }

var (
	memoryStream = ratioStream{500_000, 700_000}
	// policyStream is long enough for what a cache learns to settle.
	policyStream = ratioStream{2_000_000, 1_000_000}
)

// ratioGroup sends one Zipf stream to every system, each with the memory of a
// tenth of the bodies, and computes what LRU would have made of it. Then weir
// gets room for a tenth of the objects as it accounts for them: that compares
// what is kept, and not how much fits.
var ratioGroup = group{
	name: "hit-ratio", scenarios: []string{ratioScenario, policyScenario}, systems: proxies, rounds: 1,
	run: func(ctx context.Context, t turn) error {
		if t.wants(ratioScenario) {
			t.recordRatio(ratioScenario, LRU, lruRatio(newZipf(ratioObjects, 0.9, ratioSeed), memoryStream))
			for _, sys := range t.systems {
				if err := t.ratioOf(ctx, sys, ratioScenario, ratioCapacity*ratioSize>>20, memoryStream); err != nil {
					t.fault(ratioScenario, sys.name, t.round, err)
				}
			}
		}
		for _, sys := range t.systems {
			if sys.name != Weir || !t.wants(policyScenario) {
				continue
			}
			cost, err := t.objectCost(ctx, sys)
			if err == nil {
				t.recordRatio(policyScenario, LRU, lruRatio(newZipf(ratioObjects, 0.9, ratioSeed), policyStream))
				err = t.ratioOf(ctx, sys, policyScenario, int64(cost*ratioCapacity)>>20, policyStream)
			}
			if err != nil {
				t.fault(policyScenario, sys.name, t.round, err)
			}
		}
		return nil
	},
}

func (t turn) recordRatio(scenario, name string, hits float64) {
	t.record(scenario, name, t.round, map[string]float64{valueHits: round4(hits)})
	t.say("  %-14s %-14s %.3f", scenario, name, hits)
}

// objectCost is what weir accounts for one of the objects, in bytes.
func (t turn) objectCost(ctx context.Context, sys system) (float64, error) {
	const sample = 5000
	one := t
	one.systems = []system{sys}
	all := one.begin(ctx, options{memoryMiB: 64, connections: 64})
	defer stopAll(all)
	if len(all) == 0 {
		return 0, errors.New("weir did not start")
	}
	i := all[0]
	if err := i.resume(); err != nil {
		return 0, err
	}
	set := bare.Set{Kind: bare.KindLong, Size: ratioSize, Count: sample}
	if err := bare.Send(ctx, i.address(), siteHost, 64, slices.Values(set.Paths())); err != nil {
		return 0, fmt.Errorf("cannot fill %s: %w", sys.title, err)
	}
	bytes, err := i.weirMetric(ctx, `weir_tier_bytes{tier="ram"}`)
	if err != nil {
		return 0, err
	}
	objects, err := i.weirMetric(ctx, `weir_tier_objects{tier="ram"}`)
	if err != nil {
		return 0, err
	}
	if objects < sample {
		return 0, fmt.Errorf("weir has %.0f objects after %d were fetched", objects, sample)
	}
	return bytes / objects, nil
}

// weirMetric reads one series of weir's metrics.
func (i *instance) weirMetric(ctx context.Context, series string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(i.setup.AdminPort)+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("cannot read weir's metrics: %w", err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("weir's metrics have no %s", series)
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
func lruRatio(draws *zipf, s ratioStream) float64 {
	cache, err := lru.New[int, struct{}](ratioCapacity)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	hits := 0
	for n := range s.warm + s.measured {
		rank := draws.draw()
		if _, ok := cache.Get(rank); ok {
			if n >= s.warm {
				hits++
			}
			continue
		}
		cache.Add(rank, struct{}{})
	}
	return float64(hits) / float64(s.measured)
}

func round4(v float64) float64 { return round(v*10000) / 10000 }

// ratioOf measures one system. Hits are counted at the origin, as what it was
// not asked for, so that no system's own word is taken.
func (t turn) ratioOf(ctx context.Context, sys system, scenario string, mib int64, s ratioStream) error {
	one := t
	one.systems = []system{sys}
	all := one.begin(ctx, options{memoryMiB: mib, connections: 64})
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
		if _, err := stream(s.warm); err != nil {
			return err
		}
		asked, err := stream(s.measured)
		if err != nil {
			return err
		}
		hits := 1 - float64(asked.Requests)/float64(s.measured)
		if hits < 0 {
			return fmt.Errorf("the origin was asked %d times in %d requests", asked.Requests, s.measured)
		}
		t.recordRatio(scenario, sys.name, hits)
	}
	return nil
}
