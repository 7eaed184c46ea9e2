package tiers

import (
	"runtime"
	"slices"
	"testing"
)

// inFront returns the object that the front has for i, dead cells aside.
func (r *ram) inFront(i int) *Object {
	h, _ := keyOf(i)
	if c := r.front.at(&h).Load(); c != nil && c.hash == h {
		return c.obj.Load()
	}
	return nil
}

// shownInFront puts an object and looks it up until the front has it.
func shownInFront(t *testing.T, r *ram, i int) *Object {
	t.Helper()
	o := objectOf(i, 1, 100)
	r.put(o)
	r.settle()
	if r.lookup(i) != o || r.inFront(i) != o {
		t.Fatalf("object %d is not in front after ristretto showed it", i)
	}
	return o
}

// TestFrontForgetsTheDead: what was replaced, deleted or pushed out is not answered by the front, nor held by it.
func TestFrontForgetsTheDead(t *testing.T) {
	for name, kill := range map[string]func(r *ram, o *Object) (left *Object){
		"replaced": func(r *ram, _ *Object) *Object { n := objectOf(1, 2, 100); r.put(n); return n },
		"promoted over": func(r *ram, o *Object) *Object {
			n := objectOf(1, 2, 100)
			r.putIf(n, func(current *Object) bool { return current == o })
			return n
		},
		"deleted": func(r *ram, o *Object) *Object { r.delete(&o.Hash); return nil },
		"dropped": func(r *ram, o *Object) *Object {
			r.deleteIf(&o.Hash, func(c *Object) bool { return c == o })
			return nil
		},
		"too large":   func(r *ram, _ *Object) *Object { r.put(objectOf(1, 2, int(r.maxObject))); return nil },
		"out of room": func(r *ram, o *Object) *Object { forgetWindow(r); r.main.Del(o.Hash[:]); r.settle(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := newTestRAM(t, 8*mib, 64*kib, nil)
			h, _ := keyOf(1)
			o := shownInFront(t, r, 1)
			dead := r.front.at(&h).Load()
			left := kill(r, o)
			if r.front.at(&h).Load() == dead {
				t.Error("the front holds the dead")
			}
			for range 3 {
				if got := r.lookup(1); got != left {
					t.Errorf("got %v, want %v", got, left)
				}
				r.settle()
			}
			if left != nil && r.inFront(1) != left {
				t.Error("what took its place is not in front")
			}
		})
	}
}

// TestFrontHoldsADeadCell forces the losing interleaving: a lookup has found a cell, the cell dies and leaves the front,
// and only then the lookup puts it there.
func TestFrontHoldsADeadCell(t *testing.T) {
	r := newTestRAM(t, 8*mib, 64*kib, nil)
	h, _ := keyOf(1)
	shownInFront(t, r, 1)
	dead := r.front.at(&h).Load()
	r.delete(&h)
	r.front.at(&h).Store(dead)
	if got := r.lookup(1); got != nil {
		t.Errorf("the dead answered: %v", got)
	}
	o := objectOf(1, 2, 100)
	r.put(o)
	r.front.at(&h).Store(dead)
	for range 2 {
		if got := r.lookup(1); got != o {
			t.Errorf("got %v, want %v", got, o)
		}
		r.settle()
	}
}

// TestFrontIsShared: two keys with one place answer for themselves, and a foreign text is a miss there too.
func TestFrontIsShared(t *testing.T) {
	r := newTestRAM(t, 8*mib, 64*kib, nil)
	a, b := objectOf(1, 1, 100), objectOf(2, 1, 100)
	b.Hash = a.Hash
	b.Hash[0]++ // the place does not follow from this byte
	r.put(a)
	r.put(b)
	r.settle()
	for range 3 {
		if r.get(&a.Hash, []byte(a.Text)) != a || r.get(&b.Hash, []byte(b.Text)) != b {
			t.Fatal("an object was answered for another, or missed")
		}
		if r.front.at(&a.Hash) != r.front.at(&b.Hash) {
			t.Fatal("two places: nothing is tested")
		}
		if r.get(&b.Hash, []byte(a.Text)) != nil {
			t.Fatal("another key's object was handed out")
		}
	}
}

// TestFrontTells: of each turn the first lookups are told, the others not.
func TestFrontTells(t *testing.T) {
	f := &front{}
	c := &cell{}
	// The turns of a year, and those around which the count of turns begins anew in a cell.
	for _, turn := range []uint32{0, 1, 2, 365 * 86400, 1<<24 - 1, 1 << 24, 1<<24 + 1, 1<<32 - 1} {
		f.turn.Store(turn)
		var told []int
		for n := range 100 {
			if f.tells(c) {
				told = append(told, n)
			}
		}
		if want := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; !slices.Equal(told, want) {
			t.Errorf("turn %d: told of lookups %v", turn, told)
		}
	}
}

// TestOftenAskedStays: what is asked for again and again outlives a stream of what is asked for a few times, although
// ristretto hears of it from the front only.
func TestOftenAskedStays(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops what ristretto gathers in a sync.Pool; make test runs this test without it as well")
	}
	r := newTestRAM(t, 2*mib, 64*kib, nil)
	const often, size = 60, 10_000 // a third of the tier
	for i := range often {
		r.put(objectOf(i, 1, size))
	}
	r.settle()
	for n := range 6000 {
		for range 3 {
			r.lookup(1000 + n)
		}
		r.put(objectOf(1000+n, 1, size))
		for i := range 12 {
			r.lookup((12*n + i) % often)
		}
		// What ristretto has queued is over its budget, and pushes out anybody.
		r.settle()
		runtime.Gosched() // lookups are counted by a goroutine that nobody can wait for
		if n%100 == 0 {
			r.front.turn.Add(1)
		}
	}
	r.settle()
	left, front := 0, 0
	for i := range often {
		if r.lookup(i) != nil {
			left++
		}
		if r.inFront(i) != nil {
			front++
		}
	}
	if left < often*3/4 || front < left/2 {
		t.Errorf("%d of %d objects are left that are asked for often, %d in front", left, often, front)
	}
}
