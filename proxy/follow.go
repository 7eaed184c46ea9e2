package proxy

import (
	"weir/invalidation"
	"weir/policy"
	"weir/proxy/fetch"
	"weir/tiers"
)

// follow makes the answer to another request this one's own, where it may.
func (x *exchange) follow() state {
	x.collapsed = true
	x.hears(x.flight.Answer())
	x.own = fetch.Own{}
	switch a := x.told.(type) {
	case *fetch.Body:
		return x.followBody(x.flight, a)
	case *fetch.Renewed:
		return x.followRenewed(x.flight, a)
	case *fetch.Alone:
		return x.followAlone(a)
	case *fetch.Failed:
		return x.fails(a.Reason, a.Code)
	}
	return x.again()
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
		if x.own.Reader = a.Fill.TryReader(0); x.own.Reader == nil {
			// The body cannot be stored and its beginning is gone.
			x.collapsed = false
			return stateAlone
		}
	}
	x.key = own
	return stateTake
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
	return stateTake
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
	_, x.alone = x.core.store.Marked(&x.key, x.asker.Personal())
	return stateAlone
}

// purgedBehind reports whether the fetch that brought o began before a purge that
// this request may have come after.
func (x *exchange) purgedBehind(f *fetch.Flight, o *tiers.Object) bool {
	if x.core.store.Purged(o) == invalidation.Valid {
		return false
	}
	f.Leave()
	return true
}

// otherVariant: what arrived is another variant than this request selects. It
// joins the fetch of its own.
func (x *exchange) otherVariant(own policy.Key) state {
	x.collapsed = false
	x.key, x.found = own, foundVariants
	x.dropStale()
	x.now = x.core.clock.Now()
	return stateJoin
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
	return x.fails(policy.ReasonOriginStatus, h.Status)
}

// ofTheDisk reports whether a response is not stored for want of a place on disk,
// and for no reason that lies in the response.
func ofTheDisk(r policy.Reason) bool {
	return r == policy.ReasonStorage || r == policy.ReasonNotAdmitted || r == policy.ReasonPinnedFull
}
