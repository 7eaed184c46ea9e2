package origin

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// outgoing is a Request made ready: checked, its header cleaned. It is the same
// for every attempt.
type outgoing struct {
	method   string
	host     string // empty: the server's address
	target   string
	header   http.Header
	up       *upload // nil without a body
	zero     bool    // states "Content-Length: 0"
	got1xx   func(code int, h textproto.MIMEHeader) error
	attempts int
	stranger bool // holds a place for names that are rarely asked for
}

// prepare checks what net/http would not, or not before it has connected.
func (p *Pool) prepare(r *Request) (*outgoing, error) {
	o := &outgoing{method: r.Method, host: r.Host, target: r.Target, header: r.Header, got1xx: r.Got1xx}
	if o.method == "" {
		o.method = http.MethodGet
	}
	if p.conf.Host != "" {
		o.host = p.conf.Host
	}
	switch {
	case o.method == http.MethodConnect:
		return nil, errors.New("CONNECT is not supported")
	case !httpguts.ValidHeaderFieldName(o.method):
		return nil, fmt.Errorf("method %q is not a token", o.method)
	case o.host != "" && !validHost(o.host):
		return nil, fmt.Errorf("host %q is not valid", o.host)
	}
	if err := checkTarget(o.target); err != nil {
		return nil, err
	}
	if o.header == nil {
		o.header = make(http.Header)
	}
	cleanHeader(o.header)
	if !idempotent(o.method) {
		hideIdempotencyKey(o.header)
	}
	o.zero = r.Body != nil && r.ContentLength == 0
	up, err := newUpload(r, o.method)
	if err != nil {
		return nil, err
	}
	o.up = up
	return o, nil
}

// checkTarget refuses what would end the request line early, or would mean
// something else to the server than to whoever built the cache key.
func checkTarget(t string) error {
	if t == "*" {
		return nil
	}
	if !strings.HasPrefix(t, "/") {
		return fmt.Errorf("target %.80q does not begin with a slash", t)
	}
	for i := range len(t) {
		if c := t[i]; c <= ' ' || c == 0x7f || c == '#' {
			return fmt.Errorf("target %.80q holds the byte %#02x", t, c)
		}
	}
	return nil
}

// cleanHeader drops the fields that net/http writes itself or that concern one
// connection only. Their spelling does not matter: net/http would write an
// uncommon spelling beside its own field, and the two would disagree.
func cleanHeader(h http.Header) {
	for k := range h {
		switch textproto.CanonicalMIMEHeaderKey(k) {
		case "Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Connection", "Trailer", "Transfer-Encoding", "Upgrade":
			delete(h, k)
		case "Te":
			if len(h[k]) != 1 || !strings.EqualFold(h[k][0], "trailers") {
				delete(h, k)
			}
		}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // keeps net/http from inventing one
	}
}

// hideIdempotencyKey respells the fields for which net/http would send a POST
// again by itself: whether to is for the client to say, not for a proxy (RFC
// 9110, section 9.2.2).
func hideIdempotencyKey(h http.Header) {
	for _, k := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := h[k]; ok {
			delete(h, k)
			h[strings.ToLower(k)] = v
		}
	}
}

// repeatable reports whether the request may be sent again after k.
func (o *outgoing) repeatable(k Kind) bool {
	if !o.up.sendable() {
		return false
	}
	if unreached(k) {
		return true // no server has seen anything of it
	}
	return k == Reset && idempotent(o.method)
}

// unreached reports whether k means that no connection was made.
func unreached(k Kind) bool {
	return k == Refused || k == Connect || k == ConnectTimeout || k == TLS
}

// idempotent is RFC 9110, section 9.2.2.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// hostname is host without its port and brackets.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}
