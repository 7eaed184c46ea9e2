package proxy

import (
	"errors"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"weir/origin"
	"weir/policy"
	"weir/proxy/fetch"
	"weir/tiers"
)

// pass sends the request to the origin as it is and its answer back, both as
// streams with back-pressure. Nothing of it is stored.
func (x *exchange) pass() state {
	if !x.p.room.Enter() {
		return x.turnedAway(policy.ReasonAllWait)
	}
	defer x.p.room.Leave()
	if x.p.overload.Sheds() {
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
		Interim: x.passInterims().got, StandIn: x.standInAfter(),
	}
	var up *upload
	if x.hasBody() {
		up = x.newUpload()
		r.Body, r.ContentLength = up, up.length
	}
	ctx, cancel := x.exclusive(up)
	began, moment := x.p.now(), x.p.store.Moment()
	_, asked := x.upstream()
	resp, err := asked.Do(ctx, r)
	x.originTime = x.p.now().Sub(began)
	x.endInterims()
	if err != nil {
		cancel()
		return x.passFailed(err, up)
	}
	if up != nil && !up.done.Load() {
		// What the client still sends belongs to this request, not the next.
		x.closing = true
	}
	x.live, x.cancel, x.fwdStatus = resp, cancel, resp.Status
	received, err := policy.EndToEnd(resp.Fields)
	if err != nil {
		x.dropLive()
		return x.failure(502, policy.ReasonOriginMalformed)
	}
	fields = policy.Dated(x.rule.KeepSession(&x.req, received), x.p.now().UnixNano())
	if policy.Unsafe(x.req.Method) && resp.Status >= 200 && resp.Status < 400 {
		if own := x.invalidate(resp.Status, fields); own == moment.Epoch+1 {
			// No other purge came since: what this answer brings is as young as ours.
			moment.Epoch = own
		}
	}
	if x.req.Method == "HEAD" && x.stale != nil {
		x.headUpdates(resp.Status, fields, moment)
	}
	if x.req.Method == "POST" && (up == nil || up.done.Load()) && !resp.CloseDelimited {
		if a, own, kept := x.keepPost(resp.Status, fields, moment); kept {
			return x.took(a, own)
		}
	}
	x.p.fetch.NotCached(x.reason)
	x.code, x.tier = resp.Status, policy.TierOrigin
	x.obj = &tiers.Object{Status: resp.Status, Fields: fields, Length: resp.ContentLength, Tier: policy.TierOrigin}
	return stateDeliver
}

func (x *exchange) passFailed(err error, up *upload) state {
	reason, code := fetch.OriginReason(err)
	if up != nil {
		// The origin may be fine: it is the client who broke off or went over
		// the bound. A connection with half a body on it is of no use.
		x.ctx.SetConnectionClose()
		var f *fault
		switch {
		case errors.As(up.err, &f):
			return x.refusal(f.status, policy.ReasonBadRequest, f.text)
		case errors.Is(up.err, errBodyTooLarge):
			return x.failure(413, policy.ReasonBodyTooLarge)
		case errors.Is(up.err, errUploadCut):
			return x.failure(400, policy.ReasonUploadCut)
		}
	}
	// The origin took its time to fail: ages count to now.
	x.now = x.p.clock.Now()
	return x.failed(reason, code)
}

func (x *exchange) dropLive() {
	x.live.Body.Close()
	x.cancel()
	x.live, x.cancel = nil, nil
}

var (
	errUploadCut    = errors.New("proxy: the client's request body ended before its Content-Length")
	errBodyTooLarge = errors.New("proxy: the client's request body is larger than allowed")
)

// upload reads the client's body for the origin. It extends the connection's
// read deadline as bytes arrive, so that a slow but progressing upload of any
// size goes through and a silent one ends. Fasthttp reports io.EOF also where the
// connection ended in place of the body: whether the body is whole, its length or
// the connection's inbound says.
type upload struct {
	x        *exchange
	r        io.Reader
	conn     *clientConn // nil: a chunked body counts as cut
	length   int64       // -1: chunked
	n        int64
	deadline time.Time
	// done is set when the whole body was read: the one field that is looked
	// at while the origin may still be reading.
	done atomic.Bool
	err  error
	// closed: the read deadline has passed for good. It is set by whoever ends a Read.
	closed atomic.Bool
}

func (x *exchange) newUpload() *upload {
	return &upload{
		x: x, r: x.ctx.RequestBodyStream(), conn: clientOf(x.ctx.Conn()), length: int64(x.ctx.Request.Header.ContentLength()),
	}
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	if err := u.extend(); err != nil {
		u.err = err
		return 0, err
	}
	n, err := u.r.Read(p)
	u.n += int64(n)
	switch limit := u.x.cfg.MaxRequestBody; {
	case limit > 0 && u.n > limit:
		u.err = errBodyTooLarge
		return 0, u.err
	case err == io.EOF && u.length >= 0 && u.n < u.length:
		err = errUploadCut
	case err != nil && u.conn != nil && u.conn.in.fault != nil:
		err = u.conn.in.fault
	case err == io.EOF && u.length < 0 && (u.conn == nil || !u.conn.in.whole()):
		err = errUploadCut
	case err != nil && err != io.EOF:
		err = errors.Join(errUploadCut, err)
	}
	u.err = err
	if err == io.EOF || (err == nil && u.n == u.length) {
		u.done.Store(true)
	}
	return n, err
}

// Close ends a Read in progress: the origin wants no more of the body.
func (u *upload) Close() error {
	u.closed.Store(true)
	return u.x.ctx.SetReadDeadline(longPast)
}

// extend pushes the deadline out, at most once a second: setting it costs. The losing
// interleaving: Close comes between the beginning of the Read and here; its deadline is
// pushed out again, and the origin's answer waits for a client that is silent.
func (u *upload) extend() error {
	timeout := u.x.p.opts.ProgressTimeout
	if timeout <= 0 {
		return nil
	}
	now := time.Now()
	if u.deadline.Sub(now) > timeout-time.Second && !u.deadline.IsZero() {
		return nil
	}
	u.deadline = now.Add(timeout)
	err := u.x.ctx.SetReadDeadline(u.deadline)
	if u.closed.Load() {
		// Looked at behind setting ours: a Close that comes later sets its own behind it.
		return u.x.ctx.SetReadDeadline(longPast)
	}
	return err
}
