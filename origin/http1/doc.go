// Package http1 is the client's side of one HTTP/1.1 connection: one exchange at
// a time, in the goroutine of the caller.
//
// What it guarantees:
//   - a request leaves as it was given; only Host and the framing are added. Its
//     head, and a small body that is at hand, leave in one write;
//   - a response is read strictly (RFC 9112): lines end in CRLF, names are tokens,
//     no line is folded, lengths are numbers and never stand beside a transfer
//     coding. What it accepts, http.ReadResponse accepts too and reads in the same
//     way, with two exceptions. Space between a name and its colon is removed, as
//     RFC 9112 section 5.1 asks of a proxy. A transfer coding that is not
//     registered stands for no transformation, and the body is what comes until
//     the connection ends (section 6.3, item 4);
//   - heads, trailers, chunk extensions and interim responses are bounded;
//   - a body ends in io.EOF only when its framing proves it complete, or when it is
//     delimited by the end of the connection, which Response.CloseDelimited tells;
//   - a connection that was used before is looked at before a request is written to
//     it: bytes that nobody asked for, or its end, make it useless, and nothing of
//     the request is touched then;
//   - every wait has a bound, and every failure is an *Error whose Kind is set where
//     it happens.
//
// A request body that may block is sent by the only other goroutine, which ends no
// later than the exchange.
//
// What it refuses: 101, more than eight interim responses, requests whose target,
// Host or fields cannot be written safely.
package http1
