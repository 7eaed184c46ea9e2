package proxy

import (
	"bytes"

	"weir/policy"
	"weir/proxy/stored"
	"weir/tiers"
)

// Parts of a representation (RFC 9111 section 3.3 and 3.4). What a 206 of the
// origin brought is kept under a key of its own, beside the key of the whole:
// one contiguous part for each variant. Smaller ranges are served from it,
// parts that touch grow together, and a request for the whole fetches only what
// is missing behind a part that begins at 0. Parts are put together only when
// both carry the same strong validator; else the newer one replaces the older.

// findPart returns the stored part under the request's key, or nil.
func (x *exchange) findPart() *tiers.Object {
	if !x.core.store.MayHavePart(&x.key.Hash) {
		return nil
	}
	if !x.key.IsPrimary() && !x.partListed {
		// A part that no record lists: what is left of it was invalidated.
		return nil
	}
	part := x.keys.Part(&x.key)
	o := x.usable(x.core.store.LookupRare(&part.Hash, part.Text))
	if o != nil && (o.Kind != tiers.KindResponse || o.Status != 206) {
		o.Close()
		return nil
	}
	return o
}

// partAnswers answers a range from a stored part, if one covers it and is
// fresh.
func (x *exchange) partAnswers() bool {
	if x.req.Range == nil || x.req.Method != "GET" {
		return false
	}
	o := x.findPart()
	if o == nil {
		return false
	}
	have, size, ok := stored.Extent(o)
	if ok && x.core.store.Confirmed(o, x.start) && x.freshness(o).Reusable(&x.asker, policy.OnRequest, x.now) == policy.UseFresh &&
		(x.req.IfRange == nil || o.Validators.IfRange(x.req.IfRange)) {
		ranges, outcome := policy.ParseRange(x.rangeRoom[:0], x.req.Range, size)
		if outcome == policy.RangeOK && len(ranges) == 1 && ranges[0].Start >= have.Start && ranges[0].End <= have.End {
			x.part = partHit{start: have.Start, size: size, want: ranges[0]}
			x.hit(o, outcomeHit)
			return true
		}
		x.found = foundPart
	}
	o.Close()
	return false
}

// startsAtZero tells whether a request for the whole may build on the part: it
// begins at 0 and is not everything.
func startsAtZero(o *tiers.Object) bool {
	r, size, ok := stored.Extent(o)
	return ok && r.Start == 0 && r.End < size-1
}

// wholeRange tells whether the Range asks for everything from the first byte
// on, which is a fetch of the whole.
func wholeRange(value []byte) bool { return bytes.Equal(value, []byte("bytes=0-")) }

// partToComplete returns a stored part that a fetch of the whole can build on,
// or nil.
func (x *exchange) partToComplete() *tiers.Object {
	if x.stale != nil || x.req.Method != "GET" {
		return nil
	}
	o := x.findPart()
	if o == nil {
		return nil
	}
	// It goes with the flight, which holds nothing open for it.
	whole := o.InMemory()
	if whole == nil || !startsAtZero(whole) {
		o.Close()
		return nil
	}
	return whole
}
