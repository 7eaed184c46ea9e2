package proxy

import (
	"net/http"
	"strconv"

	"weir/policy"
	"weir/proxy/front"
	"weir/tiers"
)

// deliver answers with x.obj: a stored object, or the head of a response whose
// body is in x.fill or x.live.
func (x *exchange) deliver() state {
	o := x.obj
	show, prep := x.prepare(o)
	age := int64(-1)
	if o.Freshness.Born != 0 {
		age = o.Freshness.Age(x.now)
		if age == 0 && x.tier == policy.TierOrigin {
			// It comes from the origin, not from a store: there is no Age to tell.
			age = -1
		}
	}
	if (o.Status == http.StatusOK || x.part.size > 0) && (x.live == nil || x.judgeLive) {
		switch x.precondition() {
		case policy.NotModified:
			return x.notModified(show, prep, age)
		case policy.PreconditionFailed:
			return x.preconditionFailed()
		}
	}
	if prep != nil {
		x.answer.Header = prep.header
	} else {
		x.answer.Code, x.answer.Fields = o.Status, show.answerFields(o)
	}
	x.annotate(show, age)
	x.giveBack()
	if x.part.size > 0 {
		// A stored part of the object answers for the range that it covers.
		x.contentRange(x.part.want, x.part.size)
		return x.send(x.part.want.Start-x.part.start, x.part.want.Len())
	}
	if x.rangeable() {
		ranges, outcome := x.ranges()
		switch {
		case outcome == policy.RangeUnsatisfiable:
			return x.unsatisfiable()
		case outcome == policy.RangeOK && len(ranges) == 1:
			x.contentRange(ranges[0], o.Length)
			return x.send(ranges[0].Start, ranges[0].Len())
		case outcome == policy.RangeOK && x.fill == nil:
			return x.sendMultipart(ranges)
		}
	}
	return x.send(0, o.Length)
}

// giveBack puts those parameters of the request into a redirect that do not count
// in the key: the origin has not seen them, and what is stored has none.
func (x *exchange) giveBack() {
	if status := x.obj.Status; status < 300 || status > 399 || !x.canonical {
		return
	}
	location := x.obj.Fields.Get("Location")
	if location == "" {
		return
	}
	var ok bool
	if x.location, ok = x.rule.GiveBack(x.location[:0], &x.req, location); ok {
		x.answer.Location = x.location
	}
}

// rangeable tells whether the request's Range counts for what is about to be
// sent (RFC 9110 section 14.2).
func (x *exchange) rangeable() bool {
	o := x.obj
	return x.req.Range != nil && x.req.Method == "GET" && o.Status == http.StatusOK && o.Length >= 0 &&
		x.live == nil && (x.req.IfRange == nil || o.Validators.IfRange(x.req.IfRange))
}

// ranges are what the request asks for of the object. They are in scratch space
// of the exchange.
func (x *exchange) ranges() ([]policy.ByteRange, policy.RangeOutcome) {
	return policy.ParseRange(x.rangeRoom[:0], x.req.Range, x.obj.Length)
}

// contentRange makes the header that of a 206 with one range.
func (x *exchange) contentRange(r policy.ByteRange, size int64) {
	x.code, x.answer.Code = http.StatusPartialContent, http.StatusPartialContent
	x.extent = policy.AppendContentRange(x.extent[:0], r, size)
	x.answer.ContentRange = x.extent
}

// precondition evaluates the client's conditions on what is about to be sent
// (RFC 9110 section 13.2.2).
func (x *exchange) precondition() policy.Precondition {
	if !x.req.Conditional() {
		return policy.PreconditionNone
	}
	v := x.obj.Validators
	var lent policy.Lent
	switch {
	case x.rule.Forgo.Date, x.live != nil:
		// The date of what is not stored says nothing about what the client has
		// (RFC 9110 section 13.1.3).
		v.Date = -1
	case x.req.IfModifiedSince != nil && !v.Any() && !x.core.store.EverPurged(x.obj):
		// What has no validator of its own is judged by when it was current.
		lent = v.Lend(&x.obj.Freshness, x.now, x.core.began)
	}
	return v.Evaluate(&x.req, lent)
}

func (x *exchange) notModified(show *shown, prep *prepared, age int64) state {
	x.setNotModified(show, prep)
	x.annotate(show, age)
	x.code = http.StatusNotModified
	return stateFinish
}

func (x *exchange) preconditionFailed() state {
	x.code, x.refuseText = http.StatusPreconditionFailed, "the condition in the request does not hold"
	return stateRefuse
}

func (x *exchange) unsatisfiable() state {
	size := strconv.FormatInt(x.obj.Length, 10)
	x.code, x.refuseText = http.StatusRequestedRangeNotSatisfiable, "the resource is "+size+" bytes long"
	x.answer.ContentRange = []byte("bytes */" + size)
	return stateRefuse
}

// send puts n bytes of the body from off behind the header; n is -1 when the
// length is not known.
func (x *exchange) send(off, n int64) state {
	x.answer.Length = n
	if x.req.Method == "HEAD" || front.Bodiless(x.code) {
		return stateFinish
	}
	// Fast path: the body is in memory, and is written from where it is.
	if body, ok := x.inMemory(off, n); ok {
		x.answer.Body, x.bodyBytes = body, n
		return stateFinish
	}
	return x.stream(x.source(off, n), n)
}

// inMemory returns n bytes of the body from off where they can be had without
// waiting, as they stay until the answer is written.
func (x *exchange) inMemory(off, n int64) ([]byte, bool) {
	switch {
	case x.live != nil:
		return nil, false
	case x.fill != nil:
		// Most small bodies have come by the time that their header was looked at.
		return x.fill.Whole(off, n)
	case !x.obj.Large():
		return x.obj.Body[off : off+n], true
	}
	body, ok := x.obj.Whole()
	if !ok {
		return nil, false
	}
	x.answer.Release = lent{x.obj} // and finish leaves it open
	return body[off : off+n], true
}

// lent is an object that is closed after its body was written.
type lent struct{ o *tiers.Object }

// Close implements io.Closer.
func (l lent) Close() error {
	l.o.Close()
	return nil
}
