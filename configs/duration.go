package configs

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
)

const day = 24 * time.Hour

// durationUnits are in the order in which a duration is written out.
var durationUnits = []struct {
	name string
	unit time.Duration
}{
	{"d", day},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
	{"ms", time.Millisecond},
	{"us", time.Microsecond},
	{"µs", time.Microsecond}, // U+00B5, micro sign
	{"μs", time.Microsecond}, // U+03BC, Greek mu
	{"ns", time.Nanosecond},
}

const validDuration = "numbers with the units d, h, m, s, ms, us, ns, such as 30s, 1d12h or 250ms"

// ParseDuration reads what time.ParseDuration reads, and days (d, of 24 hours);
// unsigned, every number with its unit, rounded down to nanoseconds.
func ParseDuration(s string) (time.Duration, error) {
	total := new(big.Int)
	rest := s
	for first := true; first || rest != ""; first = false {
		number, after, err := splitNumber(rest)
		if err != nil {
			return 0, durationError(rest, first, err)
		}
		end := strings.IndexAny(after, "0123456789.")
		if end < 0 {
			end = len(after)
		}
		unit, err := durationUnit(after[:end])
		if err != nil {
			return 0, err
		}
		rest = after[end:]
		part := number.Mul(number, new(big.Rat).SetInt64(int64(unit)))
		total.Add(total, new(big.Int).Quo(part.Num(), part.Denom()))
		if total.Cmp(big.NewInt(math.MaxInt64)) > 0 {
			return 0, errors.New("is too long")
		}
	}
	return time.Duration(total.Int64()), nil
}

// durationError keeps a fault in the middle of a duration from being told as
// if it were at its beginning.
func durationError(rest string, first bool, err error) error {
	if first {
		return err
	}
	return fmt.Errorf("cannot be read from %s on", quote(rest))
}

func durationUnit(name string) (time.Duration, error) {
	for _, u := range durationUnits {
		if u.name == name {
			return u.unit, nil
		}
	}
	if name == "" {
		return 0, errors.New("has no unit")
	}
	return 0, fmt.Errorf("has the unknown unit %s", quote(name))
}

// formatDuration writes a duration as the file would: 30d, 1h30m, 250ms.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range durationUnits {
		if n := d / u.unit; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.unit
		}
	}
	return b.String()
}
