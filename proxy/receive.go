package proxy

import (
	"bytes"
	"net/http"
	"strings"

	"weir/invalidation/dialect"
	"weir/policy"
)

// receive judges the request's framing and target, fills the policy's view of
// it and finds its rule.
func (x *exchange) receive() state {
	h := x.head
	wellFormed := x.view.Read(h.Section, x.trusted)
	switch {
	case h.Fault != nil: // what a trusted sender says of the client was read for the log
		return x.faulty(h.Fault)
	case !wellFormed:
		return x.malformed(x.view.Fault)
	}
	x.req.Method = methodName(h.Method)
	if s := x.target(); s != stateReceive {
		return s
	}
	x.view.Fill(&x.req)
	if x.looped() {
		return x.refusal(http.StatusLoopDetected, policy.ReasonBadRequest, "the request passed through this cache before")
	}
	if n, ok := x.hopsLeft(); ok && n == 0 {
		return x.lastHop()
	}
	if m := x.req.Method; m != "GET" && m != "HEAD" {
		switch {
		case m == "CONNECT", m == "TRACE", m == "TRACK":
			// The last two would show fields that the client does not see otherwise.
			return x.notAllowed(m + " is not served")
		case dialect.Purges(m):
			return statePurge
		}
	}
	if !x.findRule() {
		return x.refusal(http.StatusNotFound, policy.ReasonNoPolicy, "no policy of this cache matches the request")
	}
	x.asker = policy.NewAsker(x.rule, &x.req)
	if !x.boundBody() {
		return x.refusal(http.StatusRequestEntityTooLarge, policy.ReasonBodyTooLarge, "the request body is larger than this cache passes on")
	}
	switch {
	case x.rule.Pass:
		x.found, x.outcome, x.reason = foundPolicy, outcomeFetched, policy.ReasonPolicy
		return statePass
	case x.req.Method != "GET" && x.req.Method != "HEAD", x.head.HasBody():
		// A body of a GET has no meaning a key could hold (RFC 9110 section
		// 9.3.1): such a request must neither fill the cache nor be answered
		// from it.
		x.found, x.outcome, x.reason = foundMethod, outcomeFetched, policy.ReasonMethod
		return statePass
	case x.view.Override:
		x.found, x.outcome, x.reason = foundPolicy, outcomeFetched, policy.ReasonOverride
		return statePass
	case x.cfg.Rules.InDoubt(x.rule, &x.req):
		x.found, x.outcome, x.reason = foundPolicy, outcomeFetched, policy.ReasonPathInDoubt
		return statePass
	}
	x.canonical = true
	return stateLookup
}

// findRule finds the rule and takes out of the request what does not go on under
// it.
func (x *exchange) findRule() bool {
	rules := x.cfg.Rules
	if rules.MatchesMade() {
		x.showForwarded()
	}
	if x.rule = rules.Match(&x.req); x.rule == nil {
		return false
	}
	x.view.Settle(x.rule, &x.req)
	if x.rule.KeysMade() {
		x.showForwarded()
	}
	return true
}

// maxForwards is how often a request may come back to the same cache.
const maxForwards = 8

// looped tells whether Via names this cache too often (RFC 9110 section 7.6.3).
func (x *exchange) looped() bool {
	n := 0
	for via := range x.view.Via() {
		n += strings.Count(via, x.cfg.CacheName)
	}
	return n > maxForwards
}

// target validates request-target and host. Key and forwarded request are made
// from what it leaves in x.req, and from nothing else.
func (x *exchange) target() state {
	t, err := policy.SplitTarget(x.head.Target)
	if err != nil {
		if x.req.Method == "CONNECT" {
			x.closing = true
			return x.notAllowed("CONNECT is not served")
		}
		return x.malformed(err.Error())
	}
	x.req.Scheme = x.view.Scheme(&x.from)
	raw := x.view.Host
	if t.Form == policy.AbsoluteForm {
		// RFC 9112 section 3.2.2: the authority of the target wins. The Host
		// must be a valid one all the same (section 3.2).
		if len(raw) > 0 {
			if x.host, err = policy.ParseHost(x.host[:0], raw, x.req.Scheme); err != nil {
				return x.malformed(err.Error())
			}
		}
		raw = t.Authority
	}
	if err := x.parseHost(raw); err != nil {
		return x.malformed(err.Error())
	}
	if !escapesWell(t.Path) {
		return x.malformed("the path holds a % that two hexadecimal digits do not follow")
	}
	x.req.Host, x.req.Path, x.req.Query = x.host, t.Path, t.Query
	x.asterisk = t.Form == policy.AsteriskForm
	return stateReceive
}

// parseHost makes host the canonical form of raw. Most requests name the host that
// the one before did: what it came to is kept with the exchange.
func (x *exchange) parseHost(raw []byte) error {
	m := &x.hostMemo
	if len(m.raw) > 0 && bytes.Equal(raw, m.raw) && x.req.Scheme == m.scheme {
		x.host = append(x.host[:0], m.host...)
		return nil
	}
	var err error
	if x.host, err = policy.ParseHost(x.host[:0], raw, x.req.Scheme); err != nil {
		return err
	}
	if len(raw) <= maxHostMemo {
		m.raw, m.host, m.scheme = append(m.raw[:0], raw...), append(m.host[:0], x.host...), x.req.Scheme
	}
	return nil
}

// maxHostMemo bounds what an exchange keeps, in bytes.
const maxHostMemo = 256

// escapesWell tells whether every "%" of the path begins an escape (RFC 3986
// section 2.1). Servers read others in different ways; in queries such a "%" is
// common and harmless.
func escapesWell(path []byte) bool {
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return true
		}
		if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			return false
		}
		path = path[i+3:]
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// boundBody tells whether the announced body is within the configured bound. A
// chunked one is counted while it is passed on.
func (x *exchange) boundBody() bool {
	limit := x.cfg.MaxRequestBody
	if limit <= 0 || x.head.Length <= limit {
		return true
	}
	x.closing = true
	return false
}

// methodName returns the method without allocating for those that matter.
func methodName(m []byte) string {
	switch string(m) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	}
	return string(m)
}
