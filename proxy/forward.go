package proxy

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/origin"
	"weir/policy"
)

// request makes the origin request of a flight: a GET for the whole object,
// conditional when there is a stale one to renew.
func (t *fetch) request() *origin.Request {
	h := t.req.Header.(*fasthttp.RequestHeader)
	header := forwardable(h, t.trusted)
	stripCookies(header, t.rule, &t.req)
	for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		// These are the client's; ours ask for what can be stored.
		delete(header, name)
	}
	for _, name := range []string{"Accept-Encoding", acceptLanguage} {
		text, ok := policy.Narrowed(nil, t.rule, name, h.PeekAll(name))
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
	add(header, t.forwarded)
	r := &origin.Request{Method: "GET", Host: string(t.req.Host), Target: target(&t.req), Header: header}
	if t.interims != nil {
		r.Got1xx = t.interims.got
	}
	return r
}

// stripCookies leaves the origin only those cookies that the key holds, where
// the rule says so.
func stripCookies(header http.Header, rule *policy.Rule, q *policy.Request) {
	if header["Cookie"] == nil || !rule.StripsCookies(q.Method) {
		return
	}
	delete(header, "Cookie")
	if left := rule.AppendCookies(nil, q); len(left) > 0 {
		header["Cookie"] = []string{string(left)}
	}
}

// target is the request-target for the origin, from the same bytes that the
// key is made from.
func target(q *policy.Request) string {
	if q.Query == nil {
		return string(q.Path)
	}
	return string(q.Path) + "?" + string(q.Query)
}

// addedFields is about how many fields weir adds.
const addedFields = 5

// forwardable returns the client's fields that go on to the origin: the
// end-to-end ones (RFC 9110 section 7.6.1).
func forwardable(h *fasthttp.RequestHeader, trusted bool) http.Header {
	n := h.Len()
	header := make(http.Header, n+addedFields)
	values := make([]string, 0, n) // one slice for all
	var nominated [][]byte
	for name, value := range h.AllInOrder() {
		n := http.CanonicalHeaderKey(string(name))
		switch n {
		case "Connection":
			nominated = append(nominated, append([]byte(nil), value...))
			continue
		case "Host", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding",
			"Upgrade", "Content-Length", "Expect", "Http2-Settings":
			continue
		}
		if !trusted && strings.HasPrefix(n, "X-Forwarded-") {
			// Not only those that weir sets: frameworks build absolute URLs
			// from Port, Prefix and others, and none of them is in the key.
			continue
		}
		if before := header[n]; before != nil {
			header[n] = append(before, string(value))
			continue
		}
		values = append(values, string(value))
		header[n] = values[len(values)-1 : len(values) : len(values)]
	}
	for _, list := range nominated {
		for _, name := range strings.Split(string(list), ",") {
			// See exchange.dropNominated for what key and policy see.
			delete(header, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	return header
}

// add sets the fields in header, with one slice for all their values.
func add(header http.Header, fields []policy.Field) {
	values := make([]string, len(fields))
	for i, f := range fields {
		values[i] = f.Value
		header[f.Name] = values[i : i+1 : i+1]
	}
}

// forwardedFields are what tells the origin who asked and how: taken over and
// extended from trusted senders, made anew for all others. Each is there once.
func (x *exchange) forwardedFields() []policy.Field {
	h := &x.ctx.Request.Header
	client := "unknown"
	if addr, ok := x.client(); ok {
		client = addr.String()
	}
	element := "for=" + forwardedNode(client) + ";host=" + forwardedHost(string(x.req.Host)) + ";proto=" + x.req.Scheme
	xff, fwd, host := client, element, string(x.req.Host)
	if x.trusted() {
		if old := joined(h, "X-Forwarded-For"); old != "" {
			xff = old + ", " + client
		}
		if old := joined(h, "Forwarded"); old != "" {
			fwd = old + ", " + element
		}
		if old := joined(h, "X-Forwarded-Host"); old != "" {
			host = old
		}
	}
	via := "1.1 " + x.cfg.CacheName
	if !h.IsHTTP11() {
		via = "1.0 " + x.cfg.CacheName
	}
	if old := x.fields.values[scanVia]; len(old) > 0 {
		via = string(old) + ", " + via
	}
	return []policy.Field{
		{Name: "X-Forwarded-For", Value: xff},
		{Name: "X-Forwarded-Proto", Value: x.req.Scheme},
		{Name: "X-Forwarded-Host", Value: host},
		{Name: "Forwarded", Value: fwd},
		{Name: "Via", Value: via},
	}
}

func joined(h *fasthttp.RequestHeader, name string) string {
	all := h.PeekAll(name)
	if len(all) == 0 {
		return ""
	}
	return string(bytes.Join(all, []byte(", ")))
}

// forwardedNode quotes an address as RFC 7239 section 6 wants it.
func forwardedNode(addr string) string {
	if strings.Contains(addr, ":") {
		return `"[` + addr + `]"`
	}
	return addr
}

// forwardedHost quotes a host with a port or in brackets (RFC 7239 section 5.3).
func forwardedHost(host string) string {
	if strings.ContainsAny(host, ":[]") {
		return `"` + host + `"`
	}
	return host
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

// trusted tells whether the sender's word about who asked is taken.
func (x *exchange) trusted() bool {
	if len(x.cfg.TrustedProxies) == 0 {
		return false
	}
	addr, ok := x.client()
	if !ok {
		return false
	}
	for _, p := range x.cfg.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// forwardedScheme is the scheme that a trusted sender says its client used. It
// does not allocate; what is not http or https counts for nothing.
func forwardedScheme(h *fasthttp.RequestHeader, scheme string) string {
	v := h.Peek("X-Forwarded-Proto")
	if i := bytes.LastIndexByte(v, ','); i >= 0 {
		// The last word is the nearest sender's.
		v = v[i+1:]
	}
	switch v = trimOWS(v); {
	case foldEqual(v, "https"):
		return "https"
	case foldEqual(v, "http"):
		return "http"
	}
	return scheme
}
