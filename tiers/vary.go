package tiers

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/policy"
)

// AddVariant records under the primary key that the variant o is stored and how
// requests select it; accept is its request's Accept-Language in the form of a
// key's text, "" where that does not count. Variants beyond MaxVariants are
// deleted, those first that are used least.
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
	var uses variantUses
	old := s.Get(&primary, []byte(text))
	if old == nil {
		old = s.GetDisk(&primary, []byte(text))
	}
	known := old != nil && old.Kind == KindVary
	if known {
		rec, uses = old.Vary, old.variantUses()
	}
	if old != nil {
		old.Close()
	}
	next, uses, dropped := rec.with(spec, variant, uses, s.now().UnixNano())
	next.Languages = rec.withLanguage(VaryLanguage{Content: o.Fields.Get("Content-Language"), Accept: accept})
	life := recordLife(o)
	if known && !old.expires().Before(o.expires()) {
		life = old.Freshness
	}
	if !known || life != old.Freshness || !next.equal(rec) {
		made := &Object{
			Hash: primary, Text: text, Kind: KindVary, Freshness: life, Stored: o.Stored,
			Epoch: o.Epoch, Incarnation: o.Incarnation, Policy: o.Policy, Vary: next,
		}
		made.aside.Store(uses)
		s.Put(made)
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

// with returns the record with the variant added at now, unix nanoseconds, how its
// variants are used, and those that fell out. Neither the receiver nor uses is changed:
// objects that hold them are immutable. A use that is noted meanwhile may be lost.
func (r VaryRecord) with(spec policy.VarySpec, variant policy.Hash, uses variantUses, now int64) (VaryRecord, variantUses, []policy.Hash) {
	next := VaryRecord{Specs: make([]policy.VarySpec, 0, MaxSpecs), Variants: make([]policy.Hash, 0, len(r.Variants)+1)}
	if !slices.Contains(r.Variants, variant) {
		next.Variants = append(next.Variants, variant)
	}
	next.Variants = append(next.Variants, r.Variants...)
	used := make(variantUses, len(next.Variants))
	for i := range min(len(uses), len(r.Variants)) {
		used[len(used)-len(r.Variants)+i].v.Store(uses[i].v.Load())
	}
	next.Specs = append(next.Specs, spec)
	for _, s := range r.Specs {
		if !slices.Equal(s.Names, spec.Names) && len(next.Specs) < MaxSpecs {
			next.Specs = append(next.Specs, s)
		}
	}
	var dropped []policy.Hash
	for len(next.Variants) > MaxVariants {
		i := used.least(now)
		dropped = append(dropped, next.Variants[i])
		next.Variants = slices.Delete(next.Variants, i, i+1)
		for ; i < len(next.Variants); i++ {
			used[i].v.Store(used[i+1].v.Load())
		}
		used = used[:len(next.Variants)]
	}
	return next, used, dropped
}

// Index is the place of a variant in the record, -1 when it is not listed.
func (r *VaryRecord) Index(variant policy.Hash) int { return slices.Index(r.Variants, variant) }

// UseVariant notes that the variant at place i of a vary record was asked for again at
// now, unix nanoseconds. Uses decide which variants stay when there are too many. It
// does not write more than once a second for a variant that is asked for all the time,
// and does not allocate but for the first one of a record that was read from disk.
func (o *Object) UseVariant(i int, now int64) {
	if u := o.variantUses(); uint(i) < uint(len(u)) {
		u[i].note(now)
	}
}

// variantUses is how each variant of a record is used, by its place.
type variantUses []variantUse

// variantUses returns those of a vary record.
func (o *Object) variantUses() variantUses {
	aside := &o.kept().aside
	if aside.Load() == nil {
		aside.CompareAndSwap(nil, make(variantUses, len(o.Vary.Variants)))
	}
	return aside.Load().(variantUses)
}

// least is the place of the variant that is to make room. The new one, in front, stays:
// it may be somebody's who comes again.
func (u variantUses) least(now int64) int {
	least, at := 0, -1
	for i := len(u) - 1; i > 0; i-- {
		if w := u[i].weight(now); at < 0 || w < least {
			least, at = w, i
		}
	}
	return at
}

// variantUse is how often a variant was asked for again, and when last: the seconds in
// the upper 32 bits, the count below. Zero: never.
type variantUse struct{ v atomic.Uint64 }

const variantUseSize = 8 // bytes

// useFades is the time in which a use counts for half of what it did.
const useFades = 10 * time.Minute

// maxUses is the most that is counted. A client that wants its own variants to stay
// in place of those of others must ask for each about as often as they do.
const maxUses = 1 << 16

func (u *variantUse) note(now int64) {
	v := u.v.Load()
	second := uint64(uint32(now / int64(time.Second)))
	count := faded(v, now)
	if count >= maxUses && v>>32 == second {
		return
	}
	// One that is lost to another client's is no loss.
	u.v.CompareAndSwap(v, second<<32|min(count+1, maxUses))
}

// weight is how much the variant is in use: the logarithm of its uses, as far as they
// have not faded.
func (u *variantUse) weight(now int64) int { return bits.Len64(faded(u.v.Load(), now)) }

// faded is the count in v as of now.
func faded(v uint64, now int64) uint64 {
	since := now/int64(time.Second) - int64(v>>32)
	return v & (1<<32 - 1) >> max(0, min(since/int64(useFades/time.Second), 63))
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
