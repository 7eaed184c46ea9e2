package compare

import "fmt"

// target is one promise of the project about speed, and where its figure is
// found in the results.
type target struct {
	what    string
	bound   float64
	atMost  bool // the measured ratio must not be above; otherwise it must not be below
	measure func(*Results) (ratio, bool)
}

// against compares weir with another system in one value of a scenario.
func against(scenario, other, value string) func(*Results) (ratio, bool) {
	return func(r *Results) (ratio, bool) { return r.ratio(scenario, Weir, other, value) }
}

// reported is no target: the figure is to be told.
const reported = 0

func targets() []target {
	var out []target
	for _, t := range []struct {
		other      string
		one, tenth float64 // at 1 and at 10 KiB
	}{
		{HAProxy, 1.10, 1.0},
		{Nginx, 1.5, 1.25},
		{TrafficServer, 1.8, 1.25},
		{Varnish, 2.2, 1.5},
		{Fasthttp, 0.95, 0.95},
	} {
		for _, size := range []struct {
			name  string
			bound float64
		}{{"1k", t.one}, {"10k", t.tenth}} {
			for _, value := range []struct{ name, title string }{{valueRate, "RAM hits a second"}, {valueCPURate, "RAM hits a CPU second"}} {
				out = append(out, target{
					what:  fmt.Sprintf("%s, %s, against %s", value.title, sizeTitles[size.name], title(t.other)),
					bound: size.bound, measure: against(hitScenario(hitsPrefix, size.name, 64), t.other, value.name),
				})
			}
		}
	}
	for _, size := range []string{"10k", "100k"} {
		out = append(out, target{
			what:  fmt.Sprintf("disk hits a second, %s, page cache warm, against nginx", sizeTitles[size]),
			bound: 1.0, measure: against(hitScenario(diskPrefix, size, 64), Nginx, valueRate),
		})
	}
	out = append(out, originTargets()...)
	return append(out,
		target{
			what:  "p999 of RAM hits at half of peak load, with misses, evictions and purges, the same load on nginx",
			bound: 1.0, atMost: true, measure: against(tailSame, Nginx, valueP999),
		},
		target{
			what:  "the same, each at half of its own peak",
			bound: reported, atMost: true, measure: against(tailOwn, Nginx, valueP999),
		},
		target{
			what:  "resident memory with a full RAM tier of 1 GiB of 10 KiB objects, against 1 GiB",
			bound: 1.35, atMost: true, measure: fullMemoryRatio,
		},
		target{what: "two cores against one", bound: 1.8, measure: coresRatio},
		target{
			what:  "hit ratio, Zipf 0.9, 1 M objects, room for 10 % of them, against LRU with room for as many",
			bound: 1.08, measure: against(policyScenario, LRU, valueHits),
		},
		target{
			what:  "the same with the memory of 10 % of the bodies, against LRU that needs memory for nothing else",
			bound: reported, measure: against(ratioScenario, LRU, valueHits),
		},
	)
}

// originTargets are those of what the origin is asked for.
func originTargets() []target {
	const misses, renewals, mix = "misses a second, 10 KiB, ", "revalidations a second, 1 KiB, ", "mixed workload, requests a second, "
	return []target{
		{what: misses + "against nginx", bound: 1.4, measure: against(missScenario, Nginx, valueRate)},
		{what: misses + "against Traffic Server", bound: 1.35, measure: against(missScenario, TrafficServer, valueRate)},
		{what: misses + "against HAProxy", bound: 0.8, measure: against(missScenario, HAProxy, valueRate)},
		{what: "p99 of misses in the closed loop, 10 KiB, against nginx", bound: 1.2, atMost: true, measure: against(missScenario, Nginx, valueP99)},
		{what: renewals + "against nginx", bound: 1.25, measure: against(renewScenario, Nginx, valueRate)},
		{what: renewals + "against Varnish", bound: 2, measure: against(renewScenario, Varnish, valueRate)},
		{what: renewals + "against Traffic Server", bound: 2, measure: against(renewScenario, TrafficServer, valueRate)},
		{what: renewals + "against HAProxy, which fetches each whole", bound: 0.75, measure: against(renewScenario, HAProxy, valueRate)},
		{what: misses + "a disk tier written behind, against RAM alone", bound: reported, measure: withDisk(behindMiss, missScenario)},
		{what: renewals + "a disk tier written behind, against RAM alone", bound: reported, measure: withDisk(behindRenew, renewScenario)},
		{what: mix + "against nginx", bound: 1, measure: against(mixedScenario, Nginx, valueRate)},
		{what: mix + "against HAProxy", bound: 0.75, measure: against(mixedScenario, HAProxy, valueRate)},
	}
}

// withDisk compares weir with a disk tier and weir without, in requests a
// second.
func withDisk(scenario, without string) func(*Results) (ratio, bool) {
	return func(r *Results) (ratio, bool) {
		return r.quotient(measured{scenario, Weir}, measured{without, Weir}, valueRate)
	}
}

func fullMemoryRatio(r *Results) (ratio, bool) {
	v, ok := r.median(memoryScenario, Weir, valueRSS)
	return ratio{value: v / (memoryMiB << 20), rounds: 1}, ok
}

// coresRatio is told by throughput where the load had cores of its own, and
// otherwise by hits a CPU second times cores.
func coresRatio(r *Results) (ratio, bool) {
	value, times := valueRate, 1.0
	if r.Machine.Cores < 4 {
		value, times = valueCPURate, 2
	}
	q, ok := r.quotient(measured{allCores, Weir}, measured{oneCore, Weir}, value)
	return ratio{value: times * q.value, low: times * q.low, high: times * q.high, rounds: q.rounds}, ok
}

// verdict tells how a target went.
func (t target) verdict(q ratio, ok bool) string {
	switch {
	case !ok:
		return "not measured"
	case t.bound == reported:
		return "reported"
	case t.atMost && q.value <= t.bound, !t.atMost && q.value >= t.bound:
		return "met"
	}
	return "**missed**"
}

// wanted is the bound as the page has it.
func (t target) wanted() string {
	switch {
	case t.bound == reported:
		return "-"
	case t.atMost:
		return fmt.Sprintf("at most %.2f", t.bound)
	}
	return fmt.Sprintf("at least %.2f", t.bound)
}
