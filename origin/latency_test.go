package origin

import (
	"testing"
	"time"
)

func TestLatencyBuckets(t *testing.T) {
	for d := 64 * time.Microsecond; d < time.Minute; d += d / 10 {
		b := latencyBucket(d)
		upper, lower := latencyBound(b), time.Duration(0)
		if b > 0 {
			lower = latencyBound(b - 1)
		}
		if d >= upper || d < lower {
			t.Fatalf("%v is in the bucket from %v to %v", d, lower, upper)
		}
		if b > 0 && float64(upper)/float64(lower) > 1.26 {
			t.Fatalf("the bucket from %v to %v is too wide", lower, upper)
		}
	}
	if latencyBucket(0) != 0 || latencyBucket(time.Hour) != latencyBuckets-1 {
		t.Error("the ends are not in the outermost buckets")
	}
}

func TestLatencyQuantiles(t *testing.T) {
	var l latencies
	for i := range latencyLeast - 1 {
		l.add(0, time.Duration(i)*time.Millisecond)
	}
	if got := l.quantile(0.99); got != 0 {
		t.Fatalf("%v after too few answers", got)
	}
	l = latencies{}
	for i := range 1000 {
		l.add(0, time.Duration(i+1)*time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.95: 950 * time.Millisecond, 0.99: 990 * time.Millisecond} {
		if got := l.quantile(q); got < want || got > want*126/100 {
			t.Errorf("the quantile %v of 1 to 1000 ms is %v, want at most a quarter above %v", q, got, want)
		}
	}
}

func TestLatencyFades(t *testing.T) {
	var l latencies
	for range 1000 {
		l.add(0, time.Second)
	}
	for s := range 3600 {
		l.add(time.Duration(s)*time.Second, 10*time.Millisecond)
	}
	if got := l.quantile(0.99); got > 13*time.Millisecond {
		t.Errorf("an hour later the usual time is still %v", got)
	}
	// Five minutes leave half of the weight.
	l = latencies{}
	for range 1000 {
		l.add(0, time.Second)
	}
	l.add(5*time.Minute, time.Second)
	if l.total < 450 || l.total > 550 {
		t.Errorf("after five minutes a thousand answers weigh %v", l.total)
	}
}

func TestMean(t *testing.T) {
	var m mean
	m.add(0, 100*time.Millisecond)
	for range 30 {
		m.add(time.Second, 10*time.Millisecond)
	}
	if got := m.known(time.Second); got < 0.010 || got > 0.011 {
		t.Errorf("the mean is %v s, want 10 ms", got)
	}
	if got := m.known(time.Minute); got != 0 {
		t.Errorf("a minute later the mean is still %v s", got)
	}
}
