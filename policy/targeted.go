package policy

import "github.com/dunglas/httpsfv"

// targetedControl reads the first valid, non-empty targeted field of the
// rule's list (RFC 9213 section 2.2). A field that is no valid Dictionary, or
// that gives a number another type, counts as absent (section 2.1).
func targetedControl(rule *Rule, f Fields) (control, bool) {
	targets := DefaultTargets
	if rule.TTL.Targets != nil {
		targets = rule.TTL.Targets
	}
	for _, name := range targets {
		values := f.Values(CanonicalName(name))
		if len(values) == 0 {
			continue
		}
		dict, err := httpsfv.UnmarshalDictionary(values)
		if err != nil || dict == nil || len(dict.Names()) == 0 {
			continue
		}
		if c, ok := dictionaryControl(dict); ok {
			return c, true
		}
	}
	return control{}, false
}

// dictionaryControl maps members to directives: numbers are Integers, flags
// are Booleans, field lists are Strings. Parameters mean nothing. A member
// that forbids something holds whatever its value is, except ?0.
func dictionaryControl(dict *httpsfv.Dictionary) (control, bool) {
	c := control{present: true, targeted: true}
	for _, name := range dict.Names() {
		member, _ := dict.Get(name)
		var value any
		if item, ok := member.(httpsfv.Item); ok {
			value = item.Value
		}
		if value == false {
			continue
		}
		d := directive[string]{name: name}
		if list, ok := value.(string); ok {
			d.arg, d.hasArg = list, true
		}
		if c.addFlag(&d) {
			continue
		}
		var into *delta
		switch name {
		case "max-age":
			into = &c.maxAge
		case "s-maxage":
			into = &c.sMaxAge
		case "stale-while-revalidate":
			into = &c.staleWhileRevalidate
		case "stale-if-error":
			into = &c.staleIfError
		default:
			continue
		}
		seconds, ok := value.(int64)
		if !ok {
			return control{}, false
		}
		into.add(clampSeconds(seconds), true)
	}
	return c, true
}
