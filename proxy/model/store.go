package model

import (
	"math"
	"net/http"
	"slices"
	"time"
)

// Stored is one state of a response that the cache may have: as it came, or as
// a later answer updated it.
type Stored struct {
	// Serial tells the response from all others; Checked is that of the 304 or
	// HEAD that last updated it, 0 for none.
	Serial, Checked int
	Response
	// Part: it came as a 206, of which it has the status 200 here; parts may
	// have grown to the whole (section 3.4).
	Part bool
	// Cut: its body broke off.
	Cut bool
	// Body is the whole representation, whatever part of it came.
	Body []byte
	// For are the requests that it answered, as they reached the origin: the one
	// it came for, and those it was validated for.
	For []Request
	// Forbidden is why it must not be reused at all by requests that arrive
	// after Since.
	Forbidden Rule
	Since     Tick
	// Held: a cache of weir's kind has it for a kind of reader, whatever choice
	// the RFC leaves.
	Held [kinds]bool
	// began is when it was asked for, Began when it came, or was updated; order when
	// it was whole.
	began, Began, order Tick
}

// Tick orders what happens, also where no time passes.
type Tick int

// kinds of readers: those without cookies that count, and those with.
const (
	guest = iota
	visitor
	kinds
)

// Contact is one exchange with the origin. Each tick is 0 until it is due.
type Contact struct {
	// Cause is the request that caused it, as the client sent it.
	Cause Request
	// Asked is the request that reached the origin.
	Asked Request
	Response
	Trouble         Trouble
	Serial, Checked int
	// Sent is the body of the answer, Whole that of the representation.
	Sent, Whole []byte
	// Cut: the body ended before its length. Length: it is stated, with HEAD.
	// Dropped: the cache did not read it to its end.
	Cut, Length, Dropped bool
	// Client is the number of the request that caused it.
	Client int
	// AskedTick, CameTick and DoneTick are when the request, the header of the
	// answer and the end of its body were there.
	AskedTick, CameTick, DoneTick Tick
	// added is what the log made of it when its header came.
	added *Stored
}

// Log is every response that the cache may have.
type Log struct {
	Policy
	stored []*Stored
	// invalidated is when an unsafe request last succeeded, by path.
	invalidated map[string]Tick
}

// Find returns the states with these serials, none for an answer that no
// response of that path explains.
func (l *Log) Find(path string, serial, checked int) []*Stored {
	var out []*Stored
	for _, s := range l.stored {
		if s.path() == path && s.Serial == serial && s.Checked == checked {
			out = append(out, s)
		}
	}
	return out
}

func (s *Stored) path() string { return s.For[0].Path }

// kind is the kind of reader that a request is.
func (l *Log) kind(q Request) int {
	if l.CookieFree(q) {
		return guest
	}
	return visitor
}

// Moment is the one at which a request that arrived at a tick looks at s.
func (l *Log) Moment(s *Stored, q Request, arrived Tick, at time.Time, trouble Trouble) Moment {
	return Moment{
		At: at, Trouble: trouble, Waited: arrived < s.Began,
		Free: l.CookieFree(q) && l.CookieFree(s.For[len(s.For)-1]),
	}
}

// Usable is why s must not answer q, which arrived at a tick, without
// validation; RuleNone where it may.
func (l *Log) Usable(s *Stored, q Request, arrived Tick, m Moment) Rule {
	switch {
	case s.Forbidden == RuleRequest && m.Waited && Reloads(q) == ReloadNoStore:
		// Nothing is stored for a client that asks with no-store, but others who
		// ask so may share what comes.
	case s.Forbidden != RuleNone && s.Since < arrived:
		return s.Forbidden
	}
	if !l.SameKey(s.For[0], q) {
		return RuleKey
	}
	if !l.maySelect(s, q) {
		return RuleVary
	}
	if rule := l.Reuse(s.Response, q, m); rule != RuleNone {
		return rule
	}
	kind := l.kind(q)
	for _, n := range l.stored {
		switch {
		case n == s || n.order == 0 || n.order > arrived || !n.Held[kind] || !l.SameKey(n.For[0], q) || !l.selects(n, q):
		case s.order != 0 && n.order > s.order && !s.beside(n) && !date(n.Response).Before(date(s.Response)):
			// Section 4: the most recent by Date; of an older one weir keeps nothing.
			return RuleSuperseded
		case n.order < s.Began && Error(s.Status) && !Error(n.Status) && l.mustReuse(n, q, m.At):
			return RuleDisplaced
		}
	}
	return RuleNone
}

// AtHand returns a stored response that the origin must not be asked for.
func (l *Log) AtHand(q Request, now time.Time) *Stored {
	return l.held(q, func(s *Stored) bool { return l.mustReuse(s, q, now) })
}

// StaleAtHand returns a stored response that must answer while the origin is
// asked for another.
func (l *Log) StaleAtHand(q Request, now time.Time) *Stored {
	return l.held(q, func(s *Stored) bool { return l.MustServeStale(s.Response, q, l.surely(s, q, now)) })
}

// beside reports whether two responses were on their way side by side: nothing
// says then which of them a cache keeps, the one whose header came last or the one
// whose body did.
func (s *Stored) beside(n *Stored) bool {
	return s != n && s.began < max(n.order, n.Began) && n.began < max(s.order, s.Began)
}

func (l *Log) held(q Request, use func(*Stored) bool) *Stored {
	if q.Method != "GET" && q.Method != "HEAD" {
		return nil
	}
	kind := l.kind(q)
	for _, s := range l.stored {
		if s.Held[kind] && l.SameKey(s.For[0], q) && l.selects(s, q) && use(s) {
			return s
		}
	}
	return nil
}

func (l *Log) mustReuse(s *Stored, q Request, now time.Time) bool {
	return l.MustReuse(s.Response, q, l.surely(s, q, now))
}

// surely is the moment for what a cache must do: every request that s answered
// has to be cookie-free, and for weir without credentials.
func (l *Log) surely(s *Stored, q Request, now time.Time) Moment {
	free := !slices.ContainsFunc(append(s.For[:len(s.For):len(s.For)], q), func(r Request) bool {
		return !l.CookieFree(r) || r.Fields["Authorization"] != nil
	})
	return Moment{At: now, Free: free}
}

func (l *Log) maySelect(s *Stored, q Request) bool {
	q = l.Sent(q)
	return slices.ContainsFunc(s.For, func(was Request) bool { return MaySelect(s.Fields, was, q) })
}

// selects is by the request it came for, and without weir's additions.
func (l *Log) selects(s *Stored, q Request) bool { return Selects(s.Fields, s.For[0], l.Sent(q)) }

// Came notes that the header of an answer is there. Shown is the serial of the
// response that the request which caused it was answered with, 0 for none yet.
func (l *Log) Came(c *Contact, shown int) {
	q := c.Cause
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
		if l.Storable(q, c.Response) == RuleNone {
			q.Method = "GET"
			l.add(q, c, RuleNone)
		}
	case c.Status == http.StatusNotModified:
		l.validated(q, c, shown)
	default:
		part := c.Status == http.StatusPartialContent
		r := c.Response
		if part {
			r.Status = http.StatusOK // section 3.3: what it is a part of
		}
		l.add(q, c, l.Storable(q, r))
		c.added.Part = part
		c.added.Status = r.Status
	}
}

// Done notes that the body of an answer has ended.
func (l *Log) Done(c *Contact) {
	n := c.added
	if n == nil {
		return
	}
	n.order = c.DoneTick
	if n.Forbidden == RuleBody {
		n.Since = c.DoneTick
	}
	switch {
	case n.Forbidden != RuleNone || c.Dropped || c.Fields["Content-Range"] != nil || Error(n.Status):
	case l.binds(n):
		// It is for its client alone, and none of the others is worse off.
	case l.worthKeeping(n):
		n.Held = [kinds]bool{true, true}
		l.replace(n)
	}
}

// binds reports whether n is an answer to a request with cookies, and not for
// others unless the origin confirms it.
func (l *Log) binds(n *Stored) bool {
	q := n.For[len(n.For)-1]
	_, life := l.Lifetime(n.Response, false)
	return (!l.CookieFree(q) || q.Fields["Authorization"] != nil) && (life <= Age(n.Response, n.Came) ||
		l.Reuse(n.Response, Request{Method: "GET", Path: n.path()}, Moment{At: n.Came}) != RuleNone)
}

// add notes a response, and lets go of what it shows to be history.
func (l *Log) add(q Request, c *Contact, forbidden Rule) {
	n := &Stored{
		Serial: c.Serial, Response: c.Response, Body: c.Whole, For: []Request{l.Sent(q)},
		Forbidden: forbidden, began: c.AskedTick, Began: c.CameTick, Cut: c.Cut,
	}
	c.added = n
	if at := l.invalidated[q.Path]; c.Asked.Method == "GET" && c.AskedTick < at && n.Forbidden == RuleNone {
		n.Forbidden, n.Since = RuleInvalidated, at
	}
	ofRequest := n.Forbidden == RuleAuthorization || n.Forbidden == RuleRequest
	switch {
	case ofRequest, Error(c.Status):
		// It says nothing about what is stored.
	case l.binds(n), n.Forbidden != RuleNone && !l.CookieFree(n.For[0]):
		l.letGo(q.Path, visitor)
	case !l.worthKeeping(n):
		l.letGo(q.Path, guest, visitor)
	}
	if c.Cut && n.Forbidden == RuleNone {
		// Section 3.3: it is not complete. Whoever comes until then gets as much.
		n.Forbidden, n.Since = RuleBody, math.MaxInt
	}
	l.stored = append(l.stored, n)
}

// worthKeeping is false where the RFC lets a cache store and weir may not: what
// could be neither served nor validated, cookies, and failures.
func (l *Log) worthKeeping(s *Stored) bool {
	_, life := l.Lifetime(s.Response, l.CookieFree(s.For[0]))
	c, _ := Governing(s.Fields)
	useful := life > Age(s.Response, s.Came) && !c.Plain("no-cache") || s.Fields["Etag"] != nil || s.Fields["Last-Modified"] != nil
	_, star := Varies(s.Fields)
	return s.Forbidden == RuleNone && !star && useful && s.Fields["Set-Cookie"] == nil && s.Status < 500 &&
		s.Status != http.StatusRequestedRangeNotSatisfiable
}

// replace lets go of what weir forgets for n: the same variant, and everything
// where the Vary list is another.
func (l *Log) replace(n *Stored) {
	names, _ := Varies(n.Fields)
	for _, s := range l.stored {
		if s == n || !l.SameKey(s.For[0], n.For[0]) {
			continue
		}
		was, _ := Varies(s.Fields)
		if !slices.Equal(was, names) || Selects(n.Fields, n.For[0], s.For[0]) {
			s.Held = [kinds]bool{}
		}
	}
}

func (l *Log) letGo(path string, which ...int) {
	for _, s := range l.stored {
		if s.path() == path {
			for _, kind := range which {
				s.Held[kind] = false
			}
		}
	}
}

// unsafe is section 4.4. The URLs in Location and Content-Location are a MAY
// there; weir takes it.
func (l *Log) unsafe(q Request, c *Contact) {
	if c.Status < 200 || c.Status > 399 {
		return
	}
	for _, path := range []string{q.Path, c.Fields.Get("Location"), c.Fields.Get("Content-Location")} {
		if path == "" {
			continue
		}
		l.invalidated[path] = c.CameTick
		for _, s := range l.stored {
			if s.path() == path {
				s.forbid(RuleInvalidated, c.CameTick)
			}
		}
	}
}

// forbid ends the use of s for requests that arrive after a tick.
func (s *Stored) forbid(rule Rule, since Tick) {
	s.Held = [kinds]bool{}
	if s.Forbidden == RuleNone {
		s.Forbidden, s.Since = rule, since
	}
}

// Asked reports whether the request to the origin carried a validator of s, and
// none of another (section 4.3.1).
func Asked(c *Contact, s *Stored) bool {
	carried := false
	for condition, validator := range map[string]string{"If-None-Match": "Etag", "If-Modified-Since": "Last-Modified"} {
		switch value := c.Asked.Fields.Get(condition); {
		case value == "":
		case value != s.Fields.Get(validator):
			return false
		default:
			carried = true
		}
	}
	return carried
}
