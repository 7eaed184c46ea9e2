package policy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What a purge names, in the form that keys have. Keys are what stored objects
// are known by, so a purge in any other spelling would miss them.

var errNoHost = errors.New("it names no host (valid is http://host/path, https://host/path, or //host/path for both)")

// URLScopes returns the URLs, as they begin keys, of all objects that a URL
// stands for: both schemes for one that begins with "//", and one for each way in
// which the rules that can apply to it treat its query.
func (s *Set) URLScopes(url string) ([]string, error) {
	if holdsPattern(url) {
		return nil, errURLPattern
	}
	var out []string
	for _, full := range schemes(url) {
		q, err := purgeTarget(full)
		if err != nil {
			return nil, err
		}
		for _, r := range s.possible(&q) {
			if scope := keyURL(r, &q); !slices.Contains(out, scope) {
				out = append(out, scope)
			}
		}
	}
	return out, nil
}

// PrefixScopes returns the beginnings, as keys have them, that a prefix stands
// for: a URL that may end anywhere behind its host, or a path for every host. A
// host without a path is all of that host. An asterisk at the end, or ".*", is
// what a prefix means anyway.
func PrefixScopes(prefix string) ([]string, error) {
	prefix, err := cutAsterisk(prefix)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(prefix, "/") && !strings.HasPrefix(prefix, "//") {
		const host = "http://a"
		q, err := purgeTarget(host + prefix)
		if err != nil {
			return nil, err
		}
		return []string{strings.TrimPrefix(keyURL(&Rule{}, &q), host)}, nil
	}
	if !strings.HasPrefix(prefix, "//") && !strings.Contains(prefix, "://") {
		return nil, errNoPrefix
	}
	var out []string
	for _, full := range schemes(prefix) {
		q, err := purgeTarget(full)
		if err != nil {
			return nil, err
		}
		out = append(out, keyURL(&Rule{}, &q))
	}
	return out, nil
}

// HostScopes returns a host as keys have it: without the port that is a scheme's
// own.
func HostScopes(host string) ([]string, error) {
	if strings.ContainsAny(host, patternBytes) {
		return nil, errHostPattern
	}
	if strings.Contains(host, "/") {
		return nil, errHostURL
	}
	var out []string
	for _, scheme := range []string{"http", "https"} {
		h, err := ParseHost(nil, []byte(host), scheme)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, string(h)) {
			out = append(out, string(h))
		}
	}
	return out, nil
}

// TagScopes returns the tags that an entry stands for. One with a comma is what a
// Surrogate-Key may hold as it is, and several in the other fields: it stands for
// both, the whole and its parts.
func TagScopes(tag string) ([]string, error) {
	switch {
	case tag == "":
		return nil, errors.New("it is empty")
	case len(tag) > MaxTagLength:
		return nil, fmt.Errorf("it has %d bytes (valid is up to %d)", len(tag), MaxTagLength)
	case strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return nil, errors.New("it holds a space or a control (one entry for each tag)")
	case strings.ContainsAny(tag, patternBytes), strings.HasSuffix(tag, "$"), strings.Contains(tag, "|$"):
		return nil, errTagPattern
	}
	out := []string{tag}
	for _, part := range strings.Split(tag, ",") {
		if part != "" && !slices.Contains(out, part) {
			out = append(out, part)
		}
	}
	return out, nil
}

// patternBytes are what somebody writes who means a pattern. Scopes are compared
// byte by byte: a purge with one of these would be done and touch nothing.
const patternBytes = `*^\`

// holdsPattern reports whether a URL is plainly meant as a pattern: by those
// bytes, or by a "$" at its end, a group of alternatives, a class of letters or
// digits, or ".+" in its path. Other brackets and bars may stand in URLs as
// browsers send them.
func holdsPattern(url string) bool {
	if strings.ContainsAny(url, patternBytes) || strings.HasSuffix(url, "$") {
		return true
	}
	for _, class := range [...]string{"[0-9", "[a-z", "[A-Z"} {
		if strings.Contains(url, class) {
			return true
		}
	}
	path, _, _ := strings.Cut(url, "?")
	if strings.Contains(path, ".+") || strings.Contains(url, "(?") {
		return true
	}
	_, group, found := strings.Cut(url, "(")
	group, _, closed := strings.Cut(group, ")")
	return found && closed && strings.Contains(group, "|")
}

var (
	errNoPrefix    = errors.New("it begins neither with a scheme nor with a slash (valid is http://host/path, //host/path, or /path for every host)")
	errHostURL     = errors.New("it is more than a host (valid is the name alone, such as www.example.com; a URL is one of urls or prefixes)")
	errURLPattern  = errors.New("it holds a pattern, and a URL is exact (use a prefix for all that begins alike, or a tag)")
	errHostPattern = errors.New("it holds a pattern, and a host is exact (name each host, or use a prefix such as /path for every host)")
	errTagPattern  = errors.New("it holds a pattern, and a tag is compared byte by byte (name each tag, or give the responses a tag in common)")
	errPrefix      = errors.New("it holds an asterisk or a pattern in the middle (valid is a prefix such as http://host/path or /path, which covers all that begins so)")
	errPrefixHost  = errors.New("an asterisk cannot stand for a part of a host (name each host, or use a prefix such as /path for every host)")
	errPrefixAll   = errors.New("it stands for everything on every host (use all: true, or the prefix /)")
)

// cutAsterisk takes the asterisk off the end of a prefix.
func cutAsterisk(prefix string) (string, error) {
	cut := strings.TrimSuffix(prefix, "*")
	if cut != prefix {
		cut = strings.TrimSuffix(cut, ".")
		authority := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(cut, "http:"), "https:"), "//")
		switch {
		case cut == "":
			return "", errPrefixAll
		case authority != cut && !strings.Contains(authority, "/"):
			return "", errPrefixHost
		}
	}
	if holdsPattern(cut) {
		return "", errPrefix
	}
	return cut, nil
}

func schemes(url string) []string {
	if strings.HasPrefix(url, "//") {
		return []string{"http:" + url, "https:" + url}
	}
	return []string{url}
}

// purgeTarget is the request whose object the URL names.
func purgeTarget(url string) (Request, error) {
	if strings.HasPrefix(url, "/") || !strings.Contains(url, "://") {
		return Request{}, errNoHost
	}
	t, err := SplitTarget([]byte(url))
	if err != nil {
		return Request{}, err
	}
	if t.Form != AbsoluteForm {
		return Request{}, errNoHost
	}
	host, err := ParseHost(nil, t.Authority, t.Scheme)
	if err != nil {
		return Request{}, err
	}
	return Request{Method: "GET", Scheme: t.Scheme, Host: host, Path: t.Path, Query: t.Query}, nil
}

// keyURL is the URL of a key's first line.
func keyURL(r *Rule, q *Request) string {
	text := r.AppendKey(nil, q)
	if end := bytes.IndexByte(text, '\n'); end >= 0 {
		text = text[:end]
	}
	return string(text[len(keyVersion):])
}

// KeysBeyondURL reports whether objects of q's URL may have keys that differ in
// more than the URL, in headers or cookies or by the rule: then the key of one
// request does not lead to all of them.
func (s *Set) KeysBeyondURL(q *Request) bool {
	for _, r := range s.possible(q) {
		if len(r.Key.Headers)+len(r.Key.Cookies)+len(r.Match.Headers) > 0 {
			return true
		}
	}
	return false
}

// possible returns each rule that some request for q's URL can fall under,
// whatever its method and headers; a rule that keeps the query as it is when
// there is none.
func (s *Set) possible(q *Request) []*Rule {
	path := appendURI(nil, q.Path, &pathClasses)
	name, digits := cutPort(q.Host)
	port, _ := parsePort(digits)
	if port == 0 {
		port = defaultPort(q.Scheme)
	}
	var out []*Rule
	for _, c := range s.candidates(name) {
		m := &c.rule.Match
		if c.port != 0 && c.port != port || !m.fitsPath(path) {
			continue
		}
		out = append(out, c.rule)
		if len(m.Methods) == 0 && len(m.Headers) == 0 {
			return out
		}
	}
	return append(out, &Rule{})
}
