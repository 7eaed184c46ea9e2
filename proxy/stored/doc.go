// Package stored holds what both machines of the proxy know of what is stored:
// the tiers, the purges that are held against each object, and the marks of what
// proved to be for its asker alone.
//
// Guaranteed: an object that Usable lets through was touched by no hard purge
// since its fetch began; an object that a soft purge touched is stale from then
// on (Freshness); while the gate is closed nothing is confirmed that the origin
// has not confirmed since (Confirmed).
//
// Not decided here: whether an object may answer a request. That is
// policy.Freshness.Reusable, and its callers say with what else it goes.
package stored
