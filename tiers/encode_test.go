package tiers

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/policy"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// everything is an object with a value in every place that is encoded.
func everything() *Object {
	f := policy.Fields{
		{Name: "Cache-Control", Value: "s-maxage=60"},
		{Name: "Etag", Value: `W/"v1"`},
		{Name: "Last-Modified", Value: "Sun, 15 Jun 2025 15:06:40 GMT"},
		{Name: "X-Empty", Value: ""},
	}
	return &Object{
		Kind: KindVary, Status: 404, Fields: f, Validators: policy.ValidatorsOf(f),
		Freshness: policy.Freshness{
			Born: birth.UnixNano(), Lifetime: int64(time.Minute), Stated: int64(time.Second), Came: birth.UnixNano() + 3, StaleWhileRevalidate: -1, StaleIfError: int64(time.Hour),
			MustRevalidate: true, NoCache: true, Heuristic: true, Validator: true, Replaced: true, Overridden: true,
		},
		Tags: []string{"product-1", "home"}, Stored: birth.UnixNano() + 5, Epoch: 1<<63 + 7, Incarnation: 1<<62 + 9, Length: 1 << 33,
		Vary: VaryRecord{
			Specs:     []policy.VarySpec{{Names: []string{"Accept-Encoding", "Accept-Language"}}, {Star: true}},
			Languages: []VaryLanguage{{Content: "de", Accept: "en,de"}},
			Variants:  []policy.Hash{{1, 2, 3}, {4, 5, 6}},
		},
	}
}

// TestGolden notices a change of the format: what older builds have written
// must be read as before, or the version be another.
func TestGolden(t *testing.T) {
	file := filepath.Join("testdata", "meta-v3.bin")
	meta := everything().encode(nil)
	if *rewrite {
		if err := os.WriteFile(file, meta, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(meta, want) {
		t.Errorf("encoded differently than version 3 was:\n got %x\nwant %x", meta, want)
	}
	var o Object
	if err := o.decode(want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&o, everything()) {
		t.Errorf("got %+v", &o)
	}
}

// TestFreshnessIsEncodedWhole fails when a field is added to policy.Freshness
// and forgotten in encode or decode.
func TestFreshnessIsEncodedWhole(t *testing.T) {
	for i := range reflect.TypeFor[policy.Freshness]().NumField() {
		o := &Object{Kind: KindResponse}
		name := reflect.TypeFor[policy.Freshness]().Field(i).Name
		switch v := reflect.ValueOf(&o.Freshness).Elem().Field(i); v.Kind() {
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int64:
			v.SetInt(-1 << 62)
		default:
			t.Fatalf("%s: no test for fields of kind %v", name, v.Kind())
		}
		var back Object
		if err := back.decode(o.encode(nil)); err != nil {
			t.Fatal(err)
		}
		if back.Freshness != o.Freshness {
			t.Errorf("%s is lost: got %+v, want %+v", name, back.Freshness, o.Freshness)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	meta := everything().encode(nil)
	for n := range meta {
		if err := new(Object).decode(meta[:n]); !errors.Is(err, errMeta) {
			t.Errorf("%d of %d bytes: %v", n, len(meta), err)
		}
	}
	change := func(at int, b byte) []byte {
		m := bytes.Clone(meta)
		m[at] = b
		return m
	}
	for name, m := range map[string][]byte{
		"version 0":      change(0, 0),
		"version 4":      change(0, metaVersion+1),
		"kind 3":         change(1, 3),
		"kind unknown":   change(1, 9),
		"bytes too many": append(bytes.Clone(meta), 0),
	} {
		if err := new(Object).decode(m); !errors.Is(err, errMeta) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func drawObject(t *rapid.T) *Object {
	text := rapid.StringN(0, 20, 60)
	texts := rapid.SliceOfN(text, 0, 5)
	ns := rapid.Int64()
	o := &Object{
		Kind:   rapid.SampledFrom([]Kind{KindResponse, KindVary}).Draw(t, "kind"),
		Status: rapid.IntRange(0, 999).Draw(t, "status"),
		Freshness: policy.Freshness{
			Born: ns.Draw(t, "born"), Lifetime: ns.Draw(t, "life"), Stated: ns.Draw(t, "stated"), Came: ns.Draw(t, "came"), StaleWhileRevalidate: ns.Draw(t, "swr"), StaleIfError: ns.Draw(t, "sie"),
			MustRevalidate: rapid.Bool().Draw(t, "must"), NoCache: rapid.Bool().Draw(t, "nc"),
			Heuristic: rapid.Bool().Draw(t, "heuristic"), Validator: rapid.Bool().Draw(t, "validator"), Replaced: rapid.Bool().Draw(t, "replaced"), Overridden: rapid.Bool().Draw(t, "overridden"),
		},
		Stored: ns.Draw(t, "stored"), Epoch: rapid.Uint64().Draw(t, "epoch"), Incarnation: rapid.Uint64().Draw(t, "incarnation"),
		Length: rapid.Int64Range(0, 1<<62-1).Draw(t, "length"), Tags: texts.Draw(t, "tags"),
	}
	for range rapid.IntRange(0, 5).Draw(t, "fields") {
		o.Fields = append(o.Fields, policy.Field{Name: text.Draw(t, "name"), Value: text.Draw(t, "value")})
	}
	for range rapid.IntRange(0, MaxSpecs).Draw(t, "specs") {
		o.Vary.Specs = append(o.Vary.Specs, policy.VarySpec{Names: texts.Draw(t, "names"), Star: rapid.Bool().Draw(t, "star")})
	}
	for range rapid.SampledFrom([]int{0, 1, MaxLanguages}).Draw(t, "languages") {
		o.Vary.Languages = append(o.Vary.Languages, VaryLanguage{Content: text.Draw(t, "content"), Accept: text.Draw(t, "accept")})
	}
	for range rapid.SampledFrom([]int{0, 1, MaxVariants}).Draw(t, "variants") {
		o.Vary.Variants = append(o.Vary.Variants, policy.HashKey([]byte(text.Draw(t, "variant"))))
	}
	return o
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawObject(t)
		meta := o.encode([]byte("before"))[len("before"):]
		kept := bytes.Clone(meta)
		var back Object
		if err := back.decode(meta); err != nil {
			t.Fatal(err)
		}
		// What decode made must not change with the memory it read from.
		clear(meta)
		if again := back.encode(nil); !bytes.Equal(again, kept) {
			t.Fatalf("got %x\nwant %x", again, kept)
		}
		if back.Validators != policy.ValidatorsOf(o.Fields) {
			t.Fatalf("validators %+v", back.Validators)
		}
	})
}

// FuzzDecode: no bytes from a disk make decode panic, nor allocate out of
// proportion; what it takes is encoded to something that reads the same.
func FuzzDecode(f *testing.F) {
	f.Add(everything().encode(nil))
	f.Add(objectOf(1, 1, 100).encode(nil))
	f.Add((&Object{Kind: KindResponse}).encode(nil))
	f.Add([]byte{metaVersion, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, meta []byte) {
		var o Object
		if o.decode(meta) != nil {
			if n := len(o.Fields)*32 + len(o.Tags)*16 + len(o.Vary.Specs)*32 + len(o.Vary.Variants)*16; n > 64*len(meta)+64 {
				t.Fatalf("%d bytes of metadata made %d", len(meta), n)
			}
			return
		}
		var back Object
		if err := back.decode(o.encode(nil)); err != nil || !reflect.DeepEqual(&back, &o) {
			t.Fatalf("%v: read back as %+v, was %+v", err, &back, &o)
		}
	})
}
