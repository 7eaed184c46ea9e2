// Package admin is the HTTP plane for operators: health, readiness, metrics
// and status.
//
// It guarantees:
//   - /healthz and /readyz answer everybody, so that a load balancer needs no
//     secret; they say nothing else to those who may not read the status;
//   - without tokens only this machine is answered: the peer's address and the
//     Host header must both be loopback, which keeps out web pages that point a
//     name of theirs at 127.0.0.1, and a request that was forwarded by a proxy
//     is refused, since then anybody may be behind it;
//   - with tokens, everything but the health routes and the index needs one, from
//     wherever it comes; tokens are compared in constant time and are replaced
//     as a whole while requests run;
//   - a web page of another origin neither changes nor reads anything, whatever
//     runs its browser: requests that say where they come from are refused, and
//     what changes something must be application/json;
//   - every refusal is JSON that says what would be right, and leaves an audit line.
//
// It refuses to know the proxy: what it shows comes through the three small
// interfaces in handler.go.
package admin
