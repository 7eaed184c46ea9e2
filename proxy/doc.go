// Package proxy is the data plane: it receives requests, answers them from the
// tiers or from the origin, and stores what the policy says may be stored.
//
// Two machines do the work. The client machine (type exchange) takes one request,
// which a session of package front hands over, from Receive to Finish; it is the only
// place where a request is counted and logged. The fetch machine (package fetch)
// brings one response from an origin, for one request that leads and any number that
// follow; a client that leaves stops nobody's fetch but its own, where that can serve
// nobody else (exchange.exclusive).
//
//	Receive -> Lookup                  what is stored may answer
//	        -> Pass                    method, policy or doubt: nothing stored answers
//	        -> Purge                   the method asks for a purge
//	Lookup  -> Deliver                 a stored object answers
//	        -> Join                    it has to be fetched, or confirmed
//	        -> Pass                    a HEAD, or a fallback for an origin that fails
//	Join    -> Take                    this request led the fetch
//	        -> Follow                  another leads it
//	        -> Alone                   the request may not share one
//	        -> Lookup                  something came meanwhile: look again
//	        -> Deliver                 what is stale stands in for an answer that is late
//	Follow  -> Take                    the answer is for this request too
//	        -> Lookup                  it is not, or was purged: look again
//	        -> Join                    it is of another variant: join that one's fetch
//	        -> Alone                   it was for its asker only
//	Alone   -> Take
//	Take    -> Deliver
//	        -> Lookup                  a 304 renewed a body that is not at hand
//	Pass    -> Deliver
//	        -> Take                    the answer to a POST that GETs may have
//	        -> Pass                    a fallback is asked in place of an answer that is an error
//	Join, Follow, Alone, Take, Pass -> Fail   there is no answer, or no room to wait for one
//	Fail    -> Deliver                 what is stale stands in
//	        -> Pass                    a fallback is asked
//	        -> Lookup                  the fetch was given up for those who have something stale
//	any     -> Refuse                  weir answers by itself
//	Deliver, Refuse -> Finish          the only exit
//
// A newcomer begins with run.go, which holds the loop: each state is a method in the
// file of its name, returns the next one, and calls no other. What they share stands
// below them: ask.go (the way to the fetch machine), use.go and part.go (what is
// stored), share.go (what came for others), refusal.go (what weir says by itself),
// and exchange.go, which holds the state and knows nothing of what is done with it.
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
