package proxy

import (
	"time"

	"weir/invalidation"
	"weir/policy"
	"weir/proxy/fetch"
	"weir/proxy/front"
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
	if !x.p.room.Enter() {
		return x.turnedAway(policy.ReasonAllWait)
	}
	defer x.p.room.Leave()
	x.hops++
	if x.hops > maxHops || x.mustGoAlone() {
		return x.goAlone()
	}
	f, leads := x.p.fetch.Join(&x.key, x.asker.Personal())
	if leads {
		// The losing interleaving: another flight committed and left the table
		// between our lookup and our joining it; we would fetch again what was
		// stored a moment ago. So look once more, now that nobody else can.
		if x.arrivedMeanwhile() {
			f.GiveUp()
			return x.again()
		}
		if x.p.overload.Sheds() {
			f.GiveUp()
			return x.turnedAway(policy.ReasonOverloaded)
		}
		if x.stale != nil && x.mayStandIn(x.stale, policy.OnFailure) {
			return x.leadBehind(f)
		}
		q := x.question()
		if q.Part = x.partToComplete(); q.Part != nil {
			x.found = foundPart
		}
		return x.lead(f, &q)
	}
	if a := f.Answer(); a != nil {
		// The losing interleaving: the answer's head came before this request
		// did. Those who waited for it may share it; who comes later may only
		// if it could be served from the cache.
		x.waited = false
		if !x.maySettleFor(a) {
			return x.goAlone()
		}
		x.follows()
		return x.follow(f, a)
	}
	if !f.Follow() {
		return x.turnedAway(policy.ReasonTooManyWaiters)
	}
	x.follows()
	x.waited = true
	return x.await(f)
}

// await waits for the answer to another's question, or for a while where something
// stale may stand in by the word of the response or the rule. Where it may only when
// the origin fails, the flight ends with that; but its own asker may have nothing
// stale, so that is looked at, too.
func (x *exchange) await(f *fetch.Flight) state {
	left, ready := x.p.opts.FollowerTimeout, false
	stands := x.stale != nil && x.mayStandIn(x.stale, policy.OnFailure)
	yields := x.stale != nil && x.mayStandIn(x.stale, policy.OnOutage)
	for failing := false; !ready && left > 0 && !failing; {
		step := left
		if yields {
			step = min(left, x.cfg.StaleWait)
		}
		left -= step
		ready = x.readyWithin(f, step)
		up := x.cfg.Origins[x.rule.Origin]
		failing = stands || yields && up.Failing()
	}
	f.Unfollow()
	switch {
	case ready:
		return x.follow(f, f.Answer())
	case stands:
		return x.hasWaited()
	case left > 0:
		return x.giveUp()
	}
	return x.goAlone()
}

func (x *exchange) readyWithin(f *fetch.Flight, d time.Duration) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-f.Ready():
		return true
	case <-wait.C:
		return false
	}
}

// hasWaited ends a bounded wait for the origin: the stale object stands in, unless it
// was purged meanwhile.
func (x *exchange) hasWaited() state {
	if x.mayStandIn(x.stale, policy.OnFailure) {
		return x.standIn(policy.ReasonStaleWait)
	}
	return x.again()
}

// leadBehind leads a flight and waits for it no longer than a follower would: the
// stale object then stands in, and the flight goes on.
func (x *exchange) leadBehind(f *fetch.Flight) state {
	q := x.question()
	if q.Stale = x.ownHold(x.stale); q.Stale == nil {
		f.GiveUp()
		return x.again() // it has changed meanwhile
	}
	q.StandIn = 0 // it goes on
	q.Interim = x.passInterims().Got
	f.LeadBehind(&q)
	ready := x.readyWithin(f, x.cfg.StaleWait)
	x.endInterims()
	if !ready {
		f.Abandon()
		return x.hasWaited()
	}
	return x.took(f.Answer(), f.TakeOwn())
}

// ownHold returns o for a flight to hold, beside the hold that this request has; nil
// where it is gone.
func (x *exchange) ownHold(o *tiers.Object) *tiers.Object {
	if !o.Large() {
		return o
	}
	own := x.p.store.Lookup(&x.key.Hash, x.key.Text)
	if own != nil && !own.Same(o) {
		own.Close()
		return nil
	}
	return own
}

// question is what the request asks an origin for.
func (x *exchange) question() fetch.Question {
	x.showForwarded()
	q := fetch.Question{Rule: x.rule, Upstream: x.cfg.Origins[x.rule.Origin], Request: x.req, Key: x.key, Stale: x.stale}
	q.Request.Method, q.StandIn = "GET", x.standInAfter()
	return q
}

// standInAfter is how long the request waits for a connection to the origin when
// something stale may stand in; 0: nothing may.
func (x *exchange) standInAfter() time.Duration {
	if x.stale == nil || !x.mayStandIn(x.stale, policy.OnOutage) {
		return 0
	}
	return x.cfg.StaleWait
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
	now := x.p.clock.Now()
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

// arrivedMeanwhile tells whether the key now has an answer in RAM that lookup
// did not see.
func (x *exchange) arrivedMeanwhile() bool {
	o := x.p.store.Peek(&x.key.Hash, x.key.Text)
	if o == nil || o == x.stale || x.p.store.Purged(o) != invalidation.Valid || !x.p.store.Confirmed(o, x.p.now()) {
		return false
	}
	return o.Kind == tiers.KindVary || o.Freshness.Reusable(&x.asker, policy.OnRequest, x.p.clock.Now()) == policy.UseFresh
}

// again sends the request back to lookup.
func (x *exchange) again() state {
	x.dropStale()
	x.collapsed = false
	// The time of the request's arrival is behind what arrived meanwhile.
	x.now = x.p.clock.Now()
	return stateLookup
}

// goAlone fetches without being joined. What it brings is stored if it may be.
// Where nothing is stored that could be renewed, the client's conditions go along.
func (x *exchange) goAlone() state {
	if x.p.overload.Sheds() {
		return x.turnedAway(policy.ReasonOverloaded)
	}
	q := x.question()
	q.Ranged, q.Conditional = x.fetchesPart(), x.stale == nil && x.req.Conditional()
	x.toldOrigin = q.Conditional
	if x.provedAlone() {
		q.Context, q.Done = x.exclusive()
	}
	return x.lead(x.p.fetch.Alone(&x.key, x.asker.Personal()), &q)
}

// lead fetches. The client gets the origin's interim responses meanwhile.
func (x *exchange) lead(f *fetch.Flight, q *fetch.Question) state {
	q.Interim = x.passInterims().Got
	a, own := f.Lead(q)
	x.endInterims()
	return x.took(a, own)
}

// provedAlone reports whether the answer to a request that goes alone is known to be
// for nobody else, nor for the store.
func (x *exchange) provedAlone() bool {
	return x.stale == nil && (x.refused || x.alone && x.reason != policy.ReasonExpired)
}

// passInterims passes the origin's interim responses on to the client that caused the
// fetch. They are never stored, and followers do not see them: they may have begun to
// receive the final one.
func (x *exchange) passInterims() front.Interims {
	x.interims = x.session.Interims()
	return x.interims
}

// endInterims returns when nothing is being written to the client any more.
func (x *exchange) endInterims() {
	if x.interims != nil {
		x.interims.End()
		x.interims = nil
	}
}

// heard notes what the origin said.
func (x *exchange) heard(h *fetch.Heard) {
	x.originTime = h.Took
	// The answer is younger than the request: its age counts from here.
	x.now = x.p.clock.Now()
	x.fwdStatus, x.retryAfter = h.Status, h.RetryAfter
}

// took makes the answer to the question that this request led with its own.
func (x *exchange) took(a fetch.Answer, own fetch.Own) state {
	if own.Live == nil {
		x.endVigil() // what comes is for others too
	}
	switch a := a.(type) {
	case *fetch.Body:
		x.heard(&a.Heard)
		// The leader's own variant is the answer's: it only takes over the key.
		x.key, _ = x.mine(a)
		x.fill = own.Reader
		return x.deliverBody(a, own.First)
	case *fetch.Renewed:
		x.heard(&a.Heard)
		return x.takeRenewed(a, own.First)
	case *fetch.Alone:
		x.heard(&a.Heard)
		return x.deliverLive(a, own)
	case *fetch.Failed:
		x.heard(&a.Heard)
		return x.failed(a.Reason, a.Code)
	}
	return x.failed(policy.ReasonInternal, 502)
}

// follow makes the answer to another request this one's own, where it may.
func (x *exchange) follow(f *fetch.Flight, a fetch.Answer) state {
	x.collapsed = true
	switch a := a.(type) {
	case *fetch.Body:
		x.heard(&a.Heard)
		return x.followBody(f, a)
	case *fetch.Renewed:
		x.heard(&a.Heard)
		return x.followRenewed(f, a)
	case *fetch.Alone:
		x.heard(&a.Heard)
		return x.followAlone(a)
	case *fetch.Failed:
		x.heard(&a.Heard)
		return x.failed(a.Reason, a.Code)
	}
	return x.again()
}

// purgedBehind reports whether the fetch that brought o began before a purge that
// this request may have come after.
func (x *exchange) purgedBehind(f *fetch.Flight, o *tiers.Object) bool {
	if x.p.store.Purged(o) == invalidation.Valid {
		return false
	}
	f.Leave()
	return true
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

// followBody follows the body while it arrives.
func (x *exchange) followBody(f *fetch.Flight, a *fetch.Body) state {
	if x.purgedBehind(f, a.Head) {
		return x.again()
	}
	own, mine := x.mine(a)
	switch {
	case !mine:
		return x.otherVariant(own)
	case x.mayHaveBody(a):
	case a.Failure:
		return x.sharesFailure(&a.Heard)
	default:
		return x.refusedBy(f, a.Reason, a.Validates)
	}
	if a.Fill != nil {
		if x.fill = a.Fill.TryReader(0); x.fill == nil {
			// The body cannot be stored and its beginning is gone.
			x.collapsed = false
			return x.goAlone()
		}
	}
	x.key = own
	return x.deliverBody(a, nil)
}

// deliverBody delivers a response that has just come, with the head first where
// that is set.
func (x *exchange) deliverBody(a *fetch.Body, first *tiers.Object) state {
	x.dropStale()
	x.obj, x.code, x.tier = a.Head, a.Head.Status, policy.TierOrigin
	x.stored, x.reason = a.Stored, a.Reason
	if !a.Failure {
		x.hasTTL, x.ttl = true, a.Head.Freshness.TTL(x.now)
	}
	if first != nil {
		x.obj = first
	}
	return stateDeliver
}

// refusedBy sends on a request that may not have the flight's answer. One of
// the kind of the leader goes alone, and so do others of the kind, side by side:
// what came is for nobody but its asker. One of the other kind may find a flight
// of its own kind. The reason is why the answer is not stored.
func (x *exchange) refusedBy(f *fetch.Flight, reason policy.Reason, validates bool) state {
	own := f.Personal == x.asker.Personal() && (!fetch.OfRequest(reason) || reason == policy.ReasonPurged)
	if own || validates {
		x.refused = true
	}
	return x.again()
}

// sharesFailure answers a request that waited with the origin's failure, but not
// with its words, which may be for somebody else.
func (x *exchange) sharesFailure(h *fetch.Heard) state {
	return x.failed(policy.ReasonOriginStatus, h.Status)
}

// ofTheDisk reports whether a response is not stored for want of a place on disk,
// and for no reason that lies in the response.
func ofTheDisk(r policy.Reason) bool {
	return r == policy.ReasonStorage || r == policy.ReasonNotAdmitted || r == policy.ReasonPinnedFull
}

// followRenewed takes what a 304 to another request renewed.
func (x *exchange) followRenewed(f *fetch.Flight, a *fetch.Renewed) state {
	if x.purgedBehind(f, a.Object) {
		return x.again()
	}
	if x.key.Hash != a.Hash {
		return x.otherVariant(x.key)
	}
	// What may not be stored for a reason in the 304 was to the leader alone.
	shared := a.Stored || ofTheDisk(a.Reason) || a.Reason == policy.ReasonRequestNoStore
	if !shared || !x.mayHave(a.Reason, &a.Object.Freshness, &a.Waiting) {
		return x.refusedBy(f, a.Reason, false)
	}
	return x.takeRenewed(a, nil)
}

// takeRenewed takes what a 304 renewed, with the head first where that is set.
func (x *exchange) takeRenewed(a *fetch.Renewed, first *tiers.Object) state {
	o := a.Object
	if first != nil {
		o = first
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

// followAlone: the leader has the origin's answer, the others fetch their own.
func (x *exchange) followAlone(a *fetch.Alone) state {
	switch {
	case fetch.OriginFails(a.Status):
		// Those who waited do not all ask it again at the same instant.
		return x.sharesFailure(&a.Heard)
	case fetch.OfRequest(a.Reason) && !a.Validates && (a.Reason != policy.ReasonPurged || a.Waiting.ServesOthers(a.Waiting.Came)):
		return x.again()
	}
	x.collapsed = false
	x.dropStale()
	_, x.alone = x.p.store.Marked(&x.key, x.asker.Personal())
	return x.goAlone()
}

// deliverLive delivers the origin's answer to this request alone.
func (x *exchange) deliverLive(a *fetch.Alone, own fetch.Own) state {
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

// failed lets the stale object stand in where it may, else gives up.
func (x *exchange) failed(reason policy.Reason, code int) state {
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
	return x.failure(code, reason)
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

// mayStandIn reports whether the stale object may be served in place of what the
// origin does not give.
func (x *exchange) mayStandIn(o *tiers.Object, on policy.Occasion) bool {
	if x.unconfirmed || x.p.store.Purged(o) == invalidation.Invalid {
		return false // it may have been purged, or was while the origin was waited for
	}
	return x.freshness(o).Reusable(&x.asker, on, x.now) != policy.UseRevalidate
}

// otherVariant: what arrived is another variant than this request selects. It
// joins the fetch of its own.
func (x *exchange) otherVariant(own policy.Key) state {
	x.collapsed = false
	x.key, x.found = own, foundVariants
	x.dropStale()
	x.now = x.p.clock.Now()
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

// refresh fetches behind a stale object that is being served, unless that is under
// way already. Of an origin that is failing, one request at a time finds out whether
// it still is.
func (x *exchange) refresh(o *tiers.Object) {
	up := x.cfg.Origins[x.rule.Origin]
	var done func()
	if up.Failing() {
		if !up.Health.Probe() {
			return
		}
		done = up.Health.Probed
	}
	if !x.refreshes(o, done) && done != nil {
		done()
	}
}

func (x *exchange) refreshes(o *tiers.Object, done func()) bool {
	if x.p.overload.Sheds() {
		return false
	}
	// What the object holds open is the exchange's.
	if o = x.ownHold(o); o == nil {
		return false
	}
	f, leads := x.p.fetch.Join(&x.key, x.asker.Personal())
	if !leads {
		if o.Large() {
			o.Close()
		}
		return false
	}
	q := x.question()
	q.Stale, q.StandIn = o, 0 // nobody waits
	q.Done = done
	f.Behind(&q)
	return true
}
