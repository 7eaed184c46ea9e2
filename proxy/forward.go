package proxy

import (
	"net"
	"net/netip"

	"weir/policy"
)

// targetSent is the request-target that the origin gets of a request that is
// passed on.
func (x *exchange) targetSent() string {
	if x.canonical {
		return string(x.rule.AppendTarget(nil, &x.req))
	}
	return string(policy.AppendRawTarget(nil, &x.req))
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
