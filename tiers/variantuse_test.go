package tiers

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// variantBench is a vary record under key 1, and a clock.
type variantBench struct {
	t   *testing.T
	s   *Store
	now time.Time
}

func newVariantBench(t *testing.T) *variantBench {
	b := &variantBench{t: t, now: time.Unix(1_800_000_000, 0)}
	o := testOptions("")
	o.Now = func() time.Time { return b.now }
	b.s = openTest(t, o)
	return b
}

// ask is a visitor's request: a use of the variant where it is stored, and a fetch that stores it otherwise.
func (b *variantBench) ask(v int) (hit bool) {
	o := variantOf(1, v)
	if rec := b.s.lookup(1); rec != nil {
		if at := rec.Vary.Index(o.Hash); at >= 0 && b.s.Get(&o.Hash, []byte(o.Text)) != nil {
			rec.UseVariant(at, b.now.UnixNano())
			return true
		}
	}
	addVariant(b.s, 1, v, "Accept-Language")
	return false
}

// TestFloodLeavesVariantsInUse: 10,000 made-up variants, asked for once or a few times each, leave those in place that
// visitors use, and a new visitor's variant stays as soon as it is used.
func TestFloodLeavesVariantsInUse(t *testing.T) {
	for _, times := range []int{1, 3} {
		t.Run(fmt.Sprintf("each %d times", times), func(t *testing.T) {
			b := newVariantBench(t)
			const real, flood = 40, 10_000
			for range 20 {
				for v := range real {
					b.ask(v)
				}
			}
			for v := range flood {
				for range times {
					b.ask(1000 + v)
				}
				switch {
				case v%50 == 0:
					// Each visitor comes once in a minute.
					b.now = b.now.Add(time.Second)
					if w := v / 50 % real; !b.ask(w) {
						t.Fatalf("after %d of the flood, variant %d is gone", v, w)
					}
				case v == flood/2:
					b.ask(real)
				case v == flood/2+1:
					for range 20 {
						b.ask(real)
					}
				}
			}
			for v := range real + 1 {
				if !b.ask(v) {
					t.Errorf("variant %d is gone", v)
				}
			}
			if n := len(b.s.lookup(1).Vary.Variants); n != MaxVariants {
				t.Errorf("%d variants are listed", n)
			}
		})
	}
}

// TestUsesFade: what was used a lot and is not any more makes room for what is used now.
func TestUsesFade(t *testing.T) {
	b := newVariantBench(t)
	for v := range MaxVariants {
		for range 1000 {
			b.ask(v)
		}
	}
	b.now = b.now.Add(12 * useFades)
	for v := range MaxVariants - 1 {
		for range 3 {
			b.ask(1000 + v)
		}
	}
	for v := range MaxVariants - 1 {
		if !b.ask(1000 + v) {
			t.Fatalf("variant %d of today is gone", v)
		}
	}
	// The clock may be set back.
	b.now = b.now.Add(-24 * time.Hour)
	if b.ask(5000); !b.ask(5000) {
		t.Error("a new variant is gone at once")
	}
}

// TestOnlyTheLeastUsedMakesRoom: when all variants are in use, made-up ones take one place among themselves.
func TestOnlyTheLeastUsedMakesRoom(t *testing.T) {
	b := newVariantBench(t)
	for range 20 {
		for v := range MaxVariants {
			b.ask(v)
		}
	}
	for v := range 1000 {
		b.ask(1000 + v)
	}
	rec, gone := b.s.lookup(1), 0
	for v := range MaxVariants {
		if !slices.Contains(rec.Vary.Variants, variantOf(1, v).Hash) {
			gone++
		}
	}
	if gone != 1 {
		t.Errorf("%d of %d variants in use are gone", gone, MaxVariants)
	}
}

func TestUseDoesNotAllocate(t *testing.T) {
	b := newVariantBench(t)
	b.ask(1)
	rec, now := b.s.lookup(1), b.now.UnixNano()
	if n := testing.AllocsPerRun(100, func() { rec.UseVariant(rec.Vary.Index(variantOf1), now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	rec.UseVariant(-1, now)
	rec.UseVariant(MaxVariants, now)
}

var variantOf1 = variantOf(1, 1).Hash
