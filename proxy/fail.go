package proxy

import "weir/policy"

// fail lets the stale object stand in where it may, then asks a fallback, else gives
// up.
func (x *exchange) fail() state {
	reason := x.reason
	if x.stale != nil && x.mayStandIn(x.stale, x.occasion(reason)) {
		return x.standIn(reason)
	}
	x.dropStale()
	if x.fallsBack(reason) {
		return statePass
	}
	return x.failure(x.code, reason)
}

// occasion is what a failure is to what is stale: some are an outage.
func (x *exchange) occasion(reason policy.Reason) policy.Occasion {
	switch reason {
	case policy.ReasonOriginRefused, policy.ReasonOriginConnect, policy.ReasonOriginTLS, policy.ReasonOriginTimeout,
		policy.ReasonOriginReset, policy.ReasonOriginBusy:
		return policy.OnOutage
	case policy.ReasonOriginStatus:
		if x.rule.TTL.Unreachable(x.fwdStatus) {
			return policy.OnOutage
		}
	}
	return policy.OnFailure
}
