package tiers

import (
	"slices"
	"sync"

	"weir/policy"
)

// AddVariant records under the primary key that the variant o is stored and how
// requests select it; accept is its request's Accept-Language in the form of a
// key's text, "" where that does not count. Variants beyond MaxVariants are
// deleted, oldest first.
func (s *Store) AddVariant(primary policy.Hash, text string, spec policy.VarySpec, variant policy.Hash, accept string, o *Object) {
	for _, h := range s.addVariant(primary, text, spec, variant, accept, o) {
		s.remove(&h)
	}
}

// addVariant returns the variants that fell out of the record.
func (s *Store) addVariant(primary policy.Hash, text string, spec policy.VarySpec, variant policy.Hash, accept string, o *Object) []policy.Hash {
	mu := s.varyLock(&primary)
	mu.Lock()
	defer mu.Unlock()
	var rec VaryRecord
	old := s.Get(&primary, []byte(text))
	if old == nil {
		old = s.GetDisk(&primary, []byte(text))
	}
	known := old != nil && old.Kind == KindVary
	if known {
		rec = old.Vary
	}
	if old != nil {
		old.Close()
	}
	next, dropped := rec.with(spec, variant)
	next.Languages = rec.withLanguage(VaryLanguage{Content: o.Fields.Get("Content-Language"), Accept: accept})
	life := recordLife(o)
	if known && !old.expires().Before(o.expires()) {
		life = old.Freshness
	}
	if !known || life != old.Freshness || !next.equal(rec) {
		s.Put(&Object{
			Hash: primary, Text: text, Kind: KindVary, Freshness: life, Stored: o.Stored,
			Epoch: o.Epoch, Incarnation: o.Incarnation, Policy: o.Policy, Vary: next,
		})
	}
	return dropped
}

// recordLife is the freshness of a vary record. The disk drops what has expired
// first, and without its record a variant is out of reach; so the record lasts
// longer than the variant, by as much again: then it is not written anew for
// each variant that is.
func recordLife(o *Object) policy.Freshness {
	life := policy.Freshness{Born: o.Freshness.Born, Lifetime: max(o.Freshness.Lifetime, 0)}
	if life.Lifetime < 1<<62 {
		life.Lifetime *= 2
	}
	return life
}

func (s *Store) varyLock(h *policy.Hash) *sync.Mutex { return &s.varyMu[int(h[0])%len(s.varyMu)] }

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

// withLanguage returns the languages with l in front, where it says anything.
func (r VaryRecord) withLanguage(l VaryLanguage) []VaryLanguage {
	if l.Content == "" || l.Accept == "" || slices.Contains(r.Languages, l) {
		return r.Languages
	}
	next := append([]VaryLanguage{l}, r.Languages...)
	return next[:min(len(next), MaxLanguages)]
}

func (r VaryRecord) equal(o VaryRecord) bool {
	return slices.Equal(r.Variants, o.Variants) && slices.Equal(r.Languages, o.Languages) &&
		slices.EqualFunc(r.Specs, o.Specs, func(a, b policy.VarySpec) bool { return slices.Equal(a.Names, b.Names) })
}
