package policy

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Set is a configuration's rules, compiled. It is immutable and safe for any
// number of goroutines.
type Set struct {
	rules []*Rule
	// all is the first rule when every request fits it.
	all *Rule
	// matchesMade: a rule matches on a field that weir makes.
	matchesMade bool

	// Each list below is in the order of the rules and holds every one that a
	// host can fall under, so that a lookup reads one list and never merges.

	// exact is by host name without port.
	exact map[string][]candidate
	// under is by what stands behind a "*.".
	under map[string][]candidate
	// any is for every other host.
	any []candidate
	// depth is the most labels that a name in under has.
	depth int
}

// candidate is a rule whose host pattern fits, but for the port.
type candidate struct {
	rule *Rule
	port uint16 // 0 fits any
}

// RuleFault is one fault of one rule.
type RuleFault struct {
	// Index is the rule's place in what NewSet was given, Rule its name.
	Index int
	Rule  string
	// Field is the place in the rule, in the words of the configuration.
	Field string
	// Value is what stands there, Reason what is wrong with it.
	Value, Reason string
}

// Error gives the rule, the field, the value (cut short) and the reason.
func (f *RuleFault) Error() string {
	if f.Value == "" {
		return fmt.Sprintf("cannot compile policy %q: %s: %s", f.Rule, f.Field, f.Reason)
	}
	return fmt.Sprintf("cannot compile policy %q: %s: %.80q: %s", f.Rule, f.Field, f.Value, f.Reason)
}

// reporter takes the faults of one rule.
type reporter func(field, value, reason string)

// NewSet compiles rules, the first of which that fits a request decides. The
// rules are copied with all they hold; Index is assigned. The error joins a
// *RuleFault for every fault of every rule.
func NewSet(rules []Rule) (*Set, error) {
	s := &Set{rules: make([]*Rule, len(rules))}
	var faults []error
	names := make(map[string]int, len(rules))
	index := newHostIndex()
	for i := range rules {
		r := cloneRule(&rules[i])
		r.Index = i
		s.rules[i] = r
		report := func(field, value, reason string) {
			faults = append(faults, &RuleFault{Index: i, Rule: r.Name, Field: field, Value: value, Reason: reason})
		}
		if first, twice := names[r.Name]; twice {
			report("name", r.Name, fmt.Sprintf("policy %d has the same name", first+1))
		} else {
			names[r.Name] = i
		}
		compileRule(r, report)
		index.add(r, report)
		s.matchesMade = s.matchesMade || r.matchesMade()
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	s.exact, s.under, s.any, s.depth = index.build()
	if len(s.rules) > 0 && s.rules[0].Match.everything() {
		s.all = s.rules[0]
	}
	return s, nil
}

// Rules returns the rules in order. The slice is the caller's, the rules must
// not be changed.
func (s *Set) Rules() []*Rule { return slices.Clone(s.rules) }

// MatchesMade reports whether a rule matches on a field that weir makes, such as
// X-Forwarded-Proto: View.Forwarded must then come before Match.
func (s *Set) MatchesMade() bool { return s.matchesMade }

// Match returns the first rule that r falls under, nil when there is none. It
// allocates nothing, unless a path that needs normalising has over 1000 bytes.
func (s *Set) Match(r *Request) *Rule {
	if s.all != nil {
		return s.all
	}
	if uriNormal(r.Path, &pathClasses) {
		return s.find(r, r.Path)
	}
	var scratch [1000]byte
	return s.find(r, appendURI(scratch[:0], r.Path, &pathClasses))
}

// find is Match for a path that is normalised.
func (s *Set) find(r *Request, path []byte) *Rule {
	name, digits := cutPort(r.Host)
	port, _ := parsePort(digits)
	if port == 0 {
		port = defaultPort(r.Scheme)
	}
	for _, c := range s.candidates(name) {
		if c.port != 0 && c.port != port {
			continue
		}
		if c.rule.Match.fits(r, path) {
			return c.rule
		}
	}
	return nil
}

// candidates returns the rules for a host name, in order.
func (s *Set) candidates(name []byte) []candidate {
	if list, ok := s.exact[string(name)]; ok {
		return list
	}
	// Fewer labels than a pattern has cannot be a match, and whoever sends a
	// name of a hundred labels must not cause a hundred lookups.
	from := len(name)
	for range s.depth {
		dot := bytes.LastIndexByte(name[:from], '.')
		if dot < 0 {
			break
		}
		from = dot
	}
	for s.depth > 0 && from < len(name) {
		suffix := name[from+1:]
		if list, ok := s.under[string(suffix)]; ok {
			return list
		}
		next := bytes.IndexByte(suffix, '.')
		if next < 0 {
			break
		}
		from += 1 + next
	}
	return s.any
}

// hostIndex gathers the rules of each host pattern.
type hostIndex struct {
	exact, under map[string][]candidate
	any          []candidate
}

func newHostIndex() *hostIndex {
	return &hostIndex{exact: map[string][]candidate{}, under: map[string][]candidate{}}
}

// add enters a rule under each of its hosts, which it puts into canonical form.
func (x *hostIndex) add(r *Rule, report reporter) {
	r.Match.Hosts = slices.Clone(r.Match.Hosts)
	if len(r.Match.Hosts) == 0 {
		x.any = append(x.any, candidate{rule: r})
	}
	for i, pattern := range r.Match.Hosts {
		name, wild, port, err := parseHostPattern(pattern)
		if err != nil {
			report(fmt.Sprintf("match.host[%d]", i), pattern, err.Error())
			continue
		}
		c := candidate{rule: r, port: port}
		switch {
		case wild && name == "":
			x.any = append(x.any, c)
			name = "*"
		case wild:
			x.under[name] = append(x.under[name], c)
			name = "*." + name
		default:
			x.exact[name] = append(x.exact[name], c)
		}
		if port != 0 {
			name = fmt.Sprintf("%s:%d", name, port)
		}
		r.Match.Hosts[i] = name
	}
}

var errHostStar = errors.New(`a * may stand alone or be the first label, as in "*.example.com"`)

// parseHostPattern splits a pattern into its canonical name, whether that
// stands for what is under it (everything, when it is empty) and its port.
func parseHostPattern(pattern string) (name string, wild bool, port uint16, err error) {
	rest, wild := pattern, false
	if after, ok := strings.CutPrefix(pattern, "*."); ok {
		rest, wild = after, true
	} else if host, digits, _ := strings.Cut(pattern, ":"); host == "*" {
		port, ok := parsePort([]byte(digits))
		if !ok {
			return "", false, 0, HostPort
		}
		return "", true, port, nil
	}
	if strings.Contains(rest, "*") || wild && strings.HasPrefix(rest, "[") {
		return "", false, 0, errHostStar
	}
	host, err := ParseHost(nil, []byte(rest), "")
	if err != nil {
		return "", false, 0, err
	}
	raw, digits := cutPort(host)
	port, _ = parsePort(digits)
	return string(raw), wild, port, nil
}

// build gives every name the rules of all patterns that fit it.
func (x *hostIndex) build() (exact, under map[string][]candidate, anyHost []candidate, depth int) {
	complete := func(name string, own []candidate) []candidate {
		all := slices.Concat(own, x.any)
		for rest := name; ; {
			_, after, found := strings.Cut(rest, ".")
			if !found {
				break
			}
			all = append(all, x.under[after]...)
			rest = after
		}
		slices.SortStableFunc(all, func(a, b candidate) int { return a.rule.Index - b.rule.Index })
		return slices.Compact(all)
	}
	exact = make(map[string][]candidate, len(x.exact))
	for name, own := range x.exact {
		exact[name] = complete(name, own)
	}
	under = make(map[string][]candidate, len(x.under))
	for name, own := range x.under {
		under[name] = complete(name, own)
		depth = max(depth, strings.Count(name, ".")+1)
	}
	return exact, under, slices.Compact(x.any), depth
}

// cloneRule copies all that a rule holds; hosts, paths, methods, headers and
// names are copied where they are compiled.
func cloneRule(from *Rule) *Rule {
	r := *from
	r.TagFields = slices.Clone(from.TagFields)
	r.TTL.Targets = slices.Clone(from.TTL.Targets)
	r.TTL.Negative = maps.Clone(from.TTL.Negative)
	return &r
}

func compileRule(r *Rule, report reporter) {
	switch {
	case r.Name == "":
		report("name", "", "it is empty")
	case !utf8.ValidString(r.Name) || strings.ContainsFunc(r.Name, func(c rune) bool { return c < ' ' || c == 0x7f }):
		report("name", r.Name, "it holds a character that cannot be shown")
	}
	if r.Origin == "" {
		report("origin", "", "it is empty; name one of origins")
	}
	r.Match.compile(report)
	r.Key.compile(report)
	r.keysMade = holdsMade(r.Key.Headers)
	r.compileUnderscores(report)
	compileFields(r.TagFields, "tags", report)
	compileFields(r.TTL.Targets, "ttl.targets", report)
	checkTTL(&r.TTL, report)
}

// compileFields puts names of header fields into canonical form, in place.
func compileFields(names []string, field string, report reporter) {
	for i, name := range names {
		if !isFieldName(name) {
			report(fmt.Sprintf("%s[%d]", field, i), name, "it is not the name of a header field")
		}
		names[i] = CanonicalName(name)
	}
}

func checkTTL(t *TTL, report reporter) {
	durations := []struct {
		field string
		value time.Duration
	}{
		{"default", t.Default},
		{"override", t.Override},
		{"min", t.Min},
		{"max", t.Max},
		{"stale_while_revalidate", t.StaleWhileRevalidate},
		{"stale_if_error", t.StaleIfError},
		{"hit_for_miss", t.HitForMiss},
		{"heuristic_max", t.HeuristicMax},
	}
	for _, d := range durations {
		if d.value < 0 {
			report("ttl."+d.field, d.value.String(), "it is negative")
		}
	}
	if t.Max > 0 && t.Min > t.Max {
		report("ttl.min", t.Min.String(), "it is above ttl.max, "+t.Max.String())
	}
	for _, status := range slices.Sorted(maps.Keys(t.Negative)) {
		at := fmt.Sprintf("ttl.negative.%d", status)
		if status < 300 || status > 599 {
			report(at, "", "negative lifetimes are for statuses from 300 to 599")
		}
		if t.Negative[status] < 0 {
			report(at, t.Negative[status].String(), "it is negative")
		}
	}
	// The comparison is written so that NaN fails it too.
	if f := t.HeuristicFraction; !(f >= 0 && f <= 1) {
		report("ttl.heuristic_fraction", fmt.Sprint(f), "it is not between 0 and 1")
	}
}
