package proxy

import (
	"net/http"

	"weir/policy"
	"weir/proxy/front"
)

// refusal notes that weir answers by itself.
func (x *exchange) refusal(code int, reason policy.Reason, text string) state {
	x.outcome, x.reason, x.tier = outcomeRefused, reason, policy.TierNone
	x.code, x.refuseText = code, text
	return stateRefuse
}

func (x *exchange) notAllowed(text string) state {
	return x.refusal(http.StatusMethodNotAllowed, policy.ReasonMethod, text)
}

func (x *exchange) malformed(fault string) state {
	x.closing = true
	return x.refusal(http.StatusBadRequest, policy.ReasonBadRequest, fault)
}

// faulty answers what is no request.
func (x *exchange) faulty(f *front.Fault) state {
	x.closing = true
	reason := policy.ReasonBadRequest
	if f.Status == http.StatusRequestHeaderFieldsTooLarge {
		reason = policy.ReasonHeaderTooLarge
	}
	return x.refusal(f.Status, reason, f.Text)
}

func (x *exchange) onlyIfCached() state {
	return x.refusal(http.StatusGatewayTimeout, policy.ReasonOnlyIfCached,
		"the request asks for a stored answer only, and none can be used")
}

// fails notes that the origin gave no answer, and with what the client is answered if
// nothing else does.
func (x *exchange) fails(reason policy.Reason, code int) state {
	x.failed, x.code = reason, code
	return stateFail
}

// failure notes that the origin failed and nothing could stand in.
func (x *exchange) failure(code int, reason policy.Reason) state {
	x.outcome, x.reason, x.tier = outcomeFailed, reason, policy.TierNone
	x.code, x.refuseText = code, failureText(reason)
	if code == http.StatusServiceUnavailable && x.retryAfter == "" && reason != policy.ReasonOriginStatus {
		x.retryAfter = x.retryLater()
	}
	return stateRefuse
}

// retryLater returns a Retry-After for an answer of weir's own: one of a few seconds, so
// that a crowd does not come back at the same moment.
func (x *exchange) retryLater() string {
	seconds := [...]string{"1", "2", "3"}
	return seconds[x.start.Nanosecond()/1000%len(seconds)]
}

func failureText(r policy.Reason) string {
	switch r {
	case policy.ReasonOriginRefused:
		return "the origin refuses connections"
	case policy.ReasonOriginConnect:
		return "the origin cannot be reached"
	case policy.ReasonOriginTLS:
		return "no secure connection to the origin could be made"
	case policy.ReasonOriginTimeout:
		return "the origin did not answer in time"
	case policy.ReasonOriginStalled:
		return "the origin stopped sending"
	case policy.ReasonOriginReset:
		return "the origin closed the connection before it answered"
	case policy.ReasonOriginTruncated:
		return "the origin's answer was cut short"
	case policy.ReasonOriginHeader:
		return "the origin's header section is too large"
	case policy.ReasonOriginMalformed:
		return "the origin's answer is malformed"
	case policy.ReasonOriginBusy:
		return "all connections to the origin are in use"
	case policy.ReasonTooManyWaiters:
		return "too many requests wait for the same page"
	case policy.ReasonAllWait:
		return "too many requests wait for origins"
	case policy.ReasonOverloaded:
		return "this cache has more to do than it can"
	case policy.ReasonOriginStatus, policy.ReasonOriginFailing, policy.ReasonStaleWait:
		return "the origin failed to answer"
	case policy.ReasonBodyTooLarge:
		return "the request body is larger than this cache passes on"
	case policy.ReasonUploadCut:
		return "the request body was cut short"
	case policy.ReasonClientGone:
		return "the client left before the origin answered"
	case policy.ReasonShuttingDown:
		return "this cache is shutting down"
	}
	return "the origin could not be asked"
}
