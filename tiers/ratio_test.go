package tiers

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"weir/policy"
)

// cpuTime is what the process has used of the processors, in nanoseconds: what
// ristretto does in goroutines of its own is part of what a put costs.
func cpuTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// reportCPU reports the processor time of an operation beside its duration.
func reportCPU(b *testing.B, since int64) {
	b.ReportMetric(float64(cpuTime()-since)/float64(b.N), "cpu-ns/op")
}

// bare is an object of the catalogue without fields; all share one body.
func bare(i int, body []byte) *Object {
	h, text := keyOf(i)
	return &Object{Hash: h, Text: text, Kind: KindResponse, Status: 200, Length: int64(len(body)), Body: body}
}

// BenchmarkMissRAM is a miss and its put, in a tier that is full, of what nobody
// asks for again.
func BenchmarkMissRAM(b *testing.B) {
	r := newTestRAM(b, 256*mib, mib, nil)
	body := make([]byte, 10*kib)
	n, text := uint64(0), "w1 https://shop.example/products/1"
	next := func() *Object {
		o := &Object{Text: text, Kind: KindResponse, Status: 200, Length: int64(len(body)), Body: body}
		n++
		binary.LittleEndian.PutUint64(o.Hash[:], n*0x9e3779b97f4a7c15)
		binary.LittleEndian.PutUint64(o.Hash[8:], n*0xd6e8feb86659fd93)
		return o
	}
	miss := func(o *Object) {
		if r.get(&o.Hash, []byte(o.Text)) == nil {
			r.put(o)
		}
		if n%1024 == 0 {
			r.settle()
		}
	}
	for range 40_000 {
		miss(next())
	}
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime()
	for range b.N {
		miss(next())
	}
	reportCPU(b, began)
}

// zipfStream draws n objects of a catalogue, the first the most popular.
func zipfStream(catalogue, n int, exponent float64, seed uint64) []int32 {
	cdf := make([]float64, catalogue)
	sum := 0.0
	for i := range cdf {
		sum += math.Pow(float64(i+1), -exponent)
		cdf[i] = sum
	}
	rnd := rand.New(rand.NewPCG(seed, 1))
	list := make([]int32, n)
	for i := range list {
		u := rnd.Float64() * sum
		lo, hi := 0, catalogue-1
		for lo < hi {
			if mid := (lo + hi) / 2; cdf[mid] < u {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		list[i] = int32(lo)
	}
	return list
}

// hitRatio is the share of hits behind the warm-up in a tier of that many bytes.
func hitRatio(t testing.TB, size int64, stream []int32, warm int, sizeOf func(i int32) int) float64 {
	r := newTestRAM(t, size, size/64, nil)
	body := make([]byte, 1<<20)
	hits := 0
	keys := map[int32]*Object{}
	for n, i := range stream {
		o := keys[i]
		if o == nil {
			o = bare(int(i), body[:sizeOf(i)])
			keys[i] = o
		}
		if r.get(&o.Hash, []byte(o.Text)) != nil {
			if n >= warm {
				hits++
			}
			continue
		}
		// A cell of its own for each put, an object of its own as well.
		c := bare(int(i), o.Body)
		r.put(c)
		r.main.Wait()
	}
	return float64(hits) / float64(len(stream)-warm)
}

// lruRatio is that of an LRU with the same bytes.
func lruRatio(size int64, stream []int32, warm int, sizeOf func(i int32) int) float64 {
	type entry struct{ cost int64 }
	lru, _ := simplelru.NewLRU[policy.Hash, entry](1<<30, nil)
	var used int64
	hits := 0
	body := make([]byte, 1<<20)
	costs := map[int32]*Object{}
	for n, i := range stream {
		o := costs[i]
		if o == nil {
			o = bare(int(i), body[:sizeOf(i)])
			costs[i] = o
		}
		if _, ok := lru.Get(o.Hash); ok {
			if n >= warm {
				hits++
			}
			continue
		}
		lru.Add(o.Hash, entry{o.cost()})
		used += o.cost()
		for used > size {
			_, e, _ := lru.RemoveOldest()
			used -= e.cost
		}
	}
	return float64(hits) / float64(len(stream)-warm)
}

// TestHitRatio holds what the tier keeps against an LRU of the same bytes, on a Zipf(0.9) stream alone and with as many
// objects in between that are asked for once: those must not push out the others.
func TestHitRatio(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("a stream of 600,000 requests")
	}
	const catalogue = 50_000
	size := catalogue / 10 * bare(1, make([]byte, kib)).cost()
	stream := zipfStream(catalogue, 300_000, 0.9, 7)
	scanned := make([]int32, 0, 2*len(stream))
	for n, i := range stream {
		scanned = append(scanned, i, int32(catalogue+n))
	}
	for _, c := range []struct {
		name   string
		stream []int32
		least  float64
	}{{"Zipf", stream, 1.10}, {"Zipf with a scan", scanned, 1.22}} {
		got := hitRatio(t, size, c.stream, len(c.stream)/2, func(int32) int { return kib })
		lru := lruRatio(size, c.stream, len(c.stream)/2, func(int32) int { return kib })
		t.Logf("%s: %.4f, LRU %.4f, %.3f times that", c.name, got, lru, got/lru)
		if got < c.least*lru {
			t.Errorf("%s: hit ratio %.4f, LRU has %.4f; at least %v times that is right", c.name, got, lru, c.least)
		}
	}
}
