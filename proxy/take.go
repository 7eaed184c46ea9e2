package proxy

import (
	"net/http"

	"weir/policy"
	"weir/proxy/fetch"
	"weir/tiers"
)

// take makes the answer that has come this request's.
func (x *exchange) take() state {
	if x.own.Live == nil {
		x.endVigil() // what comes is for others too
	}
	switch a := x.told.(type) {
	case *fetch.Body:
		if !x.collapsed {
			// The leader's own variant is the answer's: it only takes over the key.
			x.key, _ = x.mine(a)
		}
		x.fill = x.own.Reader
		return x.takeBody(a)
	case *fetch.Renewed:
		return x.takeRenewed(a)
	case *fetch.Alone:
		return x.takeLive(a)
	case *fetch.Failed:
		return x.fails(a.Reason, a.Code)
	}
	return x.fails(policy.ReasonInternal, http.StatusBadGateway)
}

// takeBody takes a response that has just come.
func (x *exchange) takeBody(a *fetch.Body) state {
	x.dropStale()
	x.obj, x.code, x.tier = a.Head, a.Head.Status, policy.TierOrigin
	x.stored, x.reason = a.Stored, a.Reason
	if !a.Failure {
		x.hasTTL, x.ttl = true, a.Head.Freshness.TTL(x.now)
	}
	if x.own.First != nil {
		x.obj = x.own.First
	}
	return stateDeliver
}

// takeRenewed takes what a 304 renewed.
func (x *exchange) takeRenewed(a *fetch.Renewed) state {
	o := a.Object
	if x.own.First != nil {
		o = x.own.First
	}
	if o.Body == nil && o.Length > 0 {
		// The body is on disk: deliver it through the hold this request has, when
		// that is a hold on what was renewed.
		//
		// Losing interleaving: this request looks up v1; another flight stores v2;
		// a third validates that, and this request joins it. The 304 is about v2,
		// and the body at hand is v1's.
		if x.stale == nil || !x.stale.Large() || !x.stale.Same(a.Of) {
			return x.again()
		}
		o = x.stale.Renewed(o)
	}
	tier := o.Tier
	x.dropStale()
	x.outcome, x.stored = outcomeRevalidated, a.Stored
	x.obj, x.code, x.tier = o, o.Status, tier
	x.hasTTL, x.ttl = true, o.Freshness.TTL(x.now)
	return stateDeliver
}

// takeLive takes the origin's answer to this request alone.
func (x *exchange) takeLive(a *fetch.Alone) state {
	own := &x.own
	x.dropStale()
	known := x.found == foundMark && a.Status == 304 && a.Reason == policy.ReasonStatus
	if !known { // the mark says more than a 304 without Cache-Control
		x.reason = a.Reason
	}
	// An origin that has seen If-Match and answered all the same has decided.
	x.judgeLive = !x.toldOrigin || x.req.IfMatch == nil && x.req.IfUnmodifiedSince == nil
	x.live, x.cancel = own.Live, own.Done
	x.code, x.tier = a.Status, policy.TierOrigin
	x.obj = &tiers.Object{
		Status: a.Status, Fields: own.Fields, Validators: policy.ValidatorsOf(own.Fields), Length: own.Live.ContentLength, Tier: policy.TierOrigin,
	}
	return stateDeliver
}
