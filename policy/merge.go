package policy

import (
	"slices"
	"strconv"
	"strings"
)

// Merge returns the fields of a stored response after a 304 (or a HEAD answer)
// with fresh fields (RFC 9111 section 3.2 and 4.3.4): every field that fresh
// has replaces all stored ones of its name, except those in keptOnUpdate. Both
// inputs must be sorted by name and stay as they are; the result is sorted.
func Merge(stored, fresh Fields) Fields {
	merged := make(Fields, 0, len(stored)+len(fresh))
	for i := range stored {
		name := stored[i].Name
		// The stored Age was counted from another answer.
		if name != "Age" && (keptOnUpdate(name) || !fresh.Has(name)) {
			merged = append(merged, stored[i])
		}
	}
	for i := range fresh {
		if name := fresh[i].Name; !hopByHop(name) && !keptOnUpdate(name) {
			merged = append(merged, fresh[i])
		}
	}
	slices.SortStableFunc(merged, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return merged
}

// keptOnUpdate are the fields that say how the stored bytes are to be read:
// another value would make the body wrong (RFC 9111 section 3.2 exempts
// Content-Length, and what the integrity of the stored response needs).
func keptOnUpdate(name string) bool {
	switch name {
	case "Content-Length", "Content-Encoding", "Content-Range", "Content-Md5", "Etag":
		return true
	}
	return false
}

// HeadUpdates tells whether a 200 answer to HEAD updates a stored response of
// size bytes (RFC 9111 section 4.3.5): no validator and no length that it
// carries contradicts the stored one. Where it is false the stored response is
// stale: the representation has changed.
func HeadUpdates(stored Fields, size int64, head *Response) bool {
	if head.Status != 200 {
		return false
	}
	a, b := ValidatorsOf(stored), ValidatorsOf(head.Fields)
	if head.Fields.Has("Etag") && (a.ETag != b.ETag || a.Weak != b.Weak) {
		return false
	}
	if head.Fields.Has("Last-Modified") && a.LastModified != b.LastModified {
		return false
	}
	if length := head.Fields.Get("Content-Length"); length != "" {
		n, err := strconv.ParseInt(length, 10, 64)
		return err == nil && n == size
	}
	return true
}
