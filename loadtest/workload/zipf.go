package workload

import (
	"math"
	"math/rand/v2"
)

// Zipf draws ranks whose probability falls with a power: rank k (from 0) has a weight of (k+1)^-exponent. Any exponent from 0
// (all equal) upward will do, those below 1 included, which math/rand's Zipf refuses and the web's popularity has.
//
// It needs no table: rejection-inversion after Hörmann and Derflinger, "Rejection-inversion to generate variates from
// monotone discrete distributions" (ACM TOMACS 6, 1996). A draw takes about 1.1 attempts whatever n and the exponent are.
// A Zipf does not change; it may be shared.
type Zipf struct {
	n        float64
	exponent float64
	hx1      float64 // the integral at 1.5, less the weight of the first rank
	hn       float64 // the integral at n + 0.5
	accept   float64 // below this distance a draw needs no further look
}

// NewZipf draws from n ranks. n must be at least 1 and exponent at least 0.
func NewZipf(n int64, exponent float64) *Zipf {
	z := &Zipf{n: float64(n), exponent: exponent}
	z.hx1 = z.integral(1.5) - 1
	z.hn = z.integral(z.n + 0.5)
	z.accept = 2 - z.inverse(z.integral(2.5)-z.weight(2))
	return z
}

// Next draws a rank from 0 to n-1.
func (z *Zipf) Next(r *rand.Rand) int64 {
	for {
		u := z.hn + r.Float64()*(z.hx1-z.hn)
		x := z.inverse(u)
		k := min(max(math.Floor(x+0.5), 1), z.n)
		if k-x <= z.accept || u >= z.integral(k+0.5)-z.weight(k) {
			return int64(k) - 1
		}
	}
}

// weight is x^-exponent.
func (z *Zipf) weight(x float64) float64 { return math.Exp(-z.exponent * math.Log(x)) }

// integral is that of weight: (x^(1-exponent) - 1) / (1-exponent), whose limit at an exponent of 1 is ln x.
func (z *Zipf) integral(x float64) float64 {
	l := math.Log(x)
	return expm1Over((1-z.exponent)*l) * l
}

func (z *Zipf) inverse(y float64) float64 {
	// Rounding may leave the domain of the logarithm at its lower end.
	t := max(y*(1-z.exponent), -1)
	return math.Exp(log1pOver(t) * y)
}

// expm1Over is (e^x - 1) / x, also where x is so small that the quotient would lose its digits.
func expm1Over(x float64) float64 {
	if math.Abs(x) > 1e-8 {
		return math.Expm1(x) / x
	}
	return 1 + x/2*(1+x/3)
}

// log1pOver is ln(1+x) / x, likewise.
func log1pOver(x float64) float64 {
	if math.Abs(x) > 1e-8 {
		return math.Log1p(x) / x
	}
	return 1 - x*(0.5-x/3)
}
