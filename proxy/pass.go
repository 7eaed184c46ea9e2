package proxy

import (
	"errors"
	"net/http"
	"strconv"

	"weir/origin"
	"weir/policy"
	"weir/proxy/fetch"
	"weir/proxy/front"
	"weir/tiers"
)

// pass sends the request to the origin as it is and its answer back, both as
// streams with back-pressure. Nothing of it is stored.
func (x *exchange) pass() state {
	if !x.core.room.Enter() {
		return x.turnedAway(policy.ReasonAllWait)
	}
	defer x.core.room.Leave()
	if x.core.overload.Sheds() {
		return x.turnedAway(policy.ReasonOverloaded)
	}
	if x.fallback != "" {
		x.dropStale()
		x.reason = policy.ReasonFallback
	}
	x.showForwarded()
	sent := x.req.Clone()
	fields := fetch.Sent(x.rule, &sent)
	if n, ok := x.hopsLeft(); ok {
		fields = append(fields.Without("Max-Forwards"), policy.Field{Name: "Max-Forwards", Value: strconv.FormatUint(n-1, 10)})
	}
	r := &origin.Request{
		Method: x.req.Method, Host: string(x.req.Host), Target: x.targetSent(), Fields: fields,
		Interim: x.passInterims().Got, StandIn: x.standInAfter(),
	}
	var up front.Body
	if x.head.HasBody() {
		up = x.session.Body(x.cfg.MaxRequestBody)
		r.Body, r.ContentLength = up, x.head.Length
	}
	ctx, cancel := x.exclusive()
	began, moment, requested := x.core.now(), x.core.store.Moment(), x.core.clock.Now()
	name, asked := x.upstream()
	resp, err := asked.Do(ctx, r)
	arrived := x.core.now()
	x.originTime = arrived.Sub(began)
	x.endInterims()
	if err != nil {
		cancel()
		return x.passFailed(err, up)
	}
	if up != nil && !up.Whole() {
		// What the client still sends belongs to this request, not the next.
		x.closing = true
	}
	x.live, x.cancel, x.fwdStatus = resp, cancel, resp.Status
	received, err := policy.EndToEnd(resp.Fields)
	if err != nil {
		x.dropLive()
		return x.failure(502, policy.ReasonOriginMalformed)
	}
	x.core.fetch.NoteDate(name, asked.Index, &policy.Response{
		Status: resp.Status, Fields: received,
		RequestTime: requested, ResponseTime: x.core.clock.At(arrived), Behind: x.core.clock.Behind(arrived),
	})
	if next, instead := x.insteadOf(resp.Status); instead {
		return next
	}
	fields = policy.Dated(x.rule.KeepSession(&x.req, received), x.core.now().UnixNano())
	if policy.Unsafe(x.req.Method) && resp.Status >= 200 && resp.Status < 400 {
		if own := x.invalidate(resp.Status, fields); own == moment.Epoch+1 {
			// No other purge came since: what this answer brings is as young as ours.
			moment.Epoch = own
		}
	}
	if x.req.Method == "HEAD" && x.stale != nil {
		x.headUpdates(resp.Status, fields, moment)
	}
	if x.req.Method == "POST" && (up == nil || up.Whole()) && !resp.CloseDelimited {
		if a, own, kept := x.keepPost(resp.Status, fields, moment); kept {
			return x.led(a, own)
		}
	}
	x.core.fetch.NotCached(x.reason)
	x.code, x.tier = resp.Status, policy.TierOrigin
	x.obj = &tiers.Object{Status: resp.Status, Fields: fields, Length: resp.ContentLength, Tier: policy.TierOrigin}
	return stateDeliver
}

// insteadOf answers with something else where the origin's answer is an error for which
// something stale may stand in, or that its fallback is to be asked for.
func (x *exchange) insteadOf(status int) (next state, instead bool) {
	on, failed := policy.OnStatus(x.rule, status)
	switch {
	case !failed:
	case x.stale != nil && x.mayStandIn(x.stale, on):
		x.dropLive()
		return x.standIn(policy.ReasonOriginStatus), true
	case x.fallsBack(policy.ReasonOriginStatus):
		x.dropLive()
		return statePass, true
	}
	return 0, false
}

func (x *exchange) passFailed(err error, up front.Body) state {
	reason, code := fetch.OriginReason(err)
	if up != nil {
		// The origin may be fine: it is the client who broke off or went over
		// the bound. A connection with half a body on it is of no use.
		x.closing = true
		var f *front.Fault
		switch fault := up.Fault(); {
		case errors.As(fault, &f):
			return x.refusal(f.Status, policy.ReasonBadRequest, f.Text)
		case errors.Is(fault, front.ErrTooLarge):
			return x.failure(http.StatusRequestEntityTooLarge, policy.ReasonBodyTooLarge)
		case errors.Is(fault, front.ErrCut):
			return x.failure(http.StatusBadRequest, policy.ReasonUploadCut)
		}
	}
	// The origin took its time to fail: ages count to now.
	x.now = x.core.clock.Now()
	return x.fails(reason, code)
}

// targetSent is the request-target that the origin gets of a request that is
// passed on.
func (x *exchange) targetSent() string {
	if x.canonical {
		return string(x.rule.AppendTarget(nil, &x.req))
	}
	return string(policy.AppendRawTarget(nil, &x.req))
}
