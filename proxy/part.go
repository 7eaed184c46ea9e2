package proxy

import (
	"bytes"
	"strconv"

	"weir/policy"
	"weir/tiers"
)

// Parts of a representation (RFC 9111 section 3.3 and 3.4). What a 206 of the
// origin brought is kept under a key of its own, beside the key of the whole:
// one contiguous part for each variant. Smaller ranges are served from it,
// parts that touch grow together, and a request for the whole fetches only what
// is missing behind a part that begins at 0. Parts are put together only when
// both carry the same strong validator; else the newer one replaces the older.

// partSuffix ends the key text of a part. No line of a canonical key begins
// with this letter.
const partSuffix = "\n part"

// partHit is a stored part that covers the range asked for.
type partHit struct {
	start, size int64
	want        policy.ByteRange
}

// extentOf is what a stored part covers: its bytes and the size of the whole.
func extentOf(o *tiers.Object) (r policy.ByteRange, size int64, ok bool) {
	start, end, size, ok := policy.ParseContentRange(o.Fields.Get("Content-Range"))
	r = policy.ByteRange{Start: start, End: end}
	return r, size, ok && size > 0 && r.Len() == o.Length
}

// findPart returns the stored part under the request's key, or nil.
func (x *exchange) findPart() *tiers.Object {
	if !x.p.tiers.MayHavePart(&x.key.hash) {
		return nil
	}
	if !x.key.isPrimary() && !x.partListed {
		// A part that no record lists: what is left of it was invalidated.
		return nil
	}
	part := x.keys.partKey(&x.key)
	o := x.usable(x.p.tiers.LookupRare(&part.hash, part.text))
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
	have, size, ok := extentOf(o)
	if ok && x.p.confirmed(o, x.start) && x.freshness(o).Reusable(&x.asker, policy.OnRequest, x.now) == policy.UseFresh &&
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
	r, size, ok := extentOf(o)
	return ok && r.Start == 0 && r.End < size-1
}

// rest is the Range field for what is missing behind a part from 0.
func rest(o *tiers.Object) string {
	r, _, _ := extentOf(o)
	return "bytes=" + strconv.FormatInt(r.End+1, 10) + "-"
}

// completes tells whether a 206 brings exactly what is missing behind the part
// and both are of one representation.
func completes(part *tiers.Object, r *policy.Response, length int64) bool {
	have, size, ok := extentOf(part)
	if !ok {
		return false
	}
	start, end, newSize, ok := policy.ParseContentRange(r.Fields.Get("Content-Range"))
	return ok && start == have.End+1 && end == size-1 && newSize == size && length == end-start+1 &&
		policy.SameRepresentation(part.Validators, policy.ValidatorsOf(r.Fields))
}

// whole returns the response that a part stands for: its status is that of the
// whole, which is what may be stored or not.
func whole(r policy.Response) policy.Response {
	r.Status = 200
	r.Fields = without(r.Fields, "Content-Range", "Content-Length")
	return r
}

func without(f policy.Fields, names ...string) policy.Fields {
	out := make(policy.Fields, 0, len(f))
next:
	for _, v := range f {
		for _, n := range names {
			if v.Name == n {
				continue next
			}
		}
		out = append(out, v)
	}
	return out
}

// partStorable says why a 206 cannot be stored as a part, as far as its header
// tells.
func (t *fetch) partStorable() policy.Reason {
	length := t.resp.ContentLength
	if length < 0 {
		return policy.ReasonNone // keepPart will see
	}
	if _, size, ok := policy.PartialExtent(t.presp.Fields.Get("Content-Range"), length); !ok || size < 0 {
		return policy.ReasonPartial
	}
	if length > t.p.tiers.MaxInMemory() {
		return policy.ReasonTooLarge
	}
	return policy.ReasonNone
}

// keepPart stores what a 206 brought, grown together with the part that was
// there, and as the whole when nothing is missing any more. The body must be in
// memory.
func (t *fetch) keepPart(o *tiers.Object, body []byte, text string) policy.Reason {
	got, size, ok := policy.PartialExtent(t.presp.Fields.Get("Content-Range"), int64(len(body)))
	if !ok || size < 0 {
		return policy.ReasonPartial
	}
	base := policy.HashKey([]byte(text))
	t.p.tiers.NotePart(&base)
	key := []byte(text + partSuffix)
	h := policy.HashKey(key)
	old := t.p.usable(t.p.tiers.Lookup(&h, key))
	if old != nil {
		stored, inMemory := old.InBytes()
		if have, was, ok := extentOf(old); ok && was == size && inMemory && policy.SameRepresentation(old.Validators, o.Validators) {
			body, got = grow(stored, have, body, got) // a copy
			o.Epoch = min(o.Epoch, old.Epoch)
		}
		old.Close()
	}
	if got.Start == 0 && got.End == size-1 {
		// Nothing is missing: it is the whole.
		o.Status = 200
		o.Hash, o.Text = base, text
		t.p.tiers.Delete(&h)
	} else {
		o.Status = 206
		o.Hash, o.Text = h, string(key)
		o.Fields = append(o.Fields[:len(o.Fields):len(o.Fields)], policy.Field{
			Name: "Content-Range", Value: string(appendContentRange(nil, got, size)),
		})
	}
	o.Body, o.Length = body, int64(len(body))
	return t.p.tiers.Put(o)
}

// grow puts two parts together when they touch or overlap; else the newer one
// stands alone.
func grow(a []byte, ra policy.ByteRange, b []byte, rb policy.ByteRange) ([]byte, policy.ByteRange) {
	if ra.End+1 < rb.Start || rb.End+1 < ra.Start {
		return b, rb
	}
	all := policy.ByteRange{Start: min(ra.Start, rb.Start), End: max(ra.End, rb.End)}
	body := make([]byte, all.Len())
	copy(body[ra.Start-all.Start:], a)
	// The newer bytes last: where both have some they are equal anyway.
	copy(body[rb.Start-all.Start:], b)
	return body, all
}

// wholeRange tells whether the Range asks for everything from the first byte
// on, which is a fetch of the whole.
func wholeRange(value []byte) bool { return bytes.Equal(value, []byte("bytes=0-")) }
