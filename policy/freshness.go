package policy

// Freshness is all that deciding about reuse takes, worked out when the
// response is stored. Fixed size, plain values: it is written to disk with the
// object. Values that no Decide would produce (a damaged disk) do no harm: the
// arithmetic saturates.
type Freshness struct {
	// Born is the moment, in unix nanoseconds, at which the response's age was
	// zero (RFC 9111 section 4.2.3).
	Born int64
	// Lifetime is how long after Born the response is fresh, in nanoseconds.
	Lifetime int64
	// StaleWhileRevalidate and StaleIfError are how long after that it may
	// still serve (RFC 5861), in nanoseconds; -1: neither the response nor the
	// rule says.
	StaleWhileRevalidate int64
	StaleIfError         int64
	// MustRevalidate: never served stale (must-revalidate, proxy-revalidate,
	// or an s-maxage that applies).
	MustRevalidate bool
	// NoCache: validated before every use (no-cache without a field list).
	NoCache bool
	// Heuristic: the lifetime is a guess (RFC 9111 section 4.2.2).
	Heuristic bool
	// Validator: the response has an ETag or a Last-Modified to validate with.
	Validator bool
}

// Use is what may be done with a stored response for one request.
type Use uint8

const (
	// UseFresh: serve it.
	UseFresh Use = iota
	// UseStaleRevalidating: serve it, and refresh it once behind the answer.
	UseStaleRevalidating
	// UseStale: serve it; the client said that stale is good enough.
	UseStale
	// UseRevalidate: ask the origin before it is used.
	UseRevalidate
	// UseNot: not for this request; fetch as if nothing were stored.
	UseNot

	// Uses is the number of uses.
	Uses
)

var useNames = [Uses]string{
	UseFresh: "fresh", UseStaleRevalidating: "stale-while-revalidate", UseStale: "stale",
	UseRevalidate: "revalidate", UseNot: "not",
}

// String names the use for logs and tests.
func (u Use) String() string {
	if u < Uses {
		return useNames[u]
	}
	return "unknown"
}

// Age is the response's current age in whole seconds (RFC 9111 section 4.2.3),
// never negative and at most 2^31.
func (f *Freshness) Age(now int64) int64 {
	return clampSeconds(subSat(now, f.Born) / second)
}

// TTL is the nanoseconds of freshness left; 0 and below is stale.
func (f *Freshness) TTL(now int64) int64 {
	return subSat(f.Lifetime, max(subSat(now, f.Born), 0))
}

// Use decides how a stored response serves a request (RFC 9111 section 4 and
// 5.2.1, RFC 5861 section 3). Allocates nothing.
func (f *Freshness) Use(d *ClientDirectives, now int64) Use {
	if d.NoStore {
		return UseNot
	}
	ttl := f.TTL(now)
	if f.NoCache || !d.accepts(f, ttl, now) {
		return UseRevalidate
	}
	if ttl > 0 {
		return UseFresh
	}
	if f.MustRevalidate {
		return UseRevalidate
	}
	if d.HasMaxStale && -ttl <= d.MaxStale {
		return UseStale
	}
	// A client that gives a max-age without max-stale wants nothing stale
	// (RFC 9111 section 5.2.1.1).
	if -ttl < f.StaleWhileRevalidate && !d.HasMaxAge && !d.HasMaxStale {
		return UseStaleRevalidating
	}
	return UseRevalidate
}

// accepts tells whether the request's own limits on age let the response pass.
func (d *ClientDirectives) accepts(f *Freshness, ttl, now int64) bool {
	switch {
	case d.NoCache:
		return false
	case d.HasMaxAge && subSat(now, f.Born) > d.MaxAge:
		return false
	case d.HasMinFresh && ttl < d.MinFresh:
		return false
	}
	return true
}

// StaleIfErrorAllowed tells whether the stored response may stand in for an
// origin that failed (RFC 5861 section 4, RFC 9111 section 4.2.4), by the
// response's word, the rule's or the request's. no-cache, must-revalidate and
// what implies it forbid it, and so does a client that asked for validation.
func (f *Freshness) StaleIfErrorAllowed(d *ClientDirectives, now int64) bool {
	ttl := f.TTL(now)
	if f.NoCache || d.NoStore || !d.accepts(f, ttl, now) {
		return false
	}
	if ttl > 0 {
		return true
	}
	if f.MustRevalidate {
		return false
	}
	return -ttl < f.StaleIfError || d.HasStaleIfError && -ttl < d.StaleIfError ||
		d.HasMaxStale && -ttl <= d.MaxStale
}

// StaleIfUnreachable tells whether the stored response may stand in for an
// origin that could not be reached: a cache that is disconnected may serve stale
// (RFC 9111 section 4.2.4) without anybody's word, but not against it. Where the
// response or the rule says how long, that is how long. It includes what
// StaleIfErrorAllowed allows.
func (f *Freshness) StaleIfUnreachable(rule *Rule, d *ClientDirectives, now int64) bool {
	if f.StaleIfErrorAllowed(d, now) {
		return true
	}
	ttl := f.TTL(now)
	if f.StaleIfError >= 0 || f.NoCache || f.MustRevalidate || d.NoStore || !d.accepts(f, ttl, now) {
		return false
	}
	limit := int64(rule.TTL.StaleIfUnreachable)
	if limit == 0 {
		limit = int64(DefaultStaleIfUnreachable)
	}
	return -ttl < limit
}

// StaleFrom returns f as a soft purge leaves it: stale from now on at the
// latest, and otherwise the same.
func (f Freshness) StaleFrom(now int64) Freshness {
	f.Lifetime = min(f.Lifetime, max(subSat(now, f.Born), 0))
	return f
}

// LastUse is the unix nanosecond after which the response serves nobody
// without validation: what an expiry in an index may be set to. Clients that
// send max-stale may still take it later.
func (f *Freshness) LastUse() int64 {
	last := f.Lifetime
	if !f.MustRevalidate && !f.NoCache {
		last = addSat(last, max(f.StaleWhileRevalidate, f.StaleIfError, 0))
	}
	return addSat(f.Born, last)
}

// subSat is a-b without wrapping around; the result can always be negated.
func subSat(a, b int64) int64 {
	d := a - b
	switch {
	case b < 0 && d < a:
		return 1<<63 - 1
	case b > 0 && d > a, d == -1<<63:
		return -1<<63 + 1
	}
	return d
}

func addSat(a, b int64) int64 {
	s := a + b
	switch {
	case b > 0 && s < a:
		return 1<<63 - 1
	case b < 0 && s > a:
		return -1<<63 + 1
	}
	return s
}
