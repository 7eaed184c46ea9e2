package proxy

import (
	"time"

	"weir/invalidation"
	"weir/policy"
	"weir/proxy/fetch"
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
	if !x.core.room.Enter() {
		return x.turnedAway(policy.ReasonAllWait)
	}
	defer x.core.room.Leave()
	x.hops++
	if x.hops > maxHops || x.mustGoAlone() {
		return stateAlone
	}
	f, leads := x.core.fetch.Join(&x.key, x.asker.Personal())
	if leads {
		// The losing interleaving: another flight committed and left the table
		// between our lookup and our joining it; we would fetch again what was
		// stored a moment ago. So look once more, now that nobody else can.
		if x.arrivedMeanwhile() {
			f.GiveUp()
			return x.again()
		}
		if x.core.overload.Sheds() {
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
			return stateAlone
		}
		x.follows(f)
		return stateFollow
	}
	if !f.Follow() {
		return x.turnedAway(policy.ReasonTooManyWaiters)
	}
	x.follows(f)
	x.waited = true
	return x.await(f)
}

// await waits for the answer to another's question, or for a while where something
// stale may stand in by the word of the response or the rule. Where it may only when
// the origin fails, the flight ends with that; but its own asker may have nothing
// stale, so that is looked at, too.
func (x *exchange) await(f *fetch.Flight) state {
	left, ready := x.core.followerTimeout, false
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
		return stateFollow
	case stands:
		return x.hasWaited()
	case left > 0:
		return x.giveUp()
	}
	return stateAlone
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
	return x.led(f.Answer(), f.TakeOwn())
}

// follows counts the request among those that took part in another's fetch: once,
// however many flights it follows.
func (x *exchange) follows(f *fetch.Flight) {
	x.flight = f
	if !x.coalesced {
		x.coalesced = true
		x.core.metrics.Coalesced()
	}
}

// mustGoAlone: an answer to credentials is hardly ever for others, so such a
// request neither waits for others nor lets others wait for it.
func (x *exchange) mustGoAlone() bool {
	return x.alone || x.refused || (x.req.Authorization != nil && x.stale == nil) || x.fetchesPart()
}

// arrivedMeanwhile tells whether the key now has an answer in RAM that lookup
// did not see.
func (x *exchange) arrivedMeanwhile() bool {
	o := x.core.store.Peek(&x.key.Hash, x.key.Text)
	if o == nil || o == x.stale || x.core.store.Purged(o) != invalidation.Valid || !x.core.store.Confirmed(o, x.core.now()) {
		return false
	}
	return o.Kind == tiers.KindVary || o.Freshness.Reusable(&x.asker, policy.OnRequest, x.core.clock.Now()) == policy.UseFresh
}
