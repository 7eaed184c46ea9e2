package proxy

import (
	"net/http"

	"weir/policy"
)

// A fallback is another origin that is asked when that of the rule, or the fallback
// before it, gives no answer and nothing stale may stand in. What it answers is passed
// on, and not stored: it may be a page that says sorry.

// fallsBack reports whether the request is to be passed to another origin, after the one
// it was sent to has failed for that reason: to its fallback, and behind the last of
// those to the origin of the rule, if that was avoided at first.
func (x *exchange) fallsBack(reason policy.Reason) bool {
	_, up := x.upstream()
	if x.lastResort || up.Fallback == "" && !x.avoided || !x.mayFallBack() {
		return false
	}
	switch reason {
	case policy.ReasonOriginRefused, policy.ReasonOriginConnect, policy.ReasonOriginTLS, policy.ReasonOriginTimeout,
		policy.ReasonOriginReset, policy.ReasonOriginMalformed:
		x.fallback, x.lastResort, x.reason = up.Fallback, up.Fallback == "", policy.ReasonNone
		return true
	}
	return false
}

// avoids reports whether the request goes to a fallback at once, since its origin is
// known to fail. One at a time does not, to find out whether that is back.
func (x *exchange) avoids() bool {
	_, up := x.upstream()
	if up.Fallback == "" || !up.Failing() || !x.mayFallBack() {
		return false
	}
	if up.Health.Probe() {
		x.probed = up.Health.Probed
		return false
	}
	x.fallback, x.avoided = up.Fallback, true
	return true
}

// mayFallBack reports whether the request asks for nothing but an answer, so that it may
// be sent to several origins.
func (x *exchange) mayFallBack() bool {
	switch x.req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return !x.head.HasBody()
	}
	return false
}
