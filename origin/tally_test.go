package origin

import (
	"testing"
	"time"
)

func TestTallyForgets(t *testing.T) {
	c := tally{span: 10 * time.Second}
	for s := range 30 {
		now := time.Duration(s) * time.Second
		c.add(now, s%2)
		sums := c.sums(now)
		if got, want := sums[0]+sums[1], min(s+1, 10); got != want {
			t.Fatalf("after %v: %d events in the last ten seconds, want %d", now, got, want)
		}
	}
	if got := c.sums(time.Hour); got != [2]int{} {
		t.Errorf("an hour later there are still %v events", got)
	}
	c.add(time.Hour, 1)
	if got := c.sums(time.Hour); got != [2]int{0, 1} {
		t.Errorf("events of another time count: %v", got)
	}
}

func TestBudget(t *testing.T) {
	for _, test := range []struct {
		name     string
		share    float64
		floor    int
		requests int
		want     int
	}{
		{"the floor without requests", 0.1, 3, 0, 3},
		{"the floor with few requests", 0.1, 3, 20, 3},
		{"a share of many requests", 0.1, 3, 200, 20},
		{"no floor", 0.02, 0, 49, 0},
		{"no floor, but enough requests", 0.02, 0, 50, 1},
		{"nothing but the floor", 0, 3, 1000, 3},
	} {
		b := budget{share: test.share, floor: test.floor, seen: tally{span: budgetSpan}}
		now := time.Minute
		for range test.requests {
			b.request(now)
		}
		got := 0
		for b.take(now) {
			got++
		}
		if got != test.want {
			t.Errorf("%s: %d additional requests, want %d", test.name, got, test.want)
		}
		if again := b.take(now + budgetSpan + time.Second); again != (test.floor > 0) {
			t.Errorf("%s: ten seconds later one more is allowed: %v", test.name, again)
		}
	}
}
