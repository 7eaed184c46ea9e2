package policy

import "time"

// Response is an answer of the origin as policy sees it: the status, the
// fields that EndToEnd left, and when it was asked for and when its header
// arrived (unix nanoseconds, on this node's clock).
type Response struct {
	Status       int
	Fields       Fields
	RequestTime  int64
	ResponseTime int64
}

// Storage says whether a response may be stored, and as what.
type Storage struct {
	// Reason is ReasonNone when the response may be stored, else why not; then
	// nothing else here means anything.
	Reason Reason
	// Freshness goes with the stored object.
	Freshness Freshness
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
	s.Vary = s.Vary.Counting(rule)
	l := lifetimeOf(rule, r, &c)
	s.Freshness = l.freshness(rule, r, &c)
	if s.Reason = l.useless(&s.Freshness, r, &c); s.Reason != ReasonNone {
		return s
	}
	s.Fields = Dated(storedFields(r.Fields, &c), r.ResponseTime)
	return s
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
	if s.Reason != ReasonNone {
		// Not to be stored again, and still the answer to whoever asked: whole,
		// and with no freshness for anybody else.
		c := controlOf(rule, r.Fields)
		s.Fields = storedFields(r.Fields, &c)
		s.Freshness = Freshness{Born: r.ResponseTime - initialAge(&r), MustRevalidate: true, NoCache: true}
	}
	return s
}

// sharable is what of an update is for everybody: its cookie only where the
// update states by itself that it may be shared. A cookie that comes without is
// for the client that caused the validation (RFC 9111 section 7.3).
func sharable(rule *Rule, fresh *Response) Fields {
	f := Dated(fresh.Fields, fresh.ResponseTime)
	if !f.Has("Set-Cookie") && !f.Has("Set-Cookie2") {
		return f
	}
	c := controlOf(rule, fresh.Fields)
	nanos, stated := c.lifetime(fresh)
	if c.public || stated && nanos > 0 && !c.noCache {
		return f
	}
	out := make(Fields, 0, len(f))
	for _, v := range f {
		if v.Name != "Set-Cookie" && v.Name != "Set-Cookie2" {
			out = append(out, v)
		}
	}
	return out
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
	case rule.Forgo.Cookies && (r.Fields.Has("Set-Cookie") || r.Fields.Has("Set-Cookie2")):
		return ReasonSetCookie
	case clientNoStore(rule, q):
		return ReasonRequestNoStore
	}
	return ReasonNone
}

func clientNoStore(rule *Rule, q *Request) bool {
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
	nanos     int64
	stated    bool // by the response
	local     bool // by the rule: counted from arrival, not from Born
	override  bool
	heuristic bool
	// storable: RFC 9111 section 3 lets a response of this kind be stored.
	storable bool
}

// lifetimeOf picks the lifetime: the rule's override, what the response
// states, the rule's negative or default one, the heuristic one.
func lifetimeOf(rule *Rule, r *Response, c *control) lifetime {
	var l lifetime
	l.nanos, l.stated = c.lifetime(r)
	cookie := r.Fields.Has("Set-Cookie") && !c.withholds("Set-Cookie")
	shared := c.public || l.stated && l.nanos > 0 && !c.noCache
	l.storable = (l.stated || c.public || Heuristic(r.Status)) && (!cookie || shared)
	ttl := &rule.TTL
	if l.storable && ttl.Override > 0 && r.Status < 500 {
		return lifetime{nanos: int64(ttl.Override), stated: l.stated, local: true, override: true, storable: true}
	}
	if l.stated {
		l.bound(ttl)
		return l
	}
	// Neither a guess nor a default may speak for a response that said it
	// wants validation, or that carries a cookie it did not mean for all.
	silent := !c.noCache && (!cookie || shared)
	if negative, ok := ttl.Negative[r.Status]; ok && r.Status >= 300 && silent {
		return lifetime{nanos: max(int64(negative), 0), local: true, storable: true}
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
		l.bound(ttl)
	}
	return l
}

// bound applies the rule's limits.
func (l *lifetime) bound(ttl *TTL) {
	l.nanos = max(l.nanos, int64(ttl.Min))
	if ttl.Max > 0 {
		l.nanos = min(l.nanos, int64(ttl.Max))
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

// freshness puts together what goes with the stored object.
func (l *lifetime) freshness(rule *Rule, r *Response, c *control) Freshness {
	age := initialAge(r)
	v := ValidatorsOf(r.Fields)
	f := Freshness{
		Born:           r.ResponseTime - age,
		Lifetime:       l.nanos,
		MustRevalidate: c.mustRevalidate || c.proxyRevalidate || c.sMaxAge.stated && !l.override,
		NoCache:        c.noCache && !l.override,
		Heuristic:      l.heuristic && l.nanos > 0,
		Validator:      v.Any(),
	}
	if l.local {
		f.Lifetime = addSat(f.Lifetime, age)
	}
	f.StaleWhileRevalidate = staleWindow(&c.staleWhileRevalidate, rule.TTL.StaleWhileRevalidate)
	f.StaleIfError = staleWindow(&c.staleIfError, rule.TTL.StaleIfError)
	return f
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
// neither served nor validated.
func (l *lifetime) useless(f *Freshness, r *Response, c *control) Reason {
	switch {
	case !l.storable && !Heuristic(r.Status) && !l.stated:
		return ReasonStatus
	case !l.storable:
		return ReasonSetCookie // that nothing makes shareable
	case f.Validator:
		return ReasonNone
	}
	var none ClientDirectives
	switch f.Use(&none, r.ResponseTime) {
	case UseFresh, UseStaleRevalidating:
		return ReasonNone
	}
	switch {
	case f.StaleIfErrorAllowed(&none, r.ResponseTime):
		return ReasonNone
	case l.stated || c.noCache:
		return ReasonExpired
	}
	return ReasonNoFreshness
}
