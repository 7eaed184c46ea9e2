package compare

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

// FullRounds is how many rounds the published page needs.
const FullRounds = 5

// notes is what people add to the page: why something is as it is.
//
//go:embed notes.md
var notes string

var sizeTitles = map[string]string{"1k": "1 KiB", "10k": "10 KiB", "100k": "100 KiB", "1m": "1 MiB"}

// Page renders the results as Markdown. The same results give the same bytes.
func Page(r *Results) string {
	var b strings.Builder
	b.WriteString(`# Benchmarks

Weir beside HAProxy, nginx, Traffic Server and Varnish. ` + "`make compare`" + ` installs them, measures, and writes this page; it
takes about three quarters of an hour. Nothing here is written by hand but the [notes](#notes) at the end.

Read ratios, not figures: all systems were measured in turn on one machine, minutes apart, and another machine has other
figures. A ratio is that of the medians over all rounds; behind it, in brackets, are the least and the greatest of any
round. ` + "`make compare ROUNDS=1 SECONDS=2 SYSTEMS=weir,nginx SCENARIOS=ram-1k`" + ` is a short look that leaves this page alone.

`)
	writeMachine(&b, r)
	writeTargets(&b, r)
	writeBetter(&b, r)
	writeHits(&b, r)
	writeOthers(&b, r)
	writeMethod(&b, r)
	if strings.TrimSpace(notes) != "" {
		b.WriteString("## Notes\n\n" + strings.TrimSpace(notes) + "\n")
	} else {
		b.WriteString("## Notes\n\nNone yet.\n")
	}
	return b.String()
}

func writeMachine(b *strings.Builder, r *Results) {
	m := r.Machine
	virtual := ""
	if m.Virtual {
		virtual = ", a virtual machine"
	}
	fmt.Fprintf(b, "%s, %d cores%s, %d GiB, %s, Linux %s, Go %s.\n\n", m.CPU, m.Cores, virtual, m.MemoryGiB, m.System, m.Kernel,
		known(r.Versions["go"]))
	t := newTable("system", "version", "job")
	for _, s := range systems {
		if v, ok := r.Versions[s.name]; ok {
			t.add(s.title, v, jobs[s.name])
		}
	}
	b.WriteString(t.String() + "\n")
}

var jobs = map[string]string{
	Weir:          "RAM tier, disk tier",
	HAProxy:       "cache in shared memory; no disk, no revalidation, no tags",
	Nginx:         "`proxy_cache`: files, on tmpfs where others have RAM; no tags",
	TrafficServer: "RAM cache over a storage file; no tags",
	Varnish:       "malloc storage, file storage; tags by the package varnish-modules",
	Fasthttp:      "no cache: weir's HTTP library with prepared answers from a map, the yardstick",
}

func known(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func writeTargets(b *strings.Builder, r *Results) {
	b.WriteString("## Targets\n\nOne core for the server, 64 connections unless it says otherwise.\n\n")
	t := newTable("weir's ...", "target", "measured", "")
	for _, target := range targets() {
		q, ok := target.measure(r)
		measured := "-"
		if ok {
			measured = q.String()
		}
		t.add(target.what, target.wanted(), measured, target.verdict(q, ok))
	}
	b.WriteString(t.String() + "\n")
}

// String is the ratio with its range.
func (q ratio) String() string {
	if q.rounds < 2 {
		return fmt.Sprintf("%.2f", q.value)
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", q.value, q.low, q.high)
}

// comparison is a value in which systems are compared, and which way is better.
type comparison struct {
	scenario, value, what string
	less                  bool // is better
}

func comparisons() []comparison {
	var out []comparison
	for _, h := range hotSets {
		for _, c := range hitConnections {
			name := hitScenario(hitsPrefix, h.name, c)
			what := fmt.Sprintf("RAM hits, %s, %s connections", sizeTitles[h.name], thousands(c))
			out = append(out, comparison{name, valueRate, what + ", a second", false},
				comparison{name, valueCPURate, what + ", a CPU second", false},
				comparison{name, valueP99, what + ", p99", true})
		}
	}
	for _, size := range []string{"10k", "100k"} {
		out = append(out, comparison{hitScenario(diskPrefix, size, 64), valueRate, "disk hits, " + sizeTitles[size] + ", a second", false})
	}
	return append(out,
		comparison{missScenario, valueRate, "misses a second", false},
		comparison{missScenario, valueP99, "misses, p99", true},
		comparison{renewScenario, valueRate, "stale objects asked for, a second", false},
		comparison{mixedScenario, valueRate, "mixed workload, a second", false},
		comparison{tailSame, valueP999, "p999 of hits under mixed load", true},
		comparison{memoryScenario, valueRSS, "resident memory with a full cache of 1 GiB", true},
		comparison{ratioScenario, valueHits, "hit ratio at equal memory", false},
		comparison{startName, valueStart, "time to start", true},
		comparison{purgeScenario, valuePurge, "time to purge a tag of 100,000 objects", true},
		comparison{banScenario, valuePurge, "time to ban a tag of 100,000 objects", true},
	)
}

// writeBetter lists where a peer is better than weir, by more than the noise of
// a percent.
func writeBetter(b *strings.Builder, r *Results) {
	b.WriteString("## Where another is better\n\nBy at least two hundredths, in the medians. The bare handler is no cache and is left out.\n\n")
	found := false
	for _, c := range comparisons() {
		ours, ok := r.median(c.scenario, Weir, c.value)
		if c.scenario == banScenario {
			ours, ok = r.median(purgeScenario, Weir, c.value)
		}
		if !ok {
			continue
		}
		var better []string
		for _, s := range systems {
			theirs, ok := r.median(c.scenario, s.name, c.value)
			if !ok || s.name == Weir || s.name == Fasthttp || ours == 0 || theirs == 0 {
				continue
			}
			times := theirs / ours
			if c.less {
				times = ours / theirs
			}
			if times >= 1.02 {
				better = append(better, fmt.Sprintf("%s (%.2f times)", s.title, times))
			}
		}
		if len(better) > 0 {
			fmt.Fprintf(b, "- %s: %s\n", c.what, strings.Join(better, ", "))
			found = true
		}
	}
	if !found {
		b.WriteString("Nowhere, in what was measured.\n")
	}
	b.WriteString("\n")
}

func writeHits(b *strings.Builder, r *Results) {
	b.WriteString("## RAM hits\n\n")
	for _, c := range hitConnections {
		fmt.Fprintf(b, "### %s connections\n\n", thousands(c))
		columns := make([]column, len(hotSets))
		for n, h := range hotSets {
			columns[n] = column{sizeTitles[h.name], hitScenario(hitsPrefix, h.name, c)}
		}
		writeValue(b, r, "Hits a second; behind them weir's ratio.", columns, valueRate, true, count)
		writeValue(b, r, "Hits a CPU second of the server; behind them weir's ratio.", columns, valueCPURate, true, count)
		writeValue(b, r, "CPU seconds for a million requests.", columns, valueCPURate, false, perMillion)
		writeLatency(b, r, columns)
	}
}

func writeOthers(b *strings.Builder, r *Results) {
	b.WriteString("## Disk hits, misses, revalidations, a mixed workload\n\n")
	columns := []column{
		{"disk 10 KiB", hitScenario(diskPrefix, "10k", 64)},
		{"disk 100 KiB", hitScenario(diskPrefix, "100k", 64)},
		{"miss 10 KiB", missScenario},
		{"revalidate 1 KiB", renewScenario},
		{"mixed", mixedScenario},
	}
	b.WriteString("64 connections. Disk hits: the pages are in memory, so it is the way through the disk tier that is measured. Misses: objects\n" +
		"that were not asked for before, the cache full. Revalidate: stored, stale after a second, with an ETag; the origin answers each\n" +
		"request with a 304. HAProxy does not revalidate: it fetches such an object whole, and its figures are for that. Mixed: Zipf 0.9\n" +
		"over 100,000 objects, sizes log-normal around 10 KiB, 2 % not storable, a cache of 512 MiB for a catalogue of 2 GiB.\n\n")
	writeValue(b, r, "Requests a second; behind them weir's ratio.", columns, valueRate, true, count)
	writeValue(b, r, "Requests a CPU second of the server; behind them weir's ratio.", columns, valueCPURate, true, count)
	writeValue(b, r, "Requests to the origin for each of the clients'.", columns, valueOrigin, false, share)
	writeValue(b, r, "Answers 304 of the origin for each of the clients' requests.", columns[3:4], valueRenewed, false, share)
	writeLatency(b, r, columns)
	writeBehind(b, r)
	writeTail(b, r)
	writeMemory(b, r)
	writeSmall(b, r)
}

func writeBehind(b *strings.Builder, r *Results) {
	b.WriteString("## A disk tier behind the RAM\n\nWeir's misses and revalidations once more, with a disk tier that is written behind the answers: each new object, and each\n" +
		"lifetime that a 304 gives. The RAM is the same, and the two were measured minutes apart.\n\n")
	t := newTable("", "RAM alone", "with a disk tier", "ratio", "p99", "bytes written for each")
	for _, s := range []struct{ title, alone, behind string }{
		{"miss 10 KiB", missScenario, behindMiss}, {"revalidate 1 KiB", renewScenario, behindRenew},
	} {
		if _, ok := r.median(s.behind, Weir, valueRate); !ok {
			continue
		}
		ratio := "-"
		if q, ok := withDisk(s.behind, s.alone)(r); ok {
			ratio = q.String()
		}
		t.add(s.title, r.show(s.alone, Weir, valueRate, count)+"/s", r.show(s.behind, Weir, valueRate, count)+"/s", ratio,
			r.show(s.behind, Weir, valueP99, micros), r.show(s.behind, Weir, valueDisk, count))
	}
	b.WriteString(t.String() + "\n")
}

func writeTail(b *strings.Builder, r *Results) {
	b.WriteString("## The tail\n\nHits while the cache is also busy: Zipf 0.9 over 40,000 objects of 10 KiB in a cache of 256 MiB (misses and evictions), 1 %\n" +
		"not storable, 50 purges by URL a second; weirload in an open loop, so that latency counts from when a request was due.\n\n")
	t := newTable("", "peak of the mix", "load", "p50", "p99", "p999", "hit ratio", "wrong answers")
	for _, scenario := range []struct{ name, title string }{{tailSame, "the same load"}, {tailOwn, "half of its own peak"}} {
		for _, s := range []string{Weir, Nginx} {
			if _, ok := r.median(scenario.name, s, valueP999); !ok {
				continue
			}
			t.add(title(s)+", "+scenario.title, r.show(tailPeak, s, valueRate, count)+"/s", r.show(scenario.name, s, valueOffered, count)+"/s",
				r.show(scenario.name, s, valueP50, micros), r.show(scenario.name, s, valueP99, micros),
				r.show(scenario.name, s, valueP999, micros), r.show(scenario.name, s, valueHits, share),
				r.show(scenario.name, s, valueWrong, count))
		}
	}
	b.WriteString(t.String() + "\nWrong answers are bodies, lengths or versions that are not what they must be, after a purge for example.\n\n")
}

func writeMemory(b *strings.Builder, r *Results) {
	b.WriteString("## Memory\n\nA cache of 1 GiB, filled with 1.25 GiB of objects of 10 KiB, then asked for all of them in turn: resident memory of all\n" +
		"processes, what they share counted once. nginx's objects are files on tmpfs; so is Traffic Server's storage, which its\n" +
		"RAM cache stands in front of.\n\n")
	t := newTable("", "resident", "at most", "files in memory", "of 1 GiB")
	for _, s := range proxies {
		v, ok := r.median(memoryScenario, s, valueRSS)
		if !ok {
			continue
		}
		files, _ := r.median(memoryScenario, s, valueFiles)
		t.add(title(s), r.show(memoryScenario, s, valueRSS, gib), r.show(memoryScenario, s, valuePeak, gib),
			r.show(memoryScenario, s, valueFiles, gib), fmt.Sprintf("%.2f", (v+files)/(memoryMiB<<20)))
	}
	b.WriteString(t.String() + "\n")
}

func writeSmall(b *strings.Builder, r *Results) {
	b.WriteString("## Hit ratio, start, purges, cores\n\nHit ratio: one Zipf stream (0.9, 1 M objects of 1 KiB, 500,000 requests to warm, 700,000 counted at the origin), every cache\n" +
		"with the memory of a tenth of the bodies; headers, keys and overhead are the system's to find room for. LRU is computed\n" +
		"and has no overhead: 100,000 objects. Start: from exec to the first right answer, with an empty cache of 1 GiB. Purge:\n" +
		"until the system says that a tag of 100,000 objects is purged, checked afterwards; a ban is what Varnish has without a\n" +
		"module: lookups and a background thread pay for it later.\n\n")
	t := newTable("", "hit ratio", "start", "purge a tag of 100,000", "")
	for _, s := range append(systemNames(), LRU) {
		name := title(s)
		if s == LRU {
			name = "LRU"
		}
		if _, ok := r.median(ratioScenario, s, valueHits); !ok {
			if _, ok := r.median(startName, s, valueStart); !ok {
				continue
			}
		}
		t.add(name, r.show(ratioScenario, s, valueHits, fourth), r.show(startName, s, valueStart, millis),
			r.show(purgeScenario, s, valuePurge, micros), purgeNotes(r, s))
	}
	b.WriteString(t.String() + "\n")
	w, okW := r.median(policyScenario, Weir, valueHits)
	l, okL := r.median(policyScenario, LRU, valueHits)
	if okW && okL {
		fmt.Fprintf(b, "With room for 100,000 of these objects as weir accounts for them, which is what both can keep, weir hits %.4f where LRU\n"+
			"hits %.4f (2 M requests to warm, 1 M counted).\n\n", w, l)
	}
	if q, ok := coresRatio(r); ok {
		how := "told by hits a CPU second of the server, since load and server shared the cores in both cases"
		if r.Machine.Cores >= 4 {
			how = "the load had cores of its own"
		}
		fmt.Fprintf(b, "Weir on two cores does %s times what it does on one (%s).\n\n", q, how)
	}
}

func purgeNotes(r *Results, s string) string {
	switch s {
	case HAProxy:
		return "no purge at all: objects leave by age"
	case Nginx:
		return "no tags: a purge by URL for each object, by a module; or a key version in the configuration"
	case TrafficServer:
		return "no tags: PURGE for each URL; or regex_revalidate, rules read from a file"
	case Varnish:
		if v, ok := r.median(banScenario, s, valuePurge); ok {
			return "xkey.purge; a ban: " + micros(v)
		}
		return "xkey.purge"
	case Weir:
		return "both tiers at once"
	}
	return ""
}

func writeMethod(b *strings.Builder, r *Results) {
	b.WriteString(`## How it is measured

- The server has one core and the load, with the origin, another; processes are pinned. A system that waits for its turn
  is stopped (SIGSTOP), so it takes nothing from the one that is measured. Each round starts all of them again, and begins with another.
- Before it is measured a cache is warmed and every body compared, and a whole pass over the objects must leave the
  origin unasked. A measurement of hits in which the origin was asked for more than one in a thousand does not count, nor one
  of misses or revalidations in which it did not send the body, or answer 304, for 99 in a hundred. With a disk tier behind the
  RAM, what was measured must be on disk three seconds later.
- Closed loops are sent by wrk with one thread, over kept connections, the objects in turn (1,000 of 1 and 10 KiB, 200 of
  100 KiB, 24 of 1 MiB). CPU time is that of all processes of the server, from /proc. Rates at 1 MiB are told by bytes.
- The configurations lie in [loadtest/compare/configs](../loadtest/compare/configs), each line with its reason: the same
  memory, one worker or core, keep-alive to the origin, no logs, no compression.
- The origin is a bare fasthttp handler that cuts bodies out of one block. The yardstick sends the header of weir's own hits.

`)
	rows := newTable("scenario", "date", "rounds", "seconds", "of the server's core used by others")
	var names []string
	for name := range r.Scenarios {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		o := r.Scenarios[name]
		rows.add(name, o.Date, fmt.Sprint(o.Rounds), fmt.Sprint(o.Seconds), r.foreign(name))
	}
	b.WriteString(rows.String() + "\n")
	var faults []string
	for _, name := range names {
		for _, s := range append(systemNames(), LRU) {
			for _, f := range r.faultsOf(name, s) {
				first, _, _ := strings.Cut(f, "\n")
				faults = append(faults, fmt.Sprintf("- %s, %s: %s\n", name, title(s), first))
			}
		}
	}
	if len(faults) > 0 {
		b.WriteString("What could not be measured:\n\n" + strings.Join(faults, "") + "\n")
	}
}

// foreign is the median and the greatest share of the server's core that others
// used while the scenario was measured.
func (r *Results) foreign(scenario string) string {
	var all []float64
	for _, s := range r.Samples {
		if v, ok := s.Values[valueForeign]; ok && s.Scenario == scenario {
			all = append(all, v)
		}
	}
	m, ok := median(all)
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.0f %%, at most %.0f %%", 100*m, 100*slices.Max(all))
}
