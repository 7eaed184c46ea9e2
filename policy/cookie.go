package policy

import (
	"bytes"
	"slices"
)

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

// StripsCookies reports whether the rule keeps from the origin those cookies of
// a request with that method that the key does not hold.
func (r *Rule) StripsCookies(method string) bool {
	return r.Cookies == CookiesStrip && (method == "GET" || method == "HEAD")
}

// CookieFree reports whether every cookie of q that reaches the origin is in
// the key. A piece of the field that has a value and no name counts as a cookie
// that is not. Allocates nothing.
func (r *Rule) CookieFree(q *Request) bool {
	if q.Header == nil || r.StripsCookies(q.Method) || slices.Contains(r.Key.Headers, "Cookie") {
		return true
	}
	for _, line := range q.Header.PeekAll("Cookie") {
		for len(line) > 0 {
			var name, value []byte
			name, value, line = nextCookie(line)
			if (len(name) > 0 || value != nil) && !r.keysCookie(name) {
				return false
			}
		}
	}
	return true
}

// Personal reports whether q carries something of its sender's that reaches the
// origin, is not in the key, and may make the answer another than everybody's:
// credentials, or cookies that the rule does not vouch for. Allocates nothing.
func (r *Rule) Personal(q *Request) bool {
	if q.Authorization != nil && !slices.Contains(r.Key.Headers, "Authorization") {
		return true
	}
	return r.Cookies != CookiesIgnore && !r.CookieFree(q)
}

// KeepSession returns the fields of an answer to q without those cookies that q
// carries and the rule keeps from the origin: it has not seen them, and its new
// ones would take their place at the client.
func (r *Rule) KeepSession(q *Request, f Fields) Fields {
	if !r.StripsCookies(q.Method) || q.Header == nil || !setsCookie(f) {
		return f
	}
	kept := make(Fields, 0, len(f))
	for i := range f {
		if !isSetCookie(f[i].Name) || !r.withholds(q, f[i].Value) {
			kept = append(kept, f[i])
		}
	}
	return kept
}

// withholds reports whether the cookie that a Set-Cookie value sets is one that
// q carries and the rule keeps from the origin.
func (r *Rule) withholds(q *Request, setCookie string) bool {
	name, _, _ := nextCookie([]byte(setCookie))
	if r.keysCookie(name) {
		return false
	}
	for _, line := range q.Header.PeekAll("Cookie") {
		for len(line) > 0 {
			var sent []byte
			if sent, _, line = nextCookie(line); bytes.Equal(sent, name) {
				return true
			}
		}
	}
	return false
}

// Anonymous reports whether the request carries no cookie, whatever the rule
// says of cookies.
func Anonymous(q *Request) bool { return q.Header == nil || q.Header.Peek("Cookie") == nil }

// keysCookie reports whether the key holds cookies of that name.
func (r *Rule) keysCookie(name []byte) bool {
	for _, n := range r.Key.Cookies {
		if string(name) == n {
			return true
		}
	}
	return false
}

// AppendCookies appends the value of the Cookie field that the origin is sent
// under a rule that strips cookies: those that the key holds, in the order of
// the key, so that requests with one key send one value. It appends nothing
// where none is left.
func (r *Rule) AppendCookies(dst []byte, q *Request) []byte {
	if q.Header == nil {
		return dst
	}
	base := len(dst)
	for _, name := range r.Key.Cookies {
		for _, line := range q.Header.PeekAll("Cookie") {
			for len(line) > 0 {
				var n, value []byte
				n, value, line = nextCookie(line)
				if string(n) != name {
					continue
				}
				if len(dst) > base {
					dst = append(dst, "; "...)
				}
				dst = append(dst, name...)
				if value != nil {
					dst = append(append(dst, '='), value...)
				}
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
