package proxy

import (
	"net/http"

	"weir/policy"
)

// A fallback is another origin that is asked when that of the rule, or the fallback
// before it, gives no answer, has no connection free, or answers with a status that
// counts as none (policy.TTL.Unreachable), and nothing stale may stand in. What it
// answers is passed on, and not stored: it may be a page that says sorry.

// fallsBack reports whether the request is to be passed to another origin, after the one
// it was sent to has failed for that reason: to its fallback, and behind the last of
// those, when that gave no answer, to the origin of the rule, if that was avoided at
// first.
func (x *exchange) fallsBack(reason policy.Reason) bool {
	_, up := x.upstream()
	last := up.Fallback == "" && (!x.avoided || reason == policy.ReasonOriginStatus)
	if last || x.lastResort || !x.mayFallBack() {
		return false
	}
	if x.occasion(reason) != policy.OnOutage && reason != policy.ReasonOriginMalformed {
		return false
	}
	x.fallback, x.lastResort, x.reason = up.Fallback, up.Fallback == "", policy.ReasonNone
	return true
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
