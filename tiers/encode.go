package tiers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"weir/policy"
)

// metaVersion is the first byte of the metadata that goes to disk with a body.
// A version this build does not know is a miss, never a guess.
const metaVersion = 3

// errMeta is wrapped by every error of decode.
var errMeta = errors.New("malformed object metadata")

// Bounds for what is read back: a length from disk is checked before it is
// believed. They are far above what the proxy accepts from an origin.
const (
	maxMetaFields = 4096
	maxMetaString = 1 << 20
)

// flag bits of the freshness.
const (
	flagMustRevalidate = 1 << iota
	flagNoCache
	flagHeuristic
	flagValidator
	flagReplaced
	flagOverridden
)

// expires is when the object stops being fresh, for the disk tier's accounts.
func (o *Object) expires() time.Time {
	end := o.Freshness.Born + o.Freshness.Lifetime
	if end < o.Freshness.Born {
		end = 1<<63 - 1
	}
	return time.Unix(0, end)
}

// encode appends the object's metadata, everything but hash, text and body.
//
//	version byte | kind byte | flags byte
//	uvarint status | varint born, lifetime, stated, came, swr, sie, stored | uvarint epoch, incarnation, length
//	uvarint n fields { string name, string value } | uvarint n tags { string }
//	uvarint n specs { star byte, uvarint n names { string } } | uvarint n variants { 16 bytes }
//	uvarint n languages { string content, string accept }
//
// where a string is a uvarint length and its bytes.
func (o *Object) encode(dst []byte) []byte {
	f := &o.Freshness
	flags := flagIf(f.MustRevalidate, flagMustRevalidate) | flagIf(f.NoCache, flagNoCache) |
		flagIf(f.Heuristic, flagHeuristic) | flagIf(f.Validator, flagValidator) | flagIf(f.Replaced, flagReplaced) | flagIf(f.Overridden, flagOverridden)
	dst = append(dst, metaVersion, byte(o.Kind), flags)
	dst = binary.AppendUvarint(dst, uint64(o.Status))
	for _, v := range []int64{f.Born, f.Lifetime, f.Stated, f.Came, f.StaleWhileRevalidate, f.StaleIfError, o.Stored} {
		dst = binary.AppendVarint(dst, v)
	}
	dst = binary.AppendUvarint(dst, o.Epoch)
	dst = binary.AppendUvarint(dst, o.Incarnation)
	dst = binary.AppendUvarint(dst, uint64(o.Length))
	dst = binary.AppendUvarint(dst, uint64(len(o.Fields)))
	for i := range o.Fields {
		dst = appendString(dst, o.Fields[i].Name)
		dst = appendString(dst, o.Fields[i].Value)
	}
	dst = binary.AppendUvarint(dst, uint64(len(o.Tags)))
	for _, t := range o.Tags {
		dst = appendString(dst, t)
	}
	dst = binary.AppendUvarint(dst, uint64(len(o.Vary.Specs)))
	for _, s := range o.Vary.Specs {
		dst = append(dst, flagIf(s.Star, 1))
		dst = binary.AppendUvarint(dst, uint64(len(s.Names)))
		for _, n := range s.Names {
			dst = appendString(dst, n)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(o.Vary.Variants)))
	for _, h := range o.Vary.Variants {
		dst = append(dst, h[:]...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(o.Vary.Languages)))
	for _, l := range o.Vary.Languages {
		dst = appendString(dst, l.Content)
		dst = appendString(dst, l.Accept)
	}
	return dst
}

func flagIf(on bool, flag byte) byte {
	if on {
		return flag
	}
	return 0
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// Describe returns the object that metadata of the disk tier are of, without its
// hash, text and body, for whoever looks into a directory.
func Describe(meta []byte) (*Object, error) {
	o := new(Object)
	return o, o.decode(meta)
}

// decode reads what encode wrote into o. The strings share one copy of meta,
// which the caller may change afterwards.
func (o *Object) decode(meta []byte) error {
	d := metaReader{p: string(meta)}
	if v := d.byte(); v != metaVersion {
		return fmt.Errorf("cannot read version %d: %w", v, errMeta)
	}
	o.Kind = Kind(d.byte())
	flags := d.byte()
	o.Status = int(d.uvarint(999))
	o.Freshness = policy.Freshness{
		Born: d.varint(), Lifetime: d.varint(), Stated: d.varint(), Came: d.varint(),
		StaleWhileRevalidate: d.varint(), StaleIfError: d.varint(),
		MustRevalidate: flags&flagMustRevalidate != 0, NoCache: flags&flagNoCache != 0,
		Heuristic: flags&flagHeuristic != 0, Validator: flags&flagValidator != 0,
		Replaced: flags&flagReplaced != 0, Overridden: flags&flagOverridden != 0,
	}
	o.Stored = d.varint()
	o.Epoch = d.uvarint(1<<64 - 1)
	o.Incarnation = d.uvarint(1<<64 - 1)
	o.Length = int64(d.uvarint(1<<62 - 1))
	if n := d.count(maxMetaFields, 2); n > 0 {
		o.Fields = make(policy.Fields, n)
		for i := range o.Fields {
			o.Fields[i] = policy.Field{Name: d.string(), Value: d.string()}
		}
	}
	o.Tags = d.strings()
	if n := d.count(MaxSpecs, 2); n > 0 {
		o.Vary.Specs = make([]policy.VarySpec, n)
		for i := range o.Vary.Specs {
			o.Vary.Specs[i] = policy.VarySpec{Star: d.byte() == 1, Names: d.strings()}
		}
	}
	if n := d.count(MaxVariants, len(policy.Hash{})); n > 0 {
		o.Vary.Variants = make([]policy.Hash, n)
		for i := range o.Vary.Variants {
			copy(o.Vary.Variants[i][:], d.take(len(policy.Hash{})))
		}
	}
	if n := d.count(MaxLanguages, 2); n > 0 {
		o.Vary.Languages = make([]VaryLanguage, n)
		for i := range o.Vary.Languages {
			o.Vary.Languages[i] = VaryLanguage{Content: d.string(), Accept: d.string()}
		}
	}
	if d.bad || len(d.p) != 0 {
		return fmt.Errorf("cannot read %d bytes: %w", len(meta), errMeta)
	}
	if o.Kind != KindResponse && o.Kind != KindVary {
		return fmt.Errorf("cannot read kind %d: %w", o.Kind, errMeta)
	}
	o.Validators = policy.ValidatorsOf(o.Fields)
	return nil
}

// metaReader takes values off p; once bad, it answers zeroes.
type metaReader struct {
	p   string
	bad bool
}

func (d *metaReader) fail() { d.p, d.bad = "", true }

func (d *metaReader) take(n int) string {
	if n > len(d.p) {
		d.fail()
		return ""
	}
	v := d.p[:n]
	d.p = d.p[n:]
	return v
}

func (d *metaReader) byte() byte {
	if v := d.take(1); v != "" {
		return v[0]
	}
	return 0
}

func (d *metaReader) uvarint(limit uint64) uint64 {
	var b [binary.MaxVarintLen64]byte
	v, n := binary.Uvarint(b[:copy(b[:], d.p)])
	if n <= 0 || v > limit {
		d.fail()
		return 0
	}
	d.p = d.p[n:]
	return v
}

func (d *metaReader) varint() int64 {
	v := d.uvarint(1<<64 - 1)
	return int64(v>>1) ^ -int64(v&1)
}

// count is a number of items that follow, of at least size bytes each: what
// cannot be there is not allocated.
func (d *metaReader) count(limit, size int) int {
	n := int(d.uvarint(uint64(limit)))
	if n > len(d.p)/size {
		d.fail()
		return 0
	}
	return n
}

func (d *metaReader) string() string { return d.take(int(d.uvarint(maxMetaString))) }

func (d *metaReader) strings() []string {
	n := d.count(policy.MaxTags, 1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.string()
	}
	return list
}
