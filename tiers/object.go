package tiers

import (
	"bytes"
	"io"
	"sync/atomic"

	"weir/policy"
	"weir/tiers/disk"
)

// Kind says what an Object stands for.
type Kind uint8

const (
	// KindResponse is a stored response.
	KindResponse Kind = iota + 1
	// KindVary stands under a primary key and leads to its variants.
	KindVary
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case KindResponse:
		return "response"
	case KindVary:
		return "vary"
	}
	return "unknown"
}

// Object is one stored response or vary record. It is
// immutable once it was handed to a Store; whoever holds one may read it for
// as long as they like.
//
// What every hit reads comes first: it shares a few cache lines.
type Object struct {
	// Text is the canonical key, variant lines included. It is compared on
	// every lookup, so that a collision of hashes is a miss.
	Text string
	// The two of a byte stand together: it keeps the object within its size class.
	Kind Kind
	// Tier is where this Object was found or made.
	Tier policy.Tier

	Status int
	// outside is set where the body is not in RAM.
	outside *outside
	// softened is since when a soft purge has made it stale, unix nanoseconds;
	// 0: none has.
	softened atomic.Int64
	// checked belongs to whoever holds purges against the object: what was
	// found, and when.
	checked atomic.Uint64
	// aside belongs to the proxy: what it prepared from this object. That of a
	// vary record is its variantUses.
	aside     atomic.Value
	Freshness policy.Freshness
	// Body is the whole body, or nil when it stays on disk (Large).
	Body []byte
	// Length is the length of the body in bytes.
	Length int64
	// Closure is that of the invalidation's gate in which its fetch began; 0:
	// the gate was open, or the object was read from disk.
	Closure uint64

	Hash       policy.Hash
	Fields     policy.Fields
	Validators policy.Validators
	Tags       []string
	// Stored is when the object was committed, unix nanoseconds.
	Stored int64
	// Epoch is the invalidation epoch at which its fetch began, Incarnation the
	// log of purges that counts it.
	Epoch, Incarnation uint64
	// Policy is the name of the policy that stored it: what the disk promises
	// to that holds for it.
	Policy string
	// Vary is the record of a KindVary.
	Vary VaryRecord
}

// outside is where the body of an object is that is not in RAM. It is behind a
// pointer for the sake of the many whose is.
type outside struct {
	// entry holds open what is on disk; nil in a head.
	entry *disk.Entry
	// place is set in a head: what RAM keeps of an object without its body.
	place *disk.Place
	// head is that of an object that was found through one.
	head *Object
}

// VaryRecord leads from a primary key to its variants.
type VaryRecord struct {
	// Specs are the distinct Vary lists seen under the key, newest first.
	Specs []policy.VarySpec
	// Variants are what is stored, newest first, bounded by MaxVariants.
	Variants []policy.Hash
	// Languages are what responses that vary on Accept-Language came in, newest
	// first, bounded by MaxLanguages.
	Languages []VaryLanguage
}

// VaryLanguage says in which language the response to an Accept-Language came.
type VaryLanguage struct {
	// Content is the response's Content-Language.
	Content string
	// Accept is the request's Accept-Language in the form of a key's text.
	Accept string
}

const (
	// MaxSpecs bounds the distinct Vary lists remembered for one key; each
	// costs a lookup of its own on a request.
	MaxSpecs = 4
	// MaxVariants bounds the variants of one key, so that a Vary on something
	// as diverse as User-Agent cannot push out everybody else. At the bound a
	// new one takes the place of the one that is used least.
	MaxVariants = 128
	// MaxLanguages bounds the languages remembered for one key: more than a
	// site has, fewer than a request could be made to wade through.
	MaxLanguages = 32
)

// Large tells whether the body is the disk's, in a file or in memory that is
// lent until Close: it must be read with NewReader or Whole.
func (o *Object) Large() bool { return o.outside != nil && o.outside.entry != nil }

// isHead tells whether the object is what RAM keeps of one on disk.
func (o *Object) isHead() bool { return o.outside != nil && o.outside.place != nil }

// Whole returns the body of a Large object where it has been read whole; it is
// lent until Close. Otherwise ok is false.
func (o *Object) Whole() (body []byte, ok bool) {
	if !o.Large() || !o.outside.entry.Inline() {
		return nil, false
	}
	return o.outside.entry.Body, true
}

// InBytes returns the body where it can be had without reading; of a Large object
// it is lent until Close.
func (o *Object) InBytes() (body []byte, ok bool) {
	if !o.Large() {
		return o.Body, true
	}
	return o.Whole()
}

// InMemory returns the object with its body in memory that nobody lends, and closes
// o when that is another; nil where the body has to be read, and o is as before.
func (o *Object) InMemory() *Object {
	if !o.Large() {
		return o
	}
	body, ok := o.Whole()
	if !ok {
		return nil
	}
	n := o.inRAM()
	n.Tier, n.Body = o.Tier, bytes.Clone(body)
	o.Close()
	return n
}

// kept is where what is remembered of the object outlives the request: the head
// in RAM that it was found through, or itself.
func (o *Object) kept() *Object {
	if o.outside != nil && o.outside.head != nil {
		return o.outside.head
	}
	return o
}

// Aside returns what SetAside left, or nil. It does not allocate.
func (o *Object) Aside() any { return o.kept().aside.Load() }

// SetAside keeps something prepared from the object beside it; the last one
// wins. Every value must have the same type.
func (o *Object) SetAside(v any) { o.kept().aside.Store(v) }

// Checked is where the verdict of the last check against purges is kept; zero
// before the first.
func (o *Object) Checked() *atomic.Uint64 { return &o.kept().checked }

// Soften makes the object stale since then, unix nanoseconds; the first call
// counts.
func (o *Object) Soften(since int64) { o.kept().softened.CompareAndSwap(0, since) }

// Softened is since when a soft purge has made the object stale; 0: none has.
func (o *Object) Softened() int64 { return o.kept().softened.Load() }

// Close gives back what a Large object holds open. It may be called on any
// object, once; a Large object must not be read afterwards.
func (o *Object) Close() {
	if o.Large() {
		o.outside.entry.Close()
	}
}

// Renewed returns head with o's body: what a 304 said about an object that o
// holds open. What o held is the new object's to close; o is closed by it.
func (o *Object) Renewed(head *Object) *Object {
	n := head.inRAM()
	n.Tier, n.Length, n.Body = o.Tier, o.Length, o.Body
	if o.Large() {
		// Not with the head, which is about what was.
		n.outside = &outside{entry: o.outside.entry}
		o.outside = nil
	}
	return n
}

// NewReader reads n bytes of the body from off. Bytes of a Large object are
// verified before they are handed out; the reader does not close the object.
func (o *Object) NewReader(off, n int64) io.Reader {
	if !o.Large() {
		return &sliceReader{p: o.Body[off : off+n]}
	}
	return o.outside.entry.NewReader(off, n)
}

// cost is what the object takes in RAM, in bytes: body, fields, key, the
// structures around them, and what the proxy prepares from a response at its
// first hit.
func (o *Object) cost() int64 { return o.storedCost() + o.preparedCost() }

// storedCost is the cost without what the proxy prepares.
func (o *Object) storedCost() int64 {
	n := int64(objectOverhead + len(o.Body) + len(o.Text))
	if o.isHead() {
		n += o.outside.place.Bytes()
	}
	for i := range o.Fields {
		n += int64(len(o.Fields[i].Name) + len(o.Fields[i].Value) + fieldOverhead)
	}
	for _, t := range o.Tags {
		n += int64(len(t) + 16)
	}
	n += int64(len(o.Vary.Variants)) * int64(len(policy.Hash{})+variantUseSize)
	for _, s := range o.Vary.Specs {
		n += 32
		for _, name := range s.Names {
			n += int64(len(name) + 16)
		}
	}
	for _, l := range o.Vary.Languages {
		n += int64(len(l.Content) + len(l.Accept) + 32)
	}
	return n
}

// preparedCost is the cost of a header in fasthttp's form, and of the fields of a
// 304, which an object has once it was asked for with a condition.
func (o *Object) preparedCost() int64 {
	if o.Kind != KindResponse {
		return 0
	}
	n := 0
	for i := range o.Fields {
		n += len(o.Fields[i].Name) + len(o.Fields[i].Value)
	}
	return preparedOverhead + int64(n+n/4) + notModifiedOverhead + int64(n)
}

// The overheads are measured, with the allocator's size classes in them:
// TestCostIsTrue holds the first two, and prepared headers of 1, 5, 12 and 25 fields
// with 36, 184, 445 and 939 bytes took 550, 727, 1031 and 1575 bytes.
const (
	// objectOverhead: Object, cell, ristretto's item and tables.
	objectOverhead      = 580
	fieldOverhead       = 32
	preparedOverhead    = 520
	notModifiedOverhead = 100
)

type sliceReader struct{ p []byte }

func (r *sliceReader) Read(p []byte) (int, error) {
	if len(r.p) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.p)
	r.p = r.p[n:]
	return n, nil
}

func (r *sliceReader) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(r.p)
	r.p = r.p[n:]
	return int64(n), err
}
