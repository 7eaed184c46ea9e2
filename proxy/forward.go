package proxy

import (
	"net"
	"net/netip"

	"weir/origin"
	"weir/policy"
)

// request makes the origin request of a flight: a GET for the whole object,
// conditional when there is a stale one to renew.
func (t *fetch) request() *origin.Request {
	fields := forwardable(t.rule, &t.req)
	for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		// These are the client's; ours ask for what can be stored.
		fields = fields.Without(name)
	}
	set := func(name, value string) {
		fields = append(fields.Without(name), policy.Field{Name: name, Value: value})
	}
	for _, name := range []string{"Accept-Encoding", acceptLanguage} {
		text, ok := policy.Narrowed(nil, t.rule, name, t.req.Fields)
		switch {
		case ok && len(text) > 0:
			set(name, string(text))
		case ok && name == acceptLanguage:
			fields = fields.Without(name)
		case ok:
			// Without the field any coding would do (RFC 9110 section 12.5.3).
			set(name, "identity")
		}
	}
	if !t.ranged {
		fields = fields.Without("Range").Without("If-Range")
	}
	switch {
	case t.stale != nil:
		for _, f := range policy.AppendConditional(nil, t.stale.Fields, t.personal) {
			set(f.Name, f.Value)
		}
	case t.part != nil:
		set("Range", rest(t.part))
		if v := &t.part.Validators; v.ETag != "" && !v.Weak {
			set("If-Range", v.ETag)
		}
	}
	r := &origin.Request{Method: "GET", Host: string(t.req.Host), Target: t.target, Fields: fields}
	if t.interims != nil {
		r.Interim = t.interims.got
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
// its canonical form, with the cookies that the rule leaves. The slice is the caller's;
// the strings stay in the memory of q.
func forwardable(rule *policy.Rule, q *policy.Request) policy.Fields {
	sent := rule.Sent(q)
	fields := append(make(policy.Fields, 0, len(sent)+addedFields), sent...)
	return fields.Without("Host")
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
