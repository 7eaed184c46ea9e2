package compare

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"weir/loadtest/compare/bare"
)

const (
	missScenario  = "miss-10k-64"
	renewScenario = "revalidate-1k-64"
)

// proxies are the systems that have an origin.
var proxies = []string{Weir, HAProxy, Nginx, TrafficServer, Varnish}

// missGroup asks for objects that nobody has asked for before. The cache fills
// up and evicts meanwhile.
var missGroup = group{
	name: "miss", scenarios: []string{missScenario}, systems: proxies,
	run: func(ctx context.Context, t turn) error {
		all := t.begin(ctx, options{memoryMiB: 256, connections: 64})
		defer func() { stopAll(all) }()
		t.inTurn(ctx, missScenario, all, func(i *instance) load {
			const size = 10 << 10
			return load{
				mode: []string{"new", prefix(bare.Set{Kind: bare.KindLong, Size: size}), "0"}, connections: 64, seconds: t.cfg.Seconds,
			}
		}, func(m measurement, asked bare.Stats) (map[string]float64, error) {
			if asked.Requests*100 < m.Requests*99 {
				return nil, fmt.Errorf("not misses: the origin was asked %d times in %d requests", asked.Requests, m.Requests)
			}
			return nil, nil
		})
		return nil
	},
}

// renewObjects are asked for in turn; each is stale, at a lifetime of one
// second, when its turn comes again.
var renewSet = bare.Set{Kind: bare.KindShort, Size: 1 << 10, Count: 60_000}

// renewGroup asks for objects that are stored and stale, and have a validator.
// HAProxy's cache fetches them whole, since it does not revalidate; it is
// measured all the same.
var renewGroup = group{
	name: "revalidate", scenarios: []string{renewScenario}, systems: proxies, rounds: 3, // to fill takes longer than to measure
	run: func(ctx context.Context, t turn) error {
		all := t.begin(ctx, options{memoryMiB: 512, connections: 64})
		defer func() { stopAll(all) }()
		var filled []*instance
		for _, i := range all {
			if err := t.fill(ctx, i, renewSet); err != nil {
				t.fault(renewScenario, i.system.name, t.round, err)
				continue
			}
			filled = append(filled, i)
		}
		t.inTurn(ctx, renewScenario, filled, constant(load{
			mode: []string{"hot", prefix(renewSet), strconv.Itoa(renewSet.Count)}, connections: 64, seconds: t.cfg.Seconds,
		}), func(m measurement, asked bare.Stats) (map[string]float64, error) {
			return map[string]float64{valueRenewed: round3(float64(asked.NotModified) / float64(m.Requests))}, nil
		})
		return nil
	},
}

// fill asks for every object of a set once, as fast as the system answers, and
// checks every body.
func (t turn) fill(ctx context.Context, i *instance, s bare.Set) error {
	return t.whole(ctx, i, slices.Values(s.Paths()))
}

// whole resumes i, sends every path once, and pauses i.
func (t turn) whole(ctx context.Context, i *instance, paths iter.Seq[string]) error {
	if err := i.resume(); err != nil {
		return err
	}
	if err := bare.Send(ctx, i.address(), siteHost, 64, paths); err != nil {
		return fmt.Errorf("cannot fill %s: %w", i.system.title, err)
	}
	return i.pause()
}
