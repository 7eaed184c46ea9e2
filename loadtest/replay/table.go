package replay

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Pass is one result among several, with the name it has in a table.
type Pass struct {
	Label  string  `json:"label"`
	Result *Result `json:"result"`
}

// Table renders the result as Markdown that is aligned for a terminal.
func (r *Result) Table() string { return Tables(Pass{Label: "replay", Result: r}) }

// Tables renders several passes side by side: first what the cache saved, a column for each pass, then the latencies, a row
// for each tier of each pass.
func Tables(passes ...Pass) string {
	return savings(passes).String() + "\n" + latencies(passes).String()
}

func savings(passes []Pass) *table {
	t := &table{rows: [][]string{{""}}}
	for _, p := range passes {
		t.rows[0] = append(t.rows[0], p.Label)
	}
	row := func(name string, always bool, cell func(*Result) string) {
		cells := []string{name}
		for _, p := range passes {
			c := cell(p.Result)
			always = always || (c != "0" && c != "")
			cells = append(cells, c)
		}
		if always {
			t.rows = append(t.rows, cells)
		}
	}
	row("requests", true, func(r *Result) string { return thousands(r.Requests) })
	row("entries that cannot be sent", false, func(r *Result) string { return thousands(r.Skipped) })
	row("wrong answers", true, func(r *Result) string { return thousands(r.Faults) })
	for tier := range tierCount {
		main := tier == TierRAM || tier == TierDisk || tier == TierMiss || tier == TierPass
		row(tierRow(tier), main, func(r *Result) string { return thousands(r.Count(tier)) })
	}
	row("requests to the origin", true, ifKnown(func(r *Result) string { return thousands(r.Origin.Requests) }))
	row("unknown to the origin", false, func(r *Result) string { return thousands(r.Origin.Unknown) })
	row("body bytes to clients", true, func(r *Result) string { return byteSize(r.Bytes) })
	row("body bytes from the origin", true, ifKnown(func(r *Result) string { return byteSize(r.Origin.Bytes) }))
	row("offload by requests", true, offload(func(requests, _ float64) float64 { return requests }))
	row("offload by bytes", true, offload(func(_, bytes float64) float64 { return bytes }))
	row("duration", true, func(r *Result) string { return fmt.Sprintf("%.1f s", r.Duration.Seconds()) })
	return t
}

func tierRow(t Tier) string {
	switch t {
	case TierRAM:
		return "hits from RAM"
	case TierDisk:
		return "hits from disk"
	case TierHit:
		return "other hits"
	case TierCollapsed:
		return "collapsed into another's fetch"
	case TierMiss:
		return "misses"
	case TierPass:
		return "passed"
	case TierNone:
		return "without Cache-Status"
	}
	return t.String()
}

func ifKnown(f func(*Result) string) func(*Result) string {
	return func(r *Result) string {
		if !r.OriginKnown {
			return "unknown"
		}
		return f(r)
	}
}

func offload(pick func(requests, bytes float64) float64) func(*Result) string {
	return func(r *Result) string {
		requests, bytes, ok := r.Offload()
		if !ok {
			return "unknown"
		}
		share := pick(requests, bytes)
		if share < 1 && share > 0.9995 {
			return "> 99.9 %" // never rounded to all of it
		}
		return fmt.Sprintf("%.1f %%", 100*share)
	}
}

func latencies(passes []Pass) *table {
	t := &table{rows: [][]string{{
		"latency", "requests", "first byte p50", "p99", "p999", "whole body p50", "p99", "p999",
	}}}
	for _, p := range passes {
		for _, tier := range p.Result.Tiers {
			name := tier.Tier
			if len(passes) > 1 {
				name = p.Label + ", " + name
			}
			t.rows = append(t.rows, []string{
				name, thousands(tier.Requests),
				micros(tier.FirstByte.P50), micros(tier.FirstByte.P99), micros(tier.FirstByte.P999),
				micros(tier.Whole.P50), micros(tier.Whole.P99), micros(tier.Whole.P999),
			})
		}
	}
	return t
}

// table is rows of cells; the first row is the head, the first column is aligned left and the others right.
type table struct{ rows [][]string }

// String renders Markdown with padded columns.
func (t *table) String() string {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(escape(cell)), 3)
		}
	}
	var b strings.Builder
	for n, row := range t.rows {
		for i, cell := range row {
			cell = escape(cell)
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString("| " + cell + pad + " |")
			} else {
				b.WriteString(" " + pad + cell + " |")
			}
		}
		b.WriteByte('\n')
		if n > 0 {
			continue
		}
		for i, w := range widths {
			if i == 0 {
				b.WriteString("|:" + strings.Repeat("-", w+1) + "|")
			} else {
				b.WriteString(strings.Repeat("-", w+1) + ":|")
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// escape keeps a label from breaking the table.
func escape(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(s) - 3; i > first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func byteSize(n int64) string {
	v := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if v < 1024 {
			if unit == "B" {
				return fmt.Sprintf("%d B", n)
			}
			return fmt.Sprintf("%.1f %s", v, unit)
		}
		v /= 1024
	}
	return fmt.Sprintf("%.2f GiB", v)
}

// micros renders microseconds with three digits at most, in the unit that reads best.
func micros(us int64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%d µs", us)
	case us < 100_000:
		return fmt.Sprintf("%.3g ms", float64(us)/1000)
	case us < 1_000_000:
		return fmt.Sprintf("%d ms", us/1000)
	}
	return fmt.Sprintf("%.3g s", float64(us)/1e6)
}
