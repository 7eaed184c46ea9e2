package fetch

import (
	"strconv"

	"weir/policy"
	"weir/proxy/stored"
	"weir/tiers"
)

// rest is the Range field for what is missing behind a part from 0.
func rest(o *tiers.Object) string {
	r, _, _ := stored.Extent(o)
	return "bytes=" + strconv.FormatInt(r.End+1, 10) + "-"
}

// completes reports whether a 206 brings exactly what is missing behind the part
// and both are of one representation.
func completes(part *tiers.Object, r *policy.Response, length int64) bool {
	have, size, ok := stored.Extent(part)
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
	r.Fields = r.Fields.Except("Content-Range", "Content-Length")
	return r
}

// partStorable says why a 206 cannot be stored as a part, as far as its header
// tells.
func (t *run) partStorable() policy.Reason {
	length := t.resp.ContentLength
	if length < 0 {
		return policy.ReasonNone // keepPart will see
	}
	if _, size, ok := policy.PartialExtent(t.presp.Fields.Get("Content-Range"), length); !ok || size < 0 {
		return policy.ReasonPartial
	}
	if length > t.m.store.MaxInMemory() {
		return policy.ReasonTooLarge
	}
	return policy.ReasonNone
}

// keepPart stores what a 206 brought, grown together with the part that was
// there, and as the whole when nothing is missing any more. The body must be in
// memory.
func (t *run) keepPart(o *tiers.Object, body []byte, text string) policy.Reason {
	got, size, ok := policy.PartialExtent(t.presp.Fields.Get("Content-Range"), int64(len(body)))
	if !ok || size < 0 {
		return policy.ReasonPartial
	}
	base := policy.HashKey([]byte(text))
	t.m.store.NotePart(&base)
	part := policy.PartOf(text)
	old := t.m.store.Usable(t.m.store.Lookup(&part.Hash, part.Text))
	if old != nil {
		before, inMemory := old.InBytes()
		if have, was, ok := stored.Extent(old); ok && was == size && inMemory && policy.SameRepresentation(old.Validators, o.Validators) {
			body, got = grow(before, have, body, got) // a copy
			o.Epoch = min(o.Epoch, old.Epoch)
		}
		old.Close()
	}
	if got.Start == 0 && got.End == size-1 {
		// Nothing is missing: it is the whole.
		o.Status = 200
		o.Hash, o.Text = base, text
		t.m.store.Delete(&part.Hash)
	} else {
		o.Status = 206
		o.Hash, o.Text = part.Hash, string(part.Text)
		o.Fields = append(o.Fields[:len(o.Fields):len(o.Fields)], policy.Field{
			Name: "Content-Range", Value: string(policy.AppendContentRange(nil, got, size)),
		})
	}
	o.Body, o.Length = body, int64(len(body))
	return t.m.store.Put(o)
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
