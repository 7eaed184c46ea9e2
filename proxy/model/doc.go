// Package model is a second reading of RFC 9111, apart from the one that weir
// runs on: which responses a shared cache may store, which stored response it
// must not use for a request, and which it would be a waste not to use. It is
// slow, keeps every response it ever saw and shares no code with package
// policy; each function names the section it reads.
//
// Its tests drive random histories (origins that change, fail and hold their
// answers, a clock, many clients at once with cookies and credentials, policies)
// through the real proxy and tiers and hold each answer against the model: what
// was reused was allowed to be, for whom it was made and for whom not, what was
// validated is what the origin confirmed, Age is right; nobody waits for what
// cannot be his, and the origin was not asked for what must have been at hand or
// was on its way. Where the RFC leaves a choice and weir has made one
// (docs/http-caching.md), the model holds weir to its choice and says so.
//
// Each history runs in a bubble of testing/synctest. Between two of its acts the
// test waits until nothing more happens by itself; who waits for whom is then to
// be seen, and no act depends on how fast anything is.
//
// Not covered: the disk tier, evictions, purges, clients that leave early.
package model
