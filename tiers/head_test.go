package tiers

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"weir/policy"
	"weir/tiers/disk"
)

// headOptions are small tiers where what is above 4 KiB stays on disk, as one record up to 32 KiB and in chunks above.
func headOptions(dir string) Options {
	o := testOptions(dir)
	o.RAMMaxObject = 4 * kib
	o.Disk.Log = (&logLines{}).logger()
	return o
}

// headSizes are of one record, of a full one, and of several chunks.
var headSizes = []int{5 * kib, 32 * kib, 100 * kib}

func (s *Store) find(i int) *Object {
	h, text := keyOf(i)
	return s.Lookup(&h, []byte(text))
}

// head returns the head that RAM has of object i, or nil.
func (s *Store) head(i int) *Object {
	h, _ := keyOf(i)
	if o := s.ram.current(&h); o != nil && o.isHead() {
		return o
	}
	return nil
}

// keptHead looks object i up, so that RAM has its head, and returns that.
func keptHead(t testing.TB, s *Store, i int) *Object {
	t.Helper()
	o := s.find(i)
	if o == nil {
		t.Fatalf("object %d is not there", i)
	}
	o.Close()
	head := s.head(i)
	if head == nil {
		t.Fatalf("RAM has no head of object %d", i)
	}
	return head
}

// wantThrough: object i is what was put, and is found through the head.
func wantThrough(t *testing.T, s *Store, head *Object, i int, want *Object) {
	t.Helper()
	o := s.find(i)
	sameObject(t, o, want, policy.TierDisk)
	defer o.Close()
	if !o.Large() || o.isHead() || o.outside.head != head || o.outside.entry.Meta != nil {
		t.Errorf("found by the index, not through the head: %+v", o.outside)
	}
	part, err := io.ReadAll(o.NewReader(1000, 3000))
	if err != nil || !bytes.Equal(part, want.Body[1000:4000]) {
		t.Errorf("another part of %d bytes (%v)", len(part), err)
	}
}

func TestHitThroughAHead(t *testing.T) {
	for _, size := range headSizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := openTest(t, headOptions(t.TempDir()))
			want := objectOf(1, 1, size)
			want.Policy = "all"
			fillWith(t, s, want)
			for range 3 { // and each time a 304 has renewed it
				head := keptHead(t, s, 1)
				for range 3 {
					wantThrough(t, s, head, 1, want)
				}
				// A head is nobody's answer.
				if s.lookup(1) != nil || s.Peek(&want.Hash, []byte(want.Text)) != nil {
					t.Error("a head was handed out")
				}
				if s.Lookup(&want.Hash, []byte("w1 https://other.example/")) != nil {
					t.Error("another key's object was handed out")
				}
				old := s.find(1)
				body, ok := old.Whole()
				if ok != (size <= 32*kib) || ok && !bytes.Equal(body, want.Body) {
					t.Errorf("whole: %v, %d bytes", ok, len(body))
				}
				fresh := renewed(old)
				if reason := s.Refresh(old, fresh); reason != policy.ReasonNone {
					t.Fatal(reason)
				}
				old.Close()
				want.Stored, want.Freshness = fresh.Stored, fresh.Freshness
				if s.head(1) != nil {
					t.Fatal("the head outlived what it says")
				}
			}
			if err := s.ram.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHeadGoesWithItsObject: whatever is done to a key takes the head of what it had away.
func TestHeadGoesWithItsObject(t *testing.T) {
	const other = 2
	put := func(size int) func(*Store) *Object {
		return func(s *Store) *Object {
			o := objectOf(1, other, size)
			if reason := s.Put(o); reason != policy.ReasonNone {
				return nil
			}
			return o
		}
	}
	for name, change := range map[string]func(*Store) *Object{
		"into RAM": put(100), "onto disk": put(6 * kib), "too large": put(3 * mib),
		"filled":         func(s *Store) *Object { o := objectOf(1, other, 100*kib); fillWith(t, s, o); return o },
		"filled for RAM": func(s *Store) *Object { o := objectOf(1, other, 100); fillWith(t, s, o); return o },
		"deleted":        func(s *Store) *Object { h, _ := keyOf(1); s.Delete(&h); return nil },
		"variant": func(s *Store) *Object {
			_, text := keyOf(1)
			h, _ := keyOf(1)
			v := &Object{Hash: h, Text: text, Kind: KindVary}
			s.Put(v)
			return v
		},
	} {
		for _, size := range headSizes {
			t.Run(fmt.Sprintf("%s over %d", name, size), func(t *testing.T) {
				s := openTest(t, headOptions(t.TempDir()))
				s.Put(objectOf(1, 1, size))
				head := keptHead(t, s, 1)
				want := change(s)
				if s.head(1) == head {
					t.Error("the head is still there")
				}
				for range 3 { // from disk, through the new head
					got := s.find(1)
					switch {
					case want == nil && got != nil:
						t.Fatalf("version %d is there", got.Stored-birth.UnixNano())
					case want == nil:
					case got == nil || got.Kind != want.Kind || got.Stored != want.Stored:
						t.Fatalf("got %+v\nwant %+v", got, want)
					case want.Kind == KindResponse:
						sameObject(t, got, want, got.Tier)
						got.Close()
					}
				}
			})
		}
	}
}

// TestHeadGivesWay: the losing interleaving is a write between the read from disk and the moment at which RAM would have
// the head of what was read.
func TestHeadGivesWay(t *testing.T) {
	for name, write := range map[string]func(*Store, *Object){
		"put":     func(s *Store, _ *Object) { s.Put(objectOf(1, 2, 5*kib)) },
		"delete":  func(s *Store, o *Object) { s.Delete(&o.Hash) },
		"fill":    func(s *Store, _ *Object) { fillWith(t, s, objectOf(1, 2, 100*kib)) },
		"refresh": func(s *Store, o *Object) { s.Refresh(o, renewed(o)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, headOptions(t.TempDir()))
			s.Put(objectOf(1, 1, 5*kib))
			read := s.lookupDisk(1)
			defer read.Close()
			s.ram.delete(&read.Hash)
			since := s.guards.of(&read.Hash).mark()
			write(s, read)
			s.keepHead(read, since)
			if s.head(1) != nil {
				t.Error("what was read before the write has its head in RAM after it")
			}
			s.keepHead(read, s.guards.of(&read.Hash).mark())
			if s.head(1) == nil {
				t.Error("nothing in the way, and no head")
			}
		})
	}
}

// TestHeadsRaceWrites: with RAM forgetting now and then, nobody ever sees a version or a renewal older than the last
// before they asked, nor the body of another version, nor anything after a delete.
func TestHeadsRaceWrites(t *testing.T) {
	s := openTest(t, headOptions(t.TempDir()))
	h, _ := keyOf(1)
	var floor struct {
		sync.Mutex
		version int64
	}
	bodies := sync.Map{} // by ETag
	through := make([]int, 3)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range through {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				floor.Lock()
				least := floor.version
				floor.Unlock()
				o := s.find(1)
				if o == nil {
					continue
				}
				if v := o.Stored - birth.UnixNano(); v < least {
					t.Errorf("version %d from %v, after %d was put", v, o.Tier, least)
				}
				body, err := io.ReadAll(o.NewReader(0, o.Length))
				want, _ := bodies.Load(o.Fields.Get("Etag"))
				if err != nil || !bytes.Equal(body, want.([]byte)) {
					t.Errorf("%d bytes with the fields of another version (%v)", len(body), err)
				}
				if o.Large() && o.outside.entry.Meta == nil {
					through[g]++
				}
				o.Close()
				if t.Failed() {
					return
				}
				if n%7 == 0 {
					s.ram.delete(&h)
				}
			}
		})
	}
	sizes := append(slices.Clone(headSizes), 1000)
	for v := int64(1); v <= 400 && !t.Failed(); v++ {
		switch {
		case v%10 == 0:
			s.Delete(&h)
		case v%3 == 0:
			if o := s.find(1); o != nil {
				fresh := renewed(o)
				fresh.Stored = birth.UnixNano() + v
				if reason := s.Refresh(o, fresh); reason != policy.ReasonNone {
					t.Error(reason)
				}
				o.Close()
			}
		default:
			o := objectOf(1, int(v), sizes[v%4])
			bodies.Store(o.Fields.Get("Etag"), o.Body)
			if v%2 == 0 {
				fillWith(t, s, o)
			} else {
				s.Put(o)
			}
		}
		floor.Lock()
		floor.version = v
		floor.Unlock()
		for range 3 { // as often as not, a head is in the way of the next
			if o := s.find(1); o != nil {
				o.Close()
			}
		}
	}
	close(stop)
	wg.Wait()
	if through[0]+through[1]+through[2] == 0 {
		t.Error("nothing was found through a head")
	}
	s.ram.settle()
	if err := s.ram.check(); err != nil {
		t.Error(err)
	}
}

// TestHeadOfWhatWasEvicted: of what the disk pushed out the head goes; what it wrote again elsewhere is found there, and
// has a new head.
func TestHeadOfWhatWasEvicted(t *testing.T) {
	for _, c := range []struct {
		size  int
		stays bool
	}{{5 * kib, true}, {5 * kib, false}, {100 * kib, false}} {
		t.Run(fmt.Sprintf("%d, written again %v", c.size, c.stays), func(t *testing.T) {
			o := headOptions(t.TempDir())
			o.Disk.Size, o.Disk.SegmentSize = disk.MinSize, mib
			if !c.stays {
				o.Disk.ReappendShare = -1
			}
			s := openTest(t, o)
			want := objectOf(1, 1, c.size)
			s.Put(want)
			head := keptHead(t, s, 1)
			wantThrough(t, s, head, 1, want)
			for i := 1000; ; i++ {
				e, err := s.disk.Load().At(head.outside.place)
				if err == disk.ErrNotFound {
					break
				}
				if err != nil || i == 20_000 {
					t.Fatalf("it was not evicted: %v", err)
				}
				e.Close()
				s.Put(objectOf(i, 1, 30*kib))
			}
			if s.head(1) != head {
				t.Fatal("RAM forgot the head before the disk did its object; nothing is tested")
			}
			got := s.find(1)
			if s.head(1) == head {
				t.Error("the head is still there")
			}
			if !c.stays {
				if got != nil {
					t.Error("what was evicted is there")
				}
				return
			}
			sameObject(t, got, want, policy.TierDisk)
			got.Close()
			wantThrough(t, s, keptHead(t, s, 1), 1, want)
		})
	}
}

func TestDamageBehindAHead(t *testing.T) {
	for _, size := range headSizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			dir := t.TempDir()
			var mu sync.Mutex
			var faults []string
			o := headOptions(dir)
			o.DiskFault = func(op string) { mu.Lock(); defer mu.Unlock(); faults = append(faults, op) }
			s := openTest(t, o)
			v := objectOf(1, 1, size)
			s.Put(v)
			keptHead(t, s, 1)
			flipTail(t, dir, v.Body)
			got := s.find(1)
			if size > 32*kib {
				// Its header is right; its body ends where the damage is.
				body, err := io.ReadAll(got.NewReader(0, got.Length))
				if err == nil || len(body) >= size || !bytes.Equal(body, v.Body[:len(body)]) {
					t.Errorf("%d bytes were handed out (%v)", len(body), err)
				}
				got.Close()
			} else if got != nil {
				t.Error("damaged bytes were handed out")
			}
			if s.find(1) != nil || s.head(1) != nil {
				t.Errorf("it is still there: head %v", s.head(1))
			}
			mu.Lock()
			defer mu.Unlock()
			if size <= 32*kib && fmt.Sprint(faults) != "[corrupt]" {
				t.Errorf("faults %v", faults)
			}
			if n := s.disk.Load().Stats().Corrupt; n != 1 {
				t.Errorf("counted %d times", n)
			}
		})
	}
}

// TestDamageWhereAHeadLeads: the losing interleaving is that eviction wrote the object again, and what it read from is
// harmed before it is removed. The head leads there still; the object is found where it is now.
func TestDamageWhereAHeadLeads(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, headOptions(dir))
	o := objectOf(1, 1, 5*kib)
	s.Put(o)
	head := keptHead(t, s, 1)
	flipTail(t, dir, o.Body)
	if _, err := s.disk.Load().In("").Put(o.Hash, []byte(o.Text), o.encode(nil), o.Body, o.expires()); err != nil {
		t.Fatal(err)
	}
	got := s.find(1)
	sameObject(t, got, o, policy.TierDisk)
	got.Close()
	if now := s.head(1); now == nil || now == head {
		t.Errorf("head %p, it was %p", now, head)
	}
}

// TestForgetHeads: with the disk go the heads of what it had, and nothing else.
func TestForgetHeads(t *testing.T) {
	s := openTest(t, headOptions(t.TempDir()))
	const n = 40
	for i := range n {
		s.Put(objectOf(i, 1, 100+i%2*5*kib))
		if i%2 == 1 {
			keptHead(t, s, i)
		}
	}
	s.ram.forgetHeads()
	s.ram.settle()
	for i := range n {
		if s.head(i) != nil || (s.lookup(i) != nil) != (i%2 == 0) {
			t.Errorf("object %d: head %v, in RAM %v", i, s.head(i) != nil, s.lookup(i) != nil)
		}
	}
	if err := s.ram.check(); err != nil {
		t.Error(err)
	}
}

// flipTail flips a bit near the end of the body where it is stored.
func flipTail(t *testing.T, dir string, body []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "segments", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, body[len(body)-50:]); at >= 0 {
			b[at] ^= 1
			flipped++
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if flipped != 1 {
		t.Fatalf("%d places were harmed", flipped)
	}
}

// TestHeadOfAnotherDisk: a head leads nowhere while the disk is away, nor in the store that takes its place.
func TestHeadOfAnotherDisk(t *testing.T) {
	o := headOptions(t.TempDir())
	s := openTest(t, o)
	want := objectOf(1, 1, 5*kib)
	s.Put(want)
	head := keptHead(t, s, 1)
	first := s.disk.Swap(nil)
	if got := s.find(1); got != nil {
		t.Errorf("found without a disk: %+v", got)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s.disk.Store(first)
	if got := s.find(1); got != nil {
		t.Errorf("found on a disk that is closed: %+v", got)
	}
	if !s.ram.put(head) { // as if nobody had asked meanwhile
		t.Fatal("refused")
	}
	second, err := s.openDisk(*o.Disk)
	if err != nil {
		t.Fatal(err)
	}
	s.disk.Store(second)
	got := s.find(1)
	sameObject(t, got, want, policy.TierDisk)
	got.Close()
	if now := s.head(1); now == nil || now == head {
		t.Errorf("head %p, it was %p", now, head)
	}
}

// TestHeadRemembers: what a request learns of a large object is there for the next.
func TestHeadRemembers(t *testing.T) {
	for _, size := range headSizes {
		s := openTest(t, headOptions(t.TempDir()))
		s.Put(objectOf(1, 1, size))
		first := s.find(1)
		first.Soften(5)
		first.Checked().Store(7)
		first.SetAside("prepared")
		first.Close()
		var last *Object
		for range 3 {
			last = s.find(1)
			if last == first || last.Softened() != 5 || last.Checked().Load() != 7 || last.Aside() != "prepared" {
				t.Errorf("%d bytes: softened %d, checked %d, aside %v", size, last.Softened(), last.Checked().Load(), last.Aside())
			}
			last.Soften(9) // the first counts
			last.Close()
		}
		// It is about what was, not about what a 304 makes of it.
		last = s.find(1)
		n := last.Renewed(renewed(last))
		if n.Softened() != 0 || n.Checked().Load() != 0 || n.Aside() != nil {
			t.Errorf("%d bytes: what was renewed is softened %d, checked %d", size, n.Softened(), n.Checked().Load())
		}
		n.Close()
		last = s.find(1)
		if reason := s.Refresh(last, renewed(last)); reason != policy.ReasonNone {
			t.Fatal(reason)
		}
		last.Close()
		last = s.find(1)
		if last.Softened() != 0 || last.Checked().Load() != 0 || last.Aside() != nil {
			t.Errorf("%d bytes: after a refresh it is softened %d, checked %d", size, last.Softened(), last.Checked().Load())
		}
		last.Close()
	}
}

// TestHeadsAreAccounted: heads take of RAM's budget what they cost, and nobody is told when they leave: their objects are
// on disk as before.
func TestHeadsAreAccounted(t *testing.T) {
	o := headOptions(t.TempDir())
	o.RAMSize = mib
	told := 0
	var mu sync.Mutex
	o.Evicted = func(policy.Tier, bool) { mu.Lock(); defer mu.Unlock(); told++ }
	s := openTest(t, o)
	const n = 1500
	for i := range n {
		s.Put(objectOf(i, 1, 5*kib))
		keptHead(t, s, i)
		if b := s.ram.bytes.Load(); b > s.ram.capacity {
			t.Fatalf("%d bytes of %d", b, s.ram.capacity)
		}
	}
	s.ram.settle()
	if err := s.ram.check(); err != nil {
		t.Error(err)
	}
	left, bytes := int64(0), int64(0)
	for i := range n {
		if h := s.head(i); h != nil {
			left++
			bytes += h.storedCost() + h.preparedCost()
			bare := h.inRAM() // without the place
			if place := h.storedCost() - bare.storedCost(); place < 100 || place != h.outside.place.Bytes() {
				t.Fatalf("the place in a head is accounted %d bytes", place)
			}
		}
	}
	if u := s.RAMUsage(); left == 0 || left == n || u.Objects != left || u.Bytes != bytes {
		t.Errorf("%d heads of %d are left with %d bytes, usage %+v", left, n, bytes, u)
	}
	mu.Lock()
	defer mu.Unlock()
	if told != 0 {
		t.Errorf("%d evictions were told", told)
	}
}

// TestNoHeadForManyPieces: what lies in too many pieces for a head is found by the index, each time.
func TestNoHeadForManyPieces(t *testing.T) {
	const chunk = 4 * kib
	o := headOptions(t.TempDir())
	o.Disk.ChunkSize = chunk
	s := openTest(t, o)
	for i, pieces := range []int{64, 65} {
		want := objectOf(i, 1, pieces*chunk)
		s.Put(want)
		for range 3 {
			got := s.find(i)
			sameObject(t, got, want, policy.TierDisk)
			got.Close()
		}
		if has := s.head(i) != nil; has != (pieces <= 64) {
			t.Errorf("%d pieces: head %v", pieces, has)
		}
	}
}
