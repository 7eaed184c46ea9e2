package origin

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"weir/origin/http1"
	"weir/policy"
)

// outgoing is a Request made ready and checked. It is the same for every attempt.
type outgoing struct {
	id       uint64 // of the target without its query, and the method
	method   string
	host     string // empty: the server's address
	target   string
	fields   policy.Fields // the caller's
	up       *upload       // nil without a body
	zero     bool          // states "Content-Length: 0"
	interim  func(code int, fields policy.Fields) error
	people   *atomic.Int64 // who wait for the answer; nil counts as one
	standIn  time.Duration // see Request.StandIn
	stranger bool          // holds a place for names that are rarely asked for

	race  race
	first exchange // the first attempt, so that it needs no memory of its own
}

// prepare checks the request before anybody is connected to.
func (p *Pool) prepare(r *Request) (*outgoing, error) {
	o := &outgoing{method: r.Method, host: r.Host, target: r.Target, fields: r.Fields, interim: r.Interim, people: r.Waiting, standIn: r.StandIn}
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
	path, _, _ := strings.Cut(o.target, "?")
	if o.id = maphash.String(targets, path); o.method != http.MethodGet {
		o.id ^= maphash.String(targets, o.method)
	}
	if err := http1.Sendable(o.fields, func(*policy.Field) {}); err != nil {
		return nil, err
	}
	o.zero = r.ContentLength == 0 && r.Body != nil || r.Body == nil && statesLength(o.method)
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

// statesLength reports whether a request of that method without a body says so (RFC
// 9110 section 8.6).
func statesLength(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// targets is the seed of outgoing.id.
var targets = maphash.MakeSeed()

// safe reports whether the request may be sent to several servers, one after the other
// or at once: it asks for nothing but an answer (RFC 9110 section 9.2.1).
func (o *outgoing) safe() bool {
	return o.up == nil && (o.method == http.MethodGet || o.method == http.MethodHead || o.method == http.MethodOptions)
}

// copy returns a copy that shares nothing with the caller of Do. The request is safe.
func (o *outgoing) copy() *outgoing {
	return &outgoing{
		id: o.id, method: strings.Clone(o.method), host: strings.Clone(o.host), target: strings.Clone(o.target),
		zero: o.zero, stranger: o.stranger, fields: o.fields.Clone(),
	}
}

// repeatable reports why the request may be sent again after a failure of kind k.
func (o *outgoing) repeatable(k Kind) (why, bool) {
	switch {
	case unreached(k):
		return whyConnect, o.up.sendable() // no server has seen anything of it
	case !o.safe():
		return 0, false
	case k == FirstByteTimeout:
		return whySlow, true
	}
	return whyReset, k == Reset || k == Malformed || k == HeaderTooLarge || k == Truncated
}

// hostname is host without its port and brackets.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}
