package trial

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// write prints the results as a table for people, and below it what was wrong.
func write(out io.Writer, results []result) {
	var b strings.Builder
	b.WriteString("\n| application | configuration | visitors | requests | pages of somebody else | guests' offload | checks |\n")
	b.WriteString("|:--|:--|--:|--:|--:|--:|:--|\n")
	for _, r := range results {
		offload := "-"
		if r.GuestRequests > 0 {
			offload = fmt.Sprintf("%.0f %% (%d of %d made)", 100*r.ratio(), r.GuestMade, r.GuestRequests)
		}
		checks := fmt.Sprintf("%d passed", len(r.Passed))
		if len(r.Failed) > 0 {
			checks = fmt.Sprintf("%d FAILED, %s", len(r.Failed), checks)
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %s | %s |\n", r.Site, r.Config, r.Visitors, r.Requests, r.Wrong, offload, checks)
	}
	for _, r := range results {
		section(&b, r, "what reached somebody else", r.Leaks, r.Wrong)
		counts(&b, r)
		section(&b, r, "failed", r.Failed, len(r.Failed))
		section(&b, r, "noted", r.Noted, len(r.Noted))
		section(&b, r, "passed", r.Passed, len(r.Passed))
	}
	_, _ = io.WriteString(out, b.String())
}

func section(b *strings.Builder, r result, title string, lines []string, all int) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s, %s, %s:\n", r.Site, r.Config, title)
	for _, l := range lines {
		fmt.Fprintf(b, "  %s\n", l)
	}
	if all > len(lines) {
		fmt.Fprintf(b, "  and %d more\n", all-len(lines))
	}
}

// counts prints how many answers were wrong in each phase and on each page, the most first.
func counts(b *strings.Builder, r result) {
	names := slices.SortedFunc(maps.Keys(r.By), func(x, y string) int {
		return cmp.Or(cmp.Compare(r.By[y], r.By[x]), cmp.Compare(x, y))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, r.By[name])
	}
	if len(names) > 0 {
		fmt.Fprintf(b, "  by phase, and by page: %s\n", strings.Join(names, ", "))
	}
}
