package figures

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	var f Table
	f.AtMost("ratio", 1.25, 1.2, "")
	f.AtMost("as far as it may be", 1.2, 1.2, "")
	f.AtLeast("hit ratio", 0.98765, 0.9, "")
	f.AtLeast("too few", 0.8, 0.9, "")
	f.Exactly("lost", 0, 0, "")
	f.Exactly("applied", 99_999, 100_000, "")
	f.Told("p99", 1.23456, " ms")
	f.Note("trace", "no log")
	var out strings.Builder
	if err := f.Print(&out, "figure (quick)"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"", "figure (quick) measured target holds",
		"ratio 1.25 <= 1.2 NO", "as far as it may be 1.2 <= 1.2 yes",
		"hit ratio 0.9877 >= 0.9 yes", "too few 0.8 >= 0.9 NO",
		"lost 0 = 0 yes", "applied 99999 = 100000 NO",
		"p99 1.235 ms -", "trace - - no log",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("printed\n%s\nwant\n%s", g, w)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestPrintSaysThatItCouldNot(t *testing.T) {
	if err := new(Table).Print(failing{}, "x"); err == nil {
		t.Error("no error of a writer that fails")
	}
}

func TestQuantile(t *testing.T) {
	list := []time.Duration{5, 1, 4, 2, 3}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 3, 0.75: 4, 1: 5} {
		if got := Quantile(list, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := Median([]float64{}); got != 0 {
		t.Errorf("median of nothing is %v", got)
	}
}
