package proxy

import (
	"weir/policy"
	"weir/proxy/metrics"
)

// A request that has to go to an origin is turned away where too many wait already, or
// where the machine is overloaded (package shed): something stale stands in, or it gets
// 503 with Retry-After at once. Its connection goes on.

// turnedAway ends a request that was to go to an origin, or to wait for one.
func (x *exchange) turnedAway(reason policy.Reason) state { return x.fails(reason, 503) }

// countShed counts a request that is turned away for that reason, if it is one.
func (x *exchange) countShed(reason policy.Reason) {
	m := x.core.metrics
	switch reason {
	case policy.ReasonTooManyWaiters:
		m.Shed(metrics.ShedWaiters)
	case policy.ReasonAllWait:
		m.Shed(metrics.ShedWaiting)
	case policy.ReasonOverloaded:
		m.Shed(metrics.ShedOverloaded)
	case policy.ReasonOriginBusy:
		m.Shed(metrics.ShedBusy)
	}
}

// giveUp ends a request whose fetch was given up since the origin fails. The flight's
// asker had something stale; a request that may not have that asks anew.
func (x *exchange) giveUp() state {
	if x.stale != nil && x.mayStandIn(x.stale, policy.OnOutage) {
		return x.standIn(policy.ReasonOriginFailing)
	}
	return x.again()
}
