package proxy

import "weir/policy"

// goAlone is the state Alone: it fetches without being joined. What it brings is stored
// if it may be. Where nothing is stored that could be renewed, the client's conditions
// go along.
func (x *exchange) goAlone() state {
	if !x.core.room.Enter() {
		return x.turnedAway(policy.ReasonAllWait)
	}
	defer x.core.room.Leave()
	if x.core.overload.Sheds() {
		return x.turnedAway(policy.ReasonOverloaded)
	}
	q := x.question()
	q.Ranged, q.Conditional = x.fetchesPart(), x.stale == nil && x.req.Conditional()
	x.toldOrigin = q.Conditional
	if x.provedAlone() {
		q.Context, q.Done = x.exclusive()
	}
	return x.lead(x.core.fetch.Alone(&x.key, x.asker.Personal()), &q)
}

// provedAlone reports whether the answer to a request that goes alone is known to be
// for nobody else, nor for the store.
func (x *exchange) provedAlone() bool {
	return x.stale == nil && (x.refused || x.alone && x.reason != policy.ReasonExpired)
}
