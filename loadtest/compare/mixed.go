package compare

import (
	"context"
	"fmt"
	"slices"

	"weir/loadtest/compare/bare"
)

const (
	mixedScenario = "mixed-64"
	mixedObjects  = 100_000 // about 2 GiB
	mixedRequests = 400_000
	mixedMiB      = 512
)

// mixedGroup asks for a catalogue that is larger than the cache: Zipf 0.9,
// log-normal sizes, a few of them private.
var mixedGroup = group{
	name: "mixed", scenarios: []string{mixedScenario}, systems: proxies,
	run: func(ctx context.Context, t turn) error {
		// The same stream in every round; the second part is what is measured.
		draws := newZipf(mixedObjects, 0.9, 1)
		warm := make([]string, mixedRequests/4)
		for n := range warm {
			warm[n] = mixedPath(draws.draw())
		}
		measured, err := t.writePaths("mixed", mixedRequests, func() string { return mixedPath(draws.draw()) })
		if err != nil {
			return err
		}
		all := t.begin(ctx, options{memoryMiB: mixedMiB, connections: 64})
		defer func() { stopAll(all) }()
		var filled []*instance
		for _, i := range all {
			if err := t.whole(ctx, i, slices.Values(warm)); err != nil {
				t.fault(mixedScenario, i.system.name, t.round, err)
				continue
			}
			filled = append(filled, i)
		}
		t.inTurn(ctx, mixedScenario, filled, constant(load{
			mode: []string{"list", measured}, connections: 64, seconds: t.cfg.Seconds,
		}), partlyHits)
		return nil
	},
}

// partlyHits refuses a measurement of the mix in which the origin was asked for
// less than what must not be stored, or for so much that the cache was idle.
func partlyHits(_ *instance, m measurement, asked bare.Stats) (map[string]float64, error) {
	if share := float64(asked.Requests) / float64(m.Requests); share < 0.01 || share > 0.6 {
		return nil, fmt.Errorf("not the mix: the origin was asked %d times in %d requests", asked.Requests, m.Requests)
	}
	return nil, nil
}

const (
	oneCore  = "cores-1"
	allCores = "cores-2"
)

// coresSet is what both scenarios of coresGroup ask for.
var coresSet = bare.Set{Kind: bare.KindLong, Size: 1 << 10, Count: 1000}

// coresGroup compares weir on two cores with weir on one. On a machine with two
// cores there is none left for the load: in both scenarios the load then runs
// on the very cores of the server, and what is compared is hits a CPU second
// of the server, times its cores. With four cores or more the load has its own
// two.
var coresGroup = group{
	name: "cores", scenarios: []string{oneCore, allCores}, systems: []string{Weir},
	run: func(ctx context.Context, t turn) error {
		all := t.Run.cores.all
		for n, scenario := range map[int]string{1: oneCore, 2: allCores} {
			if !t.wants(scenario) {
				continue
			}
			server, loaded := all[:n], all[:n]
			if len(all) >= 4 {
				loaded = all[2:4]
			}
			running := t.begin(ctx, options{memoryMiB: memoryMiB, connections: 64, cores: server}, coresSet)
			t.inTurn(ctx, scenario, running, constant(load{
				mode: []string{"hot", prefix(coresSet), fmt.Sprint(coresSet.Count)}, connections: 64,
				seconds: t.cfg.Seconds, cores: loaded,
			}), onlyHits)
			stopAll(running)
		}
		return nil
	},
}
