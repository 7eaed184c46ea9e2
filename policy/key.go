package policy

import (
	"fmt"
	"slices"
	"strings"
)

// KeySpec says what a rule's key holds besides scheme, host and path. The zero
// value keeps the query as it was sent. The form of keys is in docs/keys.md.
type KeySpec struct {
	// QueryOnly are globs on the decoded names of the parameters that are
	// kept; empty keeps all.
	QueryOnly []string
	// QueryIgnore are globs on the decoded names of parameters left out, also
	// where QueryOnly keeps them.
	QueryIgnore []string
	// SortQuery sorts parameters by decoded name; the values of one name keep
	// their order.
	SortQuery bool
	// NoQuery leaves the whole query out; no filter goes with it.
	NoQuery bool
	// ForwardQuery sends the origin the parameters that are left out of the key,
	// too. Without it they do not reach it.
	ForwardQuery bool
	// Headers are the names of request fields that belong to the key, every
	// line of them. A Set holds them in canonical form, sorted.
	Headers []string
	// Cookies are the names, compared exactly, of cookies that belong to it.
	// A Set holds them sorted.
	Cookies []string
}

// keyVersion begins every key text. It changes when the text of any request
// does, so that nodes of two versions never take one key for another.
const keyVersion = "w1 "

// AppendKey appends the canonical key text of q under the rule: printable
// ASCII, lines parted by "\n", the first of them "w1 " and the URI. Requests
// that differ in anything the rule keys on have different texts. The method is
// no part of it. r comes out of a Set; q is only read. Nothing is allocated
// when dst has room, unless a sorted query has more than 32 parameters or a
// filtered one an encoded name of more than 128 bytes.
func (r *Rule) AppendKey(dst []byte, q *Request) []byte {
	dst = append(dst, keyVersion...)
	dst = appendKeyName(dst, q.Scheme)
	dst = append(dst, "://"...)
	dst = appendKeyHost(dst, q.Host)
	dst = appendKeyPath(dst, q.Path)
	dst = r.Key.appendQuery(dst, q.Query)
	if len(r.Match.Headers) > 0 {
		// The same URI is under another rule, perhaps of another origin, when
		// the header differs; without this line the two would share objects.
		dst = appendKeyName(append(dst, "\n p:"...), r.Name)
	}
	for _, name := range r.Key.Headers {
		for i := range q.Fields {
			if q.Fields[i].Name != name {
				continue
			}
			dst = appendLower(append(dst, "\n h:"...), name)
			dst = appendPrintable(append(dst, '='), q.Fields[i].Value)
		}
	}
	for _, name := range r.Key.Cookies {
		dst = appendCookie(dst, q.Fields, name)
	}
	return dst
}

// AppendTarget appends the request-target that the origin is asked for where the
// answer may be stored: path and query of the key, so that no two spellings of
// one key bring two answers. Parameters that do not count are sent where the
// rule forwards them.
func (r *Rule) AppendTarget(dst []byte, q *Request) []byte {
	dst = appendKeyPath(dst, q.Path)
	if !r.Key.ForwardQuery {
		return r.Key.appendQuery(dst, q.Query)
	}
	all := KeySpec{SortQuery: r.Key.SortQuery}
	return all.appendQuery(dst, q.Query)
}

// Sent returns the fields of q that the origin is sent when the request is passed
// on: all of them, with the cookies that the rule leaves. Those that the key holds
// come first and in the spelling of the key: servers differ in what they make of
// "a =b", and of two lines of Cookie. A fetch of what may be
// stored sends its own conditions instead of the client's.
func (r *Rule) Sent(q *Request) Fields {
	if !r.respellsCookies(q.Method) || !q.Fields.Has("Cookie") {
		return q.Fields
	}
	fields := slices.Clone(q.Fields).Without("Cookie")
	left := r.AppendCookies(nil, q)
	if !r.StripsCookies(q.Method) {
		left = r.appendUnkeyed(left, q)
	}
	if len(left) > 0 {
		fields = append(fields, Field{"Cookie", string(left)})
	}
	return fields
}

// AppendRawTarget appends the request-target as it was sent, for what is never
// stored.
func AppendRawTarget(dst []byte, q *Request) []byte {
	dst = append(dst, q.Path...)
	if q.Query != nil {
		dst = append(append(dst, '?'), q.Query...)
	}
	return dst
}

// keysField reports whether the key holds the field of that canonical name.
func (r *Rule) keysField(name string) bool { return slices.Contains(r.Key.Headers, name) }

// appendKeyName appends a scheme or a rule's name as appendPrintable does.
func appendKeyName(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' || c == ':' {
			dst = appendTriplet(dst, c)
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// appendKeyHost appends a host as ParseHost returned it. What ParseHost would
// not have let through is encoded, so that it cannot pass for a path.
func appendKeyHost(dst, host []byte) []byte {
	for _, c := range host {
		if hostBytes[c] == 0 && c != ':' && c != '[' && c != ']' {
			dst = appendTriplet(dst, c)
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// appendKeyPath appends the normalised path. An empty one is "/" (RFC 3986
// section 6.2.3); what neither is "*" nor begins with "/" is set off by "*",
// or its first letters could pass for the host's last.
func appendKeyPath(dst, path []byte) []byte {
	switch {
	case len(path) == 0:
		return append(dst, '/')
	case path[0] != '/' && string(path) != "*":
		dst = append(dst, '*')
	}
	return appendURI(dst, path, &pathClasses)
}

func appendLower(dst []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// compile puts the specification into the form in which AppendKey uses it and
// reports every fault. The slices of k are replaced, not written to.
func (k *KeySpec) compile(report reporter) {
	if k.ForwardQuery && !k.filters() {
		report("key.query.forward", "true", "every parameter counts in the key, and is forwarded anyway; it goes with ignore or only")
	}
	if k.NoQuery && (len(k.QueryOnly) > 0 || len(k.QueryIgnore) > 0) {
		report("key.query", "", "a query that is left out cannot be filtered too")
	}
	k.QueryOnly = compileNames(k.QueryOnly, "key.query.only", report)
	k.QueryIgnore = compileNames(k.QueryIgnore, "key.query.ignore", report)

	headers := make([]string, 0, len(k.Headers))
	for i, name := range k.Headers {
		if !isFieldName(name) {
			report(fmt.Sprintf("key.headers[%d]", i), name, "it is not the name of a header field")
			continue
		}
		headers = append(headers, CanonicalName(name))
	}
	slices.SortFunc(headers, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	k.Headers = slices.Compact(headers)

	cookies := make([]string, 0, len(k.Cookies))
	for i, name := range k.Cookies {
		if !isFieldName(name) {
			report(fmt.Sprintf("key.cookies[%d]", i), name, "it is not the name of a cookie")
			continue
		}
		cookies = append(cookies, name)
	}
	slices.Sort(cookies)
	k.Cookies = slices.Compact(cookies)
}

// compileNames checks globs on the names of parameters.
func compileNames(globs []string, field string, report reporter) []string {
	for i, g := range globs {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case g == "":
			report(at, g, "it fits no parameter; write a name, with * for any characters")
		case len(g) > maxPattern:
			report(at, g, fmt.Sprintf("it is longer than %d bytes", maxPattern))
		case holdsTriplet(g):
			report(at, g, "it is compared with decoded names; write the character itself")
		}
	}
	return slices.Clone(globs)
}

func holdsTriplet(s string) bool {
	for i := range len(s) {
		if _, ok := triplet([]byte(s[i:])); ok {
			return true
		}
	}
	return false
}

// isFieldName tells whether s is a token (RFC 9110 section 5.6.2), as names of
// header fields, of cookies and of methods are.
func isFieldName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !unreserved(c) && !strings.ContainsRune("!#$%&'*+^`|", rune(c)) {
			return false
		}
	}
	return s != ""
}
