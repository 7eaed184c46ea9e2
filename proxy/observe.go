package proxy

import (
	"runtime"
	"slices"
	"time"

	"weir/invalidation"
	"weir/origin"
	"weir/policy"
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
