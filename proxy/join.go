package proxy

import (
	"time"

	"weir/invalidation"
	"weir/policy"
	"weir/tiers"
)

// maxHops bounds how often a request is sent from one flight to another before
// it goes alone; each hop is a flight that ended without an answer for it.
const maxHops = 8

// join takes part in the fetch of the request's key: the first leads, the
// others follow.
func (x *exchange) join() state {
	// What waiting or leading makes of the request is a fetch, until it is more.
	x.outcome = outcomeFetched
	x.hops++
	if x.hops > maxHops || x.mustGoAlone() {
		return x.goAlone()
	}
	f, leads := x.p.flights.join(x)
	if leads {
		// The losing interleaving: another flight committed and left the table
		// between our lookup and our joining it; we would fetch again what was
		// stored a moment ago. So look once more, now that nobody else can.
		if x.arrivedMeanwhile() {
			f.leading = false
			f.stale = nil
			x.p.flights.leave(f)
			f.settle(answer{kind: answerAgain})
			return x.again()
		}
		if f.part = x.partToComplete(); f.part != nil {
			x.found = foundPart
		}
		return x.lead(f)
	}
	if settled(f) {
		// The losing interleaving: the answer's head came before this request
		// did. Those who waited for it may share it; who comes later may only
		// if it could be served from the cache.
		x.waited = false
		if !x.maySettleFor(&f.answer) {
			return x.goAlone()
		}
		x.follows()
		return x.take(f, false)
	}
	x.waited = true
	x.follows()
	wait := time.NewTimer(x.p.opts.FollowerTimeout)
	defer wait.Stop()
	select {
	case <-f.ready:
	case <-wait.C:
		return x.goAlone()
	}
	return x.take(f, false)
}

// follows counts the request among those that took part in another's fetch: once,
// however many flights it follows.
func (x *exchange) follows() {
	if !x.coalesced {
		x.coalesced = true
		x.p.opts.Metrics.Coalesced()
	}
}

// mustGoAlone: an answer to credentials is hardly ever for others, so such a
// request neither waits for others nor lets others wait for it.
func (x *exchange) mustGoAlone() bool {
	return x.alone || x.refused || (x.req.Authorization != nil && x.stale == nil) || x.fetchesPart()
}

// fetchesPart: a part is all the client wants, and the whole could be very
// large; a fetch of a part is its own.
func (x *exchange) fetchesPart() bool {
	return x.req.Range != nil && x.stale == nil && !wholeRange(x.req.Range)
}

// maySettleFor reports whether a request that comes after the answer has
// something to take from it.
func (x *exchange) maySettleFor(a *answer) bool {
	switch a.kind {
	case answerBody, answerObject:
		return x.mayHave(a)
	case answerAgain, answerAlone:
		return true
	}
	// A failure is news for a while only; the flight is about to leave.
	return false
}

// mayHave reports whether the answer to another request may reach this one
// (RFC 9111 section 4: only where it could be reused without validation). For a
// request that waited, its age counts from its arrival.
func (x *exchange) mayHave(a *answer) bool {
	if a.failure {
		return x.waited && a.public && x.anonymous()
	}
	if a.reason == policy.ReasonRequestNoStore && !x.asker.NoStore {
		// RFC 9111 section 4 lets only what could be stored serve several requests;
		// those who want no part of a store may share all the same.
		return false
	}
	f, now := &a.obj.Freshness, x.p.now().UnixNano()
	if x.waited {
		f, now = &a.waiting, a.waiting.Came
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

func settled(f *flight) bool {
	select {
	case <-f.ready:
		return true
	default:
		return false
	}
}

// arrivedMeanwhile tells whether the key now has an answer in RAM that lookup
// did not see.
func (x *exchange) arrivedMeanwhile() bool {
	o := x.p.tiers.Peek(&x.key.Hash, x.key.Text)
	if o == nil || o == x.stale || x.p.purged(o) != invalidation.Valid || !x.p.confirmed(o, x.p.now()) {
		return false
	}
	return o.Kind == tiers.KindVary || o.Freshness.Reusable(&x.asker, policy.OnRequest, x.p.now().UnixNano()) == policy.UseFresh
}

// again sends the request back to lookup.
func (x *exchange) again() state {
	x.dropStale()
	x.collapsed = false
	// The time of the request's arrival is behind what arrived meanwhile.
	x.now = x.p.now().UnixNano()
	return stateLookup
}

// goAlone fetches without being joined. What it brings is stored if it may be.
func (x *exchange) goAlone() state {
	f := x.newFlight()
	f.ranged = x.fetchesPart()
	return x.lead(f)
}

// lead starts the flight and waits for its answer. The client gets the origin's
// interim responses meanwhile.
func (x *exchange) lead(f *flight) state {
	f.interims = x.passInterims()
	f.start()
	<-f.ready
	x.endInterims()
	return x.take(f, true)
}

// take turns the flight's answer into the request's own.
func (x *exchange) take(f *flight, leads bool) state {
	a := &f.answer
	x.originTime = a.took
	// The answer is younger than the request: its age counts from here.
	x.now = x.p.now().UnixNano()
	if !leads {
		x.collapsed = true
	}
	switch a.kind {
	case answerBody, answerObject:
		if !leads && x.p.purged(a.obj) != invalidation.Valid {
			// The fetch began before a purge that this request may have come
			// after.
			x.p.flights.leave(f)
			return x.again()
		}
		if a.kind == answerBody {
			return x.takeBody(f, leads)
		}
		return x.takeObject(f, leads)
	case answerAlone:
		return x.takeAlone(a, leads)
	case answerFail:
		x.fwdStatus, x.retryAfter = a.status, a.retryAfter
		return x.failed(a.reason, a.code)
	}
	if leads {
		return x.failed(policy.ReasonInternal, 502)
	}
	return x.again()
}

// mine reports whether the answer is for this request's variant. If not, own is
// the key under which the request starts over.
func (x *exchange) mine(a *answer) (own policy.Key, mine bool) {
	if a.spec == nil {
		own = x.key.WithoutVariant()
	} else {
		own = x.keys.Variant(&x.key, a.spec, x.rule, &x.req)
	}
	return own, a.hash == own.Hash
}

// takeBody follows the body while it arrives.
func (x *exchange) takeBody(f *flight, leads bool) state {
	a := &f.answer
	own, mine := x.mine(a)
	switch {
	case leads:
		// The leader's own variant is the answer's: it only takes over the key.
		x.key, x.fill = own, a.reader
	case !mine:
		return x.otherVariant(own)
	case !x.mayHave(a) && a.failure:
		return x.sharesFailure(a)
	case !x.mayHave(a):
		return x.refusedBy(f)
	default:
		if x.fill = a.fill.TryReader(0); x.fill == nil {
			// The body cannot be stored and its beginning is gone.
			x.collapsed = false
			return x.goAlone()
		}
		x.key = own
	}
	x.dropStale()
	x.obj, x.code, x.tier = a.obj, a.obj.Status, policy.TierOrigin
	x.fwdStatus, x.stored, x.reason = a.status, a.stored, a.reason
	if !a.failure {
		x.hasTTL, x.ttl = true, a.obj.Freshness.TTL(x.now)
	}
	if leads && a.first != nil {
		x.obj = a.first
	}
	return stateDeliver
}

// refusedBy sends on a request that may not have the flight's answer. One of
// the kind of the leader goes alone, and so do others of the kind, side by side:
// what came is for nobody but its asker. One of the other kind may find a flight
// of its own kind.
func (x *exchange) refusedBy(f *flight) state {
	own := f.personal == x.asker.Personal() && (!ofRequest(f.answer.reason) || f.answer.reason == policy.ReasonPurged)
	if own || f.answer.validates {
		x.refused = true
	}
	return x.again()
}

// sharesFailure answers a request that waited with the origin's failure, but not
// with its words, which may be for somebody else.
func (x *exchange) sharesFailure(a *answer) state {
	x.fwdStatus, x.retryAfter = a.status, a.retryAfter
	return x.failed(policy.ReasonOriginStatus, a.status)
}

// ofTheDisk tells whether a response is not stored for want of a place on disk,
// and for no reason that lies in the response.
func ofTheDisk(r policy.Reason) bool {
	return r == policy.ReasonStorage || r == policy.ReasonNotAdmitted || r == policy.ReasonPinnedFull
}

// takeObject takes what a 304 renewed.
func (x *exchange) takeObject(f *flight, leads bool) state {
	a := &f.answer
	if !leads && x.key.Hash != a.hash {
		return x.otherVariant(x.key)
	}
	// What may not be stored for a reason in the 304 was to the leader alone.
	shared := a.stored || ofTheDisk(a.reason) || a.reason == policy.ReasonRequestNoStore
	if !leads && !(shared && x.mayHave(a)) {
		return x.refusedBy(f)
	}
	o := a.obj
	if leads && a.first != nil {
		o = a.first
	}
	if o.Body == nil && o.Length > 0 {
		// The body is on disk: deliver it through the hold this request has, when
		// that is a hold on what was renewed.
		//
		// Losing interleaving: this request looks up v1; another flight stores v2;
		// a third validates that, and this request joins it. The 304 is about v2,
		// and the body at hand is v1's.
		if x.stale == nil || !x.stale.Large() || !x.stale.Same(a.renewedOf) {
			return x.again()
		}
		o = x.stale.Renewed(o)
	}
	tier := o.Tier
	x.dropStale()
	x.outcome, x.fwdStatus, x.stored = outcomeRevalidated, a.status, a.stored
	x.obj, x.code, x.tier = o, o.Status, tier
	x.hasTTL, x.ttl = true, o.Freshness.TTL(x.now)
	return stateDeliver
}

// takeAlone: the leader has the origin's answer, the others fetch their own.
func (x *exchange) takeAlone(a *answer, leads bool) state {
	switch {
	case leads:
	case originFails(a.status):
		// Those who waited do not all ask it again at the same instant.
		return x.sharesFailure(a)
	case ofRequest(a.reason) && !a.validates && (a.reason != policy.ReasonPurged || a.waiting.ServesOthers(a.waiting.Came)):
		return x.again()
	default:
		x.collapsed = false
		x.dropStale()
		return x.goAlone()
	}
	x.dropStale()
	x.live, x.cancel, x.fwdStatus, x.reason = a.live, a.cancel, a.status, a.reason
	x.judgeLive = true
	x.code, x.tier = a.status, policy.TierOrigin
	x.obj = &tiers.Object{Status: a.status, Fields: a.fields, Validators: policy.ValidatorsOf(a.fields), Length: a.live.ContentLength, Tier: policy.TierOrigin}
	return stateDeliver
}

// failed lets the stale object stand in where it may, else gives up.
func (x *exchange) failed(reason policy.Reason, code int) state {
	if o := x.stale; o != nil && x.standsIn(o, reason) {
		x.stale = nil
		x.reason = reason
		return x.hit(o, outcomeStandIn)
	}
	x.dropStale()
	return x.failure(code, reason)
}

// standsIn tells whether the stale object may be served in place of a failure.
func (x *exchange) standsIn(o *tiers.Object, reason policy.Reason) bool {
	if x.unconfirmed {
		return false // it may have been purged
	}
	on := policy.OnFailure
	switch reason {
	case policy.ReasonOriginRefused, policy.ReasonOriginConnect, policy.ReasonOriginTLS, policy.ReasonOriginTimeout,
		policy.ReasonOriginReset:
		on = policy.OnOutage
	}
	return x.freshness(o).Reusable(&x.asker, on, x.now) != policy.UseRevalidate
}

// otherVariant: what arrived is another variant than this request selects. It
// joins the fetch of its own.
func (x *exchange) otherVariant(own policy.Key) state {
	x.collapsed = false
	x.key, x.found = own, foundVariants
	x.dropStale()
	x.now = x.p.now().UnixNano()
	return stateJoin
}

func (x *exchange) dropStale() {
	if x.stale != nil {
		x.stale.Close()
		x.stale = nil
	}
}

// partToComplete returns a stored part that a fetch of the whole can build on,
// or nil.
func (x *exchange) partToComplete() *tiers.Object {
	if x.stale != nil || x.req.Method != "GET" {
		return nil
	}
	o := x.findPart()
	if o == nil {
		return nil
	}
	// It goes with the flight, which holds nothing open for it.
	whole := o.InMemory()
	if whole == nil || !startsAtZero(whole) {
		o.Close()
		return nil
	}
	return whole
}
