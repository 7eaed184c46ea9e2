package policy

import (
	"slices"
	"time"
)

// Response is an answer of the origin as policy sees it: the status, the
// fields that EndToEnd left, and when it was asked for and when its header
// arrived (unix nanoseconds, on this node's clock).
type Response struct {
	Status       int
	Fields       Fields
	RequestTime  int64
	ResponseTime int64
	// Behind is by how much the wall clock, which the origin's Date is held
	// against, is behind those two: it was set back (nanoseconds).
	Behind int64
}

// arrived is ResponseTime by the wall clock.
func (r *Response) arrived() int64 { return r.ResponseTime - r.Behind }

// Dated returns the fields of the response, with its arrival as Date where it has none.
func (r *Response) Dated() Fields { return Dated(r.Fields, r.arrived()) }

// Storage says whether a response may be stored, and as what.
type Storage struct {
	// Reason is ReasonNone when the response may be stored, else why not. The rest
	// means something only then, and where Unstored reports true.
	Reason Reason
	// Freshness goes with the stored object.
	Freshness Freshness
	// Waiting is Freshness for requests that were waiting when the response
	// arrived: its age counts from then, without the time that the origin took.
	// Else a short lifetime from a slow origin would answer none of them.
	Waiting Freshness
	// Vary selects the variant.
	Vary VarySpec
	// Fields is what is stored: dated, without Age, and without the fields
	// that private="..." keeps for private caches and that no-cache="..." ties
	// to validation. The client that caused the fetch gets Response.Fields.
	Fields Fields
}

// Decide applies RFC 9111 section 3 to a response of the origin: may a shared
// cache store it under this rule, and how long is it fresh (section 4.2).
func Decide(rule *Rule, q *Request, r *Response) Storage {
	c := controlOf(rule, r.Fields)
	s := Storage{Reason: forbidden(rule, q, r, &c)}
	if s.Reason != ReasonNone {
		return s
	}
	if s.Vary, s.Reason = ParseVary(r.Fields.Values("Vary")); s.Reason != ReasonNone {
		return s
	}
	if s.Vary = s.Vary.Counting(rule); slices.ContainsFunc(s.Vary.Names, ofTheClient) {
		s.Reason = ReasonVaryForwarded
		return s
	}
	if s.Reason = doubtful(rule, q, r); s.Reason != ReasonNone {
		return s
	}
	l := lifetimeOf(rule, q, r, &c)
	s.Freshness, s.Waiting = l.freshness(rule, r, &c)
	s.Fields = Dated(storedFields(rule, r.Fields, &c), r.arrived())
	if s.Reason = l.useless(rule, q, &s.Freshness, r, &c); s.staleByDate(r) {
		s.Reason = ReasonClockSkew
	}
	if (s.Reason == ReasonNone || s.Unstored(r.ResponseTime)) && NoStoreAsked(rule, q) {
		s.Reason = ReasonRequestNoStore
	}
	return s
}

// Unstored reports whether a response that is not stored may reach those who
// waited for it all the same: the request's no-store is all that forbids storing
// it, or it is too old to be stored only because of the time that the origin
// took, or of a Date that is off.
func (s *Storage) Unstored(now int64) bool {
	switch s.Reason {
	case ReasonRequestNoStore:
		return true
	case ReasonExpired, ReasonClockSkew:
		return s.Waiting.ServesOthers(now)
	}
	return false
}

// Refresh decides about a stored response of that status and those fields
// after an answer that updates it: a 304 (RFC 9111 section 4.3.4) or, where
// HeadUpdates allows it, a HEAD (section 4.3.5). A Reason other than ReasonNone
// means that the object goes after this use.
func Refresh(rule *Rule, q *Request, status int, stored Fields, fresh *Response) Storage {
	r := *fresh
	r.Status = status
	r.Fields = Merge(stored, sharable(rule, fresh))
	s := Decide(rule, q, &r)
	if s.Reason != ReasonNone && s.Reason != ReasonRequestNoStore {
		// Not to be stored again, and still the answer to whoever asked: whole,
		// and with no freshness for anybody else.
		c := controlOf(rule, r.Fields)
		s.Fields = storedFields(rule, r.Fields, &c)
		s.Freshness = Freshness{Born: r.ResponseTime - initialAge(&r), MustRevalidate: true, NoCache: true}
		s.Waiting = s.Freshness
	}
	return s
}

// sharable is what of an update is for everybody: its cookie only where the rule
// stores cookies and the update states by itself that it may be shared. A cookie
// that comes without is for the client that caused the validation (RFC 9111
// section 7.3).
func sharable(rule *Rule, fresh *Response) Fields {
	f := fresh.Dated()
	if !setsCookie(f) {
		return f
	}
	c := controlOf(rule, fresh.Fields)
	nanos, stated := c.lifetime(fresh)
	if rule.storesCookies() && (c.public || stated && nanos > 0 && !c.noCache) {
		return f
	}
	return withoutCookies(f)
}

func setsCookie(f Fields) bool { return f.Has("Set-Cookie") || f.Has("Set-Cookie2") }

func isSetCookie(name string) bool { return name == "Set-Cookie" || name == "Set-Cookie2" }

func withoutCookies(f Fields) Fields {
	out := make(Fields, 0, len(f))
	for _, v := range f {
		if !isSetCookie(v.Name) {
			out = append(out, v)
		}
	}
	return out
}

// storesCookies reports whether Set-Cookie may be stored with a response.
func (r *Rule) storesCookies() bool { return r.Cookies == CookiesAuto && !r.Forgo.Cookies }

// carriesCookie reports whether the response sets a cookie that storing it would
// show to others: not one that it withholds itself, and not where the rule says
// that cookies change nothing, since the field is then left out.
func carriesCookie(rule *Rule, r *Response, c *control) bool {
	return rule.Cookies == CookiesAuto && setsCookie(r.Fields) && !c.withholds("Set-Cookie")
}

// forbidden is why a response must not be stored, whatever its freshness.
func forbidden(rule *Rule, q *Request, r *Response, c *control) Reason {
	understood := Understood(r.Status)
	switch {
	case rule.Pass:
		return ReasonPolicy
	case q.Method != "GET" && !PostReusable(rule, q, r):
		return ReasonMethod
	case r.Status == 206:
		return ReasonPartial
	case !storableStatus(r.Status), c.mustUnderstand && !understood:
		return ReasonStatus
	case c.noStore && (rule.Forgo.MustUnderstand || !c.mustUnderstand || !understood):
		return ReasonNoStore
	case c.private:
		return ReasonPrivate
	case q.Authorization != nil && (rule.Forgo.Authorization || !c.public && !c.mustRevalidate && !c.sMaxAge.valid):
		return ReasonAuthorization
	case rule.Forgo.Cookies && carriesCookie(rule, r, c):
		return ReasonSetCookie
	case q.Method != "GET" && rule.Cookies == CookiesStrip && !rule.CookieFree(q):
		// It was made with cookies, for GETs that never show theirs.
		return ReasonCookie
	}
	return ReasonNone
}

// NoStoreAsked reports whether the request forbids storing any part of it or of
// its answer (RFC 9111 section 5.2.1.5).
func NoStoreAsked(rule *Rule, q *Request) bool {
	return !rule.IgnoreClient && q.CacheControl != nil && hasDirective(q.CacheControl, "no-store")
}

// storableStatus is false for what is no final answer about the target itself:
// 1xx, answers to the request's own preconditions or ranges, and the status
// codes that RFC 6585 forbids caches to store.
func storableStatus(status int) bool {
	switch status {
	case 206, 304, 412, 416, 428, 429, 431, 511:
		return false
	}
	return status >= 200 && status <= 599
}

// Understood tells whether weir does all that a status code asks of a cache
// (RFC 9111 section 3, must-understand): the codes of RFC 9110 section 15.
func Understood(status int) bool {
	switch {
	case status >= 200 && status <= 206, status >= 300 && status <= 305, status == 307, status == 308:
		return true
	case status >= 400 && status <= 417, status == 421, status == 422, status == 426:
		return true
	}
	return status >= 500 && status <= 505
}

// Heuristic tells whether a response of that status may be stored without
// saying so (RFC 9110 section 15.1).
func Heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// lifetime is where a response's freshness lifetime comes from.
type lifetime struct {
	nanos int64
	// own is what the response itself states, 0 when that is nothing or counts for
	// nothing.
	own       int64
	stated    bool // by the response
	local     bool // by the rule: counted from arrival, not from Born
	override  bool
	heuristic bool
	// personal: the request may have got an answer of its own, so that only what
	// is stated counts.
	personal bool
	// storable: RFC 9111 section 3 lets a response of this kind be stored.
	storable bool
}

// lifetimeOf picks the lifetime: the rule's override, what the response
// states, the rule's negative or default one, the heuristic one.
func lifetimeOf(rule *Rule, q *Request, r *Response, c *control) lifetime {
	var l lifetime
	l.nanos, l.stated = c.lifetime(r)
	if l.own = l.nanos; c.noCache {
		l.own = 0
	}
	l.personal = rule.Personal(q)
	cookie := carriesCookie(rule, r, c)
	shared := c.public || l.stated && l.nanos > 0 && !c.noCache
	l.storable = (l.stated || c.public || Heuristic(r.Status)) && (!cookie || shared)
	ttl := &rule.TTL
	switch {
	case l.personal:
		l.atMost(ttl)
		return l
	case l.storable && ttl.Override > 0 && r.Status < 400:
		l.nanos, l.local, l.override = int64(ttl.Override), true, true
		return l
	case l.stated:
		l.nanos = max(l.nanos, int64(ttl.Min))
		l.atMost(ttl)
		return l
	}
	// Neither a guess nor a default may speak for a response that said it
	// wants validation, or that carries a cookie it did not mean for all.
	silent := !c.noCache && (!cookie || shared)
	if negative, ok := ttl.Negative[r.Status]; ok && r.Status >= 300 && silent {
		l.nanos, l.local, l.storable = max(int64(negative), 0), true, true
		return l
	}
	if !l.storable || !silent || !c.present && hasDirective([]byte(r.Fields.Joined("Pragma")), "no-cache") {
		return l
	}
	if ttl.Default > 0 && r.Status < 400 {
		l.nanos, l.local = int64(ttl.Default), true
		return l
	}
	if !ttl.NoHeuristic {
		l.nanos, l.heuristic = heuristicLifetime(ttl, r), true
		l.atMost(ttl)
	}
	return l
}

// atMost applies the rule's upper limit.
func (l *lifetime) atMost(ttl *TTL) {
	if ttl.Max > 0 {
		l.nanos, l.own = min(l.nanos, int64(ttl.Max)), min(l.own, int64(ttl.Max))
	}
}

// heuristicLifetime is a fraction of the time the representation had already
// been unchanged when it was sent (RFC 9111 section 4.2.2).
func heuristicLifetime(ttl *TTL, r *Response) int64 {
	modified, ok := ParseDateAt(r.Fields.Get("Last-Modified"), r.ResponseTime/second)
	if !ok {
		return 0
	}
	fraction := ttl.HeuristicFraction
	if !(fraction > 0 && fraction <= 1) {
		fraction = 0.1
	}
	most := ttl.HeuristicMax
	if most <= 0 {
		most = DefaultHeuristicMax
	}
	unchanged := clampSeconds(dateOf(r) - modified)
	return min(int64(float64(unchanged)*fraction*float64(time.Second)), int64(most))
}

// freshness puts together what goes with the stored object, and what holds for
// those who wait for it.
func (l *lifetime) freshness(rule *Rule, r *Response, c *control) (stored, waiting Freshness) {
	age := initialAge(r)
	v := ValidatorsOf(r.Fields)
	f := Freshness{
		Born: r.ResponseTime - age, Lifetime: l.nanos, Stated: min(l.own, l.nanos), Came: r.ResponseTime,
		NoCache:   c.noCache && !l.override,
		Heuristic: l.heuristic && l.nanos > 0,
		Validator: v.Any(),
	}
	if l.local {
		f.Lifetime = addSat(f.Lifetime, age)
	}
	l.stale(rule, c, &f)
	if most, bounded := rule.TTL.errorMax(r.Status); bounded {
		// Whatever it states: it may have been provoked, and nobody is helped by
		// an error that is over.
		most = addSat(most, age)
		f.Lifetime, f.Stated = min(f.Lifetime, most), min(f.Stated, most)
		f.StaleWhileRevalidate, f.StaleIfError, f.MustRevalidate, f.Overridden = -1, -1, true, false
	}
	waiting = f
	delay := age - statedAge(r)
	waiting.Born += delay
	if l.local {
		waiting.Lifetime -= delay
	}
	return f, waiting
}

// stale sets how long the response may be served stale. s-maxage forbids what
// the response does not itself state (RFC 9111 section 5.2.2.10, RFC 5861);
// must-revalidate and proxy-revalidate forbid that too, except where the rule
// overrides them.
func (l *lifetime) stale(rule *Rule, c *control, f *Freshness) {
	ttl := &rule.TTL
	forbidden := c.mustRevalidate && ttl.StaleDespite&DespiteMustRevalidate == 0 ||
		c.proxyRevalidate && ttl.StaleDespite&DespiteProxyRevalidate == 0
	own := c.sMaxAge.stated && !l.override && ttl.StaleDespite&DespiteSMaxAge == 0
	f.MustRevalidate = c.mustRevalidate || c.proxyRevalidate || c.sMaxAge.stated
	f.Overridden = f.MustRevalidate && !forbidden && !own
	f.StaleWhileRevalidate, f.StaleIfError = -1, -1
	if forbidden {
		return
	}
	revalidating, failing := ttl.StaleWhileRevalidate, ttl.StaleIfError
	if own {
		revalidating, failing = 0, 0
	}
	f.StaleIfError = staleWindow(&c.staleIfError, failing)
	switch {
	case f.Lifetime > 0:
		f.StaleWhileRevalidate = staleWindow(&c.staleWhileRevalidate, revalidating)
	case l.stated:
		// What was never fresh is stale for others by the response's word only.
		f.StaleWhileRevalidate = staleWindow(&c.staleWhileRevalidate, 0)
	}
}

// errorMax is the longest that a response of that status is kept, in
// nanoseconds; bounded is false where there is no bound: 404, 410 and 451 say
// something lasting about the resource.
func (t *TTL) errorMax(status int) (nanos int64, bounded bool) {
	switch {
	case status < 400, status == 404, status == 410, status == 451:
		return 0, false
	}
	if negative, named := t.Negative[status]; named {
		return max(int64(negative), 0), true
	}
	if t.ErrorMax == 0 {
		return int64(DefaultErrorMax), true
	}
	return max(int64(t.ErrorMax), 0), true
}

// staleWindow prefers what the response states to what the rule gives.
func staleWindow(d *delta, rule time.Duration) int64 {
	switch {
	case d.stated:
		return d.nanos()
	case rule > 0:
		return int64(rule)
	}
	return -1
}

// useless is why a response that may be stored is not worth it: it could be
// neither served nor validated, or it may be its asker's own.
func (l *lifetime) useless(rule *Rule, q *Request, f *Freshness, r *Response, c *control) Reason {
	served := f.ServesOthers(r.ResponseTime)
	_, bounded := rule.TTL.errorMax(r.Status)
	switch {
	case !l.storable && !Heuristic(r.Status) && !l.stated:
		return ReasonStatus
	case !l.storable:
		return ReasonSetCookie // that nothing makes shareable
	case l.personal && !l.stated && !c.noCache, l.personal && !served && ValidatorsOf(r.Fields).ETag == "":
		// Last-Modified says nothing about whose page it is.
		return ReasonCookie
	case served:
		return ReasonNone
	case bounded:
		return ReasonExpired
	case f.Validator:
		return ReasonNone
	}
	stale := NewAsker(rule, q)
	stale.ClientDirectives = ClientDirectives{}
	switch {
	case f.Reusable(&stale, OnFailure, r.ResponseTime) != UseRevalidate:
		return ReasonNone
	case l.stated || c.noCache:
		return ReasonExpired
	}
	return ReasonNoFreshness
}

// FailureIsPublic reports whether the words of a failure may reach others who
// waited for the same answer: they are neither for the asker alone nor withheld
// from shared caches.
func FailureIsPublic(rule *Rule, q *Request, r *Response) bool {
	c := controlOf(rule, r.Fields)
	return !setsCookie(r.Fields) && !c.private && !c.noStore && len(c.withheld) == 0 && q.Authorization == nil && Anonymous(q)
}

// StatesValidation reports whether the response itself says that it answers
// nobody without validation, whoever asks.
func StatesValidation(rule *Rule, r *Response) bool {
	c := controlOf(rule, r.Fields)
	nanos, stated := c.lifetime(r)
	if rule.TTL.Override > 0 {
		return false
	}
	return c.noCache || stated && nanos <= 0 && rule.TTL.Min <= 0 && c.staleWhileRevalidate.nanos() <= 0
}

// Lasting reports whether a status says something lasting about the resource,
// rather than about one request or the origin's state.
func Lasting(status int) bool {
	return status < 400 || status == 404 || status == 410 || status == 451
}

// StandsInAt reports whether the response is fresh, or may still stand in when
// the origin fails or cannot be reached.
func (f *Freshness) StandsInAt(rule *Rule, now int64) bool {
	nobody := Asker{rule: rule, request: &Request{}}
	return f.Reusable(&nobody, OnOutage, now) != UseRevalidate || f.ServesOthers(now)
}

// NeedsValidation reports whether the response serves nobody without validation,
// however new it is.
func (f *Freshness) NeedsValidation() bool {
	return f.NoCache || f.Lifetime <= 0 && f.StaleWhileRevalidate <= 0
}

// FreshAt reports whether the response is fresh, and needs no validation.
func (f *Freshness) FreshAt(now int64) bool { return !f.NoCache && f.TTL(now) > 0 }

// ServesOthers reports whether a request without directives, cookies or
// credentials of its own would be answered without asking the origin.
func (f *Freshness) ServesOthers(now int64) bool {
	return !f.NoCache && (f.TTL(now) > 0 || -f.TTL(now) < f.StaleWhileRevalidate)
}
