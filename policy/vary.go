package policy

import "slices"

// VarySpec is what a response's Vary names (RFC 9110 section 12.5.5).
type VarySpec struct {
	// Names are canonical, sorted and unique; nil when nothing varies.
	Names []string
	// Star: no later request is answered from it.
	Star bool
}

// Bounds of a Vary list: more names than this select nothing useful.
const (
	MaxVaryNames = 32
	maxVaryBytes = 2048
)

// ParseVary reads the values of a response's Vary fields. The reason is why
// the response cannot be stored: "*", a list that is no list of field names,
// or one beyond MaxVaryNames.
func ParseVary(values []string) (VarySpec, Reason) {
	var s VarySpec
	malformed, size := false, 0
	for _, list := range values {
		for len(list) > 0 {
			var name string
			name, list = cutComma(list)
			switch name = trim(name); {
			case name == "":
			case name == "*":
				s.Star = true
			case !isToken(name):
				malformed = true
			default:
				if size += len(name); size <= maxVaryBytes {
					s.Names = append(s.Names, CanonicalName(name))
				}
			}
		}
	}
	slices.Sort(s.Names)
	s.Names = slices.Compact(s.Names)
	switch {
	case s.Star:
		return VarySpec{Star: true}, ReasonVaryStar
	case malformed:
		return VarySpec{}, ReasonMalformed
	case size > maxVaryBytes || len(s.Names) > MaxVaryNames:
		return VarySpec{}, ReasonVaryLimit
	}
	return s, ReasonNone
}

// Counting is s without the names that select nothing: those that the rule does
// not count, and those of fields that are the same in all requests with one key.
// A response that then varies on nothing is stored as one that has no Vary.
func (s VarySpec) Counting(rule *Rule) VarySpec {
	if !slices.ContainsFunc(s.Names, rule.selectsNothing) {
		return s
	}
	s.Names = slices.DeleteFunc(slices.Clone(s.Names), rule.selectsNothing)
	return s
}

// selectsNothing reports whether a field of that name, as the origin gets it, is
// the same in all requests with one key whose answers may be stored.
func (r *Rule) selectsNothing(name string) bool {
	if slices.Contains(r.Vary.Ignore, name) || r.keysField(name) {
		return true
	}
	switch StandingOf(name) {
	case StandingHop, StandingIdentity, StandingOverride, StandingMethod, StandingNever:
		return true // it does not reach the origin
	case StandingMade:
		return name == "X-Forwarded-Host" || name == "X-Forwarded-Proto" // of the key
	case StandingClient:
		return false
	case StandingOrdinary:
	}
	switch name {
	case "Host":
		return true
	case "Cookie":
		return r.Cookies == CookiesStrip
	}
	return false
}

// ofTheClient reports whether a field names the client or the way of a request:
// within a key it differs from request to request.
func ofTheClient(name string) bool {
	s := StandingOf(name)
	return s == StandingClient || s == StandingMade
}

// Equal tells whether two responses vary on the same fields.
func (s VarySpec) Equal(t VarySpec) bool { return s.Star == t.Star && slices.Equal(s.Names, t.Names) }

// AppendVariant appends the text that tells q's variant from others to dst, in
// the form of a key text: for each name a line "\n v:name=value", without "="
// where the request lacks the field. Values are normalised as RFC 9111 section
// 4.1 allows: lines joined, white space around commas removed, and the lists
// of Accept-Encoding and Accept-Language in one order and case, by weight, cut
// down to what the rule says counts. Allocates nothing when dst has room.
func (s VarySpec) AppendVariant(dst []byte, rule *Rule, q *Request) []byte {
	return s.AppendVariantIn(dst, rule, q, nil)
}

// AppendVariantIn is AppendVariant as if q's Accept-Language were language,
// the AcceptLanguageText of the request that a variant was stored for; nil
// takes q's own. With it the variant that ChooseLanguage picked is looked up.
func (s VarySpec) AppendVariantIn(dst []byte, rule *Rule, q *Request, language []byte) []byte {
	for _, name := range s.Names {
		dst = append(dst, "\n v:"...)
		dst = appendLower(dst, name)
		if name == "Accept-Language" && language != nil {
			dst = append(append(dst, '='), language...)
			continue
		}
		if !q.Fields.Has(name) {
			continue
		}
		dst = appendSelecting(append(dst, '='), rule, name, q.Fields)
	}
	return dst
}

// AcceptLanguageText appends what AppendVariant writes behind the "=" for q's
// Accept-Language; ok is false when q has none.
func AcceptLanguageText(dst []byte, rule *Rule, q *Request) (text []byte, ok bool) {
	if !q.Fields.Has("Accept-Language") {
		return dst, false
	}
	return appendSelecting(dst, rule, "Accept-Language", q.Fields), true
}

// Narrowed appends what the origin is to be sent as name, Accept-Encoding or
// Accept-Language, in place of the lines in fields: what of them counts under
// the rule. ok is false when they are to be sent as they are; the text may be
// empty when nothing counts.
func Narrowed(dst []byte, rule *Rule, name string, fields Fields) (text []byte, ok bool) {
	if rule.Vary.only(name) == nil || !fields.Has(name) {
		return dst, false
	}
	var room [maxWeighted]weighted
	list, ok := parseWeighted(room[:0], fields, name)
	if !ok {
		return dst, false
	}
	sortWeighted(list)
	return appendWeighted(dst, rule.Vary.narrow(name, list)), true
}

// only is what counts of a list field; nil for everything.
func (v *VaryRule) only(name string) []string {
	switch name {
	case "Accept-Encoding":
		return v.Encodings
	case "Accept-Language":
		return v.Languages
	}
	return nil
}

// narrow takes out of a sorted list what does not count. Of languages that come
// to the same one the first stays, the heaviest.
func (v *VaryRule) narrow(name string, list []weighted) []weighted {
	only := v.only(name)
	if only == nil {
		return list
	}
	out := list[:0]
	for _, w := range list {
		for _, o := range only {
			region := name == "Accept-Language" && len(w.name) > len(o) && w.name[len(o)] == '-'
			if len(w.name) < len(o) || len(w.name) > len(o) && !region || compareFold(w.name[:len(o)], o) != 0 {
				continue
			}
			w.name = w.name[:len(o)]
			if find(out, w.name) < 0 {
				out = append(out, w)
			}
			break
		}
	}
	sortWeighted(out)
	return out
}

// appendSelecting appends a selecting field's value, normalised.
func appendSelecting(dst []byte, rule *Rule, name string, fields Fields) []byte {
	if !rule.Vary.Raw && (name == "Accept-Encoding" || name == "Accept-Language") {
		var room [maxWeighted]weighted
		if list, ok := parseWeighted(room[:0], fields, name); ok {
			sortWeighted(list)
			return appendWeighted(dst, rule.Vary.narrow(name, list))
		}
	}
	first := true
	for i := range fields {
		if fields[i].Name != name {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendList(dst, fields[i].Value)
	}
	return dst
}

// appendList appends a value without the white space around its commas.
// Commas in quoted strings are no separators.
func appendList(dst []byte, value string) []byte {
	start := 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '"':
			if closing := closingQuote(value, i); closing >= 0 {
				i = closing
			}
		case ',':
			dst = appendPrintable(dst, trim(value[start:i]))
			dst = append(dst, ',')
			start = i + 1
		}
	}
	return appendPrintable(dst, trim(value[start:]))
}
