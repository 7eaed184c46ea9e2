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
			x.verdict = policy.PartialMiss
		}
		return x.lead(f)
	}
	if settled(f) && !x.maySettleFor(&f.answer) {
		// The losing interleaving: the answer's head came before this request
		// did. Those who waited for it may share it; who comes later may only
		// if it could be served from the cache.
		return x.goAlone()
	}
	wait := time.NewTimer(x.p.opts.FollowerTimeout)
	defer wait.Stop()
	select {
	case <-f.ready:
	case <-wait.C:
		return x.goAlone()
	}
	return x.take(f, false)
}

// mustGoAlone: an answer to credentials is hardly ever for others, so such a
// request neither waits for others nor lets others wait for it.
func (x *exchange) mustGoAlone() bool {
	return x.verdict == policy.HitForMiss || (x.req.Authorization != nil && x.stale == nil) || x.fetchesPart()
}

// fetchesPart: a part is all the client wants, and the whole could be very
// large; a fetch of a part is its own.
func (x *exchange) fetchesPart() bool {
	return x.req.Range != nil && x.stale == nil && !wholeRange(x.req.Range)
}

// maySettleFor tells whether a request that comes after the answer may take it:
// it must be fresh enough for the request (RFC 9111 section 4).
func (x *exchange) maySettleFor(a *answer) bool {
	switch a.kind {
	case answerBody, answerObject:
		return x.verdict != policy.RequestMiss && a.obj.Freshness.Use(&x.directive, x.p.now().UnixNano()) == policy.UseFresh
	case answerAgain, answerAlone:
		return true
	}
	// A failure is news for a while only; the flight is about to leave.
	return false
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
	if x.verdict == policy.RequestMiss {
		return false
	}
	o := x.p.tiers.Peek(&x.hash, x.text)
	switch {
	case o == nil || o == x.stale || x.p.purged(o) != invalidation.Valid || !x.p.confirmed(o, x.p.now()):
		return false
	case o.Kind == tiers.KindResponse:
		return o.Freshness.Use(&x.directive, x.now) == policy.UseFresh
	case o.Kind == tiers.KindVary:
		return true
	}
	return o.Freshness.TTL(x.now) > 0
}

// again sends the request back to lookup.
func (x *exchange) again() state {
	if x.stale != nil {
		x.stale.Close()
		x.stale = nil
	}
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
		x.p.opts.Metrics.Coalesced()
	}
	switch a.kind {
	case answerBody, answerObject:
		if !leads && x.p.purged(a.obj) != invalidation.Valid {
			// The fetch began before a purge that this request may have come
			// after.
			x.p.flights.leave(f)
			x.collapsed = false
			return x.again()
		}
		if a.kind == answerBody {
			return x.takeBody(f, leads)
		}
		return x.takeObject(f, leads)
	case answerAlone:
		return x.takeAlone(a, leads)
	case answerFail:
		x.fwdStatus = a.status
		return x.failed(a.reason, a.code)
	}
	x.collapsed = false
	if leads {
		return x.failed(policy.ReasonInternal, 502)
	}
	return x.again()
}

// mine tells whether the answer is for this request's variant. If not, the key
// is now that of its own, and the request starts over with it.
func (x *exchange) mine(a *answer) bool {
	if a.spec == nil {
		x.setPrimary()
		return a.hash == x.hash
	}
	x.setVariant(a.spec)
	return a.hash == x.hash
}

// takeBody follows the body while it arrives.
func (x *exchange) takeBody(f *flight, leads bool) state {
	a := &f.answer
	// The leader's own variant is the answer's: it only takes over the key.
	if mine := x.mine(a); !mine && !leads {
		return x.otherVariant()
	}
	if leads {
		x.fill = a.reader
	} else {
		x.fill = a.fill.TryReader(0)
		if x.fill == nil {
			// The body cannot be stored and its beginning is gone.
			x.collapsed = false
			return x.goAlone()
		}
	}
	x.dropStale()
	x.obj, x.code, x.tier = a.obj, a.obj.Status, policy.TierOrigin
	x.fwdStatus, x.stored, x.reason = a.status, a.stored, a.reason
	x.hasTTL, x.ttl = true, a.obj.Freshness.TTL(x.now)
	if leads && a.first != nil {
		x.obj = a.first
	}
	return stateDeliver
}

// ofTheDisk tells whether a response is not stored for want of a place on disk,
// and for no reason that lies in the response.
func ofTheDisk(r policy.Reason) bool {
	return r == policy.ReasonStorage || r == policy.ReasonNotAdmitted || r == policy.ReasonPinnedFull
}

// takeObject takes what a 304 renewed.
func (x *exchange) takeObject(f *flight, leads bool) state {
	a := &f.answer
	if !leads && x.hash != a.hash {
		return x.otherVariant()
	}
	if !leads && !a.stored && !ofTheDisk(a.reason) {
		// What the 304 said was to the leader alone.
		x.collapsed = false
		return x.again()
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
			x.collapsed = false
			return x.again()
		}
		o = x.stale.Renewed(o)
	}
	tier := o.Tier
	x.dropStale()
	x.verdict, x.fwdStatus, x.stored = policy.Revalidated, a.status, a.stored
	x.obj, x.code, x.tier = o, o.Status, tier
	x.hasTTL, x.ttl = true, o.Freshness.TTL(x.now)
	return stateDeliver
}

// takeAlone: the leader has the origin's answer, the others fetch their own.
func (x *exchange) takeAlone(a *answer, leads bool) state {
	if !leads {
		if a.status >= 500 {
			// The origin fails: those who waited do not all ask it again at
			// the same instant.
			x.fwdStatus = a.status
			return x.failed(policy.ReasonOriginStatus, a.status)
		}
		x.collapsed = false
		if ofRequest(a.reason) {
			return x.again()
		}
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
		return x.hit(o, policy.HitStaleError)
	}
	x.dropStale()
	return x.failure(code, reason)
}

// standsIn tells whether the stale object may be served in place of a failure.
func (x *exchange) standsIn(o *tiers.Object, reason policy.Reason) bool {
	if x.unconfirmed {
		return false // it may have been purged
	}
	switch reason {
	case policy.ReasonOriginRefused, policy.ReasonOriginConnect, policy.ReasonOriginTLS, policy.ReasonOriginTimeout,
		policy.ReasonOriginReset:
		return x.freshness(o).StaleIfUnreachable(x.rule, &x.directive, x.now)
	}
	return x.freshness(o).StaleIfErrorAllowed(&x.directive, x.now)
}

// otherVariant: what arrived is another variant than this request selects. The
// key is that of its own by now, and the fetch of that one is what it joins.
func (x *exchange) otherVariant() state {
	x.collapsed = false
	x.verdict = policy.VaryMiss
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

// setPrimary makes text and hash the primary key again.
func (x *exchange) setPrimary() {
	if len(x.text) != x.primary {
		x.text = x.text[:x.primary]
		x.hash = policy.HashKey(x.text)
	}
}
