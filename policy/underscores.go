package policy

import (
	"fmt"
	"slices"
	"strings"
)

// passesOdd reports whether a field whose name holds more than letters, digits
// and "-" reaches the origin.
func (r *Rule) passesOdd(name string) bool { return slices.Contains(r.Underscores, name) }

// twinOf is the canonical name of the field that servers may take a field for
// whose name holds such characters.
func twinOf(name string) string {
	return CanonicalName(strings.Map(func(c rune) rune {
		if strings.ContainsRune("!#$%&'*+.^_`|~", c) {
			return '-'
		}
		return c
	}, name))
}

// compileUnderscores puts the names into canonical form. A name that servers take
// for a field that weir answers for is refused.
func (r *Rule) compileUnderscores(report reporter) {
	r.Underscores = slices.Clone(r.Underscores)
	for i, name := range r.Underscores {
		at := fmt.Sprintf("request.underscores[%d]", i)
		canonical := CanonicalName(name)
		twin := twinOf(name)
		switch {
		case !isFieldName(name):
			report(at, name, "it is not the name of a header field")
		case !oddName(canonical):
			report(at, name, "it holds no underscore; such a field reaches the origin as it is")
		case twin == "Host" || StandingOf(twin) != StandingOrdinary:
			report(at, name, "servers take it for "+twin+", which weir makes by itself or takes from trusted senders only; give the field another name")
		}
		r.Underscores[i] = canonical
	}
	for i, name := range r.Key.Headers {
		if oddName(name) && !r.passesOdd(name) {
			report(fmt.Sprintf("key.headers[%d]", i), name, "the field does not reach the origin; name it in request.underscores too")
		}
	}
}
