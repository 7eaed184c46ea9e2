package metrics

import (
	"math"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// slowIndex is the definition that bucketIndex must agree with.
func slowIndex(ns uint64) int {
	return sort.Search(len(bucketBounds), func(i int) bool { return ns <= uint64(bucketBounds[i]) })
}

func TestBucketIndexAtEveryBoundAndSlotEdge(t *testing.T) {
	values := []uint64{0, 1, 7, 8, 9, 15, 16, math.MaxInt64}
	for _, b := range bucketBounds {
		values = append(values, uint64(b)-1, uint64(b), uint64(b)+1)
	}
	for length := 4; length < 64; length++ {
		for m := uint64(8); m < 16; m++ {
			edge := m << (length - 4)
			values = append(values, edge-1, edge, edge+1)
		}
	}
	for _, v := range values {
		if v > math.MaxInt64 {
			continue
		}
		if got, want := bucketIndex(v), slowIndex(v); got != want {
			t.Errorf("bucketIndex(%d ns) = %d, want %d", v, got, want)
		}
	}
}

func TestBucketIndexAgreesWithSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Uint64Range(0, math.MaxInt64).Draw(t, "ns") >> rapid.UintRange(0, 62).Draw(t, "shift")
		if got, want := bucketIndex(v), slowIndex(v); got != want {
			t.Fatalf("bucketIndex(%d) = %d, want %d", v, got, want)
		}
	})
}

func TestBucketBoundsKeepTheirPromises(t *testing.T) {
	if first, last := bucketBounds[0], bucketBounds[len(bucketBounds)-1]; first != 50*time.Microsecond || last != time.Minute {
		t.Errorf("buckets span %v to %v, want 50us to 1m", first, last)
	}
	if numBuckets > numSearchBounds {
		t.Errorf("%d buckets do not fit the search table of %d", numBuckets, numSearchBounds)
	}
	for i := 1; i < len(bucketBounds); i++ {
		ratio := float64(bucketBounds[i]) / float64(bucketBounds[i-1])
		if ratio <= 9.0/8 {
			t.Errorf("%v and %v are closer than 9/8: two bounds may share a slot", bucketBounds[i-1], bucketBounds[i])
		}
		if bucketBounds[i] <= 10*time.Millisecond && ratio > 1.5 {
			t.Errorf("%v and %v are further apart than 1.5 below 10 ms", bucketBounds[i-1], bucketBounds[i])
		}
	}
}

func TestHistogramText(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{-time.Second, 0, 50 * time.Microsecond, 51 * time.Microsecond, time.Second, time.Hour} {
		h.observe(d)
	}
	var s histogramSnapshot
	s.add(&h)
	text := string(s.appendTo(nil, "x_seconds", `tier="ram"`))
	for _, want := range []string{
		`x_seconds_bucket{tier="ram",le="5e-05"} 3`,
		`x_seconds_bucket{tier="ram",le="7.5e-05"} 4`,
		`x_seconds_bucket{tier="ram",le="0.75"} 4`,
		`x_seconds_bucket{tier="ram",le="1"} 5`,
		`x_seconds_bucket{tier="ram",le="60"} 5`,
		`x_seconds_bucket{tier="ram",le="+Inf"} 6`,
		`x_seconds_sum{tier="ram"} 3601.000101`,
		`x_seconds_count{tier="ram"} 6`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}
	if got := strings.Count(text, "\n"); got != numBuckets+2 {
		t.Errorf("%d lines, want %d", got, numBuckets+2)
	}
	for i, label := range boundLabels[:numBuckets-1] {
		v, err := strconv.ParseFloat(label, 64)
		if err != nil || math.Abs(v-bucketBounds[i].Seconds()) > 1e-12 {
			t.Errorf("le=%q does not read back as %v", label, bucketBounds[i])
		}
	}
}

func TestHistogramLosesNothingUnderConcurrency(t *testing.T) {
	var h histogram
	var wg sync.WaitGroup
	const workers, each = 8, 2000
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				h.observe(time.Duration(w*i) * time.Microsecond)
			}
		})
	}
	wg.Wait()
	var s histogramSnapshot
	s.add(&h)
	var n, wantSum uint64
	for _, b := range s.buckets {
		n += b
	}
	for w := range workers {
		wantSum += uint64(w) * each * (each - 1) / 2 * 1000
	}
	if n != workers*each || s.sum != wantSum {
		t.Errorf("count %d sum %d, want %d and %d", n, s.sum, workers*each, wantSum)
	}
}

func FuzzBucketIndex(f *testing.F) {
	for _, b := range bucketBounds {
		f.Add(int64(b))
	}
	f.Add(int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, ns int64) {
		v := uint64(max(ns, 0))
		if got, want := bucketIndex(v), slowIndex(v); got != want {
			t.Fatalf("bucketIndex(%d) = %d, want %d", v, got, want)
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	var h histogram
	var durations [1024]time.Duration
	for i := range durations {
		durations[i] = time.Duration(i*i) * time.Microsecond
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.observe(durations[i&1023])
	}
}

func BenchmarkBucketIndex(b *testing.B) {
	sum := 0
	for i := uint64(0); b.Loop(); i++ {
		sum += bucketIndex(i * 4099 & 0xffffffff)
	}
	_ = sum
}
