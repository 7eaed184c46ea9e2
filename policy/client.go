package policy

// ClientDirectives is what a request's Cache-Control (or Pragma) asks of the
// cache (RFC 9111 section 5.2.1, RFC 5861 section 4). The zero value asks
// nothing. Times are nanoseconds, and count when the flag beside them is set.
type ClientDirectives struct {
	MaxAge, MaxStale, MinFresh, StaleIfError             int64
	HasMaxAge, HasMaxStale, HasMinFresh, HasStaleIfError bool
	NoCache, NoStore, OnlyIfCached                       bool
}

// Asker is a request as it asks for a response that it did not cause.
type Asker struct {
	ClientDirectives
	rule     *Rule
	request  *Request
	personal personality
}

// personality is what is known of whether a request is somebody's own.
type personality uint8

const (
	personalityUnknown personality = iota
	personalityNone
	personalityOwn
)

// NewAsker returns q as it asks under the rule. Both must outlive the asker.
func NewAsker(rule *Rule, q *Request) Asker {
	return Asker{ClientDirectives: ParseClient(rule, q), rule: rule, request: q}
}

// Personal reports whether the request carries what may make its answer another
// than everybody's: see Rule.Personal.
func (a *Asker) Personal() bool {
	if a.personal == personalityUnknown {
		a.personal = personalityNone
		if a.rule.Personal(a.request) {
			a.personal = personalityOwn
		}
	}
	return a.personal == personalityOwn
}

// reloadWindow is how long after it came a response answers those who ask for
// one that the origin has just confirmed, in nanoseconds: RFC 9111 section
// 5.2.1.4 has them prefer that, and a crowd's reloads must not become the
// origin's load.
const reloadWindow = second

// accepts reports whether the request's own limits on age let a response pass
// that has ttl left. Whoever asks for a confirmed one does not get another in
// place of an origin that could not confirm it.
func (a *Asker) accepts(f *Freshness, on Occasion, ttl, now int64) bool {
	reload := a.NoCache || a.NoStore || a.HasMaxAge && a.MaxAge == 0
	switch {
	case reload:
		// Came may be ahead of a clock that was set back, and then proves nothing.
		since := subSat(now, f.Came)
		return on == OnRequest && -reloadWindow < since && since < reloadWindow
	case a.HasMaxAge && subSat(now, f.Born) > a.MaxAge:
		return false
	}
	return !a.HasMinFresh || ttl >= a.MinFresh
}

// anyStale is a max-stale without an argument.
const anyStale = int64(1<<63 - 1)

// ParseClient reads the caching directives of a request. Pragma counts only
// where there is no Cache-Control (RFC 9111 section 5.4). A max-age that cannot
// be read counts as 0; a max-stale, min-fresh or stale-if-error that cannot be
// read is ignored. Allocates nothing.
func ParseClient(rule *Rule, q *Request) ClientDirectives {
	var d ClientDirectives
	if rule.IgnoreClient {
		return d
	}
	if q.CacheControl == nil {
		if q.Pragma != nil {
			d.NoCache = hasDirective(q.Pragma, "no-cache")
		}
		return d
	}
	value := q.CacheControl
	for {
		member, rest, ok := nextDirective(value)
		if !ok {
			return d
		}
		value = rest
		d.add(&member)
	}
}

func hasDirective(value []byte, name string) bool {
	for {
		member, rest, ok := nextDirective(value)
		if !ok {
			return false
		}
		if is(member.name, name) {
			return true
		}
		value = rest
	}
}

// add takes one directive; of repeated ones the most demanding holds.
func (d *ClientDirectives) add(m *directive[[]byte]) {
	seconds, ok := parseDelta(m.arg)
	ok = ok && !m.bad
	nanos := seconds * second
	switch {
	case is(m.name, "no-cache"):
		d.NoCache = true
	case is(m.name, "no-store"):
		d.NoStore = true
	case is(m.name, "only-if-cached"):
		d.OnlyIfCached = true
	case is(m.name, "max-age"):
		if !ok {
			nanos = 0
		}
		least(&d.MaxAge, &d.HasMaxAge, nanos)
	case is(m.name, "max-stale"):
		if !m.hasArg && !m.bad {
			nanos, ok = anyStale, true
		}
		if ok {
			least(&d.MaxStale, &d.HasMaxStale, nanos)
		}
	case is(m.name, "min-fresh"):
		if ok {
			d.MinFresh, d.HasMinFresh = max(d.MinFresh, nanos), true
		}
	case is(m.name, "stale-if-error"):
		if ok {
			least(&d.StaleIfError, &d.HasStaleIfError, nanos)
		}
	}
}

func least(value *int64, has *bool, nanos int64) {
	if !*has || nanos < *value {
		*value, *has = nanos, true
	}
}
