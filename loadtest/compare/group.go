package compare

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"

	"weir/loadtest/compare/bare"
)

// group is a number of scenarios that share running systems.
type group struct {
	name      string
	scenarios []string
	systems   []string
	rounds    int // at most; 0: as many as are asked for
	run       func(context.Context, turn) error
}

// groups is everything that can be measured, in the order in which it is. Which
// of the groups comes first matters to whoever interrupts a run.
var groups = []group{
	hitsGroup, diskGroup, missGroup, renewGroup, behindGroup, mixedGroup, tailGroup, coresGroup, memoryGroup, purgeGroup, ratioGroup,
}

// ScenarioNames returns the names of all groups.
func ScenarioNames() []string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.name
	}
	return names
}

// selected returns the scenarios of g that wanted names: by the name of the
// group, or by the beginning of their own. None wanted selects all.
func (g group) selected(wanted []string) []string {
	if len(wanted) == 0 || slices.Contains(wanted, g.name) {
		return g.scenarios
	}
	var out []string
	for _, s := range g.scenarios {
		if slices.ContainsFunc(wanted, func(w string) bool { return w != "" && strings.HasPrefix(s, w) }) {
			out = append(out, s)
		}
	}
	return out
}

// turn is one round of one group.
type turn struct {
	*Run
	address   string // of the origin of the systems; that of the run, unless a group has its own
	round     int
	scenarios []string
	systems   []system
}

// begin starts all systems of the turn and warms each; those that fail are
// recorded and left out. All but the one that is used are paused. The caller
// must stop what is returned, also when there is an error.
func (t turn) begin(ctx context.Context, o options, sets ...bare.Set) []*instance {
	var out []*instance
	for _, sys := range t.startOrder() {
		i, err := t.startWarm(ctx, sys, o, sets)
		if err != nil {
			for _, s := range t.scenarios {
				t.fault(s, sys.name, t.round, err)
			}
			continue
		}
		out = append(out, i)
	}
	// Back in the order of the turn.
	place := func(i *instance) int {
		return slices.IndexFunc(t.systems, func(s system) bool { return s.name == i.system.name })
	}
	slices.SortFunc(out, func(a, b *instance) int { return place(a) - place(b) })
	return out
}

// startOrder begins with weir, since the yardstick copies weir's header.
func (t turn) startOrder() []system {
	order := slices.Clone(t.systems)
	slices.SortStableFunc(order, func(a, b system) int {
		switch {
		case a.name == Weir && b.name != Weir:
			return -1
		case b.name == Weir && a.name != Weir:
			return 1
		}
		return 0
	})
	return order
}

func (t turn) startWarm(ctx context.Context, sys system, o options, sets []bare.Set) (*instance, error) {
	o.origin = t.address
	if o.cores == nil {
		o.cores = t.Run.cores.server
	}
	if sys.name == Fasthttp {
		o.args = t.yardstickArgs(sets)
	}
	i, err := t.start(ctx, sys, o)
	if err != nil {
		return nil, err
	}
	i.cores = o.cores
	if err := t.warm(ctx, i, sets); err != nil {
		i.stop()
		return nil, fmt.Errorf("cannot warm %s: %w", sys.title, err)
	}
	if sys.name == Weir {
		if t.extra, err = t.addedFields(ctx, i); err != nil {
			i.stop()
			return nil, err
		}
	}
	if err := i.pause(); err != nil {
		i.stop()
		return nil, err
	}
	return i, nil
}

// yardstickArgs gives the yardstick its objects, and the header fields that
// weir adds to those of the origin.
func (t turn) yardstickArgs(sets []bare.Set) []string {
	var args []string
	for _, s := range append([]bare.Set{{Kind: bare.KindLong, Size: 64, Count: 1}}, sets...) {
		args = append(args, "--objects", fmt.Sprintf("%c:%d:%d", s.Kind, s.Size, s.Count))
	}
	extra := t.extra
	if extra == nil { // weir is not in this run: as it answers by default
		extra = []string{"Age: 10", "Via: 1.1 weir", "Cache-Status: weir; hit; ttl=86390; detail=ram"}
	}
	for _, field := range extra {
		args = append(args, "--header", field)
	}
	return args
}

// addedFields returns the fields of a hit in i that the origin has not sent.
func (t turn) addedFields(ctx context.Context, i *instance) ([]string, error) {
	header := func(address string) (http.Header, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+readyObject, nil)
		if err != nil {
			return nil, err
		}
		req.Host = siteHost
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		return res.Header, res.Body.Close()
	}
	theirs, err := header(t.address)
	if err != nil {
		return nil, err
	}
	ours, err := header(i.address())
	if err != nil {
		return nil, err
	}
	var out []string
	for name, values := range ours {
		if _, ok := theirs[name]; !ok {
			out = append(out, name+": "+strings.Join(values, ", "))
		}
	}
	slices.Sort(out)
	return out, nil
}

// warm brings the objects of sets into the cache of i and checks every body,
// twice; after that, a whole pass must pass without the origin being asked.
func (t turn) warm(ctx context.Context, i *instance, sets []bare.Set) error {
	var paths []string
	for _, s := range sets {
		paths = append(paths, s.Paths()...)
	}
	// Some store after they have answered, and some bring to RAM what was hit on disk.
	const passes = 20
	for pass := 1; pass <= passes; pass++ {
		before, err := t.originStats(ctx)
		if err != nil {
			return err
		}
		if err := bare.Send(ctx, i.address(), siteHost, 8, slices.Values(paths)); err != nil {
			return err
		}
		after, err := t.originStats(ctx)
		if err != nil {
			return err
		}
		if pass > 2 && after.Requests == before.Requests {
			return nil
		}
		if pass == passes {
			return fmt.Errorf("%d of %d objects still come from the origin after %d passes",
				after.Requests-before.Requests, len(paths), passes)
		}
	}
	return nil
}

// stopAll ends the instances.
func stopAll(all []*instance) {
	var group sync.WaitGroup
	for _, i := range all {
		group.Go(i.stop)
	}
	group.Wait()
}

// judge looks at what was measured of an instance and at what the origin was
// asked meanwhile. It returns further values, or why the measurement does not
// count.
type judge func(i *instance, m measurement, asked bare.Stats) (map[string]float64, error)

// inTurn measures the scenario with each instance, one after the other; all
// others are paused.
func (t turn) inTurn(ctx context.Context, scenario string, all []*instance, loadFor func(*instance) load, judge judge) {
	for _, i := range all {
		values, err := t.oneTurn(ctx, i, loadFor(i), judge)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.fault(scenario, i.system.name, t.round, err)
			continue
		}
		t.record(scenario, i.system.name, t.round, values)
		t.say("  %-14s %-14s %8.0f/s %8.0f a CPU second, p50 %.2f ms, p99 %.2f ms", scenario, i.system.name,
			values[valueRate], values[valueCPURate], values[valueP50]/1e3, values[valueP99]/1e3)
	}
}

func (t turn) oneTurn(ctx context.Context, i *instance, l load, judge judge) (map[string]float64, error) {
	if err := i.resume(); err != nil {
		return nil, err
	}
	defer func() { _ = i.pause() }() // a process that is gone fails the next measurement
	before, err := t.originStats(ctx)
	if err != nil {
		return nil, err
	}
	m, err := t.measure(ctx, i, l)
	if err != nil {
		return nil, err
	}
	after, err := t.originStats(ctx)
	if err != nil {
		return nil, err
	}
	if f := m.faults(); f != "" {
		return nil, errors.New(f)
	}
	asked := bare.Stats{Requests: after.Requests - before.Requests, NotModified: after.NotModified - before.NotModified}
	values := m.values(asked)
	more, err := judge(i, m, asked)
	if err != nil {
		return nil, err
	}
	maps.Copy(values, more)
	return values, nil
}

// values are those that every measurement has.
func (m measurement) values(asked bare.Stats) map[string]float64 {
	n := float64(m.Requests)
	return map[string]float64{
		valueRate:    round(m.perSecond()),
		valueCPURate: round(n / max(m.cpu.Seconds(), tick.Seconds())),
		valueP50:     float64(m.P50),
		valueP99:     float64(m.P99),
		valueP999:    float64(m.P999),
		valueBytes:   round(float64(m.Bytes) / n),
		valueForeign: round3(m.foreign),
		valueOrigin:  round3(float64(asked.Requests) / n),
	}
}

func round(v float64) float64  { return math.Round(v) }
func round3(v float64) float64 { return math.Round(v*1000) / 1000 }

// onlyHits refuses a measurement in which the origin was asked for more than
// one in a thousand.
func onlyHits(_ *instance, m measurement, asked bare.Stats) (map[string]float64, error) {
	if asked.Requests*1000 > m.Requests {
		return nil, fmt.Errorf("not hits: the origin was asked %d times in %d requests", asked.Requests, m.Requests)
	}
	return nil, nil
}

func constant(l load) func(*instance) load { return func(*instance) load { return l } }

// wants tells whether the turn is to measure a scenario.
func (t turn) wants(scenario string) bool { return slices.Contains(t.scenarios, scenario) }
