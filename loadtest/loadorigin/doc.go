// Package loadorigin is the origin of a load test: it answers every URL with a self-checking body, at the size, after the
// delay and with the cache headers that a rule or the URL itself asks for.
//
// Guarantees: the body of a URL follows from its name and its version (package selfcheck), so a client that knows the URL can
// tell whether it got the right bytes; the version is in the Weirload-Version field and in the entity tag, and rises only
// when it is told so; what a rule leaves to chance is drawn from its shares; no body is kept in memory.
//
// Refuses: rules with faults (all of them are named), and request bodies above 1 MiB. It speaks HTTP/1.1 by hand, since the
// origin must not be what a load test measures.
package loadorigin
