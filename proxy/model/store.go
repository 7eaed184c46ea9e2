package model

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Stored is one state of a response that the cache may have: as it came, or as
// a later answer updated it.
type Stored struct {
	// Serial tells the response from all others; Checked is that of the 304 or
	// HEAD that last updated it, 0 for none.
	Serial, Checked int
	Path            string
	Response
	// Part: it came as a 206, of which it has the status 200 here; parts may
	// have grown to the whole (section 3.4).
	Part bool
	// Body is the whole representation, whatever part of it came.
	Body []byte
	// For are the requests that it answered: the one it came for, and those it
	// was validated for.
	For []Request
	// Forbidden is why it must not be reused at all.
	Forbidden Rule
	// Held: a cache of weir's kind has it, whatever choice the RFC leaves.
	Held bool
	// order is when it came, or was updated.
	order int
}

// Contact is one exchange with the origin.
type Contact struct {
	Asked Request
	Response
	Trouble         Trouble
	Serial, Checked int
	// Sent is the body of the answer, Whole that of the representation.
	Sent, Whole []byte
	// Cut: the body ended before its length.
	Cut bool
}

// Log is every response that the cache may have.
type Log struct {
	stored []*Stored
	order  int
}

// Find returns the state with these serials, nil for an answer that no response
// of that path explains.
func (l *Log) Find(path string, serial, checked int) *Stored {
	for _, s := range l.stored {
		if s.Path == path && s.Serial == serial && s.Checked == checked {
			return s
		}
	}
	return nil
}

// Usable is why s must not answer q without validation, RuleNone where it may.
func (l *Log) Usable(s *Stored, q Request, now time.Time, trouble Trouble) Rule {
	if s.Forbidden != RuleNone {
		return s.Forbidden
	}
	if !s.maySelect(q) {
		return RuleVary
	}
	if rule := Reuse(s.Response, q, now, trouble); rule != RuleNone {
		return rule
	}
	for _, n := range l.stored {
		// Section 4: the most recent by Date; of an older one weir keeps nothing.
		if n.Held && n.Path == s.Path && n.order > s.order && !date(n.Response).Before(date(s.Response)) && n.selects(q) {
			return RuleSuperseded
		}
	}
	return RuleNone
}

// AtHand returns a stored response that the origin must not be asked for.
func (l *Log) AtHand(q Request, now time.Time) *Stored {
	if q.Method != "GET" && q.Method != "HEAD" {
		return nil
	}
	for _, s := range l.stored {
		if s.Held && s.Path == q.Path && s.selects(q) && MustReuse(s.Response, q, now) {
			return s
		}
	}
	return nil
}

func (s *Stored) maySelect(q Request) bool {
	return slices.ContainsFunc(s.For, func(was Request) bool { return MaySelect(s.Fields, was, q) })
}

// selects is by the request it came for, and without weir's additions.
func (s *Stored) selects(q Request) bool { return Selects(s.Fields, s.For[0], q) }

// Learn notes an exchange with the origin that q caused. Ours tells that the
// conditions in it were the cache's own, shown is the serial of the response
// that q was answered with.
func (l *Log) Learn(q Request, c Contact, ours bool, shown int) {
	l.order++
	if q.Method == "HEAD" && c.Asked.Method == "GET" {
		// A refresh of the stored GET that answered the HEAD.
		q.Method = "GET"
	}
	switch {
	case c.Trouble == Unreachable:
	case c.Asked.Method == "HEAD":
		l.head(q, c)
	case c.Asked.Method != "GET":
		l.unsafe(q, c)
		if Storable(q, c.Response) == RuleNone {
			q.Method = "GET"
			l.add(q, c, RuleNone)
		}
	case c.Status == http.StatusNotModified && ours:
		l.validated(q, c, shown)
	case c.Status == http.StatusNotModified:
		l.letGo(q.Path)
	default:
		part := c.Status == http.StatusPartialContent
		if part {
			c.Status = http.StatusOK // section 3.3: what it is a part of
		}
		l.add(q, c, Storable(q, c.Response)).Part = part
	}
}

// add stores a response and lets go of what it replaces.
func (l *Log) add(q Request, c Contact, forbidden Rule) *Stored {
	n := &Stored{
		Serial: c.Serial, Path: q.Path, Response: c.Response, Body: c.Whole, For: []Request{q},
		Forbidden: forbidden, order: l.order,
	}
	ofRequest := n.Forbidden == RuleAuthorization || n.Forbidden == RuleRequest
	switch {
	case ofRequest, n.Forbidden != RuleNone && c.Status >= 500:
		// It says nothing about what is stored.
	case !n.worthKeeping():
		// Weir forgets what is there, and goes alone for a while.
		l.letGo(q.Path)
	case c.Cut:
		n.Forbidden = RuleBody // section 3.3: it is not complete
	default:
		n.Held = c.Fields["Content-Range"] == nil
		l.replace(n, q)
	}
	l.stored = append(l.stored, n)
	return n
}

// worthKeeping is false where the RFC lets a cache store and weir may not: what
// could be neither served nor validated, cookies, and failures.
func (s *Stored) worthKeeping() bool {
	_, life := Lifetime(s.Response)
	c, _ := Governing(s.Fields)
	useful := life > Age(s.Response, s.Came) && !c.Plain("no-cache") || s.Fields["Etag"] != nil || s.Fields["Last-Modified"] != nil
	_, star := Varies(s.Fields)
	return s.Forbidden == RuleNone && !star && useful && s.Fields["Set-Cookie"] == nil && s.Status < 500 &&
		s.Status != http.StatusRequestedRangeNotSatisfiable
}

// replace lets go of what weir forgets for n: the same variant, and everything
// where the Vary list is another.
func (l *Log) replace(n *Stored, q Request) {
	names, _ := Varies(n.Fields)
	for _, s := range l.stored {
		if s.Path != n.Path || !s.Held {
			continue
		}
		was, _ := Varies(s.Fields)
		if !slices.Equal(was, names) || n.Held && Selects(n.Fields, q, s.For[0]) {
			s.Held = false
		}
	}
}

func (l *Log) letGo(path string) {
	for _, s := range l.stored {
		if s.Path == path {
			s.Held = false
		}
	}
}

// unsafe is section 4.4. The URLs in Location and Content-Location are a MAY
// there; weir takes it.
func (l *Log) unsafe(q Request, c Contact) {
	if c.Status < 200 || c.Status > 399 {
		return
	}
	for _, path := range []string{q.Path, c.Fields.Get("Location"), c.Fields.Get("Content-Location")} {
		for _, s := range l.stored {
			if s.Path == path && s.Forbidden == RuleNone {
				s.Forbidden, s.Held = RuleInvalidated, false
			}
		}
	}
}

// validated is section 4.3.4: a strong validator identifies all responses that
// have it, else the most recent one is updated (or, where responses differ in
// nothing but the language, the one that weir chose). That holds for weir also where
// the 304 brings a strong validator that no stored response has: the section
// would then have nothing updated, and the public test suites want it to be.
func (l *Log) validated(q Request, c Contact, shown int) {
	var about []*Stored
	for _, s := range slices.Backward(l.stored) {
		if s.Path == q.Path && s.Forbidden == RuleNone && s.maySelect(q) && Asked(c, s) {
			about = append(about, s)
		}
	}
	tag := c.Fields.Get("Etag")
	identified := slices.DeleteFunc(slices.Clone(about), func(s *Stored) bool { return s.Fields.Get("Etag") != tag })
	if tag == "" || strings.HasPrefix(tag, "W/") || len(identified) == 0 {
		at := max(slices.IndexFunc(about, func(s *Stored) bool { return s.Serial == shown }), 0)
		identified = about[at:min(len(about), at+1)]
	}
	for _, s := range slices.Backward(identified) {
		n := l.update(s, q, c)
		if n.Forbidden == RuleAuthorization || n.Forbidden == RuleRequest {
			// What the 304 says is for one client: for the others nothing happened.
			n.Held = false
			continue
		}
		s.Forbidden, s.Held = RuleSuperseded, false
	}
}

// Asked tells whether the request to the origin carried the validators of s.
func Asked(c Contact, s *Stored) bool {
	tag, modified := s.Fields.Get("Etag"), s.Fields.Get("Last-Modified")
	if tag == "" && modified == "" {
		return false
	}
	return c.Asked.Fields.Get("If-None-Match") == tag && c.Asked.Fields.Get("If-Modified-Since") == modified
}

// update adds the state of s after an answer that updates it (section 3.2).
func (l *Log) update(s *Stored, q Request, c Contact) *Stored {
	n := *s
	n.Checked, n.order = c.Checked, l.order
	n.Asked, n.Came = c.Response.Asked, c.Came
	n.Fields = Merged(s.Fields, c.Fields)
	n.For = append(slices.Clone(s.For), q)
	get := q
	get.Method = "GET"
	n.Forbidden = Storable(get, n.Response)
	was, _ := Varies(s.Fields)
	is, _ := Varies(n.Fields)
	n.Held = s.Held && n.Forbidden == RuleNone && slices.Equal(was, is)
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
func (l *Log) head(q Request, c Contact) {
	if ParseControl(q.Fields["Cache-Control"]).Has("no-store") || c.Status >= 500 {
		return
	}
	for _, s := range slices.Clone(l.stored) {
		if s.Path != q.Path || s.Forbidden != RuleNone || !s.maySelect(q) {
			continue
		}
		s.Held = false
		switch {
		case c.Status != http.StatusOK || s.Status != http.StatusOK && s.Status != http.StatusNonAuthoritativeInfo:
			// Only a 200 says something, and it confirms no error or redirect.
		case confirms(c, s):
			// Whether it was updated is the cache's choice (SHOULD): both states.
			l.update(s, q, c)
		case !s.Part && s.selects(q):
			s.Forbidden = RuleInvalidated
		}
	}
}

func confirms(c Contact, s *Stored) bool {
	for _, name := range []string{"Etag", "Last-Modified"} {
		if v := c.Fields[name]; v != nil && v[0] != s.Fields.Get(name) {
			return false
		}
	}
	return bytes.Equal(c.Whole, s.Body) || len(c.Whole) == len(s.Body)
}
