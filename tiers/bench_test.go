package tiers

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"weir/policy"
)

// BenchmarkRAMHit is a lookup that ristretto answers.
func BenchmarkRAMHit(b *testing.B) {
	s := openTest(b, Options{RAMSize: 256 * mib, RAMMaxObject: mib})
	const n = 1 << 12
	hashes := make([]policy.Hash, n)
	texts := make([][]byte, n)
	for i := range n {
		o := objectOf(i, 1, 10*kib)
		s.Put(o)
		hashes[i], texts[i] = o.Hash, []byte(o.Text)
		if i%256 == 0 {
			s.ram.settle()
		}
	}
	s.ram.settle()
	b.ReportAllocs()
	b.ResetTimer()
	defer reportCPU(b, cpuTime())
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if s.Get(&hashes[i%n], texts[i%n]) == nil {
				b.Fatal("miss")
			}
		}
	})
}

func BenchmarkRAMMiss(b *testing.B) {
	s := openTest(b, Options{RAMSize: 256 * mib, RAMMaxObject: mib})
	h, text := keyOf(1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		mine := h
		for pb.Next() {
			if s.Get(&mine, []byte(text)) != nil {
				b.Fatal("hit")
			}
		}
	})
}

// benchmarkFill is one body of 10 KiB with one follower, to the commit.
func benchmarkFill(b *testing.B, o Options) {
	s := openTest(b, o)
	body := bodyOf(1, 1, 10*kib)
	head := objectOf(1, 1, 0)
	keys := make([]*Object, 1024)
	for i := range keys {
		keys[i] = objectOf(i, 1, 0)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime()
	defer func() { reportCPU(b, began) }()
	for i := range b.N {
		k := keys[i%len(keys)]
		f := s.NewFill(k.Hash, k.Text, "", int64(len(body)))
		r := f.NewReader(0)
		if err := f.CopyFrom(bytes.NewReader(body)); err != nil {
			b.Fatal(err)
		}
		if reason := f.Commit(head.inRAM(), nothing); reason != policy.ReasonNone {
			b.Fatal(reason)
		}
		if err := follow(r, body); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}

func BenchmarkFillRAM(b *testing.B) { benchmarkFill(b, testOptions("")) }

func BenchmarkFillDisk(b *testing.B) { benchmarkFill(b, testOptions(b.TempDir())) }

// benchmarkPublish is benchmarkFill for a body that is there whole.
func benchmarkPublish(b *testing.B, o Options) {
	s := openTest(b, o)
	body := bodyOf(1, 1, 10*kib)
	keys := make([]*Object, 1024)
	for i := range keys {
		keys[i] = objectOf(i, 1, 0)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime()
	for i := range b.N {
		o := keys[i%len(keys)].inRAM()
		o.Body, o.Length = bytes.Clone(body), int64(len(body))
		if reason := s.Publish(o, nothing); reason != policy.ReasonNone {
			b.Fatal(reason)
		}
	}
	s.diskTold()
	reportCPU(b, began)
}

func BenchmarkPublishRAM(b *testing.B) { benchmarkPublish(b, testOptions("")) }

func BenchmarkPublishDisk(b *testing.B) { benchmarkPublish(b, testOptions(b.TempDir())) }

// BenchmarkDiskHit is a lookup of 10 KiB on disk with its promotion.
func BenchmarkDiskHit(b *testing.B) {
	s := openTest(b, testOptions(b.TempDir()))
	const n = 512
	for i := range n {
		s.Put(objectOf(i, 1, 10*kib))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h, text := keyOf(i % n)
		if o := s.GetDisk(&h, []byte(text)); o == nil {
			b.Fatal("miss")
		}
	}
}

// TestCostIsTrue: what the tier accounts for an object, the proxy's part aside,
// is within 15 % of what it takes of the heap, in the window and in ristretto.
func TestCostIsTrue(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's heap is another")
	}
	for _, size := range []int{0, kib, 10 * kib} {
		for _, from := range []string{"fill", "disk"} {
			for _, in := range []string{"window", "ristretto"} {
				heap, cost := heapPerObject(t, size, from == "disk", in == "ristretto")
				t.Logf("body of %d from %s in %s: %d bytes of heap, accounted %d", size, from, in, heap, cost)
				if cost < heap*85/100 || cost > heap*115/100 {
					t.Errorf("body of %d from %s in %s: takes %d bytes of heap, accounted are %d", size, from, in, heap, cost)
				}
			}
		}
	}
}

func heapPerObject(t *testing.T, size int, fromDisk, inMain bool) (heap, cost int64) {
	const n = 10_000
	r, err := newRAM(1<<30, mib, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	before := heapInUse()
	for i := range n {
		o := objectOf(i, 1, size)
		body := o.Body
		// As from an origin or a disk: no string is shared with another object.
		o = &Object{Hash: o.Hash, Text: strings.Clone(o.Text)}
		if err := o.decode(objectOf(i, 1, size).encode(nil)); err != nil {
			t.Fatal(err)
		}
		o.Body = body
		if !fromDisk {
			for j := range o.Fields {
				// The names of common fields are constants of net/http.
				o.Fields[j].Value = strings.Clone(o.Fields[j].Value)
				o.Fields[j].Name = "Constant"
			}
			o.Tags[0] = strings.Clone(o.Tags[0])
			o.Validators = policy.ValidatorsOf(o.Fields)
		}
		r.put(o)
		cost += o.storedCost()
		if inMain {
			r.lookup(i)
		}
		if i%256 == 0 {
			r.settle()
		}
	}
	r.settle()
	if inMain {
		forgetWindow(r)
	}
	heap = heapInUse() - before
	if r.objects.Load() != n {
		t.Fatalf("%d objects of %d are left", r.objects.Load(), n)
	}
	return heap / n, cost / n
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
