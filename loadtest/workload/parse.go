package workload

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
)

// ParseSize reads a size with its unit: "64B", "10KiB", "1.5MiB", "2MB".
func ParseSize(s string) (int64, error) {
	bad := fmt.Errorf("%q is no size; a number with a unit is, like 64B, 10KiB or 1MiB", s)
	if s == "" || !unicode.IsLetter(rune(s[len(s)-1])) {
		return 0, bad
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n > math.MaxInt64/2 {
		return 0, bad
	}
	return int64(n), nil
}

// ParseSizes reads one size for all bodies, or "lognormal:MEDIAN,SIGMA[,MIN,MAX]", like lognormal:10KiB,1.2,64B,4MiB. Without
// bounds they are 64B and 64MiB.
func ParseSizes(s string) (Sizes, error) {
	rest, ok := strings.CutPrefix(s, "lognormal:")
	if !ok {
		n, err := ParseSize(s)
		return Sizes{Median: n, Min: n, Max: n}, err
	}
	parts := strings.Split(rest, ",")
	if len(parts) != 2 && len(parts) != 4 {
		return Sizes{}, fmt.Errorf("%q is no distribution of sizes; lognormal:MEDIAN,SIGMA or lognormal:MEDIAN,SIGMA,MIN,MAX is", s)
	}
	sizes := Sizes{Min: MinVerified, Max: 64 << 20}
	var faults []error
	size := func(text string, to *int64) {
		n, err := ParseSize(text)
		faults = append(faults, err)
		*to = n
	}
	size(parts[0], &sizes.Median)
	sigma, err := strconv.ParseFloat(parts[1], 64)
	if err != nil || !(sigma > 0 && sigma <= 4) {
		faults = append(faults, fmt.Errorf("sigma is %q; it can be above 0 up to 4", parts[1]))
	}
	sizes.Sigma = sigma
	if len(parts) == 4 {
		size(parts[2], &sizes.Min)
		size(parts[3], &sizes.Max)
	}
	if err := errors.Join(faults...); err != nil {
		return Sizes{}, err
	}
	if sizes.Min > sizes.Median || sizes.Median > sizes.Max {
		return Sizes{}, fmt.Errorf("the sizes of %q are out of order; the smallest, the median and the largest must rise", s)
	}
	return sizes, nil
}

// ParseFlash reads "at=10s,for=5s,share=0.8,objects=1".
func ParseFlash(s string) (Flash, error) {
	f := Flash{Objects: 1, Share: 0.5}
	p := newPairs(s)
	p.duration("at", &f.At, true)
	p.duration("for", &f.For, true)
	p.number("share", &f.Share)
	n := float64(f.Objects)
	p.number("objects", &n)
	f.Objects = int64(n)
	p.check(f.For > 0, "for is %v; it must be above 0", f.For)
	p.check(f.Share > 0 && f.Share <= 1, "share is %v; it can be above 0 up to 1", f.Share)
	p.check(f.Objects >= 1 && f.Objects <= 1_000_000 && n == math.Trunc(n), "objects is %v; it can be 1 to 1000000", n)
	return f, p.err()
}

// ParsePurge reads "at=10s,for=5s,rate=100,kind=url".
func ParsePurge(s string) (PurgeStorm, error) {
	storm := PurgeStorm{PerSecond: 1}
	p := newPairs(s)
	p.duration("at", &storm.At, true)
	p.duration("for", &storm.For, false)
	p.number("rate", &storm.PerSecond)
	kinds := []string{PurgeURL.String(), PurgeTag.String(), PurgeAll.String()}
	if text, ok := p.take("kind"); ok {
		i := slices.Index(kinds, text)
		p.check(i >= 0, "kind is %q; it can be %s", text, strings.Join(kinds, ", "))
		storm.Kind = PurgeKind(max(i, 0))
	}
	p.check(storm.PerSecond > 0 && storm.PerSecond <= 100_000, "rate is %v; it can be above 0 up to 100000 purges a second", storm.PerSecond)
	return storm, p.err()
}

// pairs is a list like "at=1s,for=2s" that is being read. It gathers every fault.
type pairs struct {
	text   string
	values map[string]string
	faults []error
}

func newPairs(s string) *pairs {
	p := &pairs{text: s, values: map[string]string{}}
	for part := range strings.SplitSeq(s, ",") {
		name, value, ok := strings.Cut(part, "=")
		if _, twice := p.values[name]; twice {
			p.check(false, "%s is there twice", name)
		}
		p.check(ok, "%q is no name=value", part)
		p.values[name] = value
	}
	return p
}

func (p *pairs) check(ok bool, format string, args ...any) {
	if !ok {
		p.faults = append(p.faults, fmt.Errorf(format, args...))
	}
}

func (p *pairs) take(name string) (string, bool) {
	v, ok := p.values[name]
	delete(p.values, name)
	return v, ok
}

func (p *pairs) duration(name string, to *time.Duration, needed bool) {
	v, ok := p.take(name)
	if !ok {
		p.check(!needed, "%s is missing, like %s=10s", name, name)
		return
	}
	d, err := time.ParseDuration(v)
	p.check(err == nil && d >= 0, "%s is %q; a duration with a unit is possible, like 10s", name, v)
	*to = d
}

func (p *pairs) number(name string, to *float64) {
	v, ok := p.take(name)
	if !ok {
		return
	}
	n, err := strconv.ParseFloat(v, 64)
	p.check(err == nil, "%s is %q, which is no number", name, v)
	*to = n
}

// err is every fault, with what was read, and with the names that nobody asked for.
func (p *pairs) err() error {
	for name := range p.values {
		p.check(false, "there is no %q", name)
	}
	if len(p.faults) == 0 {
		return nil
	}
	return fmt.Errorf("in %q: %w", p.text, errors.Join(p.faults...))
}
