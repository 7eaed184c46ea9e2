package compare

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"weir/loadtest/compare/bare"
)

const memoryScenario = "memory-10k"

// memorySet is more than fits: 1.25 GiB of bodies.
var memorySet = bare.Set{Kind: bare.KindLong, Size: 10 << 10, Count: 131_072}

// memoryGroup fills a cache of 1 GiB beyond its capacity and looks at what the
// processes hold while a part of it is asked for.
var memoryGroup = group{
	name: "memory", scenarios: []string{memoryScenario}, systems: proxies, rounds: 1,
	run: func(ctx context.Context, t turn) error {
		for _, sys := range t.systems {
			one := t
			one.systems = []system{sys}
			all := one.begin(ctx, options{memoryMiB: memoryMiB, connections: 64})
			for _, i := range all {
				values, err := t.fullMemory(ctx, i)
				if err != nil {
					t.fault(memoryScenario, sys.name, t.round, err)
					continue
				}
				t.record(memoryScenario, sys.name, t.round, values)
				t.say("  %-14s %-14s %.2f GiB resident, %.2f GiB of files in memory", memoryScenario, sys.name,
					values[valueRSS]/(1<<30), values[valueFiles]/(1<<30))
			}
			stopAll(all)
		}
		return nil
	},
}

// fullMemory fills i, loads it with hits and misses for a while, and returns
// the median of what was resident meanwhile, and the peak since the start.
func (t turn) fullMemory(ctx context.Context, i *instance) (map[string]float64, error) {
	// Twice, since some bring to RAM only what is asked for again.
	for range 2 {
		if err := t.fill(ctx, i, memorySet); err != nil {
			return nil, err
		}
	}
	if err := i.resume(); err != nil {
		return nil, err
	}
	seen := make(chan []float64, 1)
	watching, stop := context.WithCancel(ctx)
	go func() { seen <- watchMemory(watching, i.process.pid()) }()
	_, err := t.wrk(ctx, i.address(), load{
		mode: []string{"hot", prefix(memorySet), strconv.Itoa(memorySet.Count)}, connections: 64, seconds: max(5, t.cfg.Seconds),
	})
	stop()
	samples := <-seen
	if err != nil {
		return nil, err
	}
	if len(samples) == 0 {
		return nil, fmt.Errorf("cannot read the memory of process %d", i.process.pid())
	}
	resident, _ := median(samples)
	files, err := diskUsage(i.setup.Fast)
	if err != nil {
		return nil, err
	}
	values := map[string]float64{valueRSS: resident, valuePeak: slices.Max(samples), valueFiles: float64(files)}
	if i.system.name == Weir {
		peak, err := peakOf(i.process.pid()) // since its start: the fill as well
		if err != nil {
			return nil, err
		}
		values[valuePeak] = max(values[valuePeak], float64(peak))
	}
	return values, nil
}

// watchMemory reads the memory of a process and all below it until ctx ends.
func watchMemory(ctx context.Context, pid int) []float64 {
	every := time.NewTicker(200 * time.Millisecond)
	defer every.Stop()
	var out []float64
	for {
		select {
		case <-ctx.Done():
			return out
		case <-every.C:
			if n, err := memoryOf(pid); err == nil {
				out = append(out, float64(n))
			}
		}
	}
}

// diskUsage sums the sizes of the files in dir. Files that vanish meanwhile are
// left out.
func diskUsage(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			sum += blocks(info)
		}
		return nil
	})
	return sum, err
}
