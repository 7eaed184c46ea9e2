package proxy

import (
	"net/netip"
	"time"

	"weir/policy"
	"weir/proxy/accesslog"
	"weir/proxy/metrics"
)

// finish is the only exit: it gives everything back, and counts and logs the
// request once.
func (x *exchange) finish() {
	c := x.core
	took := x.elapsed()
	if x.firstByte == 0 {
		x.firstByte = took
	}
	x.drop()
	x.record(took)
	x.reset()
	c.pool.Put(x)
}

// begin counts a request in.
func (x *exchange) begin() {
	x.core.metrics.Begin(x.head.Shard)
}

// record counts and logs the finished request. It allocates nothing.
func (x *exchange) record(dur time.Duration) {
	c, ttfb := x.core, x.firstByte
	m := metrics.Served{
		Result: uint8(x.verdict()), Tier: uint8(x.tier), Status: x.code, Duration: dur, TTFB: ttfb, Bytes: x.bodyBytes,
		Shard: x.head.Shard,
	}
	if x.rule != nil {
		m.Policy = x.cfg.policies[x.rule.Index]
	}
	c.metrics.Request(&m)
	if len(x.view.Withheld) > 0 {
		c.withheld.note(x.view.Withheld, c.metrics, c.log)
	}
	if !c.accessLog.Enabled() {
		return
	}
	e := accesslog.Entry{
		Time: x.start, Client: x.clientAddress(), Status: x.code, Bytes: x.bodyBytes, Duration: dur, TTFB: ttfb,
		Result: x.verdict().String(), Tier: x.tier.String(), Collapsed: x.collapsed,
		// The seconds that Cache-Status says.
		HasTTL: x.hasTTL, TTL: time.Duration(seconds(x.ttl)) * time.Second, OriginStatus: x.fwdStatus,
	}
	x.describe(&e)
	if r := x.explanation(); r != policy.ReasonNone {
		e.Reason = r.String()
	}
	if x.rule != nil {
		e.Policy = x.rule.Name
		if x.key.Primary > 0 {
			e.HasKey, e.Key = true, x.key.Hash
		}
		if x.verdict().Fwd() != "" {
			e.Origin, _ = x.upstream()
			e.OriginDuration = x.originTime
		}
	}
	c.accessLog.Log(&e)
}

// clientAddress returns the address of the client that the request is for.
func (x *exchange) clientAddress() netip.Addr {
	sender := x.from.Addr
	if !x.trusted {
		return sender
	}
	// A usual request has one or two of these lines.
	var xffRoom, forwardedRoom [4]string
	xff, forwarded := x.view.Chains(xffRoom[:0], forwardedRoom[:0])
	return clientAddress(sender, x.cfg.TrustedProxies, xff, forwarded)
}

// describe fills in what the request was. What could not be read of it stays
// empty, and is never made up.
func (x *exchange) describe(e *accesslog.Entry) {
	e.Scheme, e.Host = x.req.Scheme, x.req.Host
	if e.Scheme == "" {
		e.Scheme = x.from.Scheme
	}
	e.Method, e.Target = x.head.Method, x.head.Target
	e.UserAgent, e.Referer = x.session.Field("User-Agent"), x.session.Field("Referer")
	if len(e.Host) == 0 {
		// It was refused before its Host was looked at: this is what it says.
		e.Host = x.session.Field("Host")
	}
}
