package model

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Control is what a Cache-Control field says: the arguments of each directive,
// one for each time it stands there (RFC 9111 section 5.2). Names are lower
// case; an argument is without its quotes, "" where there is none.
type Control map[string][]string

// ParseControl reads the lines of a Cache-Control field.
func ParseControl(lines []string) Control {
	c := Control{}
	for _, member := range members(strings.Join(lines, ",")) {
		name, arg, _ := strings.Cut(member, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		c[name] = append(c[name], strings.Trim(strings.TrimSpace(arg), `"`))
	}
	return c
}

// members splits a list at the commas outside quoted strings (RFC 9110 section
// 5.6.1) and leaves empty members out.
func members(list string) []string {
	quoted := false
	var out []string
	for _, m := range strings.FieldsFunc(list, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ',' && !quoted
	}) {
		if m = strings.TrimSpace(m); m != "" {
			out = append(out, m)
		}
	}
	return out
}

// Has tells whether the directive is there, whatever its argument.
func (c Control) Has(name string) bool { return len(c[name]) > 0 }

// Plain tells whether the directive is there without a list of field names.
func (c Control) Plain(name string) bool { return slices.Contains(c[name], "") }

// Listed are the field names that the directive concerns (sections 5.2.2.4 and
// 5.2.2.7).
func (c Control) Listed(name string) []string {
	var out []string
	for _, arg := range c[name] {
		for _, field := range members(arg) {
			out = append(out, http.CanonicalHeaderKey(field))
		}
	}
	return out
}

// Seconds is a directive's time. Section 4.2.1: where it stands twice and
// differs, the first counts or the response is stale, so may is the first and
// must is 0; what is no number is no time at all.
func (c Control) Seconds(name string) (may, must time.Duration, stated bool) {
	for i, arg := range c[name] {
		d, ok := deltaSeconds(arg)
		if !ok {
			return 0, 0, true
		}
		if i == 0 {
			may, must = d, d
		}
		if d != may {
			must = 0
		}
	}
	return may, must, c.Has(name)
}

// deltaSeconds is section 1.2.2: what is too large counts as 2^31.
func deltaSeconds(s string) (d time.Duration, ok bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	if errors.Is(err, strconv.ErrRange) {
		n, err = 1<<31, nil
	}
	if err != nil {
		return 0, false
	}
	return time.Duration(n) * time.Second, true
}

// dictionary is as much of a Dictionary (RFC 9651 section 3.2) as targeted
// fields use: Integers, Strings, Tokens and Booleans.
var dictionary = regexp.MustCompile(`^` + member + `(\s*,\s*` + member + `)*$`)

const member = `[a-z*][a-z0-9_.*-]*(=(-?\d{1,15}|"[ !#-\[\]-~]*"|[A-Za-z*][\w-]*|\?[01]))?`

// Governing is the field that caching goes by: the first targeted field that
// is a Dictionary and not empty, else Cache-Control (RFC 9213 section 2.2).
func Governing(h http.Header) (c Control, targeted bool) {
	for _, name := range []string{"Weir-Cache-Control", "Cdn-Cache-Control"} {
		if v := strings.Join(h[name], ", "); dictionary.MatchString(v) {
			return ParseControl(h[name]), true
		}
	}
	return ParseControl(h["Cache-Control"]), false
}
