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
	// Stated is how much of Lifetime the response itself states, in nanoseconds;
	// the rest is the rule's, or a guess.
	Stated int64
	// Came is when the response arrived, or the answer that last validated it, in
	// unix nanoseconds.
	Came int64
	// StaleWhileRevalidate and StaleIfError are how long after Lifetime it may
	// still serve (RFC 5861), in nanoseconds; -1: neither the response nor the
	// rule says, or it is forbidden.
	StaleWhileRevalidate int64
	StaleIfError         int64
	// MustRevalidate: served stale within those two times only (s-maxage), which
	// are -1 where must-revalidate or proxy-revalidate forbids that too.
	MustRevalidate bool
	// Overridden: the rule's stale times hold in spite of that, and the request's
	// do not.
	Overridden bool
	// NoCache: validated before every use (no-cache without a field list).
	NoCache bool
	// Heuristic: the lifetime is a guess (RFC 9111 section 4.2.2).
	Heuristic bool
	// Validator: the response has an ETag or a Last-Modified to validate with.
	Validator bool
	// Replaced: another response was stored under the key before.
	Replaced bool
}

// Use is what may be done with a response for a request that did not cause it.
type Use uint8

const (
	// UseFresh: serve it.
	UseFresh Use = iota
	// UseStaleRevalidating: serve it, and refresh it once behind the answer.
	UseStaleRevalidating
	// UseStale: serve it; the client said that stale is good enough, or the
	// origin failed and it may stand in.
	UseStale
	// UseRevalidate: ask the origin before it is used.
	UseRevalidate

	// Uses is the number of uses.
	Uses
)

var useNames = [Uses]string{
	UseFresh: "fresh", UseStaleRevalidating: "stale-while-revalidate", UseStale: "stale", UseRevalidate: "revalidate",
}

// String names the use for logs and tests.
func (u Use) String() string {
	if u < Uses {
		return useNames[u]
	}
	return "unknown"
}

// Occasion is why a response is asked for that the request did not cause.
type Occasion uint8

const (
	// OnRequest: the request has just come.
	OnRequest Occasion = iota
	// OnFailure: the origin was asked and failed (RFC 5861 section 4).
	OnFailure
	// OnOutage: the origin was asked and could not be reached, which RFC 9111
	// section 4.2.4 calls disconnected.
	OnOutage
)

// Age is the response's current age in whole seconds (RFC 9111 section 4.2.3),
// never negative and at most 2^31.
func (f *Freshness) Age(now int64) int64 { return clampSeconds(f.elapsed(now) / second) }

// clockTolerance is how far Came may lie ahead of now, in nanoseconds: a response may
// come while a request is under way that read the clock before.
const clockTolerance = 5 * second

// elapsed is how long after Born now is. Where the response came after now, the clock
// was set back in between, across a restart: nobody knows how old it is, so it counts
// as stale.
func (f *Freshness) elapsed(now int64) int64 {
	if subSat(f.Came, now) > clockTolerance {
		return max(f.Lifetime, subSat(f.Came, f.Born), 0)
	}
	return max(subSat(now, f.Born), 0)
}

// TTL is the nanoseconds of freshness left; 0 and below is stale.
func (f *Freshness) TTL(now int64) int64 { return f.left(f.Lifetime, now) }

// left is how much is left of a lifetime.
func (f *Freshness) left(lifetime, now int64) int64 {
	return subSat(lifetime, f.elapsed(now))
}

// Reusable decides whether a response may reach a request that did not cause
// it, and how (RFC 9111 section 4 and 5.2.1, RFC 5861). It is the one predicate
// for that: a stored response is held against it, and one that a request has
// waited for while another request fetched it.
//
// A lifetime that the response does not itself state counts for nothing where
// the asker's cookies or credentials may have made another answer. Stale use
// needs a lifetime that was once above zero, except within a
// stale-while-revalidate that the response states. Allocates nothing.
func (f *Freshness) Reusable(a *Asker, on Occasion, now int64) Use {
	lifetime := f.Lifetime
	if f.Stated < lifetime && a.Personal() {
		if lifetime = f.Stated; lifetime <= 0 {
			return UseRevalidate
		}
	}
	ttl := f.left(lifetime, now)
	if f.NoCache || !a.accepts(f, on, ttl, now) {
		return UseRevalidate
	}
	if ttl > 0 {
		return UseFresh
	}
	// A client that gives a max-age without max-stale wants nothing stale
	// (RFC 9111 section 5.2.1.1).
	if -ttl < f.StaleWhileRevalidate && !a.HasMaxAge && !a.HasMaxStale {
		return UseStaleRevalidating
	}
	if lifetime > 0 && f.staleAllowed(a, on, -ttl) {
		return UseStale
	}
	return UseRevalidate
}

// staleAllowed reports whether the response may serve that long after its
// lifetime, by its own word, the rule's or the request's.
func (f *Freshness) staleAllowed(a *Asker, on Occasion, stale int64) bool {
	if on != OnRequest && stale < f.StaleIfError {
		return true
	}
	if f.MustRevalidate && !f.Overridden {
		return false
	}
	if !f.MustRevalidate && a.HasMaxStale && stale <= a.MaxStale {
		return true
	}
	if !f.MustRevalidate && on != OnRequest && a.HasStaleIfError && stale < a.StaleIfError {
		return true
	}
	// Without a word from anybody, but not against one. Where the response or
	// the rule says how long, that is how long.
	return on == OnOutage && f.StaleIfError < 0 && stale < a.rule.TTL.staleIfUnreachable()
}

// DefaultUnreachableStatus are the statuses of gateways.
var DefaultUnreachableStatus = [][2]int{{502, 504}}

// OnStatus returns what an answer with that status is to what is stale, and reports
// whether it is a failure of the origin for which that may stand in (RFC 5861 section 4).
func OnStatus(r *Rule, status int) (on Occasion, failed bool) {
	if r.TTL.Unreachable(status) {
		return OnOutage, true
	}
	return OnFailure, status == 500 || 502 <= status && status <= 504
}

// Unreachable reports whether an origin that answers with that status counts as one
// that cannot be reached.
func (t *TTL) Unreachable(status int) bool {
	list := t.UnreachableStatus
	if list == nil {
		list = DefaultUnreachableStatus
	}
	for _, r := range list {
		if r[0] <= status && status <= r[1] {
			return true
		}
	}
	return false
}

func (t *TTL) staleIfUnreachable() int64 {
	if t.StaleIfUnreachable == 0 {
		return int64(DefaultStaleIfUnreachable)
	}
	return int64(t.StaleIfUnreachable)
}

// StaleFrom returns f as a soft purge leaves it: stale from now on at the
// latest, and otherwise the same. What had a lifetime keeps a nanosecond of it,
// as the sign that it may serve stale.
//
// The clock may have been set back since f was born, or the process have started on
// one that was: what is younger than now allows is as old as it can be.
func (f Freshness) StaleFrom(now int64) Freshness {
	left := subSat(now, f.Born)
	if left < 1 {
		f.Born, left = subSat(now, 1), 1
	}
	f.Lifetime, f.Stated = min(f.Lifetime, left), min(f.Stated, left)
	return f
}

// LastUse is the unix nanosecond after which the response serves nobody
// without validation: what an expiry in an index may be set to. Clients that
// send max-stale may still take it later.
func (f *Freshness) LastUse() int64 {
	last := f.Lifetime
	if !f.NoCache {
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
