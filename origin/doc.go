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
//   - an upload ends with its exchange: an answer that refuses it ends it at once.
//
// What it refuses: protocol upgrades (101), CONNECT, request trailers, proxies
// from the environment, certificates that do not verify unless told otherwise.
package origin
