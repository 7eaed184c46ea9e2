// Package proxy is the data plane: it receives requests, answers them from the
// tiers or from the origin, and stores what the policy says may be stored.
//
// Two machines do the work. The client machine (type exchange) takes one
// request from Receive to Finish; it is the only place where a request is
// counted and logged. The fetch machine (package fetch) brings one response from
// an origin, for one request that leads and any number that follow; a client that
// leaves stops nobody's fetch but its own, where that can serve nobody else (vigil).
//
//	Receive -> Lookup -> Deliver       a stored object answers
//	                  -> Join          it has to be fetched, or confirmed
//	        -> Pass                    method, policy or doubt: nothing stored answers
//	Join    -> Deliver                 the answer is for this request
//	        -> Lookup                  it is not, or was purged: look again
//	        -> Join                    it is of another variant: join that one's fetch
//	Pass    -> Deliver
//	any     -> Refuse                  weir answers by itself
//	Deliver, Refuse -> Finish          the only exit
//
// The loops end: after eight flights without an answer a request fetches alone, and
// what proved to be for its asker alone is remembered as a mark, which sends
// requests of the kind past the queue.
//
// # When may a stored object be used
//
// A stored object answers a request when all of this holds, in this order:
//
//  1. The disk owes it no deletion (tiers: debts), and its key text is the
//     request's, byte for byte: Store.Lookup.
//  2. A vary record leads to it, where the response varies: findVariant.
//  3. No hard purge touched it since its fetch began: stored.Store.Usable.
//  4. The gate is open, or the origin has confirmed the object since it closed:
//     stored.Store.Confirmed. Else it may only be validated.
//  5. Its freshness, as soft purges leave it (exchange.freshness), allows the use:
//     policy.Freshness.Reusable, asked with the occasion (a request, a failure, an
//     outage) and with who asks (cookies, credentials, Cache-Control).
//
// A request that waited for another's fetch asks the same of the answer: 2 as
// exchange.mine, 3 in purgedBehind, 4 in Machine.Join, 5 in mayHave.
//
// Guaranteed: a response is stored only when its body is proven complete; a
// follower never gets an answer that its own request does not select; nobody
// waits for a whole body; the hit path allocates nothing and takes no global
// lock; one validated host is both key and forwarded host.
//
// Refused: HTTP/2 towards clients, protocol upgrades, CONNECT, and requests
// whose framing two parsers could read differently.
package proxy
