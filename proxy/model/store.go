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
// conditions in it were the cache's own.
func (l *Log) Learn(q Request, c Contact, ours bool) {
	l.order++
	switch {
	case c.Trouble == Unreachable:
	case q.Method == "HEAD":
		l.head(q, c)
	case q.Method != "GET":
		l.unsafe(q, c)
		if Storable(q, c.Response) == RuleNone {
			q.Method = "GET"
			l.add(q, c, RuleNone)
		}
	case c.Status == http.StatusNotModified && ours:
		l.validated(q, c)
	case c.Status == http.StatusNotModified:
		l.letGo(q.Path)
	default:
		r := c.Response
		if r.Status == http.StatusPartialContent {
			r.Status = http.StatusOK // section 3.3: a part is stored as what it is a part of
		}
		l.add(q, c, Storable(q, r))
	}
}

// add stores a response and lets go of what it replaces.
func (l *Log) add(q Request, c Contact, forbidden Rule) {
	n := &Stored{
		Serial: c.Serial, Path: q.Path, Response: c.Response, Body: c.Whole, For: []Request{q},
		Forbidden: forbidden, order: l.order,
	}
	if c.Cut {
		n.Forbidden = RuleBody // section 3.3: it is not complete
	}
	ofRequest := n.Forbidden == RuleAuthorization || n.Forbidden == RuleRequest
	switch {
	case ofRequest, n.Forbidden != RuleNone && c.Status >= 500, c.Cut:
		// It says nothing about what is stored.
	case !n.worthKeeping():
		// Weir forgets what is there, and goes alone for a while.
		l.letGo(q.Path)
	default:
		n.Held = c.Status != http.StatusPartialContent
		l.replace(n, q)
	}
	l.stored = append(l.stored, n)
}

// worthKeeping is false where the RFC lets a cache store and weir may not: what
// could be neither served nor validated, cookies, and failures.
func (s *Stored) worthKeeping() bool {
	_, life := Lifetime(s.Response)
	useful := life > Age(s.Response, s.Came) || s.Fields["Etag"] != nil || s.Fields["Last-Modified"] != nil
	return s.Forbidden == RuleNone && useful && s.Fields["Set-Cookie"] == nil && s.Status < 500 &&
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

// validated is section 4.3.4 with the choice of section 4.3.3: a strong
// validator concerns all responses that have it, another the most recent one.
func (l *Log) validated(q Request, c Contact) {
	tag := c.Fields.Get("Etag")
	strong := tag != "" && !strings.HasPrefix(tag, "W/")
	for _, s := range slices.Backward(slices.Clone(l.stored)) {
		if s.Path != q.Path || s.Forbidden != RuleNone || !s.maySelect(q) || !Asked(c, s) {
			continue
		}
		if strong && s.Fields.Get("Etag") != tag {
			continue
		}
		l.update(s, q, c)
		s.Forbidden, s.Held = RuleSuperseded, false
		if !strong {
			return
		}
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
		case c.Status != http.StatusOK || s.Status != http.StatusOK:
		case confirms(c, s):
			// Whether it was updated is the cache's choice (SHOULD): both states.
			l.update(s, q, c)
		default:
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
