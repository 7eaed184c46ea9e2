package model

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// How answers change what is stored.

// validated is section 4.3.4: a strong validator identifies all responses that
// have it, else the most recent one is updated (or, where responses differ in
// nothing but the language, the one that weir chose). That holds for weir also where
// the 304 brings a strong validator that no stored response has: the section
// would then have nothing updated, and the public test suites want it to be.
func (l *Log) validated(q Request, c *Contact, shown int) {
	var about []*Stored
	for _, s := range slices.Backward(l.stored) {
		over := s.Forbidden != RuleNone && (s.Forbidden != RuleInvalidated && s.Forbidden != RuleSuperseded || s.Since < c.AskedTick)
		if l.SameKey(s.For[0], q) && s.Began < c.AskedTick && !over && l.maySelect(s, q) && Asked(c, s) {
			about = append(about, s)
		}
	}
	if len(about) == 0 {
		// It was the client's own condition, passed on.
		if l.CookieFree(q) {
			l.letGo(q.Path, guest)
		}
		l.letGo(q.Path, visitor)
		return
	}
	tag := c.Fields.Get("Etag")
	identified := slices.DeleteFunc(slices.Clone(about), func(s *Stored) bool { return s.Fields.Get("Etag") != tag })
	if tag == "" || strings.HasPrefix(tag, "W/") || len(identified) == 0 {
		at := max(slices.IndexFunc(about, func(s *Stored) bool { return s.Serial == shown }), 0)
		identified = about[at:min(len(about), at+1)]
	}
	for _, s := range slices.Backward(identified) {
		was := s.Forbidden
		if was == RuleSuperseded {
			// By another validation that was under way: weir may keep either.
			s.Forbidden = RuleNone
		}
		n := l.update(s, q, c, l.renewed(s.Fields, c.Response))
		if s.Forbidden = was; was == RuleSuperseded {
			n.Held = [kinds]bool{}
		}
		if n.Forbidden == RuleAuthorization || n.Forbidden == RuleRequest || l.binds(n) ||
			n.Forbidden != RuleNone && !l.CookieFree(q) {
			// What the 304 says is for one client: for the others nothing happened.
			n.Held = [kinds]bool{}
			continue
		}
		s.forbid(RuleSuperseded, c.CameTick)
	}
}

// renewed are stored fields after a 304. A cookie in it is for the client that
// caused the validation, unless the 304 states that it is for all.
func (l *Log) renewed(stored http.Header, r Response) http.Header {
	fresh := r.Fields
	if fresh["Set-Cookie"] != nil && !(l.SharesSetCookie() && meantForAll(r)) {
		fresh = maps.Clone(fresh)
		delete(fresh, "Set-Cookie")
	}
	return Merged(stored, fresh)
}

// update adds the state of s after an answer that updates its fields (section
// 3.2).
func (l *Log) update(s *Stored, q Request, c *Contact, fields http.Header) *Stored {
	n := *s
	n.Checked, n.began, n.Began, n.order = c.Checked, c.AskedTick, c.CameTick, c.CameTick
	n.Asked, n.Came = c.Response.Asked, c.Came
	n.Fields = fields
	n.For = append(slices.Clone(s.For), l.Sent(q))
	get := q
	get.Method = "GET"
	if n.Forbidden == RuleNone {
		n.Forbidden = l.Storable(get, n.Response)
	}
	was, _ := Varies(s.Fields)
	is, _ := Varies(n.Fields)
	if n.Forbidden != RuleNone || !slices.Equal(was, is) {
		n.Held = [kinds]bool{}
	}
	l.stored = append(l.stored, &n)
	return &n
}

// Merged are stored fields after an update (section 3.2). The age of the stored
// response ends with it; Date is when the update came if it has none.
func Merged(stored, fresh http.Header) http.Header {
	out := maps.Clone(stored)
	delete(out, "Age")
	delete(out, "Date")
	for name, values := range fresh {
		if name != "Etag" && name != "Content-Length" {
			out[name] = values
		}
	}
	return out
}

// head is section 4.3.5.
func (l *Log) head(q Request, c *Contact) {
	get := q
	get.Method = "GET"
	shares := l.Storable(get, c.Response) == RuleNone && q.Fields["Authorization"] == nil
	if shares && !l.CookieFree(q) {
		// Only what the answer states counts for others.
		shares = l.Reuse(c.Response, Request{Method: "GET", Path: q.Path}, Moment{At: c.Came, Waited: true}) == RuleNone
	}
	if Error(c.Status) {
		return
	}
	for _, s := range slices.Clone(l.stored) {
		if !l.SameKey(s.For[0], q) || s.Forbidden != RuleNone || !l.maySelect(s, q) {
			continue
		}
		switch {
		case !shares:
			// It is for its client alone, and changes nothing for others.
			l.update(s, q, c, s.Fields).mustNot(RuleHead)
		case c.Status != http.StatusOK || s.Status != http.StatusOK && s.Status != http.StatusNonAuthoritativeInfo:
			// Only a 200 says something, and it confirms no error or redirect.
			s.Held = [kinds]bool{}
		case contradicts(c, s):
			s.Held = [kinds]bool{}
			// A visitor with cookies of its own teaches nothing.
			if !s.Part && l.CookieFree(q) && l.selects(s, q) && Reloads(q) == NoReload && s.order != 0 && s.order < c.AskedTick {
				s.forbid(RuleInvalidated, c.CameTick)
			}
		case confirms(c, s):
			// Whether it was updated is the cache's choice (SHOULD): both states.
			// What marks the answer may or may not be among what is updated.
			s.Held = [kinds]bool{}
			n := l.update(s, q, c, Freshened(s.Fields, c.Fields))
			same := *n
			same.Checked = s.Checked
			l.stored = append(l.stored, &same)
		default:
			// Nothing shows that it is still so.
			l.update(s, q, c, s.Fields).mustNot(RuleHead)
		}
	}
}

// mustNot marks a state that a cache must not have come to.
func (s *Stored) mustNot(rule Rule) {
	s.Forbidden, s.Held = rule, [kinds]bool{}
}

// Freshened are stored fields after an answer to HEAD: what bears on freshness,
// and nothing else.
func Freshened(stored, fresh http.Header) http.Header {
	kept := http.Header{}
	for _, name := range []string{
		"Cache-Control", "Cdn-Cache-Control", "Weir-Cache-Control", "Expires", "Date", "Age", "Last-Modified", "Vary", "X-Checked",
	} {
		if v := fresh[name]; v != nil {
			kept[name] = v
		}
	}
	return Merged(stored, kept)
}

// contradicts reports whether the answer to HEAD shows that a GET would not
// bring s.
func contradicts(c *Contact, s *Stored) bool {
	for _, name := range []string{"Etag", "Last-Modified"} {
		if v := c.Fields[name]; v != nil && v[0] != s.Fields.Get(name) {
			return true
		}
	}
	return c.Length && !bytes.Equal(c.Whole, s.Body) && len(c.Whole) != len(s.Body)
}

// confirms reports whether something in the answer to HEAD shows that s is
// still what a GET would bring; it contradicts nothing.
func confirms(c *Contact, s *Stored) bool {
	return c.Length || c.Fields["Etag"] != nil && s.Fields["Etag"] != nil ||
		c.Fields["Last-Modified"] != nil && s.Fields["Last-Modified"] != nil
}
