package proxy

import (
	"context"
	"time"

	"weir/policy"
	"weir/proxy/fetch"
	"weir/proxy/front"
	"weir/tiers"
)

// question is what the request asks an origin for.
func (x *exchange) question() fetch.Question {
	x.showForwarded()
	q := fetch.Question{Rule: x.rule, Upstream: x.cfg.Origins[x.rule.Origin], Request: x.req, Key: x.key, Stale: x.stale}
	q.Request.Method, q.StandIn = "GET", x.standInAfter()
	return q
}

// standInAfter is how long the request waits for a connection to the origin when
// something stale may stand in; 0: nothing may.
func (x *exchange) standInAfter() time.Duration {
	if x.stale == nil || !x.mayStandIn(x.stale, policy.OnOutage) {
		return 0
	}
	return x.cfg.StaleWait
}

// showForwarded puts the fields into the request that tell the origin who asked
// and how.
func (x *exchange) showForwarded() {
	x.view.Forwarded(&x.req, x.rule, &x.from, x.head.Version, x.cfg.CacheName)
}

// fetchesPart: a part is all the client wants, and the whole could be very
// large; a fetch of a part is its own.
func (x *exchange) fetchesPart() bool {
	return x.req.Range != nil && x.stale == nil && !wholeRange(x.req.Range)
}

// passInterims passes the origin's interim responses on to the client that caused the
// fetch. They are never stored, and followers do not see them: they may have begun to
// receive the final one.
func (x *exchange) passInterims() front.Interims {
	x.interims = x.session.Interims()
	return x.interims
}

// exclusive returns the context of an exchange with an origin whose answer can serve
// this client alone. It ends when the client leaves, until endVigil.
func (x *exchange) exclusive() (context.Context, func()) {
	ctx, end := context.WithCancelCause(x.core.fetch.Context())
	x.session.WhenGone(func() { end(fetch.ErrClientGone) })
	return ctx, func() { end(nil) }
}

// lead fetches. The client gets the origin's interim responses meanwhile.
func (x *exchange) lead(f *fetch.Flight, q *fetch.Question) state {
	q.Interim = x.passInterims().Got
	a, own := f.Lead(q)
	x.endInterims()
	return x.led(a, own)
}

// led goes on with the answer to the question that this request led with.
func (x *exchange) led(a fetch.Answer, own fetch.Own) state {
	x.hears(a)
	x.own = own
	return stateTake
}

// hears notes the answer, and what the origin said.
func (x *exchange) hears(a fetch.Answer) {
	x.told = a
	var h *fetch.Heard
	switch a := a.(type) {
	case *fetch.Body:
		h = &a.Heard
	case *fetch.Renewed:
		h = &a.Heard
	case *fetch.Alone:
		h = &a.Heard
	case *fetch.Failed:
		h = &a.Heard
	default:
		return
	}
	x.originTime = h.Took
	// The answer is younger than the request: its age counts from here.
	x.now = x.core.clock.Now()
	x.fwdStatus, x.retryAfter = h.Status, h.RetryAfter
}

// ownHold returns o for a flight to hold, beside the hold that this request has; nil
// where it is gone.
func (x *exchange) ownHold(o *tiers.Object) *tiers.Object {
	if !o.Large() {
		return o
	}
	own := x.core.store.Lookup(&x.key.Hash, x.key.Text)
	if own != nil && !own.Same(o) {
		own.Close()
		return nil
	}
	return own
}

// refresh fetches behind a stale object that is being served, unless that is under
// way already. Of an origin that is failing, one request at a time finds out whether
// it still is.
func (x *exchange) refresh(o *tiers.Object) {
	up := x.cfg.Origins[x.rule.Origin]
	var done func()
	if up.Failing() {
		if !up.Health.Probe() {
			return
		}
		done = up.Health.Probed
	}
	if !x.refreshes(o, done) && done != nil {
		done()
	}
}

func (x *exchange) refreshes(o *tiers.Object, done func()) bool {
	if x.core.overload.Sheds() {
		return false
	}
	// What the object holds open is the exchange's.
	if o = x.ownHold(o); o == nil {
		return false
	}
	f, leads := x.core.fetch.Join(&x.key, x.asker.Personal())
	if !leads {
		if o.Large() {
			o.Close()
		}
		return false
	}
	q := x.question()
	q.Stale, q.StandIn = o, 0 // nobody waits
	q.Done = done
	f.Behind(&q)
	return true
}
