package proxy

import (
	"net/http"
	"strconv"

	"weir/policy"
	"weir/proxy/front"
)

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
