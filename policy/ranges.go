package policy

import "strconv"

// ByteRange is a part of a representation, both ends included.
type ByteRange struct{ Start, End int64 }

// Len is the number of bytes in the range.
func (r ByteRange) Len() int64 { return r.End - r.Start + 1 }

// RangeOutcome says what a Range field comes to.
type RangeOutcome uint8

const (
	// RangeNone: the field is ignored, the whole representation is sent.
	RangeNone RangeOutcome = iota
	// RangeOK: the ranges returned are sent.
	RangeOK
	// RangeUnsatisfiable: answer 416.
	RangeUnsatisfiable
)

// String names the outcome.
func (o RangeOutcome) String() string {
	switch o {
	case RangeOK:
		return "ok"
	case RangeUnsatisfiable:
		return "unsatisfiable"
	}
	return "none"
}

// MaxRanges bounds the ranges of one request; a request for more gets the
// whole representation (RFC 9110 section 14.2). What is sent is never more
// than the representation once, because overlapping ranges are joined.
const MaxRanges = 16

// ParseRange reads a Range value (RFC 9110 section 14.1) for a representation
// of size bytes and appends what is to be sent to dst, in the client's order;
// ranges that overlap or touch are joined, and then they ascend. Other units
// and malformed values are ignored. Allocates nothing when dst has room for
// MaxRanges.
func ParseRange(dst []ByteRange, value []byte, size int64) ([]ByteRange, RangeOutcome) {
	value = trim(value)
	const unit = "bytes="
	if len(value) < len(unit) || !is(value[:len(unit)], unit) {
		return dst, RangeNone
	}
	value = value[len(unit):]
	start, specs, touching, empty := len(dst), 0, false, false
	for len(value) > 0 {
		var spec []byte
		spec, value = cutComma(value)
		if spec = trim(spec); len(spec) == 0 {
			continue
		}
		if specs++; specs > MaxRanges {
			return dst[:start], RangeNone
		}
		r, ok := parseSpec(spec, size)
		if !ok {
			return dst[:start], RangeNone
		}
		if r.Start < 0 { // a suffix of nothing: satisfiable, yet no range says it
			empty = true
			continue
		}
		if r.Start >= size || r.End < r.Start {
			continue
		}
		for _, other := range dst[start:] {
			touching = touching || r.Start <= other.End+1 && other.Start <= r.End+1
		}
		dst = append(dst, r)
	}
	switch {
	case specs == 0, empty:
		return dst[:start], RangeNone
	case len(dst) == start:
		return dst, RangeUnsatisfiable
	case touching:
		dst = dst[:start+join(dst[start:])]
	}
	return dst, RangeOK
}

// parseSpec reads "first-last", "first-" or "-suffix". A range that cannot be
// satisfied comes back empty; ok is false when the syntax is wrong.
func parseSpec(spec []byte, size int64) (r ByteRange, ok bool) {
	dash := 0
	for dash < len(spec) && spec[dash] != '-' {
		dash++
	}
	if dash == len(spec) {
		return r, false
	}
	first, last := spec[:dash], spec[dash+1:]
	if len(first) == 0 {
		suffix, ok := parseOffset(last)
		switch {
		case !ok:
			return r, false
		case suffix == 0:
			return ByteRange{size, size - 1}, true
		case size == 0:
			return ByteRange{-1, -1}, true
		}
		return ByteRange{max(size-suffix, 0), size - 1}, true
	}
	if r.Start, ok = parseOffset(first); !ok {
		return r, false
	}
	if len(last) == 0 {
		r.End = size - 1
		return r, true
	}
	if r.End, ok = parseOffset(last); !ok || r.End < r.Start {
		return r, false
	}
	r.End = min(r.End, size-1)
	return r, true
}

// join sorts ranges, joins those that overlap or touch and returns how many
// are left.
func join(r []ByteRange) int {
	for i := 1; i < len(r); i++ {
		for j := i; j > 0 && r[j].Start < r[j-1].Start; j-- {
			r[j], r[j-1] = r[j-1], r[j]
		}
	}
	n := 0
	for _, next := range r[1:] {
		if next.Start <= r[n].End+1 {
			r[n].End = max(r[n].End, next.End)
			continue
		}
		n++
		r[n] = next
	}
	return n + 1
}

// maxOffset is beyond any representation, and ten times it still fits an int64.
const maxOffset = int64(1) << 59

// parseOffset reads a byte position, saturating at maxOffset.
func parseOffset[T text](s T) (n int64, ok bool) {
	if len(s) == 0 {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = n*10 + int64(s[i]-'0'); n > maxOffset {
			n = maxOffset
		}
	}
	return n, true
}

// ParseContentRange reads "bytes start-end/size" (RFC 9110 section 14.4); size
// is -1 when it is "*". The unsatisfied form and what contradicts itself are
// not ok.
func ParseContentRange(value string) (start, end, size int64, ok bool) {
	const unit = "bytes "
	value = trim(value)
	if len(value) < len(unit) || !is(value[:len(unit)], unit) {
		return 0, 0, 0, false
	}
	rest := trimLeft(value[len(unit):])
	dash, slash := -1, -1
	for i := 0; i < len(rest); i++ {
		switch {
		case rest[i] == '-' && dash < 0:
			dash = i
		case rest[i] == '/' && slash < 0:
			slash = i
		}
	}
	if dash < 0 || slash < dash {
		return 0, 0, 0, false
	}
	var ok1, ok2 bool
	start, ok1 = parseOffset(rest[:dash])
	end, ok2 = parseOffset(rest[dash+1 : slash])
	size, ok = -1, true
	if rest[slash+1:] != "*" {
		size, ok = parseOffset(rest[slash+1:])
	}
	if !ok || !ok1 || !ok2 || end < start || size >= 0 && end >= size || end >= maxOffset {
		return 0, 0, 0, false
	}
	return start, end, size, true
}

// PartialExtent says which bytes a complete 206 body of bodyLen bytes holds.
// What the framing proved wins over Content-Range: a body shorter than the
// range stated is believed only when that range ran to the end, and then the
// representation ends where the body does. A range from the first byte on is
// not believed even then: a body cut short would pass for the whole. Anything
// else that contradicts itself is not ok, and not to be stored.
func PartialExtent(contentRange string, bodyLen int64) (r ByteRange, size int64, ok bool) {
	start, end, size, ok := ParseContentRange(contentRange)
	if !ok || bodyLen <= 0 {
		return ByteRange{}, 0, false
	}
	r = ByteRange{start, end}
	if r.Len() == bodyLen {
		return r, size, true
	}
	if bodyLen < r.Len() && end == size-1 && start > 0 {
		r.End = start + bodyLen - 1
		return r, r.End + 1, true
	}
	return ByteRange{}, 0, false
}

// AppendContentRange appends the Content-Range of a part of a representation of
// size bytes (RFC 9110 section 14.4).
func AppendContentRange(dst []byte, r ByteRange, size int64) []byte {
	dst = append(dst, "bytes "...)
	dst = strconv.AppendInt(dst, r.Start, 10)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, r.End, 10)
	dst = append(dst, '/')
	return strconv.AppendInt(dst, size, 10)
}
