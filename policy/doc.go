// Package policy decides: which rule a request falls under, which key it has,
// whether a response may be stored, for how long it is fresh, which stored
// variant answers which request, and what a conditional or a range request
// gets. It can be read beside RFC 9110, 9111, 5861, 8246 and 9213.
//
// Guaranteed: every function is pure. Requests, responses and the time go in,
// a verdict comes out; no I/O, no clock, no globals that change. Nothing here
// panics on any input, and what runs on the hit path allocates nothing.
//
// Refused: anything that needs a connection, a tier or a configuration file.
// Where an origin's header cannot be understood, the safest reading that the
// RFC allows is taken: not stored, or stale at once.
package policy
