package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Match says which requests a rule is for. All of its parts must fit; of each
// list one entry must, and an empty list fits anything.
type Match struct {
	// Hosts are exact names, "*.example.com" (subdomains of any depth, not
	// example.com itself) or "*". A pattern without a port fits any port; one
	// with the port that the scheme implies fits a host without a port.
	Hosts []string
	// Paths are globs over the whole path, in the form it has in the key: "*"
	// stands for any run of characters, "/" among them. A pattern with "?" is
	// refused: no path holds one, and queries are not matched.
	Paths []string
	// Methods are compared exactly: HEAD is not implied by GET.
	Methods []string
	// Headers must all fit.
	Headers []HeaderMatch
}

// HeaderMatch is a condition on one header field of the request.
type HeaderMatch struct {
	// Name in any case.
	Name string
	// Value is a glob over the value of one field line, letter case counting;
	// "" asks only that the field is present.
	Value string
	// Not turns the condition round: no field line of that name may fit.
	Not bool
}

// everything tells whether every request falls under the match.
func (m *Match) everything() bool {
	return len(m.Hosts) == 0 && len(m.Paths) == 0 && len(m.Methods) == 0 && len(m.Headers) == 0
}

// fits tells whether the request falls under the match, host aside. path is the
// normalised path.
func (m *Match) fits(r *Request, path []byte) bool {
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, r.Method) {
		return false
	}
	if !m.fitsPath(path) {
		return false
	}
	for i := range m.Headers {
		if !m.Headers[i].fits(r.Fields) {
			return false
		}
	}
	return true
}

// fitsPath decides on the path. What an origin may read as another path is for
// Set.InDoubt.
func (m *Match) fitsPath(path []byte) bool { return len(m.Paths) == 0 || globAny(m.Paths, path) }

func (h *HeaderMatch) fits(fields Fields) bool {
	found := false
	for i := range fields {
		if fields[i].Name == h.Name && (h.Value == "" || glob(h.Value, fields[i].Value)) {
			found = true
			break
		}
	}
	return found != h.Not
}

// compile puts all but the hosts into the form in which fits uses it and
// reports every fault. The slices of m are replaced, not written to.
func (m *Match) compile(report reporter) {
	m.Paths = slices.Clone(m.Paths)
	for i, p := range m.Paths {
		if reason := pathFault(p); reason != "" {
			report(fmt.Sprintf("match.path[%d]", i), p, reason)
			continue
		}
		m.Paths[i] = string(appendURI(nil, []byte(p), &pathClasses))
	}
	m.Methods = slices.Clone(m.Methods)
	for i, method := range m.Methods {
		switch {
		case !isFieldName(method):
			report(fmt.Sprintf("match.method[%d]", i), method, "it is not a method")
		case strings.ToUpper(method) != method:
			report(fmt.Sprintf("match.method[%d]", i), method, "methods are compared exactly; write "+strings.ToUpper(method))
		}
	}
	m.Headers = slices.Clone(m.Headers)
	for i := range m.Headers {
		h := &m.Headers[i]
		at := fmt.Sprintf("match.header[%d]", i)
		if !isFieldName(h.Name) {
			report(at, h.Name, "it is not the name of a header field")
		}
		if len(h.Value) > maxPattern {
			report(at, h.Value, fmt.Sprintf("it is longer than %d bytes", maxPattern))
		}
		h.Name = CanonicalName(h.Name)
	}
}

// pathFault says why a path pattern is refused, "" when it is good.
func pathFault(p string) string {
	switch {
	case p == "" || p[0] != '/' && p[0] != '*':
		return "it fits no path; begin with / or *"
	case len(p) > maxPattern:
		return fmt.Sprintf("it is longer than %d bytes", maxPattern)
	case strings.ContainsRune(p, '?'):
		return "a path holds no ?, and the query is not matched; use * for any characters"
	case strings.ContainsRune(p, '#'):
		return "a path holds no #"
	}
	if decoded, _ := decodeFully(nil, appendURI(nil, []byte(p), &pathClasses)); dotSegment(decoded) {
		return "a path with dot segments is in doubt and never stored; leave them out"
	}
	return ""
}
