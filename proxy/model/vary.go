package model

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Varies are the field names in a response's Vary, sorted; star is set for "*".
func Varies(h http.Header) (names []string, star bool) {
	for _, m := range members(strings.Join(h["Vary"], ",")) {
		if m == "*" {
			star = true
			continue
		}
		names = append(names, http.CanonicalHeaderKey(m))
	}
	slices.Sort(names)
	return slices.Compact(names), star
}

// Selects tells whether a response to the request was that response is one for
// the request q (RFC 9111 section 4.1): every field that Vary names is the same
// in both, after white space, joined lines and, for preferences, order and case
// are out of the way.
func Selects(response http.Header, was, q Request) bool {
	return selects(response, was, q, false)
}

// MaySelect is Selects with weir's one addition: a response in a language that
// the request likes best is one for it, however the request it was stored for
// put that (RFC 9110 section 12.5.4).
func MaySelect(response http.Header, was, q Request) bool {
	return selects(response, was, q, true)
}

func selects(response http.Header, was, q Request, byLanguage bool) bool {
	names, star := Varies(response)
	if star {
		return false
	}
	for _, name := range names {
		if same(name, was.Fields[name], q.Fields[name]) {
			continue
		}
		if byLanguage && name == "Accept-Language" && likesBest(q.Fields[name], response.Get("Content-Language")) {
			continue
		}
		return false
	}
	return true
}

func same(name string, a, b []string) bool {
	if (a == nil) != (b == nil) {
		return false
	}
	if name == "Accept-Encoding" || name == "Accept-Language" {
		return maps.Equal(weights(a), weights(b))
	}
	return slices.Equal(trimmed(a), trimmed(b))
}

// trimmed are the list's members, empty ones too.
func trimmed(lines []string) []string {
	var out []string
	for _, m := range strings.Split(strings.Join(lines, ","), ",") {
		out = append(out, strings.TrimSpace(m))
	}
	return out
}

// weights reads a list of preferences (RFC 9110 section 12.4.2).
func weights(lines []string) map[string]float64 {
	out := map[string]float64{}
	for _, m := range members(strings.Join(lines, ",")) {
		name, param, weighted := strings.Cut(m, ";")
		q := 1.0
		if weighted {
			_, value, _ := strings.Cut(param, "=")
			q, _ = strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
		out[strings.ToLower(strings.TrimSpace(name))] = q
	}
	return out
}

// likesBest tells whether no language has a higher weight than this one. The
// longest range that covers a tag gives its weight (RFC 4647 section 3.3.1).
func likesBest(lines []string, language string) bool {
	best, weight, longest := 0.0, 0.0, 0
	for name, q := range weights(lines) {
		best = max(best, q)
		l := strings.ToLower(language)
		if len(name) > longest && (l == name || strings.HasPrefix(l, name+"-")) {
			weight, longest = q, len(name)
		}
	}
	return longest > 0 && weight == best && best > 0
}
