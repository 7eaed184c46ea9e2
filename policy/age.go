package policy

import "strconv"

// AppendAge appends an Age value in decimal.
func AppendAge(dst []byte, seconds int64) []byte {
	return strconv.AppendInt(dst, clampSeconds(seconds), 10)
}

// ParseAge reads an Age value (RFC 9111 section 5.1): the first member where
// there is a list, saturating. ok is false when it is no number of seconds and
// so is to be ignored.
func ParseAge(value string) (seconds int64, ok bool) {
	first, _ := cutComma(value)
	return parseDelta(trim(first))
}

// initialAge is the corrected initial age of RFC 9111 section 4.2.3, in
// nanoseconds.
func initialAge(r *Response) int64 {
	apparent := clampSeconds(r.arrived()/second-dateOf(r)) * second
	return min(max(apparent, statedAge(r)+delayOf(r)), maxDelta*second)
}

// delayOf is how long the origin took for the header, in nanoseconds.
func delayOf(r *Response) int64 {
	return min(max(r.ResponseTime-r.RequestTime, 0), maxDelta*second)
}

// statedAge is the age that the response states, in nanoseconds; 0 without one.
func statedAge(r *Response) int64 {
	if age, ok := ParseAge(r.Fields.Get("Age")); ok {
		return age * second
	}
	return 0
}
