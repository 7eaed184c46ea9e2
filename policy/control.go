package policy

import "strings"

const second = int64(1e9)

// delta is a directive that takes a number of seconds.
type delta struct {
	// stated: the directive is there, whatever its argument.
	stated bool
	// valid: every occurrence is well-formed and all say the same. Freshness
	// that contradicts itself counts as stale (RFC 9111 section 4.2.1).
	valid   bool
	seconds int64
}

func (d *delta) add(seconds int64, ok bool) {
	if !d.stated {
		*d = delta{stated: true, valid: ok, seconds: seconds}
		return
	}
	if !ok || d.seconds != seconds {
		d.valid = false
	}
}

// nanos is the directive's time, 0 when it cannot be believed.
func (d *delta) nanos() int64 {
	if !d.valid {
		return 0
	}
	return d.seconds * second
}

// control is what a response's caching directives say, whichever field they
// came in (RFC 9111 section 5.2.2, RFC 5861, RFC 9213). Unknown directives,
// and immutable (RFC 8246: about reloads in a user agent), have no effect on a
// shared cache.
type control struct {
	// present: there is a Cache-Control field or a valid targeted one.
	present bool
	// targeted: a targeted field governs, so Cache-Control and Expires do not.
	targeted bool

	noStore, noCache, private, public               bool
	mustRevalidate, proxyRevalidate, mustUnderstand bool
	// withheld are the canonical names of the fields that private="..." and
	// no-cache="..." keep out of the stored response.
	withheld []string

	maxAge, sMaxAge, staleWhileRevalidate, staleIfError delta
}

// controlOf reads the field that governs caching: the first valid targeted
// field of the rule's list, else Cache-Control.
func controlOf(rule *Rule, f Fields) control {
	if c, ok := targetedControl(rule, f); ok {
		return c
	}
	var c control
	for i := range f {
		if f[i].Name == "Cache-Control" {
			c.present = true
			c.parse(f[i].Value)
		}
	}
	return c
}

// parse adds the directives of one field line.
func (c *control) parse(value string) {
	for {
		d, rest, ok := nextDirective(value)
		if !ok {
			return
		}
		value = rest
		c.add(&d)
		c.addStray(&d)
	}
}

// addStray looks into a member that does not follow the grammar for what forbids
// sharing. Origins write "private; max-age=60" and "no-store no-cache", and other
// caches understand them; permissions are not looked for.
func (c *control) addStray(d *directive[string]) {
	if isToken(d.name) && !d.bad && (!d.hasArg || d.quoted || isToken(d.arg)) {
		return
	}
	for _, text := range [...]string{d.name, d.arg} {
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == ' ' || r == '\t' }) {
			word, _, _ = strings.Cut(word, "=")
			switch {
			case is(word, "no-store"):
				c.noStore = true
			case is(word, "no-cache"):
				c.noCache = true
			case is(word, "private"):
				c.private = true
			}
		}
	}
}

func (c *control) add(d *directive[string]) {
	if c.addFlag(d) {
		return
	}
	var into *delta
	switch {
	case is(d.name, "max-age"):
		into = &c.maxAge
	case is(d.name, "s-maxage"):
		into = &c.sMaxAge
	case is(d.name, "stale-while-revalidate"):
		into = &c.staleWhileRevalidate
	case is(d.name, "stale-if-error"):
		into = &c.staleIfError
	default:
		return
	}
	seconds, ok := parseDelta(d.arg)
	into.add(seconds, ok && !d.bad)
}

// addFlag handles the directives that hold or do not hold. A malformed one
// counts as its strictest form.
func (c *control) addFlag(d *directive[string]) bool {
	switch {
	case is(d.name, "no-store"):
		c.noStore = true
	case is(d.name, "no-cache"):
		c.noCache = c.noCache || !c.withhold(d)
	case is(d.name, "private"):
		c.private = c.private || !c.withhold(d)
	case is(d.name, "public"):
		c.public = c.public || !d.bad
	case is(d.name, "must-revalidate"):
		c.mustRevalidate = true
	case is(d.name, "proxy-revalidate"):
		c.proxyRevalidate = true
	case is(d.name, "must-understand"):
		c.mustUnderstand = c.mustUnderstand || !d.bad
	default:
		return false
	}
	return true
}

// withhold takes the field list of private or no-cache. It is false where the
// directive concerns the whole response: no list, a broken one, or one that
// names a field without which the stored response would be wrong.
func (c *control) withhold(d *directive[string]) bool {
	if !d.hasArg || d.bad {
		return false
	}
	names, ok := fieldList(d.arg)
	if ok {
		c.withheld = append(c.withheld, names...)
	}
	return ok
}

// fieldList splits a comma separated list of field names.
func fieldList(list string) (names []string, ok bool) {
	for len(list) > 0 {
		var name string
		name, list = cutComma(list)
		if name = trim(name); name == "" {
			continue
		}
		if !isToken(name) {
			return nil, false
		}
		if name = CanonicalName(name); essential(name) {
			return nil, false
		}
		names = append(names, name)
	}
	return names, len(names) > 0
}

// cutComma cuts at the first comma, quoted ones included.
func cutComma[T text](s T) (head, tail T) {
	for i := 0; i < len(s); i++ {
		if s[i] == ',' {
			return s[:i], s[i+1:]
		}
	}
	return s, s[len(s):]
}

// withholds tells whether the stored response goes without that field.
func (c *control) withholds(name string) bool {
	for _, n := range c.withheld {
		if n == name {
			return true
		}
	}
	return false
}

// lifetime is the freshness lifetime that the response itself states, in
// nanoseconds (RFC 9111 section 4.2.1). Invalid and contradicting information
// is a lifetime of 0: stated, and over.
func (c *control) lifetime(r *Response) (nanos int64, stated bool) {
	switch {
	case c.sMaxAge.stated:
		return c.sMaxAge.nanos(), true
	case c.maxAge.stated:
		return c.maxAge.nanos(), true
	case c.targeted:
		return 0, false
	}
	return expiresLifetime(r)
}

func expiresLifetime(r *Response) (nanos int64, stated bool) {
	var value string
	for i := range r.Fields {
		if r.Fields[i].Name != "Expires" {
			continue
		}
		if stated && r.Fields[i].Value != value {
			return 0, true
		}
		value, stated = r.Fields[i].Value, true
	}
	if !stated {
		return 0, false
	}
	expires, ok := ParseDateAt(value, r.ResponseTime/second)
	if !ok {
		return 0, true
	}
	return clampSeconds(expires-dateOf(r)) * second, true
}

// dateOf is when the response was generated, in unix seconds: its Date, or
// when it arrived where Date is missing or invalid (RFC 9110 section 6.6.1).
func dateOf(r *Response) int64 {
	if date, ok := ParseDateAt(r.Fields.Get("Date"), r.ResponseTime/second); ok {
		return date
	}
	return r.arrived() / second
}

// clampSeconds bounds a time span to what delta-seconds can say.
func clampSeconds(s int64) int64 { return min(max(s, 0), maxDelta) }
