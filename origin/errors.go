package origin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"weir/origin/http1"
)

// Kind says what went wrong between us and an origin server.
type Kind uint8

// The closed list of failures. Their String is what the Cache-Status detail, the
// log and the metrics show.
const (
	Other            Kind = iota // nothing below fits
	Invalid                      // the request cannot be sent as HTTP; nothing was sent
	RequestBody                  // reading the request's body from the client failed
	Refused                      // the server refused the connection
	Connect                      // unreachable, or the name does not resolve
	ConnectTimeout               // no connection, TLS included, within ConnectTimeout
	TLS                          // the handshake failed, or the certificate did not verify
	FirstByteTimeout             // no response header within FirstByteTimeout
	Stalled                      // no progress within BetweenBytesTimeout
	Reset                        // the connection broke
	Truncated                    // the response ended before its framing said so
	HeaderTooLarge               // the response header exceeds MaxHeaderBytes
	Malformed                    // the response is not valid HTTP, or not safely framed
	Busy                         // MaxConnsPerServer reached, none free within WaitTimeout
	Canceled                     // the caller's context ended, or the body was closed
	numKinds
)

var kindNames = [numKinds]string{
	Other: "other", Invalid: "invalid-request", RequestBody: "request-body", Refused: "refused",
	Connect: "unreachable", ConnectTimeout: "connect-timeout", TLS: "tls", FirstByteTimeout: "first-byte-timeout",
	Stalled: "stalled", Reset: "reset", Truncated: "truncated", HeaderTooLarge: "header-too-large",
	Malformed: "malformed", Busy: "busy", Canceled: "canceled",
}

func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return kindNames[Other]
}

// faultOfServer reports whether k is a failure of the server that was asked, rather
// than ours, or the caller's.
func (k Kind) faultOfServer() bool {
	switch k {
	case Other, Refused, Connect, ConnectTimeout, TLS, FirstByteTimeout, Stalled, Reset, Truncated, HeaderTooLarge, Malformed:
		return true
	case Invalid, RequestBody, Busy, Canceled:
	}
	return false
}

// unreached reports whether k means that no connection was made.
func unreached(k Kind) bool {
	return k == Refused || k == Connect || k == ConnectTimeout || k == TLS
}

// The outcomes of an exchange that did not fail.
const (
	outcomeOK        = "ok"        // the response was read to its proven (or close-delimited) end
	outcomeAbandoned = "abandoned" // the caller closed the body before its end
)

// Outcomes lists every value that Observer.OriginDone may be given, so that
// metrics can be registered beforehand.
func Outcomes() []string {
	return append([]string{outcomeOK, outcomeAbandoned}, kindNames[:]...)
}

// Error is every error that this package returns from Do and from the body.
type Error struct {
	Kind   Kind
	Origin string // the pool's name
	Server string // host:port; empty when no server was chosen
	Err    error  // the cause; never nil
}

func (e *Error) Error() string {
	if e.Server == "" {
		return fmt.Sprintf("cannot ask origin %s: %s: %v", e.Origin, e.Kind, e.Err)
	}
	return fmt.Sprintf("cannot ask origin %s at %s: %s: %v", e.Origin, e.Server, e.Kind, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Status is the response status that tells a client about the failure.
func (e *Error) Status() int {
	switch e.Kind {
	case Invalid, RequestBody:
		return http.StatusBadRequest
	case Busy:
		return http.StatusServiceUnavailable
	case ConnectTimeout, FirstByteTimeout, Stalled:
		return http.StatusGatewayTimeout
	case Canceled:
		if errors.Is(e.Err, context.DeadlineExceeded) {
			return http.StatusGatewayTimeout
		}
	}
	return http.StatusBadGateway
}

// kindOfDial classifies an error from establishing the TCP connection.
func kindOfDial(err error) Kind {
	var ne net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return ConnectTimeout
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.As(err, &ne) && ne.Timeout():
		return ConnectTimeout
	}
	return Connect
}

// kinds are the kinds of failures of an HTTP/1.1 exchange.
var kinds = [...]Kind{
	http1.Invalid: Invalid, http1.RequestBody: RequestBody, http1.Reset: Reset, http1.Truncated: Truncated,
	http1.FirstByteTimeout: FirstByteTimeout, http1.Stalled: Stalled, http1.HeaderTooLarge: HeaderTooLarge,
	http1.Malformed: Malformed, http1.Canceled: Canceled,
}
