package proxy

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/policy"
)

// deliver answers with x.obj: a stored object, or the head of a response whose
// body is in x.fill or x.live.
func (x *exchange) deliver() state {
	o := x.obj
	prep := x.prepare(o)
	age := int64(-1)
	if o.Freshness.Born != 0 {
		age = o.Freshness.Age(x.now)
	}
	if o.Status == fasthttp.StatusOK && x.live == nil {
		switch x.precondition() {
		case policy.NotModified:
			return x.notModified(prep, age)
		case policy.PreconditionFailed:
			return x.preconditionFailed()
		}
	}
	prep.header.CopyTo(&x.ctx.Response.Header)
	x.annotate(prep, age)
	off, n := int64(0), o.Length
	if x.req.Range != nil && o.Status == fasthttp.StatusOK && x.live == nil && n >= 0 && x.req.Method == "GET" {
		var outcome policy.RangeOutcome
		if off, n, outcome = x.rangeOf(); outcome == policy.RangeUnsatisfiable {
			return x.unsatisfiable()
		}
	}
	return x.send(off, n)
}

// precondition evaluates the client's conditions on what is about to be sent
// (RFC 9110 section 13.2.2).
func (x *exchange) precondition() policy.Precondition {
	if !x.req.Conditional() {
		return policy.PreconditionNone
	}
	return x.obj.Validators.Evaluate(&x.req)
}

func (x *exchange) notModified(prep *prepared, age int64) state {
	prep.notModified.CopyTo(&x.ctx.Response.Header)
	x.annotate(prep, age)
	x.code = fasthttp.StatusNotModified
	x.ctx.Response.SkipBody = true
	return stateFinish
}

func (x *exchange) preconditionFailed() state {
	x.code, x.refuseText = fasthttp.StatusPreconditionFailed, "the condition in the request does not hold"
	return stateRefuse
}

// rangeOf returns the one range to send, or the whole when the request's ranges
// are to be ignored.
func (x *exchange) rangeOf() (off, n int64, outcome policy.RangeOutcome) {
	o := x.obj
	if x.req.IfRange != nil && !o.Validators.IfRange(x.req.IfRange) {
		return 0, o.Length, policy.RangeNone
	}
	var room [2]policy.ByteRange
	ranges, outcome := policy.ParseRange(room[:0], x.req.Range, o.Length)
	if outcome != policy.RangeOK || len(ranges) != 1 {
		return 0, o.Length, outcome
	}
	r := ranges[0]
	h := &x.ctx.Response.Header
	h.SetStatusCode(fasthttp.StatusPartialContent)
	h.SetStatusMessage(messagePartial)
	x.code = fasthttp.StatusPartialContent
	x.status = appendContentRange(x.status[:0], r.Start, r.End, o.Length)
	h.SetCanonical(nameContentRange, x.status)
	return r.Start, r.End - r.Start + 1, outcome
}

func appendContentRange(dst []byte, start, end, size int64) []byte {
	dst = append(dst, "bytes "...)
	dst = strconv.AppendInt(dst, start, 10)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, end, 10)
	dst = append(dst, '/')
	return strconv.AppendInt(dst, size, 10)
}

func (x *exchange) unsatisfiable() state {
	h := &x.ctx.Response.Header
	size := x.obj.Length
	x.code, x.refuseText = fasthttp.StatusRequestedRangeNotSatisfiable,
		"the resource is "+strconv.FormatInt(size, 10)+" bytes long"
	x.refuse()
	h.SetCanonical(nameContentRange, []byte("bytes */"+strconv.FormatInt(size, 10)))
	return stateFinish
}

// send puts n bytes of the body from off behind the header; n is -1 when the
// length is not known.
func (x *exchange) send(off, n int64) state {
	resp := &x.ctx.Response
	if x.req.Method == "HEAD" || bodiless(x.code) {
		resp.SkipBody = true
		switch {
		case bodiless(x.code):
		case n >= 0:
			resp.Header.SetContentLength(int(n))
		default:
			noLength(&resp.Header)
		}
		return stateFinish
	}
	// Fast path: the body is in memory. fasthttp writes it from where it is.
	if x.fill == nil && x.live == nil && !x.obj.Large() {
		resp.SetBodyRaw(x.obj.Body[off : off+n])
		x.bodyBytes = n
		return stateFinish
	}
	s := &bodyStream{x: x, left: n, src: x.source(off, n)}
	x.streaming = true
	if n < 0 && !x.ctx.Request.Header.IsHTTP11() {
		return x.sendUntilClose(s)
	}
	resp.ImmediateHeaderFlush = true
	resp.SetBodyStream(s, int(n))
	return stateFinish
}

// bodiless: these never have a body (RFC 9110 sections 15.3.5, 15.3.6, 15.4.5).
func bodiless(code int) bool { return code == 204 || code == 304 || code < 200 }
