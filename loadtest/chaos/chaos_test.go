package chaos

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// TestShort goes through the rounds of a fixed seed for a few seconds. `make chaos` goes on for longer, with all faults.
func TestShort(t *testing.T) {
	if !isolated(t) {
		return
	}
	var out strings.Builder
	cfg := Config{
		Weir: build(t, nil), Seed: 4, For: 6 * time.Second, Rounds: 1, Hold: 3 * time.Second, Out: &out,
		Faults: []string{"reset", "vanish", "kill", "leave"},
	}
	found, err := run(context.WithoutCancel(t.Context()), cfg)
	if err != nil && !errors.Is(err, ErrFound) {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Logf("%s", &out)
	if found.total() > 0 {
		t.Error("findings, see above")
	}
	if !strings.Contains(out.String(), "1 rounds") {
		t.Error("the round did not end")
	}
}

// TestRoundsFollowFromTheSeed: the same seed draws the same rounds, and every fault has its turn before any comes again.
func TestRoundsFollowFromTheSeed(t *testing.T) {
	draws := func(seed uint64) (text string, turns map[string]int) {
		p, turns := newPlanner(seed, faults(), 8*time.Second), map[string]int{}
		var b strings.Builder
		for range 200 {
			alone := 0
			drawn := p.round()
			if len(drawn) == 0 || len(drawn) > 4 {
				t.Fatalf("a round of %d faults", len(drawn))
			}
			for _, d := range drawn {
				b.WriteString(d.fault.name + d.after.String() + d.hold.String())
				turns[d.fault.name]++
				if d.fault.alone {
					alone++
				}
				if d.hold < 4*time.Second || d.hold > 8*time.Second {
					t.Errorf("%s is held for %v", d.fault.name, d.hold)
				}
			}
			if alone > 1 {
				t.Error("two faults of one round start the process")
			}
		}
		return b.String(), turns
	}
	one, turns := draws(7)
	two, _ := draws(7)
	other, _ := draws(8)
	if one != two || one == other {
		t.Error("the rounds do not follow from the seed")
	}
	for _, f := range faults() {
		if n := turns[f.name]; n < 8 {
			t.Errorf("%s was drawn %d times in 200 rounds", f.name, n)
		}
	}
}

// TestSizing holds the plan that memory is held to against the one that operators are told.
func TestSizing(t *testing.T) {
	b, err := os.ReadFile(moduleRoot + "/docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(b)), " ")
	if want := "Plan with 1.35 times `tiers.ram.size`, 1.25 times `limits.memory_in_flight` (64 MiB by default), 150 MiB"; !strings.Contains(text, want) {
		t.Errorf("docs/operations.md does not say %q: the function sizing has to say what it says", want)
	}
	if want := "and 0.1 MiB for each transfer at a time"; !strings.Contains(text, want) {
		t.Errorf("docs/operations.md does not say %q: the function sizing has to say what it says", want)
	}
	if got := sizing(100<<20, 200); got != 385<<20 {
		t.Errorf("the plan for 100 MiB and 200 transfers is %d MiB, want 385", got>>20)
	}
}

// TestUnknownFault names what would be right.
func TestUnknownFault(t *testing.T) {
	err := Run(t.Context(), Config{Weir: "weir", Faults: []string{"meteor"}, Out: &strings.Builder{}})
	if err == nil || !strings.Contains(err.Error(), `no fault "meteor" (valid: hang, reset, `) {
		t.Errorf("the error is %v", err)
	}
}
