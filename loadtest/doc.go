// Package loadtest is the home of what puts load on a cache and judges the answers. The parts:
//
//   - selfcheck: bodies whose every byte follows from a name, a version and an offset
//   - accesslog: reading and generating access logs in the combined format
//   - script: an origin that does byte for byte what a scenario tells it to
//   - storefront: the demo's origin, a small shop with real cache headers
//   - workload: what a load asks for and when: catalogue, popularity, sizes, schedules
//   - load: the engine of weirload, which sends, compares and measures
//   - loadorigin: weirload's origin, whose answers the URL or a rule describes
//   - report: a run as a table, JSON and an HTML page
//   - replay: sends a log through a running proxy and compares every body
//   - trial: real applications behind weir, and many visitors who must not see each other's pages
//   - chaos: random faults over a running weir, and what must hold whatever happens
//   - figures: prints what was measured beside what it should be
//
// None of them imports the proxy: what they know of it is HTTP and the Cache-Status field (RFC 9211).
// Everything that sends load refuses a target that is not loopback, unless it is told otherwise.
package loadtest
