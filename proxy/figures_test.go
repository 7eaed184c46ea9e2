package proxy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/invalidation"
	"weir/loadtest/figures"
	"weir/policy"
	"weir/tiers"
)

var figuresOf = flag.String("proxy.figures", "", "print what purges cost the hit path: quick or full (see make bench-invalidation)")

// TestFigures measures what purges cost. It fails only when something is not purged, or purged twice: the machine
// decides about time. Without the flag it does so with few, and prints nothing, so that it is known to work.
func TestFigures(t *testing.T) {
	objects, rounds := 1000, 3
	switch *figuresOf {
	case "quick":
		objects, rounds = 50_000, 15
	case "full":
		objects, rounds = 1_000_000, 41
	}
	var f figures.Table
	t.Run("hits", func(t *testing.T) { figureHits(t, &f, objects, rounds) })
	for _, log := range []string{"in memory", "on disk"} {
		t.Run("purges "+log, func(t *testing.T) { figurePurges(t, &f, log, objects, rounds) })
	}
	if *figuresOf == "" {
		return
	}
	if err := f.Print(os.Stdout, "purges and the hit path ("+*figuresOf+")"); err != nil {
		t.Error(err)
	}
}

// hitter makes hits of a proxy of its own.
func hitter(t *testing.T, facts int, cluster bool) (hits func(count int) time.Duration) {
	b := newBench(t, Options{Invalidation: nodeWithFacts(t, facts, cluster)}, "", staticOrigin{hitHeader, make([]byte, 10<<10)})
	r := b.request(browserRequest)
	b.hitUntil(r, "; hit")
	return func(count int) time.Duration {
		began := time.Now()
		for range count {
			r.Reset()
			b.p.handle(r)
		}
		return time.Since(began)
	}
}

// figureHits compares hits with no facts, some, and many, without a cluster and with its gate open. They go in small
// portions and in turn, and each portion is held against that of the same turn: what else the machine does falls on all
// alike, and a turn that was disturbed is outvoted.
func figureHits(t *testing.T, f *figures.Table, most, rounds int) {
	const portion, turns = 500, 40
	cases := []struct {
		name    string
		facts   int
		cluster bool
		hits    func(int) time.Duration
		ratios  []float64
	}{
		{name: "no facts, no cluster"},
		{name: "1000 facts", facts: 1000},
		{name: fmt.Sprintf("%d facts", most), facts: most},
		{name: "no facts, gate of a cluster open", cluster: true},
		{name: "1000 facts, gate of a cluster open", facts: 1000, cluster: true},
		{name: fmt.Sprintf("%d facts, gate of a cluster open", most), facts: most, cluster: true},
	}
	for i := range cases {
		cases[i].hits = hitter(t, cases[i].facts, cases[i].cluster)
	}
	var none []time.Duration
	took := make([]time.Duration, len(cases))
	for turn := range rounds * turns {
		for i := range cases {
			at := (turn + i) % len(cases) // nobody is always first
			took[at] = cases[at].hits(portion)
		}
		none = append(none, took[0])
		for i := range cases {
			cases[i].ratios = append(cases[i].ratios, float64(took[i])/float64(took[0]))
		}
	}
	f.Told("a hit, "+cases[0].name, float64(figures.Median(none))/portion, " ns")
	for _, c := range cases[1:] {
		f.AtMost("a hit, "+c.name+", against that", figures.Median(c.ratios), 1.05, "")
	}
}

// figurePurges compares purges by a tag that all objects have with such by one that none has.
func figurePurges(t *testing.T, f *figures.Table, log string, objects, rounds int) {
	dir := t.TempDir()
	o := invalidation.Options{Node: "n1"}
	if log == "on disk" {
		o.Dir, o.Mark = filepath.Join(dir, "purges"), filepath.Join(dir, "PURGES")
	}
	n, err := invalidation.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	up := &countingOrigin{}
	b := newBenchOver(t, Options{Invalidation: n}, tiers.Options{RAMSize: int64(objects)*2000 + 64<<20, RAMMaxObject: 1 << 20}, up)
	all := make([]*tiers.Object, objects)
	for i := range all {
		text := fmt.Sprintf("w1 http://h.example/%d", i)
		all[i] = &tiers.Object{
			Kind: tiers.KindResponse, Text: text, Hash: policy.HashKey([]byte(text)), Status: 200, Tags: []string{"all"},
			Body: []byte("x"), Length: 1, Epoch: n.Epoch(), Incarnation: n.Incarnation(), Stored: time.Now().UnixNano(),
			Freshness: policy.Freshness{Born: time.Now().UnixNano(), Lifetime: int64(time.Hour)},
		}
		b.p.store.Put(all[i])
	}
	purge := func(tag string) time.Duration {
		began := time.Now()
		if _, err := n.Purge([]invalidation.Fact{{Kind: invalidation.Tag, Scope: tag}}); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	// Once for everybody who was never purged: one look each, and none after it.
	purge("none")
	checks := 0
	for range 3 {
		for _, o := range all {
			if !n.Known(o.Checked()) {
				checks++
			}
			if b.p.store.Purged(o) != invalidation.Valid {
				t.Fatalf("%s is purged by a tag that it does not have", o.Text)
			}
		}
	}
	if checks != objects {
		t.Errorf("%d objects were looked at %d times after a purge", objects, checks)
	}
	f.Exactly("looks at an object after a purge, in three lookups, log "+log, float64(checks)/float64(objects), 1, "")
	var one, none []time.Duration
	for range rounds {
		one, none = append(one, purge("all")), append(none, purge("none"))
	}
	for _, o := range all {
		if b.p.store.Purged(o) != invalidation.Invalid {
			t.Fatalf("%s is not purged by its tag", o.Text)
		}
	}
	f.Told("a purge that touches nothing, log "+log, float64(figures.Median(none).Microseconds()), " µs")
	f.AtMost(fmt.Sprintf("a purge of %d objects against one of none, log %s", objects, log),
		float64(figures.Median(one))/float64(figures.Median(none)), 1.2, "")
}
