package http1

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"weir/policy"
)

// Request is what to send.
type Request struct {
	// Method and Target are sent as they are: a token, and bytes without controls
	// and spaces.
	Method, Target string
	Host           string
	// Fields are sent but for those that concern one connection only, the framing
	// and Host. They are not changed.
	Fields policy.Fields
	// Body is read until Length bytes or, when that is -1, io.EOF, and then sent in
	// chunks. A nil Body with Zero states a length of 0. When the exchange needs no
	// more of a Body that is an io.Closer, its Close is called to end a Read.
	Body   io.Reader
	Length int64
	Zero   bool
	// Close tells the server that the connection ends behind its response.
	Close bool
	// AtHand says that reading Body does not block. Such a body leaves with the head
	// in one write when it is small.
	AtHand bool
	// Interim, when set, is given each interim response but 100. An error ends the
	// exchange.
	Interim func(code int, fields policy.Fields) error
	// Within bounds the wait for the head of the response, from when the request is
	// written.
	Within time.Duration
}

// ofConnection reports whether a request's field concerns one connection only, or is
// written by this package.
func ofConnection(f *policy.Field) bool {
	switch len(f.Name) {
	case 2:
		return strings.EqualFold(f.Name, "Te") && !strings.EqualFold(f.Value, "trailers")
	case 4:
		return strings.EqualFold(f.Name, "Host")
	case 7:
		return strings.EqualFold(f.Name, "Trailer") || strings.EqualFold(f.Name, "Upgrade")
	case 10:
		return strings.EqualFold(f.Name, "Connection") || strings.EqualFold(f.Name, "Keep-Alive")
	case 14:
		return strings.EqualFold(f.Name, "Content-Length")
	case 16:
		return strings.EqualFold(f.Name, "Proxy-Connection")
	case 17:
		return strings.EqualFold(f.Name, "Transfer-Encoding")
	}
	return false
}

// Sendable yields the fields of a request that go to a server over any version of
// HTTP, or what is wrong with one.
func Sendable(fields policy.Fields, yield func(f *policy.Field)) error {
	for i := range fields {
		f := &fields[i]
		switch {
		case !isToken(f.Name):
			return fmt.Errorf("the field name %.80q is not a token", f.Name)
		case !httpguts.ValidHeaderFieldValue(f.Value):
			return fmt.Errorf("the value of field %.80q holds a control character", f.Name)
		case ofConnection(f):
		default:
			yield(f)
		}
	}
	return nil
}

// appendHead appends the head of r.
func (r *Request) appendHead(b []byte) ([]byte, error) {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Host...)
	b = append(b, "\r\n"...)
	err := Sendable(r.Fields, func(f *policy.Field) {
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	})
	if r.Close {
		b = append(b, "Connection: close\r\n"...)
	}
	switch {
	case r.Body != nil && r.Length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.Body != nil:
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, r.Length, 10), "\r\n"...)
	case r.Zero:
		b = append(b, "Content-Length: 0\r\n"...)
	}
	return append(b, "\r\n"...), err
}

// continues reports whether the body waits for the server's word (RFC 9110 section
// 10.1.1).
func (r *Request) continues() bool {
	return r.Body != nil && httpguts.HeaderValuesContainsToken(r.Fields.Values("Expect"), "100-continue")
}
