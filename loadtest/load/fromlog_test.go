package load_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"weir/loadtest/accesslog"
	"weir/loadtest/load"
)

// fromLog reads lines "TIME METHOD TARGET", the times of which have the length that says what the log knows.
func fromLog(t *testing.T, lines ...string) load.Log {
	t.Helper()
	var log []accesslog.Entry
	for _, line := range lines {
		f := strings.Fields(line)
		at, err := time.Parse(time.RFC3339, "2026-01-02T15:"+f[0]+"Z")
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, accesslog.Entry{Time: at, Method: f[1], Target: f[2], Status: 200, Size: 100})
	}
	return load.FromLog(log)
}

// timesOf are the targets with their times in milliseconds.
func timesOf(l load.Log) (targets string, at []int64) {
	for _, e := range l.Entries {
		targets += e.Target
		at = append(at, e.At.Milliseconds())
	}
	return targets, at
}

func TestTimesOfLog(t *testing.T) {
	for _, tc := range []struct {
		what    string
		lines   []string
		targets string
		at      []int64
	}{
		{
			"whole seconds are spread",
			[]string{"04:05 GET /a", "04:05 GET /b", "04:05 GET /c", "04:05 GET /d", "04:07 GET /e"},
			"/a/b/c/d/e",
			[]int64{0, 250, 500, 750, 2000},
		},
		{
			"one line with a fraction shows that the log knows them",
			[]string{"04:05.089 GET /a", "04:05.089 GET /b", "04:06.089 GET /c", "04:06.089 GET /d"},
			"/a/b/c/d",
			[]int64{0, 0, 1000, 1000},
		},
		{
			"lines in the order of their ends are sent in that of their beginnings",
			[]string{"04:05.500 GET /b", "04:05.100 GET /a", "04:05.900 GET /d", "04:05.500 GET /c"},
			"/a/b/c/d",
			[]int64{0, 400, 400, 800},
		},
		{
			"whole seconds out of order",
			[]string{"04:06 GET /b", "04:05 GET /a", "04:06 GET /c"},
			"/a/b/c",
			[]int64{0, 1000, 1500},
		},
		{
			"what cannot be sent is not waited for",
			[]string{"04:01.000 CONNECT a:1", "04:05.500 GET /a", "04:05.700 GET /b"},
			"/a/b",
			[]int64{0, 200},
		},
	} {
		l := fromLog(t, tc.lines...)
		if targets, at := timesOf(l); targets != tc.targets || !slices.Equal(at, tc.at) {
			t.Errorf("%s: %s at %v, want %s at %v", tc.what, targets, at, tc.targets, tc.at)
		}
	}
	if l := fromLog(t, "04:01 CONNECT a:1", "04:07 GET /b", "04:06 GET /a"); l.Skipped != 1 || l.Start.Format("04:05") != "04:06" {
		t.Errorf("%d lines cannot be sent, the first request is of %v", l.Skipped, l.Start)
	}
}

// A log of a run has them, and the origin would answer with its counts, or change its versions.
func TestWhatSteersTheOriginIsNotSent(t *testing.T) {
	l := fromLog(t, "04:05 GET "+load.StatsPath, "04:05 POST "+load.BumpPath, "04:05 GET /%2D/weirload/stats?x", "04:05 GET /-/weirload")
	if targets, _ := timesOf(l); targets != "/-/weirload" || l.Skipped != 3 {
		t.Errorf("%s, and %d skipped", targets, l.Skipped)
	}
}
