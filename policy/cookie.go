package policy

import "bytes"

// nextCookie takes the first pair off the value of a Cookie field, as
// leniently as RFC 6265 section 5.4 is read by servers: pairs end at ";",
// spaces and tabs around names and values do not count, quotes are part of the
// value. value is nil for a piece without "=", which is then all name.
func nextCookie(s []byte) (name, value, rest []byte) {
	pair := s
	if i := bytes.IndexByte(s, ';'); i >= 0 {
		pair, rest = s[:i], s[i+1:]
	}
	if i := bytes.IndexByte(pair, '='); i >= 0 {
		value = trimOWS(pair[i+1:])
		pair = pair[:i]
	}
	return trimOWS(pair), value, rest
}

// appendCookie appends a line for each cookie of that name, in the order sent:
// servers differ in which of several they take.
func appendCookie(dst []byte, header RequestHeader, name string) []byte {
	for _, line := range header.PeekAll("Cookie") {
		for len(line) > 0 {
			var n, value []byte
			n, value, line = nextCookie(line)
			if string(n) != name {
				continue
			}
			dst = append(append(dst, "\n c:"...), name...)
			if value != nil {
				dst = appendPrintable(append(dst, '='), value)
			}
		}
	}
	return dst
}

// trimOWS cuts spaces and tabs from both ends. What it returns is nil only
// when s is.
func trimOWS(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
