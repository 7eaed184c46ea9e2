package proxy

import (
	"net/http"
	"strconv"

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
	s := x.refusal(http.StatusMethodNotAllowed, policy.ReasonMethod, text)
	return s
}

func (x *exchange) onlyIfCached() state {
	return x.refusal(http.StatusGatewayTimeout, policy.ReasonOnlyIfCached,
		"the request asks for a stored answer only, and none can be used")
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

// refuse answers by itself, in plain text that says why.
func (x *exchange) refuse() state {
	x.status = x.appendCacheStatus(x.status[:0])
	// The text is weir's own, also where it is about a stored object.
	x.tier = policy.TierNone
	if x.head.HasBody() {
		// A body that nothing here has read must not be waited for, nor be in front
		// of the next request.
		x.closing = true
	}
	body := strconv.Itoa(x.code) + " " + http.StatusText(x.code) + "\n" + x.refuseText + "\n"
	fields := policy.Fields{
		{Name: "Cache-Control", Value: "no-store"},
		{Name: "Content-Type", Value: "text/plain; charset=utf-8"},
		{Name: "Date", Value: x.start.UTC().Format(http.TimeFormat)},
		{Name: "X-Content-Type-Options", Value: "nosniff"},
	}
	if x.retryAfter != "" {
		fields = append(fields, policy.Field{Name: "Retry-After", Value: x.retryAfter})
	}
	if x.reason == policy.ReasonMethod {
		fields = append(fields, policy.Field{Name: "Allow", Value: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"})
	}
	x.answer = front.Answer{
		Code: x.code, Fields: fields, CacheStatus: x.status, ContentRange: x.answer.ContentRange, Body: []byte(body),
	}
	if string(x.head.Method) != http.MethodHead {
		x.bodyBytes = int64(len(body))
	}
	return stateFinish
}
