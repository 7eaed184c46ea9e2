package proxy

import "weir/policy"

// found is what lookup saw, whatever became of the request afterwards.
type found uint8

const (
	// foundUnasked: the tiers were not asked: weir refused the request.
	foundUnasked found = iota
	// foundMethod and foundPolicy: nor were they, since the method or the rule
	// passes the request on.
	foundMethod
	foundPolicy
	// foundNothing: nothing is stored under the key.
	foundNothing
	// foundVariants: something is stored, but no variant for this request.
	foundVariants
	// foundUsable: a stored object answers.
	foundUsable
	// foundUnwanted: what is stored is fresh, and the request does not take it
	// without asking: its directives say so, or its cookies.
	foundUnwanted
	// foundStale: what is stored has to be validated.
	foundStale
	// foundPart: a part is stored that does not cover what is asked for.
	foundPart
	// foundMark: nothing is stored, since answers to such requests proved to be
	// for their askers alone.
	foundMark
)

// outcome is how the request ended.
type outcome uint8

const (
	outcomeNone outcome = iota
	// outcomeHit: a fresh stored object answered.
	outcomeHit
	// outcomeStale: a stale one that response, rule or client allows.
	outcomeStale
	// outcomeStandIn: a stale one, since the origin failed.
	outcomeStandIn
	// outcomeRevalidated: a stored one that the origin has just confirmed.
	outcomeRevalidated
	// outcomeFetched: the origin's answer, this request's or another's that
	// asked at the same time.
	outcomeFetched
	// outcomeRefused: weir's own answer.
	outcomeRefused
	// outcomeFailed: the origin failed and nothing stood in.
	outcomeFailed
	// outcomePurged: the request purged, and did what it asked for.
	outcomePurged
)

// verdict puts the two together: the name under which the request is counted,
// logged and shown in Cache-Status.
func verdict(f found, o outcome) policy.Verdict {
	switch o {
	case outcomeNone:
		return policy.VerdictNone
	case outcomeHit:
		return policy.Hit
	case outcomeStale:
		return policy.HitStale
	case outcomeStandIn:
		return policy.HitStaleError
	case outcomeRevalidated:
		return policy.Revalidated
	case outcomeRefused:
		return policy.Refused
	case outcomeFailed:
		return policy.Failed
	case outcomePurged:
		return policy.Purged
	case outcomeFetched:
	}
	return f.fetched()
}

// fetched is the verdict on a request that the origin answered, or was asked to.
func (f found) fetched() policy.Verdict {
	switch f {
	case foundMethod:
		return policy.PassMethod
	case foundPolicy:
		return policy.PassPolicy
	case foundNothing:
		return policy.Miss
	case foundVariants:
		return policy.VaryMiss
	case foundUnwanted:
		return policy.RequestMiss
	case foundUsable, foundStale:
		return policy.Refetched
	case foundPart:
		return policy.PartialMiss
	case foundMark:
		return policy.HitForMiss
	case foundUnasked:
	}
	return policy.VerdictNone
}
