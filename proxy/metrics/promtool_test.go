package metrics

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// promtool returns the path of promtool. Without it the test is skipped with
// the reason, or fails when WEIR_REQUIRE_TOOLS=1.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err == nil {
		return path
	}
	const how = "cannot find promtool (Debian: apt-get install prometheus): %v"
	if os.Getenv("WEIR_REQUIRE_TOOLS") == "1" {
		t.Fatalf(how, err)
	}
	t.Skipf(how, err)
	return ""
}

func TestPromtoolAcceptsThePage(t *testing.T) {
	tool := promtool(t)
	idle := New(testOptions())
	busy := New(testOptions())
	fill(busy)
	busy.Request(served(200, 200, 0, 0, 0, 0))
	busy.Origin(-1, 200, 0)
	busy.Request(&Served{Policy: busy.SetPolicies([]string{"static", "ünï\"\\\n", "bad\xffbytes"})[1], Status: 999})
	busy.SetOrigins([]string{"shop", "ünï\"\\\n", "bad\xffbytes"})
	for s := range numSources {
		busy.SetSource(s, func() float64 { return 1 })
	}
	for tier := range uint8(2) {
		busy.SetTier(tier, TierFuncs{Bytes: func() float64 { return 1 }, Objects: func() float64 { return 1 }, Capacity: func() float64 { return 1 }, Corrupt: func() float64 { return 1 }})
	}
	for name, r := range map[string]*Registry{"idle": idle, "busy": busy} {
		t.Run(name, func(t *testing.T) {
			var page bytes.Buffer
			if err := r.WriteMetrics(&page); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(tool, "check", "metrics")
			cmd.Stdin = bytes.NewReader(page.Bytes())
			// promtool exits 0 on some of its complaints, so silence is asked for too.
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("promtool check metrics: %v\n%s\nof the page\n%s", err, out, page.Bytes())
			}
		})
	}
}
