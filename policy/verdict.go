package policy

// Verdict is the one outcome of a request. Cache-Status, the access log and
// the metrics are rendered from it and from Reason, and from nothing else.
type Verdict uint8

const (
	// VerdictNone: not decided yet.
	VerdictNone Verdict = iota
	// Hit: answered from a fresh stored object.
	Hit
	// HitStale: answered from a stale object that the response, the policy or
	// the client allows; where needed one refresh runs behind it.
	HitStale
	// HitStaleError: the origin failed and the stale object was allowed to
	// stand in (RFC 5861 section 4).
	HitStaleError
	// Revalidated: the origin said that the stored object is still right.
	Revalidated
	// Refetched: the stored object could not be used and the origin sent a
	// new one.
	Refetched
	// Miss: nothing stored under the key.
	Miss
	// VaryMiss: something is stored under the key, but no variant for this
	// request.
	VaryMiss
	// RequestMiss: the client's directives ruled the stored object out.
	RequestMiss
	// PartialMiss: what is stored does not cover the range asked for.
	PartialMiss
	// HitForMiss: remembered as uncacheable, so it went alone.
	HitForMiss
	// PassMethod: the method is not answered from the cache.
	PassMethod
	// PassPolicy: the rule says so.
	PassPolicy
	// Refused: weir answered by itself: a malformed request, no policy, a
	// method it does not serve, only-if-cached without an object.
	Refused
	// Failed: the origin failed and nothing could stand in.
	Failed
	// Purged: the request purged, and did what it asked for.
	Purged

	// Verdicts is the number of verdicts.
	Verdicts
)

var verdictNames = [Verdicts]string{
	VerdictNone: "none", Hit: "hit", HitStale: "stale", HitStaleError: "stale_error", Revalidated: "revalidated",
	Refetched: "refetched", Miss: "miss", VaryMiss: "vary_miss", RequestMiss: "request_miss",
	PartialMiss: "partial_miss", HitForMiss: "hit_for_miss", PassMethod: "pass_method", PassPolicy: "pass",
	Refused: "refused", Failed: "failed",
	Purged: "purged",
}

// String is the verdict's name in the access log and the value of the result
// label of the metrics.
func (v Verdict) String() string {
	if v < Verdicts {
		return verdictNames[v]
	}
	return "unknown"
}

var verdictFwd = [Verdicts]string{
	HitStaleError: "stale", Revalidated: "stale", Refetched: "stale", Miss: "uri-miss", VaryMiss: "vary-miss",
	RequestMiss: "request", PartialMiss: "partial", HitForMiss: "bypass", PassMethod: "method", PassPolicy: "bypass",
	Failed: "miss",
}

// Fwd is why the request went to the origin, in the words of RFC 9211 section
// 2.2; "" when it did not.
func (v Verdict) Fwd() string {
	if v < Verdicts {
		return verdictFwd[v]
	}
	return ""
}

// FromCache tells whether the body came from a stored object.
func (v Verdict) FromCache() bool {
	return v == Hit || v == HitStale || v == HitStaleError || v == Revalidated
}

// Reason says why a response was not stored, or why weir answered by itself.
// The list is closed: it is the detail of Cache-Status, the reason of the
// access log and the reason label of weir_not_cached_total.
type Reason uint8

const (
	// ReasonNone: it was stored, or nothing needs explaining.
	ReasonNone Reason = iota
	ReasonMethod
	ReasonPolicy
	ReasonHitForMiss
	ReasonStatus
	ReasonNoStore
	ReasonRequestNoStore
	ReasonPrivate
	ReasonAuthorization
	ReasonNoFreshness
	ReasonExpired
	ReasonVaryStar
	ReasonVaryLimit
	ReasonVaryChanged
	ReasonSetCookie
	ReasonPartial
	ReasonRange
	ReasonTooLarge
	ReasonTruncated
	ReasonUnproven
	ReasonMalformed
	ReasonPurged
	ReasonTagLimit
	ReasonStorage
	ReasonNotAdmitted
	ReasonPinnedFull
	ReasonClientGone
	ReasonOnlyIfCached
	ReasonNoPolicy
	ReasonBadRequest
	ReasonHeaderTooLarge
	ReasonBodyTooLarge
	ReasonUploadCut
	ReasonOriginRefused
	ReasonOriginConnect
	ReasonOriginTLS
	ReasonOriginTimeout
	ReasonOriginStalled
	ReasonOriginReset
	ReasonOriginTruncated
	ReasonOriginHeader
	ReasonOriginMalformed
	ReasonOriginBusy
	ReasonOriginOther
	ReasonOriginStatus
	ReasonShuttingDown
	ReasonInternal
	// What comes later stands last: the numbers are in objects on disk.
	ReasonTooManyConnections
	// ReasonUnconfirmed: what is stored may have been purged by a peer that this
	// node has not heard of, so the origin was asked.
	ReasonUnconfirmed
	// ReasonCookie: the request carries cookies or credentials of its own, and
	// the response does not state that it is the same for others.
	ReasonCookie
	// ReasonVaryForwarded: the response varies on the client or on the way of the
	// request, which differ from request to request.
	ReasonVaryForwarded
	// ReasonPathInDoubt: an origin may read the path as another than the policy
	// was chosen by.
	ReasonPathInDoubt
	// ReasonOverride: a trusted sender names another path, host or method.
	ReasonOverride
	// ReasonContentType: the policy was chosen by the end of the path, and the
	// response is of another type.
	ReasonContentType
	// ReasonQueryReflected: the response holds a parameter that does not count.
	ReasonQueryReflected
	// ReasonOriginFailing: the origin was known to fail, and was not waited for.
	ReasonOriginFailing
	// ReasonStaleWait: the origin had not answered within the time that a request
	// waits for it while something stale may stand in.
	ReasonStaleWait
	// ReasonFallback: the origin failed, and its fallback has answered.
	ReasonFallback
	// ReasonClockSkew: the response would be stored, but by its Date it is too old:
	// the clock of its origin is off.
	ReasonClockSkew
	// ReasonMemory: limits.memory_in_flight and limits.spool had no room for the body.
	ReasonMemory
	// ReasonTooManyWaiters: as many requests wait for the same fetch as may.
	ReasonTooManyWaiters
	// ReasonAllWait: so many requests wait for origins that what is left of the
	// connections is for what is stored.
	ReasonAllWait
	// ReasonOverloaded: the machine has more to do than it can, and what would go to an
	// origin is turned away first.
	ReasonOverloaded

	// Reasons is the number of reasons.
	Reasons
)

var reasonNames = [Reasons]string{
	ReasonNone: "none", ReasonMethod: "method", ReasonPolicy: "policy", ReasonHitForMiss: "hit-for-miss",
	ReasonStatus: "status", ReasonNoStore: "no-store", ReasonRequestNoStore: "request-no-store",
	ReasonPrivate: "private", ReasonAuthorization: "authorization", ReasonNoFreshness: "no-freshness",
	ReasonExpired: "expired", ReasonVaryStar: "vary-star", ReasonVaryLimit: "vary-limit",
	ReasonVaryChanged: "vary-changed", ReasonSetCookie: "set-cookie", ReasonPartial: "partial", ReasonRange: "range", ReasonTooLarge: "too-large",
	ReasonTruncated: "truncated", ReasonUnproven: "unproven-length", ReasonMalformed: "malformed-response",
	ReasonPurged: "purged", ReasonUnconfirmed: "unconfirmed", ReasonCookie: "cookie", ReasonVaryForwarded: "vary-forwarded",
	ReasonPathInDoubt: "path-in-doubt", ReasonOverride: "override", ReasonContentType: "content-type",
	ReasonQueryReflected: "query-reflected", ReasonClockSkew: "clock-skew", ReasonTagLimit: "tag-limit", ReasonStorage: "storage",
	ReasonNotAdmitted: "not-admitted", ReasonPinnedFull: "pinned-full", ReasonMemory: "memory",
	ReasonClientGone: "client-gone", ReasonOnlyIfCached: "only-if-cached", ReasonNoPolicy: "no-policy",
	ReasonBadRequest: "bad-request", ReasonHeaderTooLarge: "header-too-large", ReasonBodyTooLarge: "body-too-large",
	ReasonUploadCut: "upload-cut", ReasonOriginRefused: "origin-refused", ReasonOriginConnect: "origin-connect",
	ReasonOriginTLS: "origin-tls", ReasonOriginTimeout: "origin-timeout", ReasonOriginStalled: "origin-stalled",
	ReasonOriginReset: "origin-reset", ReasonOriginTruncated: "origin-truncated",
	ReasonOriginHeader: "origin-header-too-large", ReasonOriginMalformed: "origin-malformed",
	ReasonOriginBusy: "origin-busy", ReasonOriginOther: "origin-error", ReasonOriginStatus: "origin-status",
	ReasonOriginFailing: "origin-failing", ReasonStaleWait: "stale-wait", ReasonFallback: "fallback",
	ReasonShuttingDown: "shutting-down", ReasonTooManyConnections: "too-many-connections", ReasonInternal: "internal",
	ReasonTooManyWaiters: "too-many-waiters", ReasonAllWait: "too-many-waiting", ReasonOverloaded: "overloaded",
}

// String is the reason's name, a token (RFC 9110 section 5.6.2).
func (r Reason) String() string {
	if r < Reasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Tier is where a body came from.
type Tier uint8

const (
	// TierNone: no stored body and no origin: weir's own answers.
	TierNone Tier = iota
	TierRAM
	TierDisk
	TierOrigin

	// Tiers is the number of tiers.
	Tiers
)

// String is the value of the tier label of the metrics.
func (t Tier) String() string {
	switch t {
	case TierRAM:
		return "ram"
	case TierDisk:
		return "disk"
	case TierOrigin:
		return "origin"
	}
	return "none"
}
