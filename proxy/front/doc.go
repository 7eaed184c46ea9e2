// Package front is all that proxy knows of the wire towards its clients. It hands
// every request to the client machine as a Session, and writes what the machine
// answers. There is one kind of session, HTTP/1.1 (and 1.0) on fasthttp; another
// protocol is another implementation of Session, and the machine sees no
// difference.
//
// A request takes this way:
//
//	listener -> connections: is there room? -> conn, which divides what it reads
//	            (inbound, head, chunks) and whose time is watched (phase, watch, leave)
//	fasthttp -> http1: a Session for the request -> Options.Handle
//	http1    -> the header (header, fold), a body in memory (private) or a stream
//
// Guaranteed: fasthttp reads nothing that the scanners here have not taken for one
// request, and never a byte beyond it; a request that two parsers could read
// differently arrives as a Fault and its connection ends with the answer; an
// answer with a prepared header and a body in memory allocates nothing; a body that
// breaks off is never ended as if it were whole.
//
// What fasthttp does not promise in its documentation, and what this package relies
// on all the same, is in private.go. The tests in private_test.go hold each of it.
//
// Refused: HTTP/2, protocol upgrades, CONNECT.
package front
