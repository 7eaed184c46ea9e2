package compare

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// made are results in which every figure follows from a scenario's and a
// system's place, in three rounds that differ.
func made() *Results {
	r := &Results{
		Machine:   Machine{CPU: "Test CPU", Cores: 2, MemoryGiB: 8, Kernel: "6.1.0", System: "Debian", Virtual: true},
		Versions:  map[string]string{"go": "1.26"},
		Scenarios: make(map[string]Origin),
	}
	for at, s := range systems {
		r.Versions[s.name] = "1." + string(rune('0'+at))
	}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for at, g := range groups {
		for _, scenario := range g.scenarios {
			r.begin(scenario, now, 3, 3)
			for place, sys := range g.systems {
				for round := 1; round <= 3; round++ {
					v := float64(1000*(at+10)) - float64(500*place) + float64(100*round)
					r.Samples = append(r.Samples, Sample{scenario, sys, round, map[string]float64{
						valueRate: v, valueCPURate: 1.1 * v, valueP50: 300, valueP99: 1200, valueP999: 5000 + v,
						valueForeign: 0.01 * float64(round), valueOrigin: 0.25, valueStart: 12.5, valueRSS: 1.2e9, valuePeak: 1.3e9,
						valueFiles: 0, valueHits: 0.7, valuePurge: 250, valueOffered: v / 2, valueWrong: 0,
						valueRenewed: 1, valueDisk: 400,
					}, ""})
				}
			}
		}
	}
	r.Samples = append(r.Samples, Sample{Scenario: ratioScenario, System: LRU, Round: 1, Values: map[string]float64{valueHits: 0.64}})
	r.Samples = append(r.Samples, Sample{Scenario: policyScenario, System: LRU, Round: 1, Values: map[string]float64{valueHits: 0.63}})
	r.Samples = append(r.Samples, Sample{Scenario: missScenario, System: Varnish, Round: 2, Fault: "it ended at once:\nsecond line"})
	return r
}

func TestPageGolden(t *testing.T) {
	got := Page(made())
	golden := filepath.Join("testdata", "page.golden.md")
	if *rewrite {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	// The notes are written by hand and change.
	cut := func(s string) string { before, _, _ := strings.Cut(s, "\n## Notes\n"); return before }
	if cut(got) != cut(string(want)) {
		t.Errorf("the page differs from %s (-rewrite writes it anew):\n%s", golden, got)
	}
}

func TestPageOfNothing(t *testing.T) {
	r, err := LoadResults(filepath.Join(t.TempDir(), "none.json"))
	if err != nil {
		t.Fatal(err)
	}
	page := Page(r)
	if strings.Contains(page, "| met") || strings.Contains(page, "NaN") || !strings.Contains(page, "not measured") {
		t.Errorf("a page of nothing tells of something:\n%s", page)
	}
}

func TestVerdicts(t *testing.T) {
	least, most := target{bound: 1.1}, target{bound: 1.1, atMost: true}
	for _, c := range []struct {
		t    target
		v    float64
		ok   bool
		want string
	}{
		{least, 1.1, true, "met"},
		{least, 1.099, true, "**missed**"},
		{most, 1.1, true, "met"},
		{most, 1.101, true, "**missed**"},
		{least, 0, false, "not measured"},
		{target{bound: reported}, 0.3, true, "reported"},
	} {
		if got := c.t.verdict(ratio{value: c.v}, c.ok); got != c.want {
			t.Errorf("%+v at %.3f: %s, want %s", c.t.bound, c.v, got, c.want)
		}
	}
}

// Every target must find its figure: a renamed scenario must not turn it into
// "not measured".
func TestTargetsAreFound(t *testing.T) {
	all := targets()
	if len(all) != 40 {
		t.Errorf("%d targets, 40 were expected", len(all))
	}
	r := made()
	for _, target := range all {
		if q, ok := target.measure(r); !ok || q.value <= 0 || math.IsInf(q.value, 0) {
			t.Errorf("%s: %+v, %t", target.what, q, ok)
		}
	}
}

func TestRatio(t *testing.T) {
	r := &Results{}
	for round, pair := range [][2]float64{{100, 50}, {120, 100}, {90, 60}} {
		r.Samples = append(r.Samples, Sample{"s", Weir, round, map[string]float64{"v": pair[0]}, ""},
			Sample{"s", Nginx, round, map[string]float64{"v": pair[1]}, ""})
	}
	r.Samples = append(r.Samples, Sample{"s", Weir, 3, map[string]float64{"v": 110}, ""}) // nginx failed in this round
	q, ok := r.ratio("s", Weir, Nginx, "v")
	if want := (ratio{value: 105.0 / 60, low: 1.2, high: 2, rounds: 3}); !ok || q != want {
		t.Errorf("got %+v, want %+v", q, want)
	}
	r.Samples = append(r.Samples, Sample{"other", Weir, 1, map[string]float64{"v": 60}, ""})
	q, ok = r.quotient(measured{"s", Weir}, measured{"other", Weir}, "v")
	if want := (ratio{value: 105.0 / 60, low: 2, high: 2, rounds: 1}); !ok || q != want {
		t.Errorf("between two scenarios: got %+v, want %+v", q, want)
	}
	if _, ok := r.ratio("s", Weir, Varnish, "v"); ok {
		t.Error("a ratio to what was not measured")
	}
}

func TestResultsAccumulate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "results.json")
	r := made()
	if err := r.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := LoadResults(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r, again) {
		t.Error("what was saved is not what was loaded")
	}
	// A new run of one scenario replaces all of that and nothing else.
	others := len(again.Samples) - len(slices.DeleteFunc(slices.Clone(again.Samples), func(s Sample) bool { return s.Scenario != missScenario }))
	again.begin(missScenario, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), 5, 3)
	if len(again.Samples) != others {
		t.Errorf("%d samples are left, %d were expected", len(again.Samples), others)
	}
	if o := again.Scenarios[missScenario]; o.Date != "2026-12-01" || o.Rounds != 5 {
		t.Errorf("the scenario is from %+v", o)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadResults(path); err == nil {
		t.Error("a broken file was loaded")
	}
}
