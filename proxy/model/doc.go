// Package model is a second reading of RFC 9111, apart from the one that weir
// runs on: which responses a shared cache may store, which stored response it
// must not use for a request, and which it would be a waste not to use. It is
// slow, keeps every response it ever saw and shares no code with package
// policy; each function names the section it reads.
//
// Its tests drive random histories (origins that change and fail, a clock,
// requests of every kind) through the real proxy and tiers and hold each answer
// against the model: what was reused was allowed to be, what was validated is
// what the origin confirmed, Age is right, and the origin was not asked for
// what must have been at hand. Where the RFC leaves a choice and weir has made
// one (docs/http-caching.md), the model holds weir to its choice and says so.
//
// Not covered: requests at the same time (they are the scenarios' in cmd/weir),
// the disk tier, evictions, policies other than the minimal one.
package model
