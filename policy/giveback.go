package policy

import (
	"bytes"
	"strings"
)

// GiveBack appends the Location that a client gets whose request had parameters
// that do not count in the key, and that the origin was not sent: location with
// those behind its query. ok is false where it is to stay as it is: there are
// none, the redirect leads to another host, or its query has a parameter of the
// same name.
func (r *Rule) GiveBack(dst []byte, q *Request, location string) (text []byte, ok bool) {
	if r.Key.ForwardQuery || !r.Key.filters() || len(q.Query) == 0 || !sameHost(q, location) {
		return dst, false
	}
	base := len(dst)
	target, fragment := location, ""
	if i := strings.IndexByte(location, '#'); i >= 0 {
		target, fragment = location[:i], location[i:]
	}
	dst = append(dst, target...)
	mark := byte('?')
	var own []byte
	if i := strings.IndexByte(target, '?'); i >= 0 {
		own = bytesOf(target[i+1:])
		mark = '&'
	}
	size := len(dst)
	if n := len(target); mark == '&' && (target[n-1] == '?' || target[n-1] == '&') {
		mark = 0
	}
	var room [512]byte
	ignored := r.AppendIgnored(room[:0], q)
	for start := 0; start < len(ignored); {
		p := cutParam(ignored, start)
		start = p.end + 1
		if hasParam(own, p.name(ignored)) {
			continue
		}
		if mark != 0 {
			dst = append(dst, mark)
		}
		dst = appendURI(dst, ignored[p.start:p.end], &queryClasses)
		mark = '&'
	}
	if len(dst) == size {
		return dst[:base], false
	}
	return append(dst, fragment...), true
}

// hasParam reports whether a query holds a parameter of that name, decoded.
func hasParam(query, name []byte) bool {
	for start := 0; start < len(query); {
		p := cutParam(query, start)
		if p.end > p.start && compareDecoded(p.name(query), name) == 0 {
			return true
		}
		start = p.end + 1
	}
	return false
}

// sameHost reports whether a reference leads to the request's own host: a
// relative one, or one of the same authority under its scheme or under https.
func sameHost(q *Request, reference string) bool {
	if reference == "" || strings.IndexByte(reference, '\\') >= 0 {
		return false // browsers take a backslash for a slash
	}
	scheme, rest := q.Scheme, reference
	if i := strings.IndexAny(reference, ":/?#"); i >= 0 && reference[i] == ':' {
		if scheme = schemeNamed(reference[:i]); scheme == "" || scheme == "http" && q.Scheme == "https" {
			return false
		}
		if rest = reference[i+1:]; !strings.HasPrefix(rest, "//") {
			return false
		}
	}
	authority, isAuthority := strings.CutPrefix(rest, "//")
	if !isAuthority {
		return true
	}
	if i := strings.IndexAny(authority, "/?#"); i >= 0 {
		authority = authority[:i]
	}
	var room [maxHost + 8]byte
	host, err := ParseHost(room[:0], bytesOf(authority), scheme)
	return err == nil && bytes.Equal(host, q.Host)
}
