package proxy

import (
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"weir/invalidation"
	"weir/policy"
	"weir/proxy/fetch"
	"weir/tiers"
	"weir/tiers/disk"
)

// diskBench is a proxy over a disk tier and a log of purges that outlive it.
func diskBench(t *testing.T, dir string, up fetch.Origin, onRead func()) (*bench, *invalidation.Node) {
	t.Helper()
	n, err := invalidation.Open(invalidation.Options{
		Node: "n1", Dir: filepath.Join(dir, "purges"), Mark: filepath.Join(dir, "PURGES"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return newBenchOver(t, Options{Invalidation: n}, tiers.Options{
		RAMSize: 1 << 20, RAMMaxObject: 48 << 10, DiskMaxObject: 4 << 20,
		Disk: &disk.Options{Dir: filepath.Join(dir, "disk"), Size: 16 << 20, OnRead: func(time.Duration) { onRead() }},
	}, up), n
}

// kept puts an object into the tiers that was fetched now.
func (b *bench) kept(n *invalidation.Node, path string, body []byte) *tiers.Object {
	text := "w1 http://h.example" + path
	now := time.Now().UnixNano()
	o := &tiers.Object{
		Kind: tiers.KindResponse, Text: text, Hash: policy.HashKey([]byte(text)), Status: 200, Tags: []string{"t"},
		Body: body, Length: int64(len(body)), Epoch: n.Epoch(), Incarnation: n.Incarnation(), Stored: now,
		Fields:    policy.Fields{{Name: "Date", Value: time.Now().UTC().Format(http.TimeFormat)}},
		Freshness: policy.Freshness{Born: now, Lifetime: int64(time.Hour)},
	}
	o.Validators = policy.ValidatorsOf(o.Fields)
	b.p.store.Put(o)
	return o
}

// interleavings are the purges that are forced into the middle of something, and what is to become of the object.
var interleavings = []struct {
	fact invalidation.Fact
	want invalidation.Verdict
}{
	{invalidation.Fact{Kind: invalidation.Tag, Scope: "t"}, invalidation.Invalid},
	{invalidation.Fact{Kind: invalidation.URL, Scope: "//h.example/hot"}, invalidation.Invalid},
	{invalidation.Fact{Kind: invalidation.Tag, Scope: "t", Soft: true}, invalidation.Stale},
}

// TestPurgeDuringPromotion: the losing interleaving is a purge between the read of an object from disk and the moment
// at which RAM has it. The copy in RAM must be as old as what was read.
func TestPurgeDuringPromotion(t *testing.T) {
	for _, c := range interleavings {
		t.Run(fmt.Sprintf("%v, soft %v", c.fact.Kind, c.fact.Soft), func(t *testing.T) {
			dir := t.TempDir()
			t.Run("fill", func(t *testing.T) {
				b, n := diskBench(t, dir, &countingOrigin{}, func() {})
				b.kept(n, "/hot", []byte("old"))
			})
			// RAM is empty now. The purge comes when the record has been read.
			var armed atomic.Bool
			var b *bench
			var n *invalidation.Node
			b, n = diskBench(t, dir, &countingOrigin{}, func() {
				if armed.CompareAndSwap(true, false) {
					if _, err := n.Purge([]invalidation.Fact{c.fact}); err != nil {
						t.Error(err)
					}
				}
			})
			text := []byte("w1 http://h.example/hot")
			hash := policy.HashKey(text)
			if o := b.p.store.Get(&hash, text); o != nil {
				t.Fatal("it is in RAM before it was read")
			}
			armed.Store(true)
			read := b.p.store.GetDisk(&hash, text)
			if read == nil || string(read.Body) != "old" || armed.Load() {
				t.Fatalf("read %+v, and the purge did not come meanwhile: %v", read, armed.Load())
			}
			promoted := b.p.store.Get(&hash, text)
			if promoted == nil {
				t.Fatal("it was not promoted")
			}
			for _, o := range []*tiers.Object{read, promoted} {
				if v := b.p.store.Purged(o); v != c.want {
					t.Errorf("from %v it is %v, want %v", o.Tier, v, c.want)
				}
			}
		})
	}
}

// TestPurgeAroundAHead: RAM gets no copy of a large object, only its head. A purge that comes while the object is read, or
// afterwards, counts for whoever finds it through the head, and each time.
func TestPurgeAroundAHead(t *testing.T) {
	for _, during := range []bool{true, false} {
		for _, c := range interleavings {
			t.Run(fmt.Sprintf("during %v, %v, soft %v", during, c.fact.Kind, c.fact.Soft), func(t *testing.T) {
				var armed atomic.Bool
				var b *bench
				var n *invalidation.Node
				purge := func() {
					if _, err := n.Purge([]invalidation.Fact{c.fact}); err != nil {
						t.Error(err)
					}
				}
				b, n = diskBench(t, t.TempDir(), &countingOrigin{}, func() {
					if armed.CompareAndSwap(true, false) {
						purge()
					}
				})
				b.kept(n, "/hot", make([]byte, lentSize))
				text := []byte("w1 http://h.example/hot")
				hash := policy.HashKey(text)
				armed.Store(during)
				for round := range 4 {
					o := b.p.store.Lookup(&hash, text)
					if o == nil || !o.Large() || armed.Load() {
						t.Fatalf("found %v, and the purge has not come: %v", o, armed.Load())
					}
					want := c.want
					if !during && round < 2 {
						want = invalidation.Valid
					}
					if v := b.p.store.Purged(o); v != want {
						t.Errorf("lookup %d: %v, want %v", round, v, want)
					}
					o.Close()
					if !during && round == 1 {
						purge()
					}
				}
			})
		}
	}
}

// TestPurgeAndReappend: what eviction writes again, before a purge, after it or around it, is as old as it was; so it is after a
// restart.
func TestPurgeAndReappend(t *testing.T) {
	const before, during, after = "purged, then written again", "purged while eviction has it in hand", "written again, then purged"
	for _, order := range []string{before, during, after} {
		for _, c := range interleavings {
			t.Run(fmt.Sprintf("%s, %v, soft %v", order, c.fact.Kind, c.fact.Soft), func(t *testing.T) {
				dir := t.TempDir()
				text := []byte("w1 http://h.example/hot")
				hash := policy.HashKey(text)
				purge := func(n *invalidation.Node) {
					if _, err := n.Purge([]invalidation.Fact{c.fact}); err != nil {
						t.Fatal(err)
					}
				}
				look := func(b *bench) {
					t.Helper()
					o := b.p.store.GetDisk(&hash, text)
					if o == nil {
						t.Fatal("it is gone")
					}
					defer o.Close()
					if v := b.p.store.Purged(o); v != c.want {
						t.Errorf("%v, want %v", v, c.want)
					}
				}
				t.Run("first", func(t *testing.T) {
					// Whatever is read and not by this test is read by eviction, to be written again: the purge comes then.
					var ours, inHand atomic.Bool
					var purged atomic.Int64 // how many had been written again, and one, when the purge was done
					var b *bench
					var n *invalidation.Node
					b, n = diskBench(t, dir, &countingOrigin{}, func() {
						if order == during && !ours.Load() && inHand.CompareAndSwap(false, true) {
							if _, err := n.Purge([]invalidation.Fact{c.fact}); err != nil {
								t.Error(err)
							}
							st, _ := b.p.store.DiskStats()
							purged.Store(st.Reappended + 1)
						}
					})
					b.kept(n, "/hot", make([]byte, 8000))
					if order == before {
						purge(n)
					}
					for i := 0; ; i++ {
						done := purged.Load()
						if st, _ := b.p.store.DiskStats(); st.Reappended > 0 && (order != during || done > 0 && st.Reappended >= done) {
							break
						}
						if i > 20_000 {
							t.Fatal("nothing was written again")
						}
						if i%20 == 0 { // a hit, so that it is worth it
							ours.Store(true)
							if o := b.p.store.GetDisk(&hash, text); o != nil {
								o.Close()
							}
							ours.Store(false)
						}
						b.kept(n, fmt.Sprint("/filler/", i), make([]byte, 10_000))
					}
					if order == after {
						purge(n)
					}
					ours.Store(true)
					look(b)
				})
				b, _ := diskBench(t, dir, &countingOrigin{}, func() {})
				look(b)
			})
		}
	}
}
