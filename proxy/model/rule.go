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
	// RuleSetCookie: a cookie that the origin set for somebody else.
	RuleSetCookie
	// RuleCookie: a lifetime that no response stated was given to the answer to
	// a request with cookies, or to such a request.
	RuleCookie
	// RuleKey: a response under another key.
	RuleKey
	// RuleDisplaced: an error in place of a success that is fresh.
	RuleDisplaced
	// RuleErrorPage: an error page that is not for all who waited, or that was
	// kept from them although it is.
	RuleErrorPage
	// RuleHead: an answer to HEAD changed what is no matter of freshness, or
	// renewed what it did not confirm.
	RuleHead
	// RuleReload: the origin was asked by a client that reloads for what it said
	// a moment ago.
	RuleReload
	// RuleQueue: a request waits for an answer that it cannot be given.
	RuleQueue
	// RuleCrowd: the origin was asked once more for what is on its way.
	RuleCrowd
	// RuleHang: everything has come, and a request is not answered.
	RuleHang
)

var rules = [...]string{
	RuleNone: "none", RuleBody: "wrong bytes", RuleUnstorable: "stored against RFC 9111 section 3",
	RulePrivate: "private (5.2.2.7)", RuleAuthorization: "authorization (3.5)", RuleVary: "vary (4.1)",
	RuleNoCache: "no-cache (5.2.2.4)", RuleRequest: "request directives (5.2.1)", RuleStale: "stale (4.2.4)",
	RuleInvalidated: "invalidated (4.4, 4.3.5)", RuleSuperseded: "not the most recent (4)",
	RuleValidation: "not what was validated (4.3)", RuleAge: "age (4.2.3, 5.1)",
	RuleCondition: "condition or range (RFC 9110 13, 14)", RuleNeedless: "asked the origin needlessly (4)",
	RuleOwn: "an answer of its own without a reason", RuleSetCookie: "another client's Set-Cookie (7.3)",
	RuleCookie: "a lifetime that was not stated, and cookies", RuleKey: "another key (2)",
	RuleDisplaced: "an error in place of what is fresh", RuleErrorPage: "who gets an error page",
	RuleHead: "a HEAD changed too much (4.3.5)", RuleReload: "asked again for what was said just now", RuleQueue: "waits for what is not for it",
	RuleCrowd: "asked for what is on its way (4)", RuleHang: "no answer",
}

// String names the rule and its section.
func (r Rule) String() string {
	if int(r) < len(rules) {
		return rules[r]
	}
	return "unknown"
}
