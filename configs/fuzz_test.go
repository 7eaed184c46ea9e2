package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzParse holds for any bytes: no panic, a Config or faults but never both
// or neither, every fault in file order, in the file, and on one line.
func FuzzParse(f *testing.F) {
	f.Add(Sample)
	f.Add(Minimal)
	files, _ := filepath.Glob("testdata/faults/*.yaml")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && len(data) < 4096 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, faults := Parse("weir.yaml", data)
		if (cfg == nil) != (len(faults) > 0) {
			t.Fatalf("config %v with %d faults", cfg, len(faults))
		}
		lines := 1 + strings.Count(strings.ReplaceAll(string(data), "\r", "\n"), "\n") +
			strings.Count(string(data), "\u0085") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029")
		last := place{}
		for _, fault := range faults {
			if fault.Line < 1 || fault.Column < 1 || fault.Line > lines {
				t.Errorf("%s: the file has %d lines", fault, lines)
			}
			if fault.Line < last.line || fault.Line == last.line && fault.Column < last.column {
				t.Errorf("%s: out of order", fault)
			}
			if s := fault.String(); strings.ContainsAny(s, "\n\r") || !utf8.ValidString(s) || fault.Message == "" {
				t.Errorf("not one readable line: %q", s)
			}
			last = place{fault.Line, fault.Column}
		}
		if cfg == nil {
			return
		}
		if len(cfg.Listen) == 0 || len(cfg.Origins) == 0 || len(cfg.Policies) == 0 {
			t.Errorf("valid without a required part: %+v", cfg)
		}
		if len(cfg.Admin.Tokens) == 0 && !loopback(cfg.Admin.Listen) {
			t.Errorf("%s is open without tokens", cfg.Admin.Listen)
		}
		for _, p := range cfg.Policies {
			if _, found := cfg.Origin(p.Origin); !found {
				t.Errorf("policy %q: no origin %q", p.Name, p.Origin)
			}
		}
	})
}

// FuzzParseSize holds that what is accepted is never negative and survives
// being written and read again.
func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"512MiB", "1.5GB", "0B", "10", "-1kB", "9223372036854775807B", "0.999999999KiB", "1 TiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("%q: %d", s, n)
		}
		written := formatSize(n)
		if again, err := ParseSize(written); err != nil || again != n {
			t.Errorf("%q is %d, written %s, read again %d, error %v", s, n, written, again, err)
		}
	})
}

// FuzzParseDuration holds the same for durations, and that everything agrees
// with time.ParseDuration that it accepts as well.
func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"30s", "1d12h", "1.5h", "250ms", "1h-5m", "0", "106752d", "1µs", "0.1ns", "1h1h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q: %d", s, d)
		}
		if again, err := ParseDuration(formatDuration(d)); err != nil || again != d {
			t.Errorf("%q is %d, written %s, read again %d, error %v", s, d, formatDuration(d), again, err)
		}
		if std, err := time.ParseDuration(s); err == nil && (std-d).Abs() > time.Duration(len(s)) {
			t.Errorf("%q: got %v, the standard library says %v", s, d, std)
		}
	})
}
