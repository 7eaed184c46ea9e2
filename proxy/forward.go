package proxy

import (
	"net"
	"net/http"
	"net/netip"

	"weir/origin"
	"weir/policy"
)

// request makes the origin request of a flight: a GET for the whole object,
// conditional when there is a stale one to renew.
func (t *fetch) request() *origin.Request {
	header := forwardable(t.rule, &t.req)
	for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		// These are the client's; ours ask for what can be stored.
		delete(header, name)
	}
	for _, name := range []string{"Accept-Encoding", acceptLanguage} {
		text, ok := policy.Narrowed(nil, t.rule, name, t.req.Fields)
		switch {
		case ok && len(text) > 0:
			header[name] = []string{string(text)}
		case ok && name == acceptLanguage:
			delete(header, name)
		case ok:
			// Without the field any coding would do (RFC 9110 section 12.5.3).
			header[name] = []string{"identity"}
		}
	}
	if !t.ranged {
		delete(header, "Range")
		delete(header, "If-Range")
	}
	switch {
	case t.stale != nil:
		for _, f := range policy.AppendConditional(nil, t.stale.Fields, t.personal) {
			header[f.Name] = []string{f.Value}
		}
	case t.part != nil:
		header["Range"] = []string{rest(t.part)}
		if v := &t.part.Validators; v.ETag != "" && !v.Weak {
			header["If-Range"] = []string{v.ETag}
		}
	}
	r := &origin.Request{Method: "GET", Host: string(t.req.Host), Target: t.target, Header: header}
	if t.interims != nil {
		r.Got1xx = t.interims.got
	}
	return r
}

// targetSent is the request-target that the origin gets of a request that is
// passed on.
func (x *exchange) targetSent() string {
	if x.canonical {
		return string(x.rule.AppendTarget(nil, &x.req))
	}
	return string(policy.AppendRawTarget(nil, &x.req))
}

// addedFields is about how many fields a flight adds.
const addedFields = 2

// forwardable returns the fields of a request that go on to the origin: those of
// its canonical form, with the cookies that the rule leaves. They stay in the
// memory of q, which the origin's client may use after the exchange has ended.
func forwardable(rule *policy.Rule, q *policy.Request) http.Header {
	fields := rule.Sent(q)
	header := make(http.Header, len(fields)+addedFields)
	values := make([]string, 0, len(fields)) // one slice for all
	for i := range fields {
		name, value := fields[i].Name, fields[i].Value
		if name == "Host" {
			continue
		}
		if before := header[name]; before != nil {
			header[name] = append(before, value)
			continue
		}
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return header
}

// noteSender notes who sent the request, and whether its word about who asked is
// taken.
func (x *exchange) noteSender() {
	x.from = policy.Sender{Scheme: "http", Proxies: x.cfg.TrustedProxies}
	if x.ctx.IsTLS() {
		x.from.Scheme = "https"
	}
	x.from.Addr, _ = x.client()
	x.trusted = x.from.Trusted()
}

// client is the address of the sender: the TCP peer's, or what a trusted
// sender's PROXY header said.
func (x *exchange) client() (netip.Addr, bool) {
	if a, ok := x.ctx.RemoteAddr().(*net.TCPAddr); ok {
		addr, ok := netip.AddrFromSlice(a.IP)
		return addr.Unmap(), ok
	}
	return netip.Addr{}, false
}

// showForwarded puts the fields into the request that tell the origin who asked
// and how.
func (x *exchange) showForwarded() {
	protocol := "1.1"
	if !x.ctx.Request.Header.IsHTTP11() {
		protocol = "1.0"
	}
	x.view.Forwarded(&x.req, x.rule, &x.from, protocol, x.cfg.CacheName)
}
