package compare

import (
	"context"
	"fmt"
	"strings"

	"weir/loadtest/compare/bare"
)

// memoryMiB is the cache of every system, where a scenario does not need
// another.
const memoryMiB = 1024

// hotSet is what is asked for again and again, at one size.
type hotSet struct {
	name string // in scenarios
	set  bare.Set
}

// hotSets lie in every cache at once: 55 MiB.
var hotSets = []hotSet{
	{"1k", bare.Set{Kind: bare.KindLong, Size: 1 << 10, Count: 1000}},
	{"10k", bare.Set{Kind: bare.KindLong, Size: 10 << 10, Count: 1000}},
	{"100k", bare.Set{Kind: bare.KindLong, Size: 100 << 10, Count: 200}},
	{"1m", bare.Set{Kind: bare.KindLong, Size: 1 << 20, Count: 24}},
}

// hitConnections are those of the scenarios of hits.
var hitConnections = []int{64, 1000}

const (
	hitsPrefix = "ram-"
	diskPrefix = "disk-"
	startName  = "start"
)

func hitScenario(prefix, size string, connections int) string {
	return fmt.Sprintf("%s%s-%d", prefix, size, connections)
}

// prefix is what the paths of a set begin with.
func prefix(s bare.Set) string {
	return strings.TrimSuffix(bare.Path(s.Kind, s.Size, 0), "0")
}

// hitsGroup measures hits from RAM, and how long a start takes.
var hitsGroup = group{
	name: "ram",
	scenarios: func() []string {
		names := []string{startName}
		for _, h := range hotSets {
			for _, c := range hitConnections {
				names = append(names, hitScenario(hitsPrefix, h.name, c))
			}
		}
		return names
	}(),
	systems: []string{Weir, Fasthttp, HAProxy, Nginx, TrafficServer, Varnish},
	run: func(ctx context.Context, t turn) error {
		return t.hits(ctx, hitsPrefix, hotSets, options{memoryMiB: memoryMiB, connections: 1000})
	},
}

// diskGroup measures hits from disk whose pages are in memory. HAProxy has no
// disk.
var diskGroup = group{
	name:      "disk",
	scenarios: []string{hitScenario(diskPrefix, "10k", 64), hitScenario(diskPrefix, "100k", 64)},
	systems:   []string{Weir, Nginx, TrafficServer, Varnish},
	run: func(ctx context.Context, t turn) error {
		return t.hits(ctx, diskPrefix, hotSets[1:3], options{memoryMiB: 64, diskMiB: 1024, connections: 64})
	},
}

func (t turn) hits(ctx context.Context, prefixOfNames string, sets []hotSet, o options) error {
	var warm []bare.Set
	for _, h := range sets {
		for _, s := range t.scenarios {
			if strings.HasPrefix(s, prefixOfNames+h.name+"-") {
				warm = append(warm, h.set)
				break
			}
		}
	}
	all := t.begin(ctx, o, warm...)
	defer func() { stopAll(all) }()
	for _, s := range t.scenarios {
		if s == startName {
			for _, i := range all {
				t.record(s, i.system.name, t.round, map[string]float64{valueStart: round3(i.started.Seconds() * 1000)})
			}
		}
	}
	for _, h := range sets {
		for _, c := range hitConnections {
			name := hitScenario(prefixOfNames, h.name, c)
			if !t.wants(name) {
				continue
			}
			t.inTurn(ctx, name, all, constant(load{
				mode: []string{"hot", prefix(h.set), fmt.Sprint(h.set.Count)}, connections: c, seconds: t.cfg.Seconds,
			}), byBytes(h.set.Size))
		}
	}
	return nil
}

// byBytes is onlyHits, and for large objects it tells throughput from the bytes
// that came: at the end of a measurement of a few seconds, a thousand
// connections have a thousand answers under way that wrk does not count.
func byBytes(size int) judge {
	if size < 1<<20 {
		return onlyHits
	}
	return func(i *instance, m measurement, asked bare.Stats) (map[string]float64, error) {
		if _, err := onlyHits(i, m, asked); err != nil {
			return nil, err
		}
		answers := float64(m.Bytes) / float64(size)
		return map[string]float64{
			valueRate:    round(answers / (float64(m.Duration) / 1e6)),
			valueCPURate: round(answers / max(m.cpu.Seconds(), tick.Seconds())),
		}, nil
	}
}
