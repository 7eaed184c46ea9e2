package tiers

import (
	"slices"

	"weir/policy"
)

// AddVariant records under the primary key that the variant is stored and how
// requests select it. Variants beyond MaxVariants are deleted, oldest first.
func (s *Store) AddVariant(primary policy.Hash, text string, spec policy.VarySpec, variant policy.Hash, o *Object) {
	mu := &s.varyMu[primary[0]%byte(len(s.varyMu))]
	mu.Lock()
	defer mu.Unlock()
	var rec VaryRecord
	old := s.Get(&primary, []byte(text))
	if old == nil {
		old = s.GetDisk(&primary, []byte(text))
	}
	if old != nil {
		if old.Kind == KindVary {
			rec = old.Vary
		}
		old.Close()
	}
	next, dropped := rec.with(spec, variant)
	if old == nil || old.Kind != KindVary || !next.equal(rec) {
		r := &Object{
			Hash: primary, Text: text, Kind: KindVary, Freshness: o.Freshness, Stored: o.Stored,
			Epoch: o.Epoch, Vary: next,
		}
		s.Put(r)
	}
	for i := range dropped {
		s.Delete(&dropped[i])
	}
}

// with returns the record with the variant added, and the variants that fell
// out. The receiver is not changed: objects that hold it are immutable.
func (r VaryRecord) with(spec policy.VarySpec, variant policy.Hash) (VaryRecord, []policy.Hash) {
	next := VaryRecord{Specs: make([]policy.VarySpec, 0, MaxSpecs), Variants: make([]policy.Hash, 0, len(r.Variants)+1)}
	if !slices.Contains(r.Variants, variant) {
		next.Variants = append(next.Variants, variant)
	}
	next.Variants = append(next.Variants, r.Variants...)
	next.Specs = append(next.Specs, spec)
	for _, s := range r.Specs {
		if !slices.Equal(s.Names, spec.Names) && len(next.Specs) < MaxSpecs {
			next.Specs = append(next.Specs, s)
		}
	}
	var dropped []policy.Hash
	if n := len(next.Variants); n > MaxVariants {
		dropped = slices.Clone(next.Variants[MaxVariants:])
		next.Variants = next.Variants[:MaxVariants:MaxVariants]
	}
	return next, dropped
}

func (r VaryRecord) equal(o VaryRecord) bool {
	return slices.Equal(r.Variants, o.Variants) &&
		slices.EqualFunc(r.Specs, o.Specs, func(a, b policy.VarySpec) bool { return slices.Equal(a.Names, b.Names) })
}
