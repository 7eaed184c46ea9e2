package metrics

import (
	"math"
	"math/bits"
	"strconv"
	"sync/atomic"
	"time"
)

// bucketBounds are the upper bounds of the latency buckets, each inclusive.
//
// 50 us is the floor because a RAM hit on loopback lies around it; 60 s is
// twice the default origin timeout. Below 10 ms neighbours differ by a factor
// of at most 1.5, mostly 1.2 to 1.33: a RAM hit (tens of microseconds) and a
// disk hit (a few hundred) then have their p99 and p999 in different buckets,
// and a quantile read from the page is off by at most a third of itself. Above
// 10 ms the origin's time dominates, where a factor of 1.33 to 2 is enough.
//
// No two bounds may be closer than a factor of 9/8: bucketIndex relies on it.
var bucketBounds = [...]time.Duration{
	50 * time.Microsecond, 75 * time.Microsecond, 100 * time.Microsecond,
	125 * time.Microsecond, 150 * time.Microsecond, 200 * time.Microsecond,
	250 * time.Microsecond, 300 * time.Microsecond, 400 * time.Microsecond,
	500 * time.Microsecond, 600 * time.Microsecond, 800 * time.Microsecond,
	1000 * time.Microsecond, 1250 * time.Microsecond, 1500 * time.Microsecond,
	2000 * time.Microsecond, 2500 * time.Microsecond, 3000 * time.Microsecond,
	4000 * time.Microsecond, 5000 * time.Microsecond, 6000 * time.Microsecond,
	8000 * time.Microsecond, 10 * time.Millisecond,
	15 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond,
	50 * time.Millisecond, 75 * time.Millisecond, 100 * time.Millisecond,
	150 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond,
	500 * time.Millisecond, 750 * time.Millisecond,
	1 * time.Second, 2 * time.Second, 3 * time.Second, 5 * time.Second,
	10 * time.Second, 20 * time.Second, 30 * time.Second, 60 * time.Second,
}

const (
	// numBuckets counts the bounds and the +Inf bucket after them.
	numBuckets = len(bucketBounds) + 1

	// subSlotBits gives eight slots for each power of two, each at most a factor
	// of 9/8 wide, so that at most one bound falls into any slot.
	subSlotBits = 3
	numSlots    = 64 << subSlotBits

	// numSearchBounds is a power of two above numBuckets, so that a mask
	// replaces the bounds check.
	numSearchBounds = 64
)

var (
	// searchBounds is bucketBounds in nanoseconds, filled up with the maximum.
	searchBounds = makeSearchBounds()
	// slotBuckets holds, for each slot, the bucket of the smallest value in it.
	slotBuckets = makeSlotBuckets()
	// boundLabels are the values of the label le, +Inf included.
	boundLabels = makeBoundLabels()
)

func makeSearchBounds() (b [numSearchBounds]uint64) {
	for i := range b {
		b[i] = math.MaxUint64
	}
	for i, d := range bucketBounds {
		b[i] = uint64(d)
	}
	return b
}

func makeSlotBuckets() (t [numSlots]uint8) {
	for s := range t {
		length := s >> subSlotBits
		if length <= subSlotBits {
			continue // values this small are raised to eight by bucketIndex
		}
		low := uint64(1<<subSlotBits|s&(1<<subSlotBits-1)) << (length - subSlotBits - 1)
		b := 0
		for low > searchBounds[b] {
			b++
		}
		t[s] = uint8(b)
	}
	return t
}

func makeBoundLabels() (l [numBuckets]string) {
	for i, d := range bucketBounds {
		l[i] = strconv.FormatFloat(d.Seconds(), 'g', -1, 64)
	}
	l[numBuckets-1] = "+Inf"
	return l
}

// bucketIndex returns the first bucket whose bound is not below ns. It looks up
// the slot of ns (its highest four bits) and corrects by one compare for the
// single bound that may lie within the slot.
func bucketIndex(ns uint64) int {
	v := ns | 1<<subSlotBits
	length := bits.Len64(v)
	slot := length<<subSlotBits | int(v>>(uint(length-subSlotBits-1)&63))&(1<<subSlotBits-1)
	b := int(slotBuckets[slot&(numSlots-1)])
	if ns > searchBounds[b&(numSearchBounds-1)] {
		b++
	}
	return b
}

// histogram counts durations in the buckets of bucketBounds. The zero value is
// ready. Readers see each cell atomically but not all cells at one instant:
// the sum may be a few observations ahead of or behind the buckets.
type histogram struct {
	// sum is in nanoseconds; 584 years of added latency fit. It stands beside the
	// buckets of hits from RAM: one line of memory less for each.
	sum     atomic.Uint64
	buckets [numBuckets]atomic.Uint64
}

// observe counts d; a negative d (a clock that was set back) counts as zero.
func (h *histogram) observe(d time.Duration) {
	ns := uint64(max(d, 0))
	h.buckets[bucketIndex(ns)].Add(1)
	h.sum.Add(ns)
}

// histogramSnapshot is what one or several histograms held when they were read.
type histogramSnapshot struct {
	buckets [numBuckets]uint64
	sum     uint64
}

// add adds what h holds now.
func (s *histogramSnapshot) add(h *histogram) {
	s.sum += h.sum.Load()
	for i := range h.buckets {
		s.buckets[i] += h.buckets[i].Load()
	}
}

// appendTo appends the lines of one histogram. labels is either empty or a
// list such as `tier="ram"`, already escaped.
func (s *histogramSnapshot) appendTo(dst []byte, name, labels string) []byte {
	var total uint64
	for i, n := range s.buckets {
		total += n
		dst = append(dst, name...)
		dst = append(dst, "_bucket{"...)
		if labels != "" {
			dst = append(dst, labels...)
			dst = append(dst, ',')
		}
		dst = append(dst, `le="`...)
		dst = append(dst, boundLabels[i]...)
		dst = append(dst, `"} `...)
		dst = strconv.AppendUint(dst, total, 10)
		dst = append(dst, '\n')
	}
	dst = appendName(dst, name+"_sum", labels)
	dst = strconv.AppendFloat(dst, float64(s.sum)/1e9, 'g', -1, 64)
	dst = append(dst, '\n')
	return appendSample(dst, name+"_count", labels, total)
}

// appendSample appends one line with an integer value.
func appendSample(dst []byte, name, labels string, v uint64) []byte {
	dst = appendName(dst, name, labels)
	dst = strconv.AppendUint(dst, v, 10)
	return append(dst, '\n')
}

// appendName appends a series name and the space before its value.
func appendName(dst []byte, name, labels string) []byte {
	dst = append(dst, name...)
	if labels != "" {
		dst = append(dst, '{')
		dst = append(dst, labels...)
		dst = append(dst, '}')
	}
	return append(dst, ' ')
}
