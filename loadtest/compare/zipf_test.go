package compare

import (
	"math"
	"testing"
)

func TestZipf(t *testing.T) {
	const n, draws = 1000, 200_000
	z, again := newZipf(n, 0.9, 1), newZipf(n, 0.9, 1)
	counts := make([]int, n)
	for range draws {
		rank := z.draw()
		if other := again.draw(); other != rank {
			t.Fatalf("the same seed drew %d and %d", rank, other)
		}
		counts[rank]++
	}
	// The expectation of each of the first ranks is at least 6 standard deviations wide here.
	var sum float64
	for i := range n {
		sum += math.Pow(float64(i+1), -0.9)
	}
	for i := range 10 {
		p := math.Pow(float64(i+1), -0.9) / sum
		if dev := math.Abs(float64(counts[i]) - draws*p); dev > 6*math.Sqrt(draws*p) {
			t.Errorf("rank %d came %d times, %.0f were expected", i, counts[i], draws*p)
		}
	}
}

func TestMixedPathsHaveASharePrivate(t *testing.T) {
	private := 0
	for rank := range 1000 {
		if mixedPath(rank)[1] == 'p' {
			private++
		}
	}
	if private != 20 {
		t.Errorf("%d of 1000 are private, 20 were expected", private)
	}
}
