package tiers

import (
	"testing"
	"time"
)

// A clock that is set back does not silence what an operator must know.
func TestLogAfterAClockJump(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	o := testOptions(t.TempDir())
	o.Now = func() time.Time { return at }
	s := openTest(t, o)
	for _, step := range []struct {
		forward time.Duration
		want    bool
	}{{0, true}, {time.Second, false}, {9 * time.Second, true}, {-time.Hour, true}, {time.Second, false}, {10 * time.Second, true}} {
		at = at.Add(step.forward)
		if got := s.mayLog(); got != step.want {
			t.Errorf("after %v at %v: %v", step.forward, at, got)
		}
	}
}
