package policy

// Validators are what a stored response can be compared by (RFC 9110 section
// 8.8).
type Validators struct {
	// ETag is the entity-tag without its W/; "" when there is none. One that
	// lacks its quotes is kept as it came: it is equal to itself only.
	ETag string
	// Weak: not for ranges and If-Match. An ETag without quotes is weak.
	Weak bool
	// LastModified and Date are unix seconds, -1 when absent or invalid.
	LastModified int64
	Date         int64
}

// Lent are the dates, in unix seconds from From on and before Before, at which a
// response without a validator counts as unmodified. The zero value is none.
type Lent struct{ From, Before int64 }

// ValidatorsOf reads them from a response's fields.
func ValidatorsOf(f Fields) Validators {
	v := Validators{LastModified: -1, Date: -1}
	if date, ok := ParseDate(f.Get("Date")); ok {
		v.Date = date
	}
	if modified, ok := parseDate(f.Get("Last-Modified"), v.Date); ok {
		v.LastModified = modified
	}
	if tag, weak, rest := nextETag(f.Get("Etag")); trim(rest) == "" {
		v.ETag, v.Weak = tag, weak
	}
	return v
}

// Any tells whether there is something to validate with.
func (v *Validators) Any() bool { return v.ETag != "" || v.LastModified >= 0 }

// Lend returns the dates for which If-Modified-Since is answered for a response that has no validator
// at all, from its explicit freshness. A client whose copy is no older than
// the lifetime holds what any cache might still be serving, so a 304 gives it
// nothing staler than the origin allows; and such a response can never be
// validated at the origin either. Without Lend only a date at or after the
// response's own is unmodified.
//
// It holds as long as nobody has seen another response under the key. So it does
// not where the cache had one before, and only for dates before began, when the
// cache began to answer: a later date may be that of a response which it served
// and has forgotten. now and began are unix nanoseconds.
func (v *Validators) Lend(f *Freshness, now, began int64) Lent {
	if v.Any() || f.Replaced || f.Heuristic || f.NoCache || f.MustRevalidate || f.TTL(now) <= 0 {
		return Lent{}
	}
	return Lent{From: max(subSat(now, f.Lifetime)/second, 1), Before: began / second}
}

// Precondition is the outcome of a request's preconditions.
type Precondition uint8

const (
	// PreconditionNone: answer as if there were none.
	PreconditionNone Precondition = iota
	// NotModified: answer 304.
	NotModified
	// PreconditionFailed: answer 412.
	PreconditionFailed
)

// String names the outcome.
func (p Precondition) String() string {
	switch p {
	case NotModified:
		return "not-modified"
	case PreconditionFailed:
		return "precondition-failed"
	}
	return "none"
}

// Evaluate applies the request's preconditions to a stored 200 in the order of
// RFC 9110 section 13.2.2. Only GET and HEAD are answered from a store; for
// other methods nothing is evaluated. Allocates nothing.
func (v *Validators) Evaluate(q *Request, lent Lent) Precondition {
	if q.Method != "GET" && q.Method != "HEAD" {
		return PreconditionNone
	}
	switch {
	case q.IfMatch != nil:
		if !v.matches(q.IfMatch, true) {
			return PreconditionFailed
		}
	case q.IfUnmodifiedSince != nil && v.LastModified >= 0:
		if since, ok := parseDate(trim(q.IfUnmodifiedSince), v.Date); ok && v.LastModified > since {
			return PreconditionFailed
		}
	}
	switch {
	case q.IfNoneMatch != nil:
		if v.matches(q.IfNoneMatch, false) {
			return NotModified
		}
	case q.IfModifiedSince != nil:
		if since, ok := parseDate(trim(q.IfModifiedSince), v.Date); ok && v.unmodified(since, lent) {
			return NotModified
		}
	}
	return PreconditionNone
}

// unmodified: RFC 9110 section 13.1.3; without Last-Modified the response's
// Date stands in (RFC 9111 section 4.3.2).
func (v *Validators) unmodified(since int64, lent Lent) bool {
	switch {
	case v.LastModified >= 0:
		return v.LastModified <= since
	case lent.From <= since && since < lent.Before:
		return true
	}
	return v.Date >= 0 && v.Date <= since
}

// matches looks the stored tag up in a list of entity-tags, by strong or weak
// comparison (RFC 9110 section 8.8.3.2). "*" matches whatever is stored.
func (v *Validators) matches(list []byte, strong bool) bool {
	if list = trim(list); len(list) == 1 && list[0] == '*' {
		return true
	}
	if v.ETag == "" || strong && v.Weak {
		return false
	}
	for len(list) > 0 {
		var tag []byte
		var weak bool
		tag, weak, list = nextETag(list)
		if string(tag) == v.ETag && !(strong && weak) {
			return true
		}
	}
	return false
}

// nextETag cuts the first entity-tag off a list (RFC 9110 section 8.8.3). Tags
// may hold commas; backslashes in them are plain characters. What follows
// another syntax runs to the next comma, whole and weak.
func nextETag[T text](list T) (tag T, weak bool, rest T) {
	for len(list) > 0 && (list[0] == ',' || isSpace(list[0])) {
		list = list[1:]
	}
	opaque := list
	if len(list) > 1 && list[0] == 'W' && list[1] == '/' {
		opaque, weak = list[2:], true
	}
	if len(opaque) > 0 && opaque[0] == '"' {
		for i := 1; i < len(opaque); i++ {
			if opaque[i] != '"' {
				continue
			}
			after := trimLeft(opaque[i+1:])
			if len(after) == 0 || after[0] == ',' {
				return opaque[:i+1], weak, after
			}
			break
		}
	}
	raw, rest := cutComma(list)
	return trimRight(raw), true, rest
}

// AppendConditional appends the fields with which a stored response of those
// fields is validated at the origin (RFC 9111 section 4.3.1), verbatim as the
// origin sent its validators. For a personal request only an ETag counts: a date
// says when a page was changed, and nothing about whose page it is.
func AppendConditional(dst Fields, stored Fields, personal bool) Fields {
	v := ValidatorsOf(stored)
	if v.ETag != "" {
		dst = append(dst, Field{"If-None-Match", stored.Get("Etag")})
	}
	if v.LastModified >= 0 && !personal {
		dst = append(dst, Field{"If-Modified-Since", stored.Get("Last-Modified")})
	}
	return dst
}

// IfRange tells whether a range request with that If-Range value may be
// answered with a part (RFC 9110 section 13.1.5): strong comparison of a tag,
// or exactly the Last-Modified where that is a strong validator. nil is no
// condition.
func (v *Validators) IfRange(value []byte) bool {
	if value == nil {
		return true
	}
	value = trim(value)
	if len(value) > 0 && (value[0] == '"' || value[0] == 'W') {
		if tag, weak, rest := nextETag(value); len(rest) == 0 && tag != nil && !weak {
			return !v.Weak && string(tag) == v.ETag
		}
	}
	date, ok := parseDate(value, v.Date)
	return ok && v.strongDate() && date == v.LastModified
}

// strongDate: RFC 9110 section 8.8.2.2; a second's resolution is trusted when
// the response was made in a later second than the last change.
func (v *Validators) strongDate() bool {
	return v.LastModified >= 0 && v.Date > v.LastModified
}

// SameRepresentation tells whether parts of two responses may be put together
// (RFC 9110 section 15.3.7.3): both carry the same strong validator.
func SameRepresentation(a, b Validators) bool {
	if a.ETag != "" || b.ETag != "" {
		return a.ETag == b.ETag && !a.Weak && !b.Weak
	}
	return a.strongDate() && b.strongDate() && a.LastModified == b.LastModified
}
