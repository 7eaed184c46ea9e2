// Package fetch is the fetch machine: it brings responses from origins and stores
// what may be stored. It knows no client: a question goes in, an answer comes
// out, to the request that leads and to all that follow it.
//
//	RoundTrip -> Merge    a 304 renews what is stored
//	          -> Body     the response may be stored, or goes to all who wait
//	               whole: it is stored and answered at once
//	               else -> Stream, in a goroutine of its own; commits at the end
//	          -> Alone    the response is for the leader only
//	          -> RoundTrip, when a stored part proves to be of something else
//	          -> Fail     there is no response
//	... -> Release, exactly once, also on panic
//
// The machine runs in the goroutine of the request that leads, up to where a body
// is not complete with its header: it then goes on in its own, and the leader
// reads along as the followers do.
//
// Guaranteed: a response is stored only when its body is proven complete and no
// purge came since its fetch began; a flight has one answer, and everyone who
// waits gets it, also when the machine panics; what is told to followers is
// policy's word on whether they may have it (policy.Freshness.Reusable), which
// they ask by themselves.
package fetch
