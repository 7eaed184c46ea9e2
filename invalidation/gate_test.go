package invalidation

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	g := newGate()
	now := time.Now()
	if !g.Open(now) || !g.Open(now.Add(1000*time.Hour)) || g.Started(now) != 0 {
		t.Fatal("a node without peers is not always open")
	}
	g.Close()
	first := g.Closure()
	if g.Open(now) || first == 0 || g.Closure() != first || g.Started(now) != first {
		t.Fatalf("closed: closure %d, then %d", first, g.Closure())
	}
	g.Close()
	second := g.Closure()
	if second <= first {
		t.Fatalf("the closure after %d is %d", first, second)
	}
	g.OpenUntil(now.Add(time.Second))
	if !g.Open(now) || !g.Open(now.Add(time.Second-1)) || g.Open(now.Add(time.Second)) {
		t.Error("it is not open until then, and closed from then on")
	}
	// It ran out: the first to see that begins a closure, and the others are in the same.
	third := g.Closure()
	if third <= second || g.Closure() != third {
		t.Errorf("the closure after %d is %d, then %d", second, third, g.Closure())
	}
	g.OpenUntil(now.Add(3 * time.Second))
	g.OpenUntil(now.Add(2 * time.Second))
	if !g.Open(now.Add(2500 * time.Millisecond)) {
		t.Error("a shorter lease took the longer one away")
	}
	g.Close()
	if fourth := g.Closure(); fourth <= third {
		t.Errorf("the closure after %d is %d", third, fourth)
	}
}

// TestGateShortens: a lease that begins after a closure counts from itself, not from what was promised before it.
func TestGateShortens(t *testing.T) {
	g := newGate()
	now := time.Now()
	g.Close()
	g.OpenUntil(now.Add(time.Hour))
	g.Close()
	g.OpenUntil(now.Add(time.Second))
	if g.Open(now.Add(time.Minute)) {
		t.Error("what was promised before the closure still counts")
	}
}

// TestGateSpan: a closure ends by itself; a process that was stopped in one and goes on finds that at its first request.
func TestGateSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.Span(time.Second)
		g.Close()
		first := g.Closure()
		time.Sleep(time.Second - 1)
		if c := g.Closure(); c != first {
			t.Errorf("closure %d before its end, was %d", c, first)
		}
		time.Sleep(time.Nanosecond)
		second := g.Closure()
		if second <= first || second%2 != 1 || g.Closure() != second {
			t.Errorf("closure %d at the end of %d", second, first)
		}
		g.OpenUntil(time.Now().Add(time.Second))
		time.Sleep(time.Hour)
		third := g.Closure()
		if third <= second || g.Closure() != third {
			t.Errorf("closure %d after the gate was left to run out, was %d", third, second)
		}
	})
}
