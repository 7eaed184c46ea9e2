package origin

import (
	"testing"
	"time"
)

func TestOutage(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		name string
		do   func(o *outage)
		want bool
	}{
		{"nothing happened", func(*outage) {}, false},
		{"it cannot be reached", func(o *outage) { o.silent(2*s, 2*s) }, true},
		{"it has not answered since", func(o *outage) { o.good(s); o.silent(4*s, 2*s) }, true},
		{"it has answered something since", func(o *outage) { o.good(3 * s); o.silent(4*s, 2*s) }, false},
		{"it answers again", func(o *outage) { o.silent(2*s, 2*s); o.good(3 * s) }, false},
		{"one target fails", func(o *outage) {
			for range 10 {
				o.bad(s, 1)
			}
		}, false},
		{"three targets fail", func(o *outage) { o.bad(s, 1); o.bad(s, 2); o.bad(s, 3) }, true},
		{"three targets fail, not in a row", func(o *outage) { o.bad(s, 1); o.bad(s, 2); o.good(s); o.bad(s, 3) }, false},
	} {
		var o outage
		test.do(&o)
		if o.failing != test.want {
			t.Errorf("%s: failing is %v", test.name, o.failing)
		}
	}
}

func TestOutageProbes(t *testing.T) {
	var o outage
	now := time.Minute
	o.silent(now, now)
	var at []time.Duration
	for end := now + 10*time.Second; now < end; now += 10 * time.Millisecond {
		if o.probe(now) {
			if o.probe(now) {
				t.Fatal("two probes at once")
			}
			at = append(at, now-time.Minute)
			o.probed(now)
		}
	}
	want := []time.Duration{100, 200, 400, 800, 1600, 3200, 5200, 7200, 9200}
	if len(at) != len(want) {
		t.Fatalf("probes at %v", at)
	}
	for i := range want {
		if at[i] != want[i]*time.Millisecond {
			t.Fatalf("probes at %v", at)
		}
	}
	o.good(now)
	if o.silent(now, now-1); o.failing {
		t.Error("it fails although it answered")
	}
}
