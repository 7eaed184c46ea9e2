package stored

import (
	"weir/policy"
	"weir/tiers"
)

// Extent returns what a stored part covers: its bytes and the size of the whole.
func Extent(o *tiers.Object) (r policy.ByteRange, size int64, ok bool) {
	start, end, size, ok := policy.ParseContentRange(o.Fields.Get("Content-Range"))
	r = policy.ByteRange{Start: start, End: end}
	return r, size, ok && size > 0 && r.Len() == o.Length
}
