package proxy

import (
	"strconv"

	"weir/policy"
)

// appendCacheStatus renders the verdict as this cache's member of Cache-Status
// (RFC 9211). It is the only place that does.
//
//	weir; hit; ttl=3599; detail=ram
//	weir; fwd=uri-miss; fwd-status=200; stored; ttl=3600
//	weir; fwd=stale; fwd-status=304; stored; collapsed; detail=disk
//	weir; fwd=bypass; fwd-status=200; detail=no-store
//	weir; fwd=uri-miss; fwd-status=200; stored; ttl=60; detail=purged
func (x *exchange) appendCacheStatus(dst []byte) []byte {
	dst = append(dst, x.cfg.CacheName...)
	v := x.verdict()
	switch v {
	case policy.Hit, policy.HitStale:
		dst = append(dst, "; hit"...)
	case policy.Refused, policy.Purged, policy.VerdictNone:
	default:
		if v == policy.HitStaleError {
			// RFC 9211 section 2.2: fwd tells what was tried first.
			dst = append(dst, "; fwd=stale"...)
			break
		}
		dst = append(dst, "; fwd="...)
		dst = append(dst, x.fwd()...)
	}
	if x.fwdStatus != 0 {
		dst = append(dst, "; fwd-status="...)
		dst = strconv.AppendInt(dst, int64(x.fwdStatus), 10)
	}
	if x.stored {
		dst = append(dst, "; stored"...)
	}
	if x.collapsed {
		dst = append(dst, "; collapsed"...)
	}
	if x.hasTTL {
		dst = append(dst, "; ttl="...)
		dst = strconv.AppendInt(dst, seconds(x.ttl), 10)
	}
	if x.rule != nil && x.rule.ShowKey && x.key.Primary > 0 {
		dst = append(dst, "; key="...)
		dst = appendSFString(dst, x.key.Text)
	}
	if d := x.detailName(); d != "" {
		dst = append(dst, "; detail="...)
		dst = append(dst, d...)
	}
	return dst
}

// fwd is why the request went to the origin, whatever came of it.
func (x *exchange) fwd() string {
	if fwd := x.found.fetched().Fwd(); x.outcome == outcomeFailed && fwd != "" {
		return fwd
	}
	return x.verdict().Fwd()
}

// detailName is the tier for what came from one, else the reason.
func (x *exchange) detailName() string {
	switch x.outcome {
	case outcomeHit, outcomeStale, outcomeRevalidated:
		return x.tier.String()
	case outcomeStandIn:
		return "stale-if-error"
	case outcomeFailed:
		if x.unconfirmed {
			// Why nothing stood in; the log says how the origin failed.
			return policy.ReasonUnconfirmed.String()
		}
	}
	if r := x.explanation(); r != policy.ReasonNone {
		return r.String()
	}
	return ""
}

// explanation is the one reason that Cache-Status and the access log give: why
// weir answered by itself or did not store the answer, else what made it ask the
// origin where the verdict does not say so. Behind the header, the log alone can
// still say why the body broke off. A request for what is known as uncacheable
// gives the reason for which it is; that the answer to it was known to be alone
// shows in the verdict.
func (x *exchange) explanation() policy.Reason {
	switch {
	case x.broke != policy.ReasonNone:
		return x.broke
	case x.unconfirmed && (x.outcome == outcomeFetched || x.outcome == outcomeRevalidated):
		return policy.ReasonUnconfirmed
	case x.reason != policy.ReasonNone:
		return x.reason
	case x.outcome != outcomeFetched:
	case x.purged && (x.found == foundNothing || x.found == foundStale):
		return policy.ReasonPurged
	case x.found == foundMark:
		return policy.ReasonHitForMiss
	}
	return policy.ReasonNone
}

// seconds rounds away from zero: with the Age that is rounded down, ttl and age
// add up to the lifetime, and what is stale never has a ttl of 0.
func seconds(ns int64) int64 {
	s := ns / 1e9
	switch r := ns % 1e9; {
	case r > 0:
		s++
	case r < 0:
		s--
	}
	return s
}

// appendSFString appends b as a structured field string (RFC 9651 section
// 3.3.3). Key texts are printable lines; their line ends become spaces.
func appendSFString(dst, b []byte) []byte {
	dst = append(dst, '"')
	for _, c := range b {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20 || c > 0x7e:
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
