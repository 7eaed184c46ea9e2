package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"syscall"
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

// Detail is a short token from a closed list (the Kind's name) for the detail
// parameter of Cache-Status.
func (e *Error) Detail() string { return e.Kind.String() }

// kindError carries a Kind through net/http, which passes errors from dialling
// and from hooks on unchanged.
type kindError struct {
	kind Kind
	err  error
}

func (e *kindError) Error() string { return e.err.Error() }
func (e *kindError) Unwrap() error { return e.err }

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

// kindOf classifies an error from RoundTrip or from reading a body. inBody tells
// which: the same end of file is a broken connection before the header and a
// truncated response after it.
func kindOf(err error, inBody bool) Kind {
	var ke *kindError
	if errors.As(err, &ke) {
		return ke.kind
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Canceled
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return Reset
	case errors.Is(err, io.ErrUnexpectedEOF):
		if !inBody {
			return Reset
		}
		return Truncated
	case errors.Is(err, io.EOF):
		return Reset
	case errors.Is(err, errReleased):
		return Reset
	case errors.Is(err, http.ErrBodyReadAfterClose):
		return Canceled
	}
	if k := kindOfType(err); k != Other {
		return k
	}
	return kindOfText(err.Error(), inBody)
}

// kindOfType recognises the error types that net/http lets through.
func kindOfType(err error) Kind {
	var (
		pe  textproto.ProtocolError
		rhe tls.RecordHeaderError
		cve *tls.CertificateVerificationError
		ae  tls.AlertError
		hne x509.HostnameError
		uae x509.UnknownAuthorityError
		oe  *net.OpError
	)
	switch {
	case errors.As(err, &pe):
		return Malformed
	case errors.As(err, &rhe), errors.As(err, &cve), errors.As(err, &ae), errors.As(err, &hne), errors.As(err, &uae):
		return TLS
	case errors.As(err, &oe):
		if oe.Op == "dial" {
			return Connect
		}
		return Reset
	}
	return Other
}

// texts maps what net/http says where it gives nothing but a text. Each line is
// held by a test against a real connection; the first that fits decides.
var texts = []struct {
	part string
	kind Kind
}{
	{"server response headers exceeded", HeaderTooLarge},
	{"response header list larger than advertised", HeaderTooLarge},
	{"invalid header field", Invalid},
	{"invalid Host header", Invalid},
	{"server closed idle connection", Reset},
	{"malformed", Malformed},
	{"unsupported transfer encoding", Malformed},
	{"too many transfer encodings", Malformed},
	{"multiple Content-Length", Malformed},
	{"bad Content-Length", Malformed},
	{"invalid byte in chunk length", Malformed},
	{"empty hex number for chunk length", Malformed},
	{"chunk length too large", Malformed},
	{"chunked line ends with bare LF", Malformed},
	{"invalid CR in chunked line", Malformed},
	{"too much non-data", Malformed},
	{"bad trailer key", Malformed},
	{"invalid Trailer key", Malformed},
	{"suspiciously long trailer", Truncated}, // its end is not in sight; mostly there is none
	{"line too long", Malformed},
	{"more than declared Content-Length", Malformed},
	{"connection error:", Malformed}, // HTTP/2: the server broke the protocol
	{"PROTOCOL_ERROR", Malformed},
	{"unexpected EOF reading trailer", Truncated},
	{"stream error", Reset},
	{"GOAWAY", Reset},
	{"client connection lost", Reset},
	{"client conn", Reset},
	{"closed response body", Canceled},
	{"response body closed", Canceled},
	{"use of closed network connection", Reset},
	// Connection errors have types, and are recognised before any text: what is
	// left is a header that net/http does not accept, for one reason or another.
	{"transport connection broken", Malformed},
}

func kindOfText(text string, inBody bool) Kind {
	for _, t := range texts {
		if strings.Contains(text, t.part) {
			return t.kind
		}
	}
	if inBody {
		// Whatever stopped it, the body is not complete.
		return Truncated
	}
	return Other
}
