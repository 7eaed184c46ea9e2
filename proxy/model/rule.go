package model

// Rule is what an answer broke.
type Rule uint8

const (
	RuleNone Rule = iota
	// RuleBody: bytes of another URL or version, or not all of them.
	RuleBody
	// RuleUnstorable: from a response that must not be stored.
	RuleUnstorable
	RulePrivate
	RuleAuthorization
	RuleVary
	RuleNoCache
	// RuleRequest: against the request's own directives.
	RuleRequest
	RuleStale
	// RuleInvalidated: from before an unsafe request that succeeded, or from
	// before a HEAD that showed another representation.
	RuleInvalidated
	// RuleSuperseded: older than another stored response for the request.
	RuleSuperseded
	// RuleValidation: the origin did not confirm what was served.
	RuleValidation
	RuleAge
	// RuleCondition: the request's condition or range was evaluated wrongly.
	RuleCondition
	// RuleNeedless: the origin was asked for what was at hand.
	RuleNeedless
	// RuleOwn: weir answered by itself, without a reason to.
	RuleOwn
)

var rules = [...]string{
	RuleNone: "none", RuleBody: "wrong bytes", RuleUnstorable: "stored against RFC 9111 section 3",
	RulePrivate: "private (5.2.2.7)", RuleAuthorization: "authorization (3.5)", RuleVary: "vary (4.1)",
	RuleNoCache: "no-cache (5.2.2.4)", RuleRequest: "request directives (5.2.1)", RuleStale: "stale (4.2.4)",
	RuleInvalidated: "invalidated (4.4, 4.3.5)", RuleSuperseded: "not the most recent (4)",
	RuleValidation: "not what was validated (4.3)", RuleAge: "age (4.2.3, 5.1)",
	RuleCondition: "condition or range (RFC 9110 13, 14)", RuleNeedless: "asked the origin needlessly (4)",
	RuleOwn: "an answer of its own without a reason",
}

// String names the rule and its section.
func (r Rule) String() string {
	if int(r) < len(rules) {
		return rules[r]
	}
	return "unknown"
}
