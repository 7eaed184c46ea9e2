// Package origin sends requests to pools of origin servers and hands back responses
// whose completeness the caller can trust. HTTP/1.1 is package http1, HTTP/2 a library.
//
// What it guarantees:
//   - the request target, Host and header reach the origin as given; nothing is
//     invented (no User-Agent, no Accept-Encoding, no default headers);
//   - a response body ends in io.EOF only when the framing proves it complete;
//     the exception, a body that ends with the connection, is marked
//     Response.CloseDelimited. Anything else ends in an *Error;
//   - every failure is an *Error with a Kind from a closed list;
//   - every wait has a bound, and retries never multiply the bounds (see Pool.Do);
//   - a connection that its server may be about to close is not used: neither
//     beyond what a Keep-Alive field promises, less a second, nor after a second
//     without use for a request that could not be sent again;
//   - bytes that an origin sends beyond its answer, or on a connection that nobody
//     has asked on, never become the answer to another request;
//   - responses that two parsers could read in different ways are refused, see package
//     http1;
//   - an upload ends with its exchange: an answer that refuses it ends it at once;
//   - one server that fails, hangs or answers errors costs requests neither their
//     answer nor their time while another is good, as far as they may be repeated, and
//     is named with its error in the log and the Status.
//
// A Pool owns connections and makes attempts. What it knows of its servers is in its
// roster, which decides, reads no clock and does no I/O: who is asked (roster, health,
// blame), who waits (queue), how long is long (patience, overdue), how often is too
// often (budget), whether the origin as a whole fails (outage). A roster outlives the
// Pool of one configuration.
//
// What it refuses: protocol upgrades (101), CONNECT, request trailers, proxies
// from the environment, certificates that do not verify unless told otherwise.
package origin
