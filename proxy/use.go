package proxy

import (
	"weir/invalidation"
	"weir/policy"
	"weir/proxy/stored"
	"weir/tiers"
)

// find looks up the key, RAM before disk.
func (x *exchange) find() *tiers.Object {
	// What is on disk is no younger than what is in RAM, and is not asked where
	// that was purged.
	return x.usable(x.core.store.Lookup(&x.key.Hash, x.key.Text))
}

// usable is what is left of o with the purges held against it. It notes that the
// request found a response that was purged: that is why it goes to the origin.
func (x *exchange) usable(o *tiers.Object) *tiers.Object {
	response := o != nil && o.Kind == tiers.KindResponse
	o = x.core.store.Usable(o)
	x.purged = x.purged || response && o == nil
	return o
}

// freshness is the object's, as soft purges leave it. It is valid until the next
// call.
func (x *exchange) freshness(o *tiers.Object) *policy.Freshness {
	if o.Softened() == 0 {
		return &o.Freshness
	}
	// What has expired since needed no purge to be stale.
	x.purged = x.purged || o.Freshness.TTL(x.now) > 0
	x.softened = stored.Freshness(o)
	return &x.softened
}

func (x *exchange) hit(o *tiers.Object, how outcome) state {
	if x.found = foundUsable; how == outcomeStandIn {
		x.found = foundStale
	}
	x.obj, x.outcome, x.tier, x.code = o, how, o.Tier, o.Status
	x.hasTTL, x.ttl = true, x.freshness(o).TTL(x.now)
	return stateDeliver
}

// mayStandIn reports whether the stale object may be served in place of what the
// origin does not give.
func (x *exchange) mayStandIn(o *tiers.Object, on policy.Occasion) bool {
	if x.unconfirmed || x.core.store.Purged(o) == invalidation.Invalid {
		return false // it may have been purged, or was while the origin was waited for
	}
	return x.freshness(o).Reusable(&x.asker, on, x.now) != policy.UseRevalidate
}

// standIn serves the stale object in place of what the origin has not given.
func (x *exchange) standIn(reason policy.Reason) state {
	o := x.stale
	x.stale, x.reason = nil, reason
	return x.hit(o, outcomeStandIn)
}

// occasion is what a failure is to what is stale: some are an outage.
func (x *exchange) occasion(reason policy.Reason) policy.Occasion {
	switch reason {
	case policy.ReasonOriginRefused, policy.ReasonOriginConnect, policy.ReasonOriginTLS, policy.ReasonOriginTimeout,
		policy.ReasonOriginReset, policy.ReasonOriginBusy, policy.ReasonTooManyWaiters, policy.ReasonAllWait, policy.ReasonOverloaded:
		return policy.OnOutage
	case policy.ReasonOriginStatus:
		on, _ := policy.OnStatus(x.rule, x.fwdStatus)
		return on
	}
	return policy.OnFailure
}
