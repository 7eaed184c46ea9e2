package workload

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// The draws are compared with the exact probabilities by Pearson's chi-square test.
func TestZipfDistribution(t *testing.T) {
	const n, draws = 50, 400_000
	for _, exponent := range []float64{0, 0.5, 0.9, 1, 1.0000000001, 1.2, 3} {
		z := NewZipf(n, exponent)
		rng := rand.New(rand.NewPCG(1, 2))
		var got [n]float64
		for range draws {
			got[z.Next(rng)]++
		}
		var sum float64
		for k := range n {
			sum += math.Pow(float64(k+1), -exponent)
		}
		var chi, cells, restGot, restWant float64
		for k := range n {
			want := draws * math.Pow(float64(k+1), -exponent) / sum
			if want < 10 { // too few for the test; they are one cell together
				restGot, restWant = restGot+got[k], restWant+want
				continue
			}
			chi += (got[k] - want) * (got[k] - want) / want
			cells++
		}
		if restWant >= 10 {
			chi += (restGot - restWant) * (restGot - restWant) / restWant
			cells++
		}
		// The mean of the statistic is its degrees of freedom, the variance twice that; five deviations are far out.
		if limit := cells - 1 + 5*math.Sqrt(2*(cells-1)); chi > limit {
			t.Errorf("exponent %v: chi-square is %.1f with %v cells, want below %.1f", exponent, chi, cells, limit)
		}
	}
}

func TestZipfOfOneAndOfMany(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	if k := NewZipf(1, 0.9).Next(rng); k != 0 {
		t.Errorf("of one object it draws number %d", k)
	}
	z := NewZipf(1_000_000_000, 0.9)
	deep := false
	for range 10_000 {
		k := z.Next(rng)
		if k < 0 || k >= 1_000_000_000 {
			t.Fatalf("drew %d", k)
		}
		deep = deep || k > 100_000_000
	}
	if !deep {
		t.Error("the tail is never drawn")
	}
}

func TestLogNormalSizes(t *testing.T) {
	s := Sizes{Median: 10_000, Sigma: 1.2, Min: 64, Max: 1 << 20}
	const n = 100_000
	below, low, high := 0, 0, 0
	for id := range int64(n) {
		size := s.Of(hash(id, decideSize))
		if size < s.Min || size > s.Max {
			t.Fatalf("object %d has %d bytes", id, size)
		}
		if size < s.Median {
			below++
		}
		if float64(size) < 10_000*math.Exp(-1.2) {
			low++
		}
		if float64(size) > 10_000*math.Exp(1.2) {
			high++
		}
	}
	for what, tc := range map[string][2]float64{
		"below the median": {float64(below) / n, 0.5}, "a deviation below": {float64(low) / n, 0.1587}, "a deviation above": {float64(high) / n, 0.1587},
	} {
		if math.Abs(tc[0]-tc[1]) > 0.01 {
			t.Errorf("%s: %.4f of the sizes, want %.4f", what, tc[0], tc[1])
		}
	}
}

func TestCatalogue(t *testing.T) {
	c := Catalogue{Objects: 1000, Sizes: Sizes{Median: 100, Min: 100, Max: 100}, MaxAge: time.Minute, Uncacheable: 0.25, Tags: 4, Prefix: "/o/"}
	uncacheable, tags := 0, map[int64]int{}
	for id := range c.Objects {
		o := c.Object(id)
		if o != c.Object(id) {
			t.Fatalf("object %d changes", id)
		}
		tags[o.Tag]++
		if o.Uncacheable {
			uncacheable++
		}
	}
	if uncacheable < 200 || uncacheable > 300 || len(tags) != 4 || tags[0] < 150 {
		t.Errorf("%d uncacheable, tags %v", uncacheable, tags)
	}
	for _, tc := range []struct {
		o    Object
		want string
	}{
		{Object{Size: 100, Tag: 3}, "/o/7;size=100;max-age=60;tag=g3"},
		{Object{Size: 5, Uncacheable: true, Tag: -1}, "/o/7;size=5;no-store"},
	} {
		if got := string(c.AppendTarget(nil, 7, tc.o)); got != tc.want {
			t.Errorf("target %q, want %q", got, tc.want)
		}
	}
}

func TestSchedules(t *testing.T) {
	c := Constant{PerSecond: 4, For: time.Second}
	for i, want := range []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond} {
		if at, ok := c.At(int64(i)); !ok || at != want {
			t.Errorf("constant: %d is due at %v, %v", i, at, ok)
		}
	}
	if _, ok := c.At(4); ok {
		t.Error("constant: it goes on after its end")
	}
	for _, r := range []Ramp{{From: 0, To: 1000, Over: 10 * time.Second, For: 20 * time.Second}, {From: 1000, To: 10, Over: 10 * time.Second, For: 20 * time.Second}, {From: 50, To: 50, Over: time.Second, For: 20 * time.Second}} {
		var in [20]int
		last := time.Duration(0)
		for i := int64(0); ; i++ {
			at, ok := r.At(i)
			if !ok {
				break
			}
			if at < last {
				t.Fatalf("%+v: request %d is due before the one before it", r, i)
			}
			last = at
			in[at/time.Second]++
		}
		for s, n := range in {
			mid := (float64(s) + 0.5) / r.Over.Seconds()
			want := r.To
			if mid < 1 {
				want = r.From + (r.To-r.From)*mid
			}
			if math.Abs(float64(n)-want) > 2 {
				t.Errorf("%+v: %d requests in second %d, want %.0f", r, n, s, want)
			}
		}
	}
	if at, ok := (Times{0, time.Minute}).At(1); !ok || at != time.Minute {
		t.Errorf("times: %v, %v", at, ok)
	}
	if _, ok := (Times{0}).At(1); ok {
		t.Error("times: there is no second one")
	}
}

// What is due beyond the longest Duration is not due, and not at once.
func TestSchedulesOfTinyRates(t *testing.T) {
	for _, s := range []Schedule{
		Constant{PerSecond: 1e-10, For: time.Minute},
		Constant{PerSecond: 1e-10, For: Forever},
		Ramp{To: 1e-10, Over: time.Second, For: time.Minute},
		Ramp{From: 1e-12, To: 1e-12, Over: time.Hour, For: Forever},
	} {
		if at, ok := s.At(0); at != 0 || !ok {
			t.Errorf("%+v: the first is due at %v, %v", s, at, ok)
		}
		for _, i := range []int64{1, 2, 1000, math.MaxInt64} {
			if at, ok := s.At(i); ok {
				t.Errorf("%+v: request %d is due at %v", s, i, at)
			}
		}
	}
	if at, ok := (PurgeStorm{At: time.Second, For: time.Second, PerSecond: 1e-300}).Due(1); ok {
		t.Errorf("a purge is due at %v", at)
	}
}

func TestFlashCrowd(t *testing.T) {
	m := &Mix{Catalogue: Catalogue{Objects: 10, Sizes: Sizes{Median: 100}}, Flashes: []Flash{
		{At: time.Second, For: time.Second, Share: 0.8, Objects: 2}, {At: 5 * time.Second, For: time.Second, Share: 1, Objects: 3},
	}}
	if m.Objects() != 15 {
		t.Errorf("%d objects", m.Objects())
	}
	p := NewPicker(m, 0)
	share := func(at time.Duration, from, to int64) float64 {
		n := 0
		for range 10_000 {
			if id := p.Next(at).ID; id >= from && id < to {
				n++
			}
		}
		return float64(n) / 10_000
	}
	for _, tc := range []struct {
		at       time.Duration
		from, to int64
		want     float64
	}{{0, 10, 15, 0}, {time.Second, 10, 12, 0.8}, {2 * time.Second, 10, 15, 0}, {5 * time.Second, 12, 15, 1}} {
		if got := share(tc.at, tc.from, tc.to); math.Abs(got-tc.want) > 0.02 {
			t.Errorf("at %v the objects %d to %d get %.3f of the requests, want %.1f", tc.at, tc.from, tc.to, got, tc.want)
		}
	}
}

func TestRangesLieWithin(t *testing.T) {
	m := &Mix{Catalogue: Catalogue{Objects: 10, Sizes: Sizes{Median: 1}}, Ranges: 1, Exponent: 1}
	for _, size := range []int64{1, 2, 1000} {
		m.Catalogue.Sizes.Median = size
		p := NewPicker(m, 0)
		for range 1000 {
			if k := p.Next(0); k.From < 0 || k.From > k.To || k.To >= size {
				t.Fatalf("bytes %d-%d of %d", k.From, k.To, size)
			}
		}
	}
}

func TestParseSizes(t *testing.T) {
	s, err := ParseSizes("lognormal:10KiB,1.2,1KiB,4MiB")
	if err != nil || s != (Sizes{Median: 10 << 10, Sigma: 1.2, Min: 1 << 10, Max: 4 << 20}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"", "10", "10 parsecs", "-1B", "lognormal:10KiB", "lognormal:10KiB,0", "lognormal:10KiB,1,20KiB,30KiB", "lognormal:10KiB,NaN"} {
		if s, err := ParseSizes(bad); err == nil {
			t.Errorf("%q was taken for %+v", bad, s)
		}
	}
}

// Every fault is named at once.
func TestParseEvents(t *testing.T) {
	f, err := ParseFlash("at=10s,for=5s,share=0.8,objects=3")
	if err != nil || f != (Flash{At: 10 * time.Second, For: 5 * time.Second, Share: 0.8, Objects: 3}) {
		t.Errorf("%+v, %v", f, err)
	}
	p, err := ParsePurge("at=1s,for=2s,rate=50,kind=tag")
	if err != nil || p != (PurgeStorm{At: time.Second, For: 2 * time.Second, PerSecond: 50, Kind: PurgeTag}) {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = ParsePurge("for=x,rate=0,kind=cat,colour=red,rate=1")
	for _, want := range []string{"at is missing", "for is", "kind is", `no "colour"`, "rate is there twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if _, err := ParseFlash("at=1s,for=0s,share=2,objects=1.5"); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three faults: %v", err)
	}
}

func TestStormHasItsPurges(t *testing.T) {
	s := PurgeStorm{At: time.Second, For: time.Second, PerSecond: 10}
	n := int64(0)
	for ; ; n++ {
		due, ok := s.Due(n)
		if !ok {
			break
		}
		if due < time.Second || due >= 2*time.Second {
			t.Errorf("purge %d is due at %v", n, due)
		}
	}
	if n != 10 {
		t.Errorf("%d purges, want 10", n)
	}
	if _, ok := (PurgeStorm{PerSecond: 1}).Due(0); !ok {
		t.Error("a storm without a length has no purge")
	}
}

func TestCatalogueBytes(t *testing.T) {
	for _, tc := range []struct{ objects, size, want int64 }{
		{3, 100, 300},
		{1_000_000_000, 1 << 30, 1_000_000_000 << 30},
		{1_000_000_000, 1 << 40, math.MaxInt64}, // a thousand times what fits
	} {
		c := Catalogue{Objects: tc.objects, Sizes: Sizes{Median: tc.size, Min: tc.size, Max: tc.size}}
		if got := c.Bytes(); got != tc.want {
			t.Errorf("%d objects of %d B: %d B, want %d", tc.objects, tc.size, got, tc.want)
		}
	}
}
