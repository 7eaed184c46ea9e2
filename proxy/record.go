package proxy

import (
	"runtime"
	"slices"
	"time"

	"weir/invalidation"
	"weir/origin"
	"weir/policy"
	"weir/proxy/accesslog"
	"weir/proxy/metrics"
)

// NewMetrics returns a registry with the label values that a Proxy counts by.
func NewMetrics(version string, now func() time.Time) *metrics.Registry {
	o := metrics.Options{
		Version: version, GoVersion: runtime.Version(), Now: now,
		EvictionReasons: []string{evictedFresh: "fresh", evictedStale: "stale"},
		OriginOutcomes:  outcomes,
		PurgeKinds:      invalidation.Kinds(),
	}
	for v := range policy.Verdicts {
		o.Results = append(o.Results, v.String())
	}
	for t := range policy.Tiers {
		o.Tiers = append(o.Tiers, t.String())
	}
	for r := range policy.Reasons {
		o.Reasons = append(o.Reasons, r.String())
	}
	return metrics.New(o)
}

// Indices of the eviction reasons.
const (
	evictedFresh uint8 = iota
	evictedStale
)

// CountEviction counts an object that a tier pushed out. It does not block.
func CountEviction(m *metrics.Registry, tier policy.Tier, fresh bool) {
	reason := evictedStale
	if fresh {
		reason = evictedFresh
	}
	m.Evicted(uint8(tier), reason, 1)
}

// OriginObserver counts the attempts of one pool in m.
type OriginObserver struct {
	Metrics *metrics.Registry
	// Index is the pool's place in what SetOrigins returned.
	Index int
}

// OriginDone implements origin.Observer.
func (o OriginObserver) OriginDone(_, outcome string, d time.Duration) {
	o.Metrics.Origin(o.Index, outcomeIndex[outcome], d)
}

// outcomes are the origin's, without the one that the registry adds by itself.
var outcomes = slices.DeleteFunc(origin.Outcomes(), func(s string) bool { return s == origin.Other.String() })

// outcomeIndex leads from an outcome to its index; "other" is behind the last.
var outcomeIndex = func() map[string]uint8 {
	m := map[string]uint8{origin.Other.String(): uint8(len(outcomes))}
	for i, name := range outcomes {
		m[name] = uint8(i)
	}
	return m
}()

// begin counts a request in.
func (x *exchange) begin() {
	x.p.opts.Metrics.Begin(x.head.Shard)
}

// record counts and logs the finished request. It allocates nothing.
func (x *exchange) record(dur time.Duration) {
	p, ttfb := x.p, x.firstByte
	m := metrics.Served{
		Result: uint8(x.verdict()), Tier: uint8(x.tier), Status: x.code, Duration: dur, TTFB: ttfb, Bytes: x.bodyBytes,
		Shard: x.head.Shard,
	}
	if x.rule != nil {
		m.Policy = x.cfg.policies[x.rule.Index]
	}
	p.opts.Metrics.Request(&m)
	if len(x.view.Withheld) > 0 {
		p.withheld(x.view.Withheld)
	}
	if !p.opts.AccessLog.Enabled() {
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
	p.opts.AccessLog.Log(&e)
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
