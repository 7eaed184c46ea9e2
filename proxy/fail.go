package proxy

import "weir/policy"

// fail lets the stale object stand in where it may, then asks a fallback, else gives
// up.
func (x *exchange) fail() state {
	reason := x.failed
	if reason == policy.ReasonOriginFailing {
		return x.giveUp()
	}
	x.countShed(reason)
	if x.stale != nil && x.mayStandIn(x.stale, x.occasion(reason)) {
		return x.standIn(reason)
	}
	x.dropStale()
	if x.fallsBack(reason) {
		return statePass
	}
	return x.failure(x.code, reason)
}
