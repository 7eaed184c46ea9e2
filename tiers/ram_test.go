package tiers

import (
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

func TestPutIsVisibleAtOnce(t *testing.T) {
	r := newTestRAM(t, 256*mib, mib, nil)
	n := 100_000
	if testing.Short() || raceEnabled {
		n = 10_000
	}
	body := bodyOf(0, 0, 100)
	for i := range n {
		o := objectOf(i, 1, 0)
		o.Body, o.Length = body, int64(len(body))
		if !r.put(o) {
			t.Fatalf("put %d refused", i)
		}
		if r.lookup(i) != o {
			t.Fatalf("object %d is not there right after its put", i)
		}
	}
	r.settle()
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
}

func TestForeignTextIsMiss(t *testing.T) {
	r := newTestRAM(t, 8*mib, 64*kib, nil)
	o := objectOf(1, 1, 10)
	r.put(o)
	for _, settle := range []func(){func() {}, r.settle} {
		settle()
		if r.get(&o.Hash, []byte("w1 https://other.example/")) != nil {
			t.Fatal("another key's object was handed out")
		}
		if r.lookup(1) != o {
			t.Fatal("the key's own object is gone")
		}
	}
}

// TestReplacedWhileQueued forces the interleaving in the comment on ram: v1 is
// still in ristretto's queue when the window forgets it and v2 is put.
func TestReplacedWhileQueued(t *testing.T) {
	r := newTestRAM(t, 8*mib, 64*kib, nil)
	release := holdRistretto(r)
	v1, v2 := objectOf(1, 1, 100), objectOf(1, 2, 200)
	r.put(v1)
	forgetWindow(r)
	r.put(v2)
	if got := r.lookup(1); got != v2 {
		t.Fatalf("got %v before ristretto saw anything, want v2", got)
	}
	release()
	for range 3 {
		r.settle()
		if got := r.lookup(1); got != v2 {
			t.Fatalf("got %v, want v2: v1 came back", got)
		}
	}
	h, _ := keyOf(1)
	if c, ok := r.main.Get(h[:]); !ok || c.obj.Load() != v2 {
		t.Error("ristretto shows a dead cell in place of v2")
	}
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	forgetWindow(r)
	if got := r.lookup(1); got != v2 {
		t.Fatalf("got %v when the window forgot, want v2", got)
	}
}

func TestDeletedWhileQueued(t *testing.T) {
	r := newTestRAM(t, 8*mib, 64*kib, nil)
	release := holdRistretto(r)
	h, _ := keyOf(1)
	r.put(objectOf(1, 1, 100))
	forgetWindow(r)
	deleted := make(chan struct{})
	go func() { r.delete(&h); close(deleted) }()
	<-deleted
	if r.lookup(1) != nil {
		t.Fatal("there after delete")
	}
	release()
	r.settle()
	if r.lookup(1) != nil {
		t.Fatal("came back from ristretto's queue")
	}
	if b, o := r.bytes.Load(), r.objects.Load(); b != 0 || o != 0 {
		t.Fatalf("%d bytes in %d objects are left", b, o)
	}
}

// holdRistretto keeps ristretto's goroutine from working until release.
func holdRistretto(r *ram) (release func()) {
	// It waits for the shard's lock in exit: a cell that it rejects for being
	// larger than the tier gets it there.
	held := &cell{cost: r.capacity * 2}
	held.obj.Store(&Object{})
	copy(held.hash[:], "held--held--held")
	s := r.shard(&held.hash)
	block := &sync.Mutex{}
	block.Lock()
	entered := make(chan struct{})
	was := r.evicted
	r.evicted = func(o *Object) {
		if o.Kind == 0 {
			close(entered)
			block.Lock()
			return
		}
		if was != nil {
			was(o)
		}
	}
	s.mu.Lock()
	s.cells[held.hash] = held
	held.inMain = true
	r.bytes.Add(held.cost)
	r.objects.Add(1)
	r.main.Set(held.hash[:], held, held.cost)
	s.mu.Unlock()
	<-entered
	return block.Unlock
}

// forgetWindow ages everything out of the window.
func forgetWindow(r *ram) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		var gone []departed
		for s.window.Len() > 0 {
			gone = r.ageLocked(s, gone)
		}
		s.mu.Unlock()
		r.dismiss(gone)
	}
}

// inRistretto returns the cells that ristretto holds, shown or queued.
func (r *ram) inRistretto() (n int) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for _, c := range s.cells {
			if c.inMain {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}

// TestOfferedIsWhatComesAgain: what is put once stays out of ristretto's books and may fill the tier; what is looked up,
// put again, or put soon after it was pushed out is offered.
func TestOfferedIsWhatComesAgain(t *testing.T) {
	r := newTestRAM(t, 8*mib, 64*kib, nil)
	const n = 1000 // more than fit
	for i := range n {
		r.put(objectOf(i, 1, 10*kib))
	}
	if got := r.inRistretto(); got != 0 {
		t.Errorf("ristretto was offered %d objects that were put once", got)
	}
	if b := r.bytes.Load(); b < r.capacity*95/100 {
		t.Errorf("the window has filled %d bytes of %d", b, r.capacity)
	}
	for _, c := range []struct {
		what string
		ask  func(i int)
	}{
		{"looked up", func(i int) { r.lookup(i) }},
		{"put again", func(i int) { r.put(objectOf(i, 2, 10*kib)) }},
		{"put after it was pushed out", func(i int) {
			forgetWindow(r)
			if r.lookup(i) != nil {
				t.Fatal("it was not pushed out")
			}
			r.put(objectOf(i, 2, 10*kib))
		}},
	} {
		before := r.inRistretto()
		i := n - 10 + before
		c.ask(i)
		if got := r.inRistretto() - before; got != 1 {
			t.Errorf("%s: %d objects were offered", c.what, got)
		}
		r.settle()
	}
	if err := r.check(); err != nil {
		t.Error(err)
	}
}

// TestSecondChance: of what ristretto does not hold when the window forgets it,
// it is offered again what was asked for, and the rest is evicted.
func TestSecondChance(t *testing.T) {
	var told []string
	r := newTestRAM(t, 8*mib, 64*kib, func(o *Object) { told = append(told, o.Text) })
	for i := range 2 {
		o := objectOf(i, 1, 100)
		r.put(o)
		r.settle()
		r.main.Del(o.Hash[:])
		r.settle()
	}
	if r.lookup(1) == nil {
		t.Fatal("not in the window")
	}
	forgetWindow(r)
	r.settle()
	if r.lookup(0) != nil || r.lookup(1) == nil || len(told) != 1 {
		t.Errorf("unused there: %v, used there: %v, told: %q", r.lookup(0) != nil, r.lookup(1) != nil, told)
	}
	if err := r.check(); err != nil {
		t.Error(err)
	}
}

func TestPutIfAsksUnderTheLock(t *testing.T) {
	r := newTestRAM(t, 8*mib, 64*kib, nil)
	o, n := objectOf(1, 1, 10), objectOf(1, 2, 10)
	absent := func(current *Object) bool { return current == nil }
	if !r.putIf(o, absent) {
		t.Fatal("put of what is absent refused")
	}
	if r.putIf(n, absent) || r.lookup(1) != o {
		t.Fatal("put over what is there")
	}
}

func TestObjectTooLarge(t *testing.T) {
	r := newTestRAM(t, 8*mib, 64*kib, nil)
	small := objectOf(1, 1, 10)
	r.put(small)
	if r.put(objectOf(1, 2, int(r.maxObject))) {
		t.Fatal("an object larger than the largest was taken")
	}
	if r.lookup(1) != nil {
		t.Fatal("the object that it should have replaced is still there")
	}
	largest := objectOf(2, 1, 64*kib)
	if !r.put(largest) || r.lookup(2) != largest {
		t.Fatal("the largest body was refused")
	}
}

func TestWindowSmallerThanOneObject(t *testing.T) {
	// A quarter of the whole tier: the window has room for hardly more than one.
	r := newTestRAM(t, 400*kib, 100*kib, nil)
	for i := range 50 {
		o := objectOf(i, 1, 100*kib)
		if !r.put(o) || r.lookup(i) != o {
			t.Fatalf("object %d is not there right after its put", i)
		}
		if b := r.bytes.Load(); b > r.capacity {
			t.Fatalf("%d bytes of %d", b, r.capacity)
		}
	}
	r.settle()
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
}

// TestBudget: whatever is put, however fast, the tier's bytes stay within its
// size once a put returns. No tolerance is needed: put itself sees to it.
func TestBudget(t *testing.T) {
	var evicted atomic.Int64
	r := newTestRAM(t, 4*mib, 64*kib, func(*Object) { evicted.Add(1) })
	puts := int64(0)
	for round := range 3 {
		for i := range 2000 {
			// Each round replaces what is left of the last by larger ones.
			if !r.put(objectOf(i, round, 1000*(round+1)*(1+i%7))) {
				t.Fatal("refused")
			}
			if b := r.bytes.Load(); b > r.capacity {
				t.Fatalf("round %d, put %d: %d bytes of %d", round, i, b, r.capacity)
			}
			puts++
		}
	}
	r.settle()
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	if b := r.bytes.Load(); b < r.capacity/2 {
		t.Errorf("only %d bytes of %d are used after far more was put", b, r.capacity)
	}
	if e := evicted.Load(); e == 0 || e+r.objects.Load() > puts {
		t.Errorf("%d evicted and %d left of %d puts", e, r.objects.Load(), puts)
	}
}

// TestEvictionsAreCountedOnce: of keys that are put once, each is either there
// at the end or was told to be evicted, once.
func TestEvictionsAreCountedOnce(t *testing.T) {
	var mu sync.Mutex
	told := map[string]int{}
	r := newTestRAM(t, 2*mib, 32*kib, func(o *Object) {
		mu.Lock()
		defer mu.Unlock()
		told[o.Text]++
	})
	const n = 3000
	for i := range n {
		r.put(objectOf(i, 1, 2000))
		if i%3 == 0 {
			r.lookup(i)
		}
	}
	r.settle()
	mu.Lock()
	defer mu.Unlock()
	for i := range n {
		_, text := keyOf(i)
		there := 0
		if r.lookup(i) != nil {
			there = 1
		}
		if there+told[text] != 1 {
			t.Fatalf("object %d: there %d, evicted %d times", i, there, told[text])
		}
	}
}

func TestReplaceAndDeleteAreNoEvictions(t *testing.T) {
	r := newTestRAM(t, 8*mib, 64*kib, func(o *Object) { t.Errorf("%s was reported as evicted", o.Text) })
	for v := range 2000 {
		// Refreshed often, in and out of ristretto's queue.
		r.put(objectOf(v%5, v, 100+v%300))
		if v%100 == 0 {
			r.settle()
		}
	}
	r.settle()
	if o := r.objects.Load(); o != 5 {
		t.Errorf("%d objects, want 5", o)
	}
	for i := range 5 {
		h, _ := keyOf(i)
		r.delete(&h)
		r.delete(&h)
	}
	r.settle()
	if b, o := r.bytes.Load(), r.objects.Load(); b != 0 || o != 0 {
		t.Errorf("%d bytes in %d objects are left", b, o)
	}
	if used := r.main.MaxCost() - r.main.RemainingCost(); used != 0 {
		t.Errorf("ristretto still accounts for %d bytes", used)
	}
}

func TestHitAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := newTestRAM(t, 64*mib, mib, nil)
	o := objectOf(1, 1, 10*kib)
	r.put(o)
	h, text := &o.Hash, []byte(o.Text)
	for _, where := range []string{"window", "ristretto", "front"} {
		// Before those in ristretto it depends on when ristretto showed what was put.
		if got := r.front.at(h).Load() != nil; where != "ristretto" && got != (where == "front") {
			t.Errorf("in front before the hits in %s: %v", where, got)
		}
		if n := testing.AllocsPerRun(1000, func() {
			if where != "front" {
				// A hit in ristretto puts it there.
				r.front.at(h).Store(nil)
			}
			if r.get(h, text) != o {
				t.Fatal("miss")
			}
		}); n != 0 {
			t.Errorf("%v allocations for a hit in %s", n, where)
		}
		r.settle()
	}
}

// TestModel holds the tier against a map: what is there is always the newest,
// what was deleted is not, and the books fit.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int64{256 * kib, mib, 8 * mib}).Draw(t, "size")
		r, err := newRAM(size, size/8, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		newest := map[int]*Object{}
		version := 0
		key := rapid.IntRange(0, 20)
		look := func(t *rapid.T, i int, must bool) {
			got := r.lookup(i)
			if got != nil && got != newest[i] || got == nil && must {
				t.Fatalf("key %d: got %p, newest is %p", i, got, newest[i])
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				i := key.Draw(t, "key")
				version++
				o := objectOf(i, version, rapid.IntRange(0, int(size/4)).Draw(t, "size"))
				newest[i] = o
				if !r.put(o) {
					delete(newest, i)
				}
				look(t, i, newest[i] != nil)
			},
			"promote": func(t *rapid.T) {
				i := key.Draw(t, "key")
				was := r.lookup(i)
				version++
				o := objectOf(i, version, 100)
				if r.putIf(o, func(current *Object) bool { return current == nil }) {
					if was != nil {
						t.Fatal("promoted over what is there")
					}
					newest[i] = o
				}
			},
			"delete": func(t *rapid.T) {
				i := key.Draw(t, "key")
				h, _ := keyOf(i)
				r.delete(&h)
				delete(newest, i)
				look(t, i, false)
			},
			"get": func(t *rapid.T) { look(t, key.Draw(t, "key"), false) },
			"get all": func(t *rapid.T) { // ristretto shows them, the front leads to them
				r.settle()
				for i := range 21 {
					look(t, i, false)
					look(t, i, false)
				}
			},
			"settle": func(*rapid.T) { r.settle() },
			"age":    func(*rapid.T) { forgetWindow(r) },
			"": func(t *rapid.T) {
				if b := r.bytes.Load(); b < 0 || b > r.capacity {
					t.Fatalf("%d bytes of %d", b, r.capacity)
				}
			},
		})
		r.settle()
		if err := r.check(); err != nil {
			t.Fatal(err)
		}
		for i := range 21 {
			h, _ := keyOf(i)
			r.delete(&h)
		}
		r.settle()
		if b, o := r.bytes.Load(), r.objects.Load(); b != 0 || o != 0 {
			t.Fatalf("%d bytes in %d objects are left", b, o)
		}
	})
}

// TestConcurrentWriters: versions of a key never go backwards for anybody who
// looks while they are put and deleted, and the books close.
func TestConcurrentWriters(t *testing.T) {
	// Under this pressure what was just put may be evicted before its writer
	// looks; it is never merely lost.
	var evicted, missed sync.Map
	r := newTestRAM(t, 2*mib, 64*kib, func(o *Object) { evicted.Store(o, true) })
	const keys = 8
	var wg sync.WaitGroup
	var stop atomic.Bool
	for i := range keys {
		wg.Add(1)
		go func() { // the key's writer
			defer wg.Done()
			h, _ := keyOf(i)
			for v := 1; v <= 600; v++ {
				o := objectOf(i, v, v*97%5000)
				r.put(o)
				if r.lookup(i) == nil {
					missed.Store(o, v)
				}
				if v%10 == 0 {
					r.delete(&h)
					if got := r.lookup(i); got != nil {
						t.Errorf("key %d: version %d is there after delete", i, got.Stored-birth.UnixNano())
						return
					}
				}
			}
		}()
	}
	var load sync.WaitGroup
	for g := range 2 {
		load.Add(2)
		go func() { // readers
			defer load.Done()
			var seen [keys]int64
			for n := 0; !stop.Load(); n++ {
				i := n % keys
				if o := r.lookup(i); o != nil {
					if o.Stored < seen[i] {
						t.Errorf("key %d went back from %d to %d", i, seen[i], o.Stored)
						return
					}
					seen[i] = o.Stored
				}
			}
		}()
		go func() { // pressure
			defer load.Done()
			for n := 0; !stop.Load(); n++ {
				r.put(objectOf(1000+g*100_000+n, 1, 3000))
				if b := r.bytes.Load(); b < 0 {
					t.Errorf("%d bytes", b)
					return
				}
			}
		}()
	}
	wg.Wait()
	stop.Store(true)
	load.Wait()
	r.settle()
	missed.Range(func(o, v any) bool {
		if _, told := evicted.Load(o); !told {
			t.Errorf("%s, version %d: not there right after its put", o.(*Object).Text, v)
		}
		return true
	})
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
}
