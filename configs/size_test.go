package configs

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
		err  string
	}{
		{"0B", 0, ""},
		{"512MiB", 512 << 20, ""},
		{"1KiB", 1024, ""},
		{"1kB", 1000, ""},
		{"10GB", 10_000_000_000, ""},
		{"1.5GiB", 3 << 29, ""},
		{"0.1KiB", 102, ""},
		{"2 TiB", 2 << 40, ""},
		{"2TB", 2_000_000_000_000, ""},
		{"8388607TiB", 8388607 << 40, ""},
		{"9223372036854775807B", math.MaxInt64, ""},
		{"9223372036854775808B", 0, "too large"},
		{"8388608TiB", 0, "too large"},
		{"", 0, "does not begin with a number"},
		{"512", 0, "no unit"},
		{"0", 0, "no unit"},
		{"-1MiB", 0, "negative"},
		{"+1MiB", 0, "does not begin with a number"},
		{".5MiB", 0, "does not begin with a number"},
		{"1.MiB", 0, "does not begin with a number"},
		{"1.2.3MiB", 0, "does not begin with a number"},
		{"MiB", 0, "does not begin with a number"},
		{"10mb", 0, "did you mean MiB (powers of 1024) or MB (powers of 1000)?"},
		{"10KB", 0, "did you mean KiB (powers of 1024) or kB (powers of 1000)?"},
		{"10g", 0, "did you mean GiB"},
		{"10GiB/s", 0, "unknown unit"},
		{"1e3MiB", 0, "unknown unit"},
		{"0x10MiB", 0, "unknown unit"},
		{strings.Repeat("1", 41) + "B", 0, "too many digits"},
	} {
		got, err := ParseSize(c.in)
		checkParsed(t, c.in, got, c.want, err, c.err)
	}
}

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration
		err  string
	}{
		{"0s", 0, ""},
		{"30s", 30 * time.Second, ""},
		{"250ms", 250 * time.Millisecond, ""},
		{"7us", 7 * time.Microsecond, ""},
		{"7\u00b5s", 7 * time.Microsecond, ""},
		{"7\u03bcs", 7 * time.Microsecond, ""},
		{"3ns", 3, ""},
		{"1d12h", 36 * time.Hour, ""},
		{"30d", 720 * time.Hour, ""},
		{"1.5d", 36 * time.Hour, ""},
		{"1h30m10.5s", 90*time.Minute + 10500*time.Millisecond, ""},
		{"9223372036854775807ns", math.MaxInt64, ""},
		{"9223372036854775808ns", 0, "too long"},
		{"106751d23h47m16s854ms775us807ns", math.MaxInt64, ""},
		{"106752d", 0, "too long"},
		{"", 0, "does not begin with a number"},
		{"0", 0, "no unit"},
		{"30", 0, "no unit"},
		{"1h30", 0, "no unit"},
		{"-5s", 0, "negative"},
		{"1h-5m", 0, `unknown unit "h-"`},
		{"+5s", 0, "does not begin with a number"},
		{"1w", 0, `unknown unit "w"`},
		{"5 s", 0, `unknown unit " s"`},
		{"5S", 0, `unknown unit "S"`},
		{"1h.s", 0, `cannot be read from ".s" on`},
		{"forever", 0, "does not begin with a number"},
	} {
		got, err := ParseDuration(c.in)
		checkParsed(t, c.in, int64(got), int64(c.want), err, c.err)
	}
}

func checkParsed(t *testing.T, in string, got, want int64, err error, wantErr string) {
	t.Helper()
	switch {
	case wantErr == "" && (err != nil || got != want):
		t.Errorf("%q: got %d, error %v; want %d", in, got, err, want)
	case wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)):
		t.Errorf("%q: got %d, error %v; want an error with %q", in, got, err, wantErr)
	}
}

func TestFormatSize(t *testing.T) {
	for want, n := range map[string]int64{
		"0B": 0, "1B": 1, "1kB": 1000, "1KiB": 1024, "1536KiB": 3 << 19, "10GiB": 10 << 30, "3TiB": 3 << 40,
		"64kB": 64000, "5000003B": 5000003,
	} {
		if got := formatSize(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "1m30s": 90 * time.Second, "10ms": 10 * time.Millisecond,
		"1us5ns": 1005,
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
	}
}
