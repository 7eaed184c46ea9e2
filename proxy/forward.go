package proxy

import (
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"

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
// taken. The connection remembers what is the same for all of its requests.
func (x *exchange) noteSender() {
	if x.conn = clientOf(x.ctx.Conn()); x.conn == nil {
		x.from = senderOf(x.ctx)
	} else {
		if x.conn.from.Scheme == "" {
			x.conn.from = senderOf(x.ctx)
		}
		x.from = x.conn.from
	}
	x.from.Proxies = x.cfg.TrustedProxies
	x.trusted = x.from.Trusted()
}

// senderOf returns who sends on the connection: the TCP peer, or whom a trusted
// sender's PROXY header named.
func senderOf(ctx *fasthttp.RequestCtx) policy.Sender {
	s := policy.Sender{Scheme: "http"}
	if ctx.IsTLS() {
		s.Scheme = "https"
	}
	if a, ok := ctx.RemoteAddr().(*net.TCPAddr); ok {
		addr, _ := netip.AddrFromSlice(a.IP)
		s.Addr = addr.Unmap()
	}
	return s
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
