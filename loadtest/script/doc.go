// Package script is an origin that answers byte for byte as it is told: right answers, slow ones, broken ones and
// malicious ones. It is driven from Go (Script is plain data) or from a small text form, and it records every request.
//
// Guarantees: only what the script says is written, plus the one framing field that the framing needs; a stall is
// held until it is released, and never longer than its limit; every accepted connection, every request and every
// way an answer ended is recorded; Close ends every goroutine.
//
// Refuses: HTTP/2, and addresses that are not loopback. Requests are read with net/http.ReadRequest: what that refuses
// is recorded as Malformed and the connection closed.
//
// # The text form
//
// One directive a line; blank lines and lines that begin with # are skipped; indentation means nothing. Words in
// double quotes are Go strings ("a\r\n"). Sizes are bytes, or with KiB, MiB, GiB; durations are Go's (50ms).
//
//	# Four clients, one origin request: the body waits half way.
//	on GET /film.mp4
//	    header Cache-Control: max-age=60
//	    body 80MiB
//	    stall half at 40MiB
//
//	# The first answer is cut, the second is whole; from then on the last one repeats.
//	on GET /page
//	    header ETag: "v1"
//	    body 1000
//	    cut at 500
//	then
//	    header ETag: "v1"
//	    body 1000
//	    conditional
//
//	on * *
//	    status 404 Not Found
//	    text "no such page"
//
// Top level:
//
//	refuse N                    the first N connections are reset as soon as they are accepted
//	on METHOD TARGET            begins a route: METHOD or *, the raw target, or a prefix that ends in *, or * for any;
//	                            a target with spaces or a literal star at its end is quoted. The first route that fits
//	                            answers; where none fits, the answer is 404 and Recorded.Route is -1
//	then                        begins the route's next answer; the last answer of a route repeats
//
// In a route, before its first answer's directives:
//
//	where NAME: VALUE           fits only requests with that header field (value compared exactly)
//	where NAME                  fits only requests that have the field
//	where no NAME               fits only requests without it
//
// The head of an answer:
//
//	status 200 OK               default; "HTTP/1.1 " goes before it
//	status-line "HTTP/2.0 OK"   verbatim instead
//	header NAME: VALUE          verbatim, in this order
//	header-raw "X\x00: 1"       a verbatim header line (CRLF is added); for malformed ones
//	header-fill NAME SIZE       a field with a value of SIZE bytes
//	header-many NAME COUNT      COUNT fields, NAME-1 to NAME-COUNT
//	header-time NAME [OFFSET]   the present time plus OFFSET as an HTTP date (Date, Expires, Last-Modified)
//	interim 103 Early Hints     an interim response before the final one; may be repeated
//	interim-header NAME: VALUE  a field of the last interim response
//
// The body of an answer (without one: empty):
//
//	body SIZE [of NAME] [version N]   selfcheck content; NAME is the request target by default
//	text "hello\n"                    these bytes
//	framing length              default: Content-Length, or none where the status has no body
//	framing chunked [SIZE]      Transfer-Encoding: chunked, in chunks of SIZE (default 16KiB)
//	framing close               neither; the end of the connection ends the body
//	framing none                neither; the connection stays open, the script's own fields say what they want, and the
//	                            body is written even where HTTP allows none (HEAD, 204, 304)
//	trailer NAME: VALUE         after the last chunk
//	surplus "bytes"             after the answer, on the same connection
//	conditional                 304 when If-None-Match (weak comparison) or If-Modified-Since fits the answer's fields
//	ranges                      206 or 416 for a single byte range (If-Range is honoured)
//	close                       end the connection after this answer (adds Connection: close)
//	early                       answer without reading the request body, then close
//
// A body that is not sent (HEAD, 204, 304) has no places: nothing at body, a number or end happens then. In a range the
// numbers count the bytes that are sent.
//
// What goes wrong, and when. WHERE is: start (before the first byte, the default for delay and stall), final (between
// interim and final response), head (in the middle of the head), body (after the head), a number of body bytes such as
// 500 or 64KiB, end (after the whole body, before the last chunk), or upload N (after N bytes of the request body):
//
//	delay DURATION [at WHERE]
//	stall NAME [at WHERE] [for DURATION]   until Release(NAME); after DURATION (default 30s) the connection is cut
//	cut [at WHERE]                         the connection is closed (default: at start)
//	reset [at WHERE]                       the connection is reset (RST)
//	pace SIZE every DURATION               the body is sent in pieces with a pause before each but the first
package script
