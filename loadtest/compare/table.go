package compare

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// table is rows of Markdown cells; the first row is the head.
type table struct{ rows [][]string }

func newTable(head ...string) *table { return &table{rows: [][]string{head}} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// String pads the columns, so that the page reads without a renderer too.
func (t *table) String() string {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), 3)
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("|")
		for i, cell := range cells {
			b.WriteString(" " + cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)) + " |")
		}
		b.WriteString("\n")
	}
	rule := make([]string, len(widths))
	for i, w := range widths {
		rule[i] = strings.Repeat("-", w)
	}
	line(t.rows[0])
	line(rule)
	for _, row := range t.rows[1:] {
		line(row)
	}
	return b.String()
}

// column is a scenario with its heading.
type column struct{ title, scenario string }

// writeValue renders one value of several scenarios, a row for each system.
// With ratios, weir's ratio to the system stands behind the value.
func writeValue(b *strings.Builder, r *Results, heading string, columns []column, value string, ratios bool, show func(float64) string) {
	head := []string{""}
	for _, c := range columns {
		head = append(head, c.title)
	}
	t := newTable(head...)
	for _, s := range systems {
		cells, any := []string{s.title}, false
		for _, c := range columns {
			cell := r.show(c.scenario, s.name, value, show)
			if q, ok := r.ratio(c.scenario, Weir, s.name, value); ok && ratios && s.name != Weir {
				cell += fmt.Sprintf(" (%.2f)", q.value)
			}
			any = any || cell != "-"
			cells = append(cells, cell)
		}
		if any {
			t.add(cells...)
		}
	}
	if len(t.rows) > 1 {
		b.WriteString(heading + "\n\n" + t.String() + "\n")
	}
}

// writeLatency renders p50, p99 and p999 of several scenarios.
func writeLatency(b *strings.Builder, r *Results, columns []column) {
	head := []string{""}
	for _, c := range columns {
		head = append(head, c.title)
	}
	t := newTable(head...)
	for _, s := range systems {
		cells, any := []string{s.title}, false
		for _, c := range columns {
			cell := "-"
			if _, ok := r.median(c.scenario, s.name, valueP50); ok {
				any = true
				cell = r.show(c.scenario, s.name, valueP50, millisOf) + " / " + r.show(c.scenario, s.name, valueP99, millisOf) + " / " +
					r.show(c.scenario, s.name, valueP999, millisOf)
			}
			cells = append(cells, cell)
		}
		if any {
			t.add(cells...)
		}
	}
	if len(t.rows) > 1 {
		b.WriteString("Latency in the closed loop, in milliseconds: p50 / p99 / p999.\n\n" + t.String() + "\n")
	}
}

// show renders the median of a value, or "-" where there is none.
func (r *Results) show(scenario, system, value string, show func(float64) string) string {
	if v, ok := r.median(scenario, system, value); ok {
		return show(v)
	}
	return "-"
}

func count(v float64) string { return thousands(int(round(v))) }

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func perMillion(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", 1e6/v)
}

func share(v float64) string    { return fmt.Sprintf("%.2f", v) }
func fourth(v float64) string   { return fmt.Sprintf("%.4f", v) }
func gib(v float64) string      { return fmt.Sprintf("%.2f GiB", v/(1<<30)) }
func millis(v float64) string   { return fmt.Sprintf("%.0f ms", v) }
func millisOf(v float64) string { return fmt.Sprintf("%.1f", v/1000) }

// micros renders microseconds in the unit that reads best.
func micros(v float64) string {
	switch {
	case v < 1000:
		return fmt.Sprintf("%.0f µs", v)
	case v < 1e6:
		return fmt.Sprintf("%.1f ms", v/1000)
	}
	return fmt.Sprintf("%.2f s", v/1e6)
}
