package workload

import (
	"fmt"
	"math"
)

// MinVerified is the smallest body, in bytes, that can be told from any other by its content: below it a mixed-up body
// could be taken for the right one too easily, and header bytes would be most of what is measured.
const MinVerified = 64

// Sizes says how large the bodies are: all the same (Sigma 0), or log-normal, as sizes on the web nearly are.
type Sizes struct {
	Median int64   // bytes
	Sigma  float64 // standard deviation of the natural logarithm; 0: every body has the size Median
	Min    int64   // bytes; what falls below gets this
	Max    int64   // bytes; what falls above gets this
}

// Of returns the size that belongs to h, a number whose bits are evenly distributed. The same h gives the same size.
func (s Sizes) Of(h uint64) int64 {
	if s.Sigma == 0 {
		return s.Median
	}
	// Box and Muller's transform: two uniform numbers make a normal one.
	u1 := (float64(h>>11) + 0.5) / (1 << 53)
	u2 := float64(mix(h)>>11) / (1 << 53)
	normal := math.Sqrt(-2*math.Log(u1)) * math.Cos(2*math.Pi*u2)
	size := float64(s.Median) * math.Exp(s.Sigma*normal)
	return int64(min(max(size, float64(s.Min)), float64(s.Max)))
}

// Smallest is the smallest size that can come out.
func (s Sizes) Smallest() int64 {
	if s.Sigma == 0 {
		return s.Median
	}
	return s.Min
}

// Fixed tells whether all bodies are of one size.
func (s Sizes) Fixed() bool { return s.Sigma == 0 }

func (s Sizes) String() string {
	if s.Fixed() {
		return fmt.Sprintf("%d B", s.Median)
	}
	return fmt.Sprintf("log-normal, median %d B, sigma %g, %d B to %d B", s.Median, s.Sigma, s.Min, s.Max)
}

// mix is the finaliser of SplitMix64.
func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// hash spreads id and what is to be decided about it over 64 bits, so that an object's decisions do not depend on each
// other, nor on its popularity.
func hash(id int64, what uint64) uint64 {
	return mix(mix(uint64(id)+0x9e3779b97f4a7c15*(what+1)) + 0x9e3779b97f4a7c15)
}

// share turns a hash into a number from 0 to below 1.
func share(h uint64) float64 { return float64(h>>11) / (1 << 53) }
