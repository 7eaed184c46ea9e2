package policy

// ClientDirectives is what a request's Cache-Control (or Pragma) asks of the
// cache (RFC 9111 section 5.2.1, RFC 5861 section 4). The zero value asks
// nothing. Times are nanoseconds, and count when the flag beside them is set.
type ClientDirectives struct {
	MaxAge, MaxStale, MinFresh, StaleIfError             int64
	HasMaxAge, HasMaxStale, HasMinFresh, HasStaleIfError bool
	NoCache, NoStore, OnlyIfCached                       bool
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
