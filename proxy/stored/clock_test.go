package stored

import (
	"testing"
	"time"
)

// TestClockNeverGoesBack: the wall clock is set back and forth, and the machine sleeps,
// which the monotonic clock does not count.
func TestClockNeverGoesBack(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := NewClock(func() time.Time { return start })
	last := c.Now()
	for _, s := range []struct {
		name              string
		wall, mono, clock time.Duration // since start
	}{
		{"goes on", time.Minute, time.Minute, time.Minute},
		{"set back a day", -24 * time.Hour, 2 * time.Minute, 2 * time.Minute},
		{"goes on", -24*time.Hour + time.Minute, 3 * time.Minute, 3 * time.Minute},
		{"set right again", 4 * time.Minute, 4 * time.Minute, 4 * time.Minute},
		{"slept an hour", time.Hour + 5*time.Minute, 5 * time.Minute, time.Hour + 5*time.Minute},
		{"goes on", time.Hour + 6*time.Minute, 6 * time.Minute, time.Hour + 6*time.Minute},
		{"set back in small steps", time.Hour + 6*time.Minute + 30*time.Second, 7 * time.Minute, time.Hour + 7*time.Minute},
		{"and again", time.Hour + 7*time.Minute, 8 * time.Minute, time.Hour + 8*time.Minute},
	} {
		got := c.at(start.Add(s.wall).UnixNano(), s.mono)
		if want := start.Add(s.clock).UnixNano(); got != want {
			t.Errorf("%s: %v since the start, want %v", s.name, time.Duration(got-start.UnixNano()), s.clock)
		}
		if got < last {
			t.Errorf("%s: the clock goes back", s.name)
		}
		last = got
	}
}

// TestClockWithoutMonotonicTime: a clock of a test is what it says.
func TestClockWithoutMonotonicTime(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := NewClock(func() time.Time { return now })
	for _, d := range []time.Duration{time.Hour, -24 * time.Hour, time.Minute} {
		before := now
		now = now.Add(d)
		if c.Now() != now.UnixNano() || c.Behind(now) != 0 || Step(before, now) != 0 {
			t.Errorf("after %v the clock says %d at %d", d, c.Now(), now.UnixNano())
		}
	}
}
