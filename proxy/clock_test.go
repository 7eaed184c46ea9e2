package proxy

import (
	"strings"
	"testing"
	"time"

	"weir/tiers"
	"weir/tiers/disk"
)

// TestClockSetBackAcrossARestart: what was stored a day later than now says is not
// served as if it were new; once the origin has sent it again, it is.
func TestClockSetBackAcrossARestart(t *testing.T) {
	dir := t.TempDir()
	right := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	over := func(t *testing.T, now time.Time) *bench {
		return newBenchOver(t, Options{Now: func() time.Time { return now }}, tiers.Options{
			// Too large for RAM, so that it is on disk when it is stored.
			RAMSize: 64 << 20, RAMMaxObject: 1 << 10, Disk: &disk.Options{Dir: dir, Size: 256 << 20}, DiskMaxObject: 64 << 20,
		}, staticOrigin{hitHeader, make([]byte, 100<<10)})
	}
	const raw = "GET /a HTTP/1.1\nHost: h.example"
	t.Run("before", func(t *testing.T) {
		b := over(t, right)
		b.hitUntil(b.request(raw), "hit; ")
	})
	t.Run("set back", func(t *testing.T) {
		b := over(t, right.Add(-24*time.Hour))
		if status := b.do(b.request(raw)); strings.Contains(status, "hit") || !strings.Contains(status, "fwd=stale") {
			t.Errorf("what came a day ahead is served: %s", status)
		}
		b.hitUntil(b.request(raw), "hit; ")
	})
	t.Run("set right", func(t *testing.T) {
		b := over(t, right)
		if status := b.do(b.request(raw)); strings.Contains(status, "hit") {
			t.Errorf("what came a day ago is served: %s", status)
		}
	})
}
