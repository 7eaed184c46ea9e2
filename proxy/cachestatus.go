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
//	weir; fwd=bypass; fwd-status=200; detail=hit-for-miss
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
	if x.rule != nil && x.rule.ShowKey && x.key.primary > 0 {
		dst = append(dst, "; key="...)
		dst = appendSFString(dst, x.key.text)
	}
	switch d := x.detailName(); {
	case d != "":
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
	}
	switch {
	case x.unconfirmed:
		return policy.ReasonUnconfirmed.String()
	case x.reason != policy.ReasonNone:
		return x.reason.String()
	case x.found == foundMark:
		return policy.ReasonHitForMiss.String()
	}
	return ""
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
