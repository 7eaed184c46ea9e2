package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"weir/loadtest/load"
)

// WriteTable writes the report for a person at a terminal.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	res := r.Result
	fmt.Fprintf(&b, "weirload: %s, %s loop, %.1f s%s\n", res.Target, res.Loop, res.DurationS, verified(res))
	for _, s := range r.Settings {
		fmt.Fprintf(&b, "  %-14s %s\n", s.Name, s.Value)
	}
	b.WriteByte('\n')
	for _, l := range totals(res) {
		fmt.Fprintf(&b, "  %-14s %s\n", l.Name, l.Value)
	}
	b.WriteByte('\n')
	if err := latencies(&b, res); err != nil {
		return err
	}
	verdict(&b, res)
	_, err := io.WriteString(w, b.String())
	return err
}

func verified(res *load.Result) string {
	switch {
	case res.Verified && !res.Lengths:
		return ", every body compared, its length not: neither the URL nor --size says it"
	case res.Verified:
		return ", every body compared"
	}
	return ", bodies not compared"
}

// totals are the lines about the whole run.
func totals(res *load.Result) []Setting {
	out := []Setting{
		{"answers", fmt.Sprintf("%s, %s a second", Thousands(res.Answers), Thousands(int64(res.Rate)))},
		{"bodies", fmt.Sprintf("%s, %s a second", Bytes(float64(res.Bytes)), Bytes(res.ByteRate))},
		{"connections", connections(res)},
	}
	add := func(name, format string, args ...any) { out = append(out, Setting{name, fmt.Sprintf(format, args...)}) }
	if len(res.Statuses) > 0 {
		add("statuses", "%s", counts(res.Statuses))
	}
	if res.Unsent > 0 {
		add("not sent", "%s were due when the run ended; their wait is in the latencies", Thousands(res.Unsent))
	}
	if res.InFlight > 0 {
		add("in flight", "%s when the run was cut short, the longest had waited %s; their wait is in the latencies", Thousands(res.InFlight), Micros(res.LongestUS))
	}
	if p := res.Purges; p != nil {
		add("purges", "%s acknowledged, %s failed; acknowledged in p50 %s, p99 %s, at most %s", Thousands(p.Done), Thousands(p.Failed),
			Micros(p.Ack.P50US), Micros(p.Ack.P99US), Micros(p.Ack.MaxUS))
		if p.Unsent+p.Cut > 0 {
			add("purges unsent", "%s were due and not sent when the run ended, %s more were under way; they are in no figure above", Thousands(p.Unsent), Thousands(p.Cut))
		}
		for _, f := range p.First {
			add("", "%s", f)
		}
	}
	if o := res.Origin; o != nil {
		add("origin", "%s requests, %s answered 304, %s", Thousands(o.Requests), Thousands(o.NotModified), Bytes(float64(o.Bytes)))
		if res.Answers > 0 {
			add("offload", "%s of the requests, %s of the bytes", offload(o.Requests, res.Answers), offload(o.Bytes, res.Bytes))
		}
	}
	if res.OriginError != "" {
		add("origin", "its counts are not known: %s", res.OriginError)
	}
	add("generator", "%.2f s of CPU, %.0f %% of one core", res.CPUSeconds, 100*res.CPUSeconds/max(res.DurationS, 1e-9))
	return out
}

func connections(res *load.Result) string {
	s := Thousands(res.Opened) + " opened"
	if res.Reopened > 0 {
		s += ", " + Thousands(res.Reopened) + " of them for kept ones that the target had closed"
	}
	return s
}

func offload(origin, all int64) string {
	if all == 0 {
		return "nothing"
	}
	return Percent(1 - float64(origin)/float64(all))
}

func counts(m map[string]int64) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+": "+Thousands(m[k]))
	}
	return strings.Join(parts, ", ")
}

// latencies is the table of percentiles.
func latencies(w io.Writer, res *load.Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "latency\tanswers\tshare\tmean\tp50\tp90\tp99\tp999\tp9999\tmax\t")
	for _, row := range rows(res) {
		fmt.Fprintln(t, strings.Join(row, "\t")+"\t")
	}
	return t.Flush()
}

// rows are those of the latency table: each tier, all, and how they came about.
func rows(res *load.Result) [][]string {
	var out [][]string
	add := func(name string, l load.Latency, share string) {
		out = append(out, []string{
			name, Thousands(l.Count), share, Micros(l.MeanUS), Micros(l.P50US), Micros(l.P90US), Micros(l.P99US),
			Micros(l.P999US), Micros(l.P9999), Micros(l.MaxUS),
		})
	}
	for _, t := range res.Tiers {
		add(t.Tier, t.Latency, Percent(float64(t.Answers)/float64(max(res.Answers, 1))))
	}
	add("all", res.Latency, "")
	if res.Loop == "open" {
		add("from sending", res.Service, "")
		add("sent late by", res.Lag, "")
	}
	return out
}

// verdict says what was wrong, or that nothing was.
func verdict(b *strings.Builder, res *load.Result) {
	if !res.Complete {
		fmt.Fprintf(b, "\nNOT COMPLETE: %s\n", res.Ended)
	}
	f := res.Faults
	switch {
	case f.Total == 0 && res.Answers == 0:
		fmt.Fprintf(b, "\n%s\n", Trouble(res))
		return
	case f.Total == 0 && res.Verified:
		fmt.Fprintf(b, "\nfaults: none; 0 stale, 0 wrong, 0 broken of %s\n", Thousands(res.Requests))
		return
	case f.Total == 0:
		fmt.Fprintf(b, "\nfaults: none by status and framing; bodies were not compared\n")
		return
	}
	fmt.Fprintf(b, "\nFAULTS: %s of %s: %s stale, %s wrong, %s broken (%s)\n", Thousands(f.Total), Thousands(res.Requests),
		Thousands(f.Stale), Thousands(f.Wrong), Thousands(f.Broken), counts(f.Kinds))
	for _, e := range res.Examples {
		fmt.Fprintf(b, "  at %.3f s, %s\n      %s: %s\n", e.AtS, e.Request, e.Kind, e.Fault)
	}
}
