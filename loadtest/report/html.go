package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"weir/loadtest/load"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{"join": strings.Join}).Parse(pageText))

// view is what the page shows.
type view struct {
	*Report
	Totals  []Setting
	Rows    [][]string
	Verdict string
	Bad     bool
	Charts  []template.HTML
	When    string
}

// WriteHTML writes the report as one page that loads nothing.
func (r *Report) WriteHTML(w io.Writer) error {
	res := r.Result
	v := view{Report: r, Totals: totals(res), Rows: rows(res), When: r.Started.Format("2006-01-02 15:04:05 -0700")}
	v.Verdict, v.Bad = headline(r)
	for _, c := range []*chart{percentiles(res), throughput(res), latencyOverTime(res)} {
		if !c.drawable() {
			continue
		}
		svg, err := c.svg()
		if err != nil {
			return err
		}
		v.Charts = append(v.Charts, svg)
	}
	if err := page.Execute(w, v); err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	return nil
}

// drawable tells whether a line of it has more than one point.
func (c *chart) drawable() bool {
	for _, s := range c.series {
		if len(s.points) > 1 && !s.dots {
			return true
		}
	}
	return false
}

// headline is the outcome in one line; bad is whether it is none to be content with.
func headline(r *Report) (line string, bad bool) {
	f := r.Result.Faults
	trouble := Trouble(r.Result)
	switch {
	case !r.Result.Complete:
		return "Not complete: " + r.Result.Ended, true
	case f.Total > 0:
		return fmt.Sprintf("%s of %s answers were faulty: %s stale, %s wrong, %s broken", Thousands(f.Total), Thousands(r.Result.Requests),
			Thousands(f.Stale), Thousands(f.Wrong), Thousands(f.Broken)), true
	case trouble != "":
		return strings.ToUpper(trouble[:1]) + trouble[1:], true
	case !r.Result.Verified:
		return "No faults by status and framing; bodies were not compared", false
	}
	return fmt.Sprintf("Every one of %s answers was right", Thousands(r.Result.Answers)), false
}

// Trouble says why a run is no success although it may have no faulty answer: purges failed, or nothing was measured. It is
// empty when there is nothing to say.
func Trouble(res *load.Result) string {
	p := res.Purges
	switch {
	case p != nil && p.Failed > 0 && len(p.First) > 0:
		return fmt.Sprintf("%s of %s purges failed; the first: %s", Thousands(p.Failed), Thousands(p.Asked), p.First[0])
	case p != nil && p.Failed > 0:
		return fmt.Sprintf("%s of %s purges failed", Thousands(p.Failed), Thousands(p.Asked))
	case res.Answers > 0:
		return ""
	case res.Requests+res.Unsent == 0 && res.MeasuredS < res.DurationS:
		return "nothing was measured: the warm-up covers all requests"
	}
	return "nothing was answered"
}
