package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
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
	v := view{Report: r, Rows: rows(res), Bad: !res.Complete || res.Faults.Total > 0, When: r.Started.Format("2006-01-02 15:04:05 -0700")}
	for _, t := range totals(res) {
		if t.Name != "" {
			v.Totals = append(v.Totals, t)
		}
	}
	v.Verdict = headline(r)
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

// headline is the outcome in one line.
func headline(r *Report) string {
	f := r.Result.Faults
	switch {
	case !r.Result.Complete:
		return "Not complete: " + r.Result.Ended
	case f.Total > 0:
		return fmt.Sprintf("%s of %s answers were faulty: %s stale, %s wrong, %s broken", Thousands(f.Total), Thousands(r.Result.Requests),
			Thousands(f.Stale), Thousands(f.Wrong), Thousands(f.Broken))
	case !r.Result.Verified:
		return "No faults by status and framing; bodies were not compared"
	}
	return fmt.Sprintf("Every one of %s answers was right", Thousands(r.Result.Answers))
}
