package policy

import (
	"slices"
	"strings"
)

// nextCookie takes the first pair off the value of a Cookie field, as
// leniently as RFC 6265 section 5.4 is read by servers: pairs end at ";",
// spaces and tabs around names and values do not count, quotes are part of the
// value. A piece without "=" is all name.
func nextCookie(s string) (c cookie, rest string) {
	pair, rest, _ := strings.Cut(s, ";")
	c.name, c.value, c.paired = strings.Cut(pair, "=")
	c.name, c.value = trim(c.name), trim(c.value)
	return c, rest
}

// cookie is one pair of a Cookie field.
type cookie struct {
	name, value string
	// paired: there was a "=".
	paired bool
}

// nothing reports whether the piece holds no cookie at all.
func (c *cookie) nothing() bool { return c.name == "" && !c.paired }

// appendCookie appends a line for each cookie of that name, in the order sent:
// servers differ in which of several they take.
func appendCookie(dst []byte, fields Fields, name string) []byte {
	for i := range fields {
		if fields[i].Name != "Cookie" {
			continue
		}
		for line := fields[i].Value; line != ""; {
			var c cookie
			if c, line = nextCookie(line); c.name != name {
				continue
			}
			dst = append(append(dst, "\n c:"...), name...)
			if c.paired {
				dst = appendPrintable(append(dst, '='), c.value)
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

// respellsCookies reports whether the origin gets the cookies of a request with
// that method in another spelling than they came in: where some of them are in the
// key, and the field is not.
func (r *Rule) respellsCookies(method string) bool {
	if r.StripsCookies(method) {
		return true
	}
	return len(r.Key.Cookies) > 0 && !r.Pass && !r.keysField("Cookie") && (method == "GET" || method == "HEAD")
}

// CookieFree reports whether every cookie of q that reaches the origin is in
// the key. A piece of the field that has a value and no name counts as a cookie
// that is not. Allocates nothing.
func (r *Rule) CookieFree(q *Request) bool {
	if r.StripsCookies(q.Method) || r.keysField("Cookie") {
		return true
	}
	for i := range q.Fields {
		if q.Fields[i].Name != "Cookie" {
			continue
		}
		for line := q.Fields[i].Value; line != ""; {
			var c cookie
			c, line = nextCookie(line)
			if !c.nothing() && !slices.Contains(r.Key.Cookies, c.name) {
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
	if !r.StripsCookies(q.Method) || !setsCookie(f) {
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
	set, _ := nextCookie(setCookie)
	if slices.Contains(r.Key.Cookies, set.name) {
		return false
	}
	for i := range q.Fields {
		if q.Fields[i].Name != "Cookie" {
			continue
		}
		for line := q.Fields[i].Value; line != ""; {
			var sent cookie
			if sent, line = nextCookie(line); sent.name == set.name {
				return true
			}
		}
	}
	return false
}

// Anonymous reports whether the request carries no cookie, whatever the rule
// says of cookies.
func Anonymous(q *Request) bool { return !q.Fields.Has("Cookie") }

// AppendCookies appends the cookies that the key holds as the value of the Cookie
// field that the origin is sent, in the order of the key, so that requests with
// one key send one value. It appends nothing where none is left.
func (r *Rule) AppendCookies(dst []byte, q *Request) []byte {
	base := len(dst)
	for _, name := range r.Key.Cookies {
		dst = appendPairs(dst, base, q, func(c *cookie) bool { return c.name == name })
	}
	return dst
}

// appendUnkeyed appends to the value of a Cookie field the cookies that the key
// does not hold, in the order in which they came.
func (r *Rule) appendUnkeyed(dst []byte, q *Request) []byte {
	return appendPairs(dst, 0, q, func(c *cookie) bool { return !c.nothing() && !slices.Contains(r.Key.Cookies, c.name) })
}

// appendPairs appends the cookies of q that are wanted to the value of a Cookie
// field, which begins at base.
func appendPairs(dst []byte, base int, q *Request, wanted func(*cookie) bool) []byte {
	for i := range q.Fields {
		if q.Fields[i].Name != "Cookie" {
			continue
		}
		for line := q.Fields[i].Value; line != ""; {
			var c cookie
			if c, line = nextCookie(line); !wanted(&c) {
				continue
			}
			if len(dst) > base {
				dst = append(dst, "; "...)
			}
			dst = append(dst, c.name...)
			if c.paired {
				dst = append(append(dst, '='), c.value...)
			}
		}
	}
	return dst
}
