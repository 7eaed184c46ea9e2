package chaos

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// report prints one page for a person.
func (b *bench) report(out io.Writer) {
	var s strings.Builder
	s.WriteString("\n| fault | times | held | what it is |\n|:--|--:|--:|:--|\n")
	var not []string
	for _, f := range faults() {
		t := b.done[f.name]
		switch {
		case t == nil:
		case t.not != "":
			not = append(not, fmt.Sprintf("%s: %s", f.name, t.not))
		default:
			fmt.Fprintf(&s, "| %s | %d | %v | %s |\n", f.name, t.times, t.held.Round(100*time.Millisecond), f.what)
		}
	}
	for _, n := range not {
		fmt.Fprintf(&s, "not possible here: %s\n", n)
	}
	c := &b.counts
	fmt.Fprintf(&s, "\n%d rounds in %v, seed %d; weir was started %d times\n", b.rounds, time.Since(b.found.began).Round(time.Second), b.Seed, b.starts())
	fmt.Fprintf(&s, "  answers   %d requests; %d bodies compared (%d MiB), none wrong unless it is said below; %d hits; %d had no whole answer or a 5xx\n",
		c.asked.Load(), c.verified.Load(), c.bytes.Load()>>20, c.hits.Load(), c.troubled.Load())
	fmt.Fprintf(&s, "  visitors  %d pages, %d uploads\n", c.pages.Load(), c.uploads.Load())
	fmt.Fprintf(&s, "  purges    %d acknowledged, %d not\n", c.purges.Load(), c.purgesLost.Load())
	fmt.Fprintf(&s, "  hits      %d probes, the slowest in bounds %v (bound %v)\n", c.probes.Load(), time.Duration(c.slowestHit.Load()).Round(time.Millisecond), hitWithin)
	fmt.Fprintf(&s, "  admin     %d requests\n", c.adminAsked.Load())
	fmt.Fprintf(&s, "  memory    at most %d MiB resident, the plan was %d MiB then\n", b.mostMemory>>20, b.mostPlan>>20)
	if b.place != nil {
		fmt.Fprintf(&s, "  disk      at most %d MiB, the budget is %d MiB\n", b.mostDisk>>20, b.place.diskBudget()>>20)
	}
	fmt.Fprintf(&s, "  quiet     %d checks of permits, flights, goroutines and descriptors passed\n", b.checks)
	b.found.write(&s)
	if n := b.found.total(); n == 0 {
		s.WriteString("\nno finding\n")
	} else {
		fmt.Fprintf(&s, "\n%d findings; the same rounds again: --seed %d\n", n, b.Seed)
	}
	_, _ = io.WriteString(out, s.String()) // a report that cannot be written is seen to be missing
}

func (b *bench) starts() int64 {
	if b.weir == nil {
		return 0
	}
	return b.weir.starts.Load()
}
