package proxy

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"weir/invalidation/dialect"
	"weir/policy"
)

// receive judges the request's framing and target, fills the policy's view of
// it and finds its rule.
func (x *exchange) receive() state {
	h := &x.ctx.Request.Header
	if proto := h.Protocol(); string(proto) != "HTTP/1.1" && string(proto) != "HTTP/1.0" {
		return x.refusal(fasthttp.StatusHTTPVersionNotSupported, policy.ReasonBadRequest, "this server speaks HTTP/1.1 and HTTP/1.0")
	}
	if !x.framedAlike() {
		x.ctx.SetConnectionClose()
		return x.refusal(fasthttp.StatusBadRequest, policy.ReasonBadRequest, "the length of the request body is in doubt")
	}
	if !x.fields.scan(h.RawHeaders()) {
		x.ctx.SetConnectionClose()
		return x.refusal(fasthttp.StatusBadRequest, policy.ReasonBadRequest, x.fields.fault)
	}
	if s := x.target(); s != stateReceive {
		return s
	}
	x.dropNominated()
	x.req.Method = methodName(h.Method())
	x.req.Header = h
	x.fields.fill(&x.req)
	if via := x.fields.values[scanVia]; len(via) > 0 && x.looped(via) {
		return x.refusal(fasthttp.StatusLoopDetected, policy.ReasonBadRequest, "the request passed through this cache before")
	}
	if n, ok := x.hopsLeft(); ok && n == 0 {
		return x.lastHop()
	}
	if m := x.req.Method; m != "GET" && m != "HEAD" {
		switch {
		case m == "CONNECT":
			return x.notAllowed("CONNECT is not served")
		case dialect.Purges(m):
			return x.purge()
		}
	}
	x.rule = x.cfg.Rules.Match(&x.req)
	if x.rule == nil {
		return x.refusal(fasthttp.StatusNotFound, policy.ReasonNoPolicy, "no policy of this cache matches the request")
	}
	x.asker = policy.NewAsker(x.rule, &x.req)
	if !x.boundBody() {
		return x.refusal(fasthttp.StatusRequestEntityTooLarge, policy.ReasonBodyTooLarge, "the request body is larger than this cache passes on")
	}
	switch {
	case x.rule.Pass:
		x.found, x.outcome, x.reason = foundPolicy, outcomeFetched, policy.ReasonPolicy
		return statePass
	case x.req.Method != "GET" && x.req.Method != "HEAD", x.hasBody():
		// A body of a GET has no meaning a key could hold (RFC 9110 section
		// 9.3.1): such a request must neither fill the cache nor be answered
		// from it.
		x.found, x.outcome, x.reason = foundMethod, outcomeFetched, policy.ReasonMethod
		return statePass
	}
	return stateLookup
}

// dropNominated takes the fields that Connection names out of the request. The
// origin does not get them (RFC 9110 section 7.6.1), so neither key nor variant
// nor any decision may be made with them: whoever names Accept-Language there
// would else store the answer to no language as the answer to theirs.
func (x *exchange) dropNominated() {
	list := x.fields.values[scanConnection]
	for len(list) > 0 {
		option := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			option, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		option = trimOWS(option)
		if len(option) == 0 || isConnectionOption(option) {
			continue
		}
		for i := range scanNames {
			if foldEqual(option, scanNames[i]) && i != scanConnection {
				x.fields.values[i] = nil
			}
		}
		x.ctx.Request.Header.DelBytes(option)
	}
}

// isConnectionOption names what is the connection's by nature, and the framing,
// which no option can take away.
func isConnectionOption(name []byte) bool {
	for _, known := range [...]string{
		"keep-alive", "close", "te", "upgrade", "http2-settings", "proxy-connection", "trailer", "transfer-encoding",
		"content-length", "host", "connection",
	} {
		if foldEqual(name, known) {
			return true
		}
	}
	return false
}

// maxForwards is how often a request may come back to the same cache.
const maxForwards = 8

// looped tells whether Via names this cache too often (RFC 9110 section 7.6.3).
func (x *exchange) looped(via []byte) bool {
	n := 0
	for name := x.cfg.CacheName; len(via) > 0; n++ {
		i := bytes.Index(via, []byte(name))
		if i < 0 {
			break
		}
		via = via[i+len(name):]
	}
	return n > maxForwards
}

// target validates request-target and host. Key and forwarded request are made
// from what it leaves in x.req, and from nothing else.
func (x *exchange) target() state {
	h := &x.ctx.Request.Header
	t, err := policy.SplitTarget(h.RequestURI())
	if err != nil {
		x.ctx.SetConnectionClose()
		if string(h.Method()) == "CONNECT" {
			return x.notAllowed("CONNECT is not served")
		}
		return x.refusal(fasthttp.StatusBadRequest, policy.ReasonBadRequest, err.Error())
	}
	x.req.Scheme = "http"
	if x.ctx.IsTLS() {
		x.req.Scheme = "https"
	}
	if x.trusted() {
		x.req.Scheme = forwardedScheme(h, x.req.Scheme)
	}
	raw := h.Host()
	if t.Form == policy.AbsoluteForm {
		// RFC 9112 section 3.2.2: the authority of the target wins. The Host
		// must be a valid one all the same (section 3.2).
		if len(raw) > 0 {
			if x.host, err = policy.ParseHost(x.host[:0], raw, x.req.Scheme); err != nil {
				x.ctx.SetConnectionClose()
				return x.refusal(fasthttp.StatusBadRequest, policy.ReasonBadRequest, err.Error())
			}
		}
		raw = t.Authority
	}
	if err := x.parseHost(raw); err != nil {
		x.ctx.SetConnectionClose()
		return x.refusal(fasthttp.StatusBadRequest, policy.ReasonBadRequest, err.Error())
	}
	if !escapesWell(t.Path) {
		x.ctx.SetConnectionClose()
		return x.refusal(fasthttp.StatusBadRequest, policy.ReasonBadRequest, "the path holds a % that two hexadecimal digits do not follow")
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

// hostMemo is the last host that was parsed. It is memory of the exchange's own.
type hostMemo struct {
	raw, host []byte
	scheme    string
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

// hasBody tells whether the request announces a body.
func (x *exchange) hasBody() bool {
	n := x.ctx.Request.Header.ContentLength()
	return n > 0 || n == -1
}

// boundBody tells whether the announced body is within the configured bound. A
// chunked one is counted while it is passed on.
func (x *exchange) boundBody() bool {
	limit := x.cfg.MaxRequestBody
	if limit <= 0 || int64(x.ctx.Request.Header.ContentLength()) <= limit {
		return true
	}
	x.ctx.SetConnectionClose()
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

// fieldScan is one pass over the raw header section: it refuses framing that
// another parser could read differently and picks out the fields that steer
// caching, so that the hit path searches for none of them.
type fieldScan struct {
	fault string
	// one for each field of interest; a repeated field's values are joined in
	// joined.
	values [scanned][]byte
	joined []byte
}

const (
	scanCacheControl = iota
	scanPragma
	scanAuthorization
	scanRange
	scanIfRange
	scanIfMatch
	scanIfNoneMatch
	scanIfModifiedSince
	scanIfUnmodifiedSince
	scanVia
	scanConnection
	scanned
)

var scanNames = [scanned]string{
	"cache-control", "pragma", "authorization", "range", "if-range", "if-match", "if-none-match",
	"if-modified-since", "if-unmodified-since", "via", "connection",
}

// scan reads the header section, lines that end in CRLF. What fasthttp's own
// parser lets through is refused here: a bare LF, a folded line, any
// Transfer-Encoding but one plain "chunked", and Transfer-Encoding together
// with Content-Length (RFC 9112 sections 2.2, 5.2, 6.1 and 6.3).
func (s *fieldScan) scan(raw []byte) bool {
	var te, cl int
	for len(raw) > 0 {
		line := raw
		if end := bytes.IndexByte(raw, '\n'); end >= 0 {
			if end == 0 || raw[end-1] != '\r' {
				s.fault = "a header line ends in a bare LF"
				return false
			}
			line, raw = raw[:end-1], raw[end+1:]
		} else {
			raw = nil
		}
		if len(line) == 0 {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			s.fault = "a header line is folded"
			return false
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 {
			s.fault = "a header line has no name"
			return false
		}
		name := line[:colon]
		switch line[0] | 0x20 {
		case 't':
			if foldEqual(name, "transfer-encoding") {
				te++
				if !foldEqual(trimOWS(line[colon+1:]), "chunked") {
					s.fault = "the only transfer coding that is understood is chunked"
					return false
				}
			}
		case 'c':
			if foldEqual(name, "content-length") {
				cl++
				if !digits(trimOWS(line[colon+1:])) {
					s.fault = "Content-Length is not a number"
					return false
				}
			} else if foldEqual(name, scanNames[scanCacheControl]) {
				s.add(scanCacheControl, line[colon+1:])
			} else if foldEqual(name, scanNames[scanConnection]) {
				s.add(scanConnection, line[colon+1:])
			}
		case 'p':
			if foldEqual(name, scanNames[scanPragma]) {
				s.add(scanPragma, line[colon+1:])
			}
		case 'a':
			if foldEqual(name, scanNames[scanAuthorization]) {
				s.add(scanAuthorization, line[colon+1:])
			}
		case 'r':
			if foldEqual(name, scanNames[scanRange]) {
				s.add(scanRange, line[colon+1:])
			}
		case 'i':
			for i := scanIfRange; i <= scanIfUnmodifiedSince; i++ {
				if foldEqual(name, scanNames[i]) {
					s.add(i, line[colon+1:])
				}
			}
		case 'v':
			if foldEqual(name, scanNames[scanVia]) {
				s.add(scanVia, line[colon+1:])
			}
		}
	}
	if te > 1 || cl > 1 || te+cl > 1 {
		s.fault = "Content-Length and Transfer-Encoding are given more than once or together"
		return false
	}
	return true
}

func (s *fieldScan) add(i int, value []byte) {
	value = trimOWS(value)
	if s.values[i] == nil {
		// Never nil: an empty field is present.
		s.values[i] = value[:len(value):len(value)]
		if value == nil {
			s.values[i] = []byte{}
		}
		return
	}
	// RFC 9110 section 5.3: repeated lines are one list. Rare, so a copy is
	// fine; what earlier values borrow from joined stays valid.
	start := len(s.joined)
	s.joined = append(s.joined, s.values[i]...)
	s.joined = append(s.joined, ", "...)
	s.joined = append(s.joined, value...)
	s.values[i] = s.joined[start:len(s.joined):len(s.joined)]
}

// fill hands the picked fields to the policy's view of the request.
func (s *fieldScan) fill(q *policy.Request) {
	q.CacheControl = s.values[scanCacheControl]
	q.Pragma = s.values[scanPragma]
	q.Authorization = s.values[scanAuthorization]
	q.Range = s.values[scanRange]
	q.IfRange = s.values[scanIfRange]
	q.IfMatch = s.values[scanIfMatch]
	q.IfNoneMatch = s.values[scanIfNoneMatch]
	q.IfModifiedSince = s.values[scanIfModifiedSince]
	q.IfUnmodifiedSince = s.values[scanIfUnmodifiedSince]
}

// foldEqual compares a field name with one in lower case.
func foldEqual(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range name {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}
