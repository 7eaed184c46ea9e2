package proxy

import (
	"weir/policy"
	"weir/proxy/fetch"
)

// What came for one request is for another only where policy says so.

// maySettleFor reports whether a request that comes after the answer has
// something to take from it. A failure is news for a while only; the flight is
// about to leave.
func (x *exchange) maySettleFor(a fetch.Answer) bool {
	switch a := a.(type) {
	case *fetch.Body:
		return x.mayHaveBody(a)
	case *fetch.Renewed:
		return x.mayHave(a.Reason, &a.Object.Freshness, &a.Waiting)
	case *fetch.Again, *fetch.Alone:
		return true
	}
	return false
}

// mayHaveBody reports whether the response may reach this request.
func (x *exchange) mayHaveBody(a *fetch.Body) bool {
	if a.Failure {
		return x.waited && a.Public && x.anonymous()
	}
	return x.mayHave(a.Reason, &a.Head.Freshness, &a.Waiting)
}

// mayHave reports whether the answer to another request may reach this one
// (RFC 9111 section 4: only where it could be reused without validation). For a
// request that waited, its age counts from its arrival. The reason is why the
// answer is not stored.
func (x *exchange) mayHave(reason policy.Reason, f, waiting *policy.Freshness) bool {
	if reason == policy.ReasonRequestNoStore && !x.asker.NoStore {
		// RFC 9111 section 4 lets only what could be stored serve several requests;
		// those who want no part of a store may share all the same.
		return false
	}
	now := x.core.clock.Now()
	if x.waited {
		f, now = waiting, waiting.Came
	}
	switch f.Reusable(&x.asker, policy.OnRequest, now) {
	case policy.UseFresh:
		return true
	case policy.UseStaleRevalidating:
		return x.waited
	}
	return false
}

// anonymous reports whether the request carries nothing that an error page could
// be about.
func (x *exchange) anonymous() bool {
	return x.req.Authorization == nil && policy.Anonymous(&x.req)
}

// mine reports whether the answer is for this request's variant. If not, own is
// the key under which the request starts over.
func (x *exchange) mine(a *fetch.Body) (own policy.Key, mine bool) {
	if len(a.Vary.Names) == 0 {
		own = x.key.WithoutVariant()
	} else {
		own = x.keys.Variant(&x.key, &a.Vary, x.rule, &x.req)
	}
	return own, a.Head.Hash == own.Hash
}
