// Package load sends requests to a cache, compares what comes back and measures how long it took.
//
// Guarantees: in an open loop latency counts from the moment at which a request was due, so a target that stalls cannot hide
// it; what was due and not sent counts too. Every answer is compared while it arrives, against what the request says, and
// is right, stale, wrong or broken. A body is stale when its version is older than one whose purge had been acknowledged
// before the request was sent; a version that races with its purge is not. A run ends by itself and returns what was
// measured also when the target dies. No goroutine is left.
//
// Refuses: targets that are not loopback, unless told otherwise; impossible settings, all of which are named at once.
//
// There are two engines with one protocol machine (exchange) between them: an event loop on epoll for http, which is as light
// as C clients are, and a goroutine for each connection for https and for other systems.
package load
