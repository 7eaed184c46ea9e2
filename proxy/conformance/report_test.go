package conformance

import (
	"fmt"
	"strings"
)

// apart is the list of tests that is shown but not counted; doc.go says why.
const apart = "surrogate-control"

// report is one run of the suite.
type report struct {
	tests   []result
	answers []answer
}

// tally counts the verdicts of one kind of tests.
type tally map[string]int

func (c tally) total() int {
	n := 0
	for _, v := range c {
		n += v
	}
	return n
}

func (r report) tally(kind string, counted func(result) bool) tally {
	c := tally{}
	for _, t := range r.tests {
		if t.Kind == kind && counted(t) {
			c[t.Verdict]++
		}
	}
	return c
}

// String is the table, then every test that did not pass, in the suite's order,
// with the suite's message and what weir said of each request.
func (r report) String() string {
	var b strings.Builder
	r.table(&b, "http-cache-tests", func(t result) bool { return t.List != apart })
	isApart := func(t result) bool { return t.List == apart }
	if r.tally("required", isApart).total() > 0 {
		r.table(&b, "Surrogate-Control, not counted", isApart)
	}
	for _, kind := range []string{"required", "optimal"} {
		fmt.Fprintf(&b, "\n%s, not passed\n", kind)
		for _, t := range r.tests {
			if t.Kind == kind && t.Verdict != "pass" {
				r.test(&b, t)
			}
		}
	}
	b.WriteString("\ncheck\n")
	for _, t := range r.tests {
		if t.Kind == "check" {
			fmt.Fprintf(&b, "  %-10s %s\n", t.Verdict, t.ID)
			if t.Verdict != "yes" && t.Verdict != "no" {
				fmt.Fprintf(&b, "             %s\n", t.Message)
			}
		}
	}
	return b.String()
}

func (r report) table(b *strings.Builder, title string, counted func(result) bool) {
	fmt.Fprintf(b, "%s\n", title)
	for _, kind := range []string{"required", "optimal"} {
		c := r.tally(kind, counted)
		fmt.Fprintf(b, "  %-9s %3d of %3d passed", kind, c["pass"], c.total())
		for _, v := range []string{"fail", "dependency", "setup", "retry", "harness", "untested"} {
			if c[v] > 0 {
				fmt.Fprintf(b, ", %d %s", c[v], v)
			}
		}
		b.WriteByte('\n')
	}
	c := r.tally("check", counted)
	fmt.Fprintf(b, "  %-9s %3d yes, %d no, %d not answered\n", "check", c["yes"], c["no"], c.total()-c["yes"]-c["no"])
}

func (r report) test(b *strings.Builder, t result) {
	fmt.Fprintf(b, "  %-10s %s (%s): %s\n", t.Verdict, t.ID, t.List, t.Name)
	if t.Verdict == "dependency" {
		fmt.Fprintf(b, "             depends on %s\n", strings.Join(t.DependsOn, ", "))
	}
	if t.Message != "" {
		fmt.Fprintf(b, "             %s\n", t.Message)
	}
	for _, a := range r.answers {
		if a.Test != t.ID {
			continue
		}
		fmt.Fprintf(b, "             %d. %s: %d, %s", a.Number, a.Method, a.Status, a.CacheStatus)
		if a.Age != "" {
			fmt.Fprintf(b, ", age %s", a.Age)
		}
		b.WriteByte('\n')
	}
}
