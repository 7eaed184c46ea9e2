package tiers

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"weir/policy"
)

// dated is what a 304 that changes dates only makes of o.
func dated(o *Object, minute int) *Object {
	n := renewed(o)
	n.Fields = append(policy.Fields(nil), o.Fields...)
	for i := range n.Fields {
		if n.Fields[i].Name == "Date" {
			n.Fields[i].Value = fmt.Sprintf("Sun, 15 Jun 2025 15:%02d:40 GMT", minute)
		}
	}
	return n
}

// TestRefreshReadsNothing: the disk is not read for new metadata, wherever the object was found.
func TestRefreshReadsNothing(t *testing.T) {
	for _, size := range []int{0, 100, 50 * kib, mib} {
		for _, from := range []string{"put", "promotion", "another start"} {
			t.Run(fmt.Sprintf("%d after a %s", size, from), func(t *testing.T) {
				o := testOptions(t.TempDir())
				var reads atomic.Int64
				o.Disk.OnRead = func(time.Duration) { reads.Add(1) }
				s, err := Open(o)
				if err != nil {
					t.Fatal(err)
				}
				want := objectOf(1, 1, size)
				fillWith(t, s, want)
				switch from {
				case "promotion":
					s.ram.delete(&want.Hash)
				case "another start":
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					if s, err = Open(o); err != nil {
						t.Fatal(err)
					}
				}
				defer s.Close()
				for n := range 3 {
					old := s.Lookup(&want.Hash, []byte(want.Text))
					if old == nil {
						t.Fatal("it is gone")
					}
					fresh := dated(old, n)
					before := reads.Load()
					if reason := s.Refresh(old, fresh); reason != policy.ReasonNone {
						t.Fatal(reason)
					}
					if n := reads.Load() - before; n != 0 {
						t.Errorf("the disk was read %d times", n)
					}
					old.Close()
					got := s.lookupDisk(1)
					if got == nil || !got.Same(fresh) {
						t.Fatalf("the disk has %v, want %v", got, fresh)
					}
					if body, err := wholeOf(got); err != nil || string(body) != string(bodyOf(1, 1, size)) {
						t.Errorf("the disk has another body (%v)", err)
					}
					got.Close()
				}
			})
		}
	}
}

// TestRefreshInPlace: a 304 that changes dates only swaps the object within its cell; one that changes much makes a new
// cell. The books fit in either case.
func TestRefreshInPlace(t *testing.T) {
	for name, where := range map[string]func(r *ram){
		"window":    func(*ram) {},
		"ristretto": func(r *ram) { r.lookup(1); r.settle(); forgetWindow(r) },
	} {
		for _, grown := range []int{0, 1, 20, 5000} {
			t.Run(fmt.Sprintf("%s, %d bytes more", name, grown), func(t *testing.T) {
				s := openTest(t, testOptions(t.TempDir()))
				old := objectOf(1, 1, kib)
				s.Put(old)
				where(s.ram)
				cells := func() *cell { return s.ram.shard(&old.Hash).cells[old.Hash] }
				before := cells()
				fresh := dated(old, 1)
				fresh.Fields[0].Value += string(make([]byte, grown))
				if reason := s.Refresh(old, fresh); reason != policy.ReasonNone {
					t.Fatal(reason)
				}
				if in := cells() == before; in != (grown < 100) {
					t.Errorf("swapped in place: %v", in)
				}
				for range 3 {
					if got := s.lookup(1); got != fresh {
						t.Fatalf("RAM has %v, want %v", got, fresh)
					}
					s.ram.settle()
				}
				if err := s.ram.check(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestRefreshUndoesNothing: what was put or deleted between a lookup and the 304 about it stays so.
func TestRefreshUndoesNothing(t *testing.T) {
	for name, meanwhile := range map[string]func(s *Store, old *Object) *Object{
		"put":       func(s *Store, _ *Object) *Object { n := objectOf(1, 2, kib); s.Put(n); return n },
		"refreshed": func(s *Store, old *Object) *Object { n := dated(old, 2); s.Refresh(old, n); return n },
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, testOptions(t.TempDir()))
			old := objectOf(1, 1, kib)
			s.Put(old)
			want := meanwhile(s, old)
			if reason := s.Refresh(old, dated(old, 3)); reason != policy.ReasonNone {
				t.Error(reason)
			}
			if got := s.lookup(1); got != want {
				t.Errorf("RAM has %v, want %v", got, want)
			}
			if got := s.lookupDisk(1); got == nil || !got.Same(want) {
				t.Errorf("the disk has %v, want %v", got, want)
			}
		})
	}
}

// TestLateRefreshOnDisk forces the losing interleaving of two refreshes: the first has renewed RAM, the second renews
// that and writes the disk, and only then the first comes to the disk.
func TestLateRefreshOnDisk(t *testing.T) {
	s := openTest(t, testOptions(t.TempDir()))
	old := objectOf(1, 1, kib)
	s.Put(old)
	first := dated(old, 1)
	first.Hash, first.Text, first.Length, first.Body, first.Tier = old.Hash, old.Text, old.Length, old.Body, policy.TierRAM
	r := s.ram.renew(old, first, true)
	second := dated(first, 2)
	s.Refresh(first, second)
	if reason := s.refreshDisk(s.disk.Load(), old, first, r); reason != policy.ReasonNone {
		t.Error(reason)
	}
	if got := s.lookupDisk(1); got == nil || !got.Same(second) {
		t.Errorf("the disk has %v, want the second", got)
	}
}

// benchmarkRefresh is a 304 that changes Date and the time of birth, of 1024 objects in turn.
func benchmarkRefresh(b *testing.B, o Options) {
	s := openTest(b, o)
	const n = 1024
	objects := make([]*Object, n)
	for i := range objects {
		objects[i] = objectOf(i, 1, kib)
		s.Put(objects[i])
	}
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime()
	for i := range b.N {
		fresh := dated(objects[i%n], i%60)
		if reason := s.Refresh(objects[i%n], fresh); reason != policy.ReasonNone {
			b.Fatal(reason)
		}
		objects[i%n] = fresh
	}
	s.diskTold()
	reportCPU(b, began)
}

func BenchmarkRefreshRAM(b *testing.B) { benchmarkRefresh(b, testOptions("")) }

func BenchmarkRefreshDisk(b *testing.B) { benchmarkRefresh(b, testOptions(b.TempDir())) }
