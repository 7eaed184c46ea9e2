package report

import (
	"fmt"
	"strconv"
)

// Thousands renders a number with commas.
func Thousands(n int64) string {
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

// Bytes renders a number of bytes.
func Bytes(n float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 1024 {
			if unit == "B" {
				return fmt.Sprintf("%.0f B", n)
			}
			return fmt.Sprintf("%.1f %s", n, unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.2f TiB", n)
}

// Micros renders microseconds with three digits, in the unit that reads best.
func Micros(us float64) string {
	switch {
	case us < 10:
		return fmt.Sprintf("%.1f µs", us)
	case us < 999.5:
		return fmt.Sprintf("%.0f µs", us)
	case us < 99_950:
		return fmt.Sprintf("%.3g ms", us/1000)
	case us < 999_500:
		return fmt.Sprintf("%.0f ms", us/1000)
	case us < 99_950_000:
		return fmt.Sprintf("%.3g s", us/1e6)
	}
	return fmt.Sprintf("%.0f s", us/1e6)
}

// Percent renders a share. What is not all of it is never rounded up to all of it.
func Percent(share float64) string {
	if share < 1 && share >= 0.9995 {
		return "> 99.9 %"
	}
	return fmt.Sprintf("%.1f %%", 100*share)
}
