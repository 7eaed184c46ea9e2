package proxy

import (
	"weir/invalidation"
	"weir/policy"
)

// What the cache learns from answers that it only passes on.

// headUpdates renews the stored GET with the answer to a HEAD, or drops it when
// that answer shows that the representation has changed (RFC 9111 section
// 4.3.5).
func (x *exchange) headUpdates(status int, fields policy.Fields, epoch uint64) {
	if x.rule.Forgo.Head {
		return
	}
	o := x.stale
	now := x.p.now().UnixNano()
	r := &policy.Response{Status: status, Fields: fields, RequestTime: x.now, ResponseTime: now}
	switch status {
	case 200, 404, 410:
	default:
		// An answer to the client's own condition, or no answer about the
		// resource at all.
		return
	}
	if o.Status != 200 && o.Status != 203 || !policy.HeadUpdates(o.Fields, o.Length, r) {
		// A GET would not have brought what is stored.
		x.p.tiers.Delete(&o.Hash)
		return
	}
	get := x.req
	get.Method = "GET"
	t := &fetch{flight: &flight{p: x.p, rule: x.rule, req: get, text: []byte(o.Text), epoch: epoch, incarnation: x.p.incarnation()}, presp: *r}
	t.storage = policy.Refresh(x.rule, &get, o.Status, o.Fields, r)
	t.presp.Status = o.Status
	if t.storage.Reason != policy.ReasonNone || t.variesOtherwise(o) {
		x.p.tiers.Delete(&o.Hash)
		return
	}
	t.tags, _ = policy.Tags(x.rule, t.storage.Fields)
	if x.p.purged(o) == invalidation.Invalid || t.purgedSince(o.Epoch) {
		return // the body is from before the purge
	}
	x.p.tiers.Refresh(o, t.object())
}

// postForGet makes a flight that stores the answer to a POST for later GETs of
// the target (RFC 9110 section 9.3.3), or nil when it may not be. The flight
// has been told the answer already; it only brings the body.
func (x *exchange) postForGet(status int, fields policy.Fields, epoch, closure uint64) *fetch {
	r := policy.Response{Status: status, Fields: fields, RequestTime: x.start.UnixNano(), ResponseTime: x.p.now().UnixNano()}
	if !policy.PostReusable(x.rule, &x.req, &r) {
		return nil
	}
	get := x.req
	get.Method = "GET"
	if x.cfg.Rules.Match(&get) != x.rule {
		// GETs fall under another policy: its key and lifetime are not ours.
		return nil
	}
	storage := policy.Decide(x.rule, &x.req, &r)
	if storage.Reason != policy.ReasonNone || x.live.ContentLength > x.p.tiers.MaxObject() {
		return nil
	}
	x.setKey()
	f := x.newFlight()
	f.epoch, f.closure = epoch, closure
	t := &fetch{flight: f, presp: r, storage: storage, resp: x.live}
	t.tags, storage.Reason = policy.Tags(x.rule, fields)
	if storage.Reason != policy.ReasonNone {
		return nil
	}
	return t
}

// takePost follows the body of a POST's answer while it is stored.
func (x *exchange) takePost(t *fetch) state {
	// The flight owns the origin's answer and its context from here on.
	t.cancel = x.cancel
	x.live, x.cancel = nil, nil
	t.goFrom(fetchBody)
	<-t.ready
	return x.take(t.flight, true)
}
