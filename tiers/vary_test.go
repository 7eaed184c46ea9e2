package tiers

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"weir/policy"
)

// variantOf is variant v of object i: an object under a key of its own.
func variantOf(i, v int) *Object {
	o := objectOf(i, 1, 100)
	o.Text += fmt.Sprintf("\n v:accept-language=l%d", v)
	o.Hash = policy.HashKey([]byte(o.Text))
	return o
}

func addVariant(s *Store, i, v int, names ...string) *Object {
	o := variantOf(i, v)
	s.Put(o)
	h, text := keyOf(i)
	s.AddVariant(h, text, policy.VarySpec{Names: names}, o.Hash, "", o)
	return o
}

func TestVariantsAreBounded(t *testing.T) {
	s := openTest(t, testOptions(t.TempDir()))
	const more = 5
	for v := range MaxVariants + more {
		addVariant(s, 1, v, "Accept-Language")
	}
	rec := s.lookup(1)
	if rec == nil || rec.Kind != KindVary || len(rec.Vary.Variants) != MaxVariants || len(rec.Vary.Specs) != 1 {
		t.Fatalf("record is %+v", rec)
	}
	for v := range MaxVariants + more {
		o := variantOf(1, v)
		listed := slices.Contains(rec.Vary.Variants, o.Hash)
		if listed != (v >= more) {
			t.Errorf("variant %d: listed %v", v, listed)
		}
		for tier, got := range map[string]*Object{"RAM": s.Get(&o.Hash, []byte(o.Text)), "disk": s.GetDisk(&o.Hash, []byte(o.Text))} {
			if (got != nil) != listed {
				t.Errorf("variant %d: listed %v, in %s %v", v, listed, tier, got != nil)
			}
		}
	}
}

func TestVarySpecsAreBounded(t *testing.T) {
	s := openTest(t, testOptions(""))
	for v := range MaxSpecs + 2 {
		addVariant(s, 1, v, "Accept-Language", fmt.Sprintf("X-%d", v))
	}
	specs := s.lookup(1).Vary.Specs
	if len(specs) != MaxSpecs || specs[0].Names[1] != fmt.Sprintf("X-%d", MaxSpecs+1) {
		t.Errorf("specs are %v", specs)
	}
	addVariant(s, 1, 0, specs[2].Names...)
	if got := s.lookup(1).Vary.Specs; len(got) != MaxSpecs || !got[0].Equal(specs[2]) {
		t.Errorf("specs are %v, the newest is not first", got)
	}
}

func TestVaryRecordSurvivesRestart(t *testing.T) {
	o := testOptions(t.TempDir())
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	addVariant(s, 1, 1, "Accept-Language")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, o)
	addVariant(s, 1, 2, "Accept-Language")
	rec := s.lookup(1)
	if want := []policy.Hash{variantOf(1, 2).Hash, variantOf(1, 1).Hash}; rec == nil || !slices.Equal(rec.Vary.Variants, want) {
		t.Errorf("record is %+v, want variants %v", rec, want)
	}
}

// TestVaryRecordOutlivesVariants: the disk drops what has expired first, and
// without its record a variant cannot be found.
func TestVaryRecordOutlivesVariants(t *testing.T) {
	s := openTest(t, testOptions(""))
	long, short := variantOf(1, 1), variantOf(1, 2)
	short.Freshness.Lifetime = int64(time.Second)
	h, text := keyOf(1)
	for _, o := range []*Object{short, long, short} {
		s.AddVariant(h, text, policy.VarySpec{Names: []string{"Accept-Language"}}, o.Hash, "", o)
	}
	if end := s.lookup(1).expires(); end.Before(long.expires()) {
		t.Errorf("the record expires %v before its variant", long.expires().Sub(end))
	}
	// A variant that is stored anew as before does not change the record.
	was := s.lookup(1)
	s.AddVariant(h, text, policy.VarySpec{Names: []string{"Accept-Language"}}, long.Hash, "", long)
	if s.lookup(1) != was {
		t.Error("the record was written again with nothing to say")
	}
}

// TestAddVariantAgainstDelete: a record that is deleted while variants are
// added never comes back with what it listed before.
func TestAddVariantAgainstDelete(t *testing.T) {
	s := openTest(t, testOptions(t.TempDir()))
	h, _ := keyOf(1)
	for round := range 30 {
		addVariant(s, 1, 1000+round, "Accept-Language")
		var wg sync.WaitGroup
		for g := range 3 {
			wg.Go(func() { addVariant(s, 1, round*10+g, "Accept-Language") })
		}
		wg.Go(func() { s.Delete(&h) })
		wg.Wait()
		if rec := s.lookup(1); rec != nil && slices.Contains(rec.Vary.Variants, variantOf(1, 1000+round).Hash) {
			t.Fatal("the deleted record's variant is listed again")
		}
		s.Delete(&h)
	}
}

func TestVariantTakesThePlaceOfAResponse(t *testing.T) {
	s := openTest(t, testOptions(""))
	s.Put(objectOf(1, 1, 100))
	v := addVariant(s, 1, 1, "Accept-Language")
	if rec := s.lookup(1); rec == nil || rec.Kind != KindVary || !slices.Equal(rec.Vary.Variants, []policy.Hash{v.Hash}) {
		t.Errorf("record is %+v", rec)
	}
}

// TestConcurrentVariantsAreAllListed: of variants that are added at once none
// overwrites the record without the others.
func TestConcurrentVariantsAreAllListed(t *testing.T) {
	s := openTest(t, testOptions(""))
	const writers, rounds = 4, 1000
	var variants [writers]*Object
	for g := range writers {
		variants[g] = variantOf(1, g)
	}
	for round := range rounds {
		h, text := keyOf(round)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for _, v := range variants {
			wg.Go(func() {
				<-start
				s.AddVariant(h, text, policy.VarySpec{Names: []string{"Accept-Language"}}, v.Hash, "", v)
			})
		}
		close(start)
		wg.Wait()
		if rec := s.lookup(round); len(rec.Vary.Variants) != writers {
			t.Fatalf("round %d: %d of %d variants are listed", round, len(rec.Vary.Variants), writers)
		}
	}
}
