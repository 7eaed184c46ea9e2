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

// HeadChange is what the answer to a HEAD says of a stored response.
type HeadChange uint8

const (
	// HeadSilent: nothing that could be held against it.
	HeadSilent HeadChange = iota
	// HeadConfirms: the stored response is what a GET would bring.
	HeadConfirms
	// HeadChanged: it is not; it counts as stale.
	HeadChanged
)

// HeadUpdates says what the answer to a HEAD means for a stored response of size
// bytes (RFC 9111 section 4.3.5). Only a validator that both have confirms it: a
// length may be that of another body.
func HeadUpdates(stored Fields, size int64, head *Response) HeadChange {
	switch head.Status {
	case 404, 410:
		return HeadChanged
	case 200:
	default:
		// An answer to the client's own condition, or none about the resource.
		return HeadSilent
	}
	a, b := ValidatorsOf(stored), ValidatorsOf(head.Fields)
	tag, modified := head.Fields.Has("Etag"), head.Fields.Has("Last-Modified")
	if tag && (a.ETag != b.ETag || a.Weak != b.Weak) || modified && a.LastModified != b.LastModified {
		return HeadChanged
	}
	if length := head.Fields.Get("Content-Length"); length != "" {
		if n, err := strconv.ParseInt(length, 10, 64); err != nil || n != size {
			return HeadChanged
		}
	}
	if tag && b.ETag != "" || modified && b.LastModified >= 0 {
		return HeadConfirms
	}
	return HeadSilent
}

// HeadFields is what a stored response learns from the answer to a HEAD that
// confirms it: what its freshness follows from, and nothing else.
func HeadFields(rule *Rule, f Fields) Fields {
	targets := DefaultTargets
	if rule.TTL.Targets != nil {
		targets = rule.TTL.Targets
	}
	kept := make(Fields, 0, 6)
	for i := range f {
		switch name := f[i].Name; name {
		case "Age", "Cache-Control", "Date", "Expires":
			kept = append(kept, f[i])
		default:
			if slices.Contains(targets, name) {
				kept = append(kept, f[i])
			}
		}
	}
	return kept
}
