// Package figures prints what was measured beside what it should be.
//
// A table only tells. Whether a figure holds is for whoever reads it: the machine
// decides about time, so no test fails because of one.
package figures

import (
	"fmt"
	"io"
	"slices"
	"time"
)

type row struct{ name, got, want, holds string }

// Table is a list of figures. The zero value is empty and ready to use. It is not
// safe for concurrent use.
type Table struct{ rows []row }

// AtMost adds a figure that should not be above want.
func (t *Table) AtMost(name string, got, want float64, unit string) {
	t.add(name, got, "<=", want, unit, got <= want)
}

// AtLeast adds a figure that should not be below want.
func (t *Table) AtLeast(name string, got, want float64, unit string) {
	t.add(name, got, ">=", want, unit, got >= want)
}

// Exactly adds a count that should be want, as of what must not be lost.
func (t *Table) Exactly(name string, got, want float64, unit string) {
	t.add(name, got, "=", want, unit, got == want)
}

// Told adds a figure that has no target.
func (t *Table) Told(name string, got float64, unit string) {
	t.rows = append(t.rows, row{name, number(got) + unit, "-", ""})
}

// Note adds a line that is no figure: what was left out, and why.
func (t *Table) Note(name, text string) { t.rows = append(t.rows, row{name, "-", "-", text}) }

func (t *Table) add(name string, got float64, sign string, want float64, unit string, holds bool) {
	said := "yes"
	if !holds {
		said = "NO"
	}
	t.rows = append(t.rows, row{name, number(got) + unit, sign + " " + number(want) + unit, said})
}

// number has four digits that count, and whole numbers in full.
func number(v float64) string {
	if v == float64(int64(v)) {
		return fmt.Sprintf("%d", int64(v))
	}
	return fmt.Sprintf("%.4g", v)
}

// Print writes the table, with a title over the names.
func (t *Table) Print(w io.Writer, title string) error {
	_, err := fmt.Fprintf(w, "\n%-68s %12s %12s  %s\n", title, "measured", "target", "holds")
	for _, r := range t.rows {
		if err == nil {
			_, err = fmt.Fprintf(w, "%-68s %12s %12s  %s\n", r.name, r.got, r.want, r.holds)
		}
	}
	return err
}

// Quantile sorts the list and returns the value below which a share q of it lies,
// 0 of an empty one.
func Quantile[T time.Duration | float64](list []T, q float64) T {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[int(float64(len(list)-1)*q)]
}

// Median is the quantile 0.5.
func Median[T time.Duration | float64](list []T) T { return Quantile(list, 0.5) }
