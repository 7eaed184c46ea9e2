// Package proxy is the data plane: it receives requests, answers them from the
// tiers or from the origin, and stores what the policy says may be stored.
//
// Two machines do the work. The client machine (type exchange) takes one
// request from Receive to Finish; it is the only place where a request is
// counted and logged. The fetch machine (type flight) brings one response from
// the origin; it belongs to no client, so that a client that leaves stops
// nobody's fetch, and any number of clients share it.
//
//	client:  Receive -> Lookup -> Deliver                     (hit, stale-but-usable)
//	                           -> Join -> Deliver             (miss, must revalidate)
//	                           -> Pass -> Deliver             (method, policy, hit-for-miss)
//	                    any of them -> Refuse                 (weir answers by itself)
//	         ... -> Finish, the only exit
//	fetch:   RoundTrip -> Merge                                (304)
//	                   -> Body                                  (may be stored; commits)
//	                   -> Alone                                 (may not be stored)
//	                   -> Fail                                  (error)
//	         ... -> Release, exactly once, also on panic
//
// Guaranteed: a response is stored only when its body is proven complete; a
// follower never gets an answer that its own request does not select; nobody
// waits for a whole body; the hit path allocates nothing and takes no global
// lock; one validated host is both key and forwarded host.
//
// Refused: HTTP/2 towards clients, protocol upgrades, CONNECT, and requests
// whose framing two parsers could read differently.
package proxy
