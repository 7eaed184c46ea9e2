package origin

import (
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name  string
		usual time.Duration // of all answers; 0: there are none
		hedge Hedge
		left  time.Duration
		want  patience
	}{
		{"nothing is known", 0, Hedge{}, time.Minute, patience{1000 * ms, 1000 * ms, 0}},
		{"a quick origin", 5 * ms, Hedge{}, time.Minute, patience{100 * ms, 1000 * ms, 0}},
		{"a slow origin", 800 * ms, Hedge{}, time.Minute, patience{800 * ms, 2400 * ms, 0}},
		{"half of the time is for another server", 800 * ms, Hedge{}, time.Second, patience{500 * ms, 500 * ms, 0}},
		{"a hedge after a duration", 5 * ms, Hedge{After: 30 * ms}, time.Minute, patience{100 * ms, 1000 * ms, 30 * ms}},
		{"a hedge after a quantile", 50 * ms, Hedge{Quantile: 0.95}, time.Minute, patience{100 * ms, 1000 * ms, 50 * ms}},
		{"a hedge after a quantile that is unknown", 0, Hedge{Quantile: 0.95}, time.Minute, patience{1000 * ms, 1000 * ms, 0}},
	} {
		fast, slow := &member{}, &member{}
		for range 100 {
			if test.usual > 0 {
				fast.usual.add(0, test.usual)
				slow.usual.add(0, 5*time.Second)
			}
		}
		got := patienceOf([]*member{slow, fast}, &test.hedge).within(test.left)
		for _, c := range []struct {
			name      string
			got, want time.Duration
		}{{"overdue", got.overdue, test.want.overdue}, {"slow", got.slow, test.want.slow}, {"hedge", got.hedge, test.want.hedge}} {
			if c.got < c.want || c.got > c.want*126/100 {
				t.Errorf("%s: %s is %v, want %v or up to a quarter more", test.name, c.name, c.got, c.want)
			}
		}
	}
}
