package proxy

import (
	"errors"
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/policy"
)

// refusal notes that weir answers by itself.
func (x *exchange) refusal(code int, reason policy.Reason, text string) state {
	x.outcome, x.reason, x.tier = outcomeRefused, reason, policy.TierNone
	x.code, x.refuseText = code, text
	return stateRefuse
}

func (x *exchange) notAllowed(text string) state {
	s := x.refusal(fasthttp.StatusMethodNotAllowed, policy.ReasonMethod, text)
	return s
}

func (x *exchange) onlyIfCached() state {
	return x.refusal(fasthttp.StatusGatewayTimeout, policy.ReasonOnlyIfCached,
		"the request asks for a stored answer only, and none can be used")
}

// failure notes that the origin failed and nothing could stand in.
func (x *exchange) failure(code int, reason policy.Reason) state {
	x.outcome, x.reason, x.tier = outcomeFailed, reason, policy.TierNone
	x.code, x.refuseText = code, failureText(reason)
	if code == fasthttp.StatusServiceUnavailable && x.retryAfter == "" {
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
	if x.hasBody() {
		// A body that nothing here has read must not be waited for, nor be in front
		// of the next request.
		x.ctx.SetConnectionClose()
	}
	body := strconv.Itoa(x.code) + " " + fasthttp.StatusMessage(x.code) + "\n" + x.refuseText + "\n"
	closing := x.ctx.Response.ConnectionClose()
	fields := policy.Fields{
		{Name: "Cache-Control", Value: "no-store"},
		{Name: "Content-Type", Value: "text/plain; charset=utf-8"},
		{Name: "Date", Value: string(fasthttp.AppendHTTPDate(nil, x.start))},
		{Name: "X-Content-Type-Options", Value: "nosniff"},
		{Name: "Cache-Status", Value: string(x.status)},
	}
	if x.retryAfter != "" {
		fields = append(fields, policy.Field{Name: "Retry-After", Value: x.retryAfter})
	}
	if x.reason == policy.ReasonMethod {
		fields = append(fields, policy.Field{Name: "Allow", Value: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"})
	}
	setHeader(&x.ctx.Response.Header, x.code, fields)
	if closing {
		x.ctx.SetConnectionClose()
	}
	x.ctx.Response.SetBodyString(body)
	if !x.ctx.IsHead() {
		x.bodyBytes = int64(len(body))
	}
	return stateFinish
}

// badRequest answers what is no request, for the connection's inbound or for fasthttp.
// It never reaches handle, so it counts the request itself. The access log shows what
// has no head without a method, and in place of the target what came of its first line.
func (p *Proxy) badRequest(ctx *fasthttp.RequestCtx, err error) {
	x := p.exchangeFor(ctx)
	x.begin()
	ctx.SetConnectionClose()
	// What a trusted sender says of the client is for the log.
	x.view.Read(ctx.Request.Header.RawHeaders(), x.trusted)
	if h := &ctx.Request.Header; len(h.RawHeaders()) == 0 {
		// There is no head, only fasthttp's defaults. (One that it could parse, and
		// whose Host it refused, is as it came.)
		h.SetMethod("-")
		h.SetRequestURI("-")
		if x.conn != nil {
			h.SetRequestURIBytes(x.conn.in.requestLine())
		}
	}
	var f *fault
	var small *fasthttp.ErrSmallBuffer
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &f):
		x.refusal(f.status, policy.ReasonBadRequest, f.text)
	case errors.As(err, &small):
		x.refusal(fasthttp.StatusRequestHeaderFieldsTooLarge, policy.ReasonHeaderTooLarge,
			"the header section is larger than this cache accepts")
	case errors.As(err, &timeout) && timeout.Timeout():
		x.refusal(fasthttp.StatusRequestTimeout, policy.ReasonBadRequest, "the request did not arrive in time")
	default:
		x.refusal(fasthttp.StatusBadRequest, policy.ReasonBadRequest, "the request is malformed")
	}
	x.refuse()
	x.finish()
}

// expect answers "Expect: 100-continue": a request that its head alone rules
// out gets its final answer at once, before the client sends the body (RFC 9110
// section 10.1.1).
func (p *Proxy) expect(ctx *fasthttp.RequestCtx) int {
	x := p.exchangeFor(ctx)
	if s := x.receive(); s != stateRefuse {
		x.reset()
		p.pool.Put(x)
		return fasthttp.StatusContinue
	}
	x.begin()
	code := x.code
	x.refuse()
	x.finish()
	return code
}
