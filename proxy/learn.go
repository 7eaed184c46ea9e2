package proxy

import (
	"bytes"

	"weir/invalidation"
	"weir/policy"
	"weir/tiers"
)

// What the cache learns from answers that it only passes on.

// headUpdates renews the freshness of the stored GET with the answer to a HEAD
// that proves it, or makes it stale when that answer shows that the
// representation has changed (RFC 9111 section 4.3.5). It learns only from
// requests that could have shared the answer, and nothing but freshness: any
// other field may be what the sender of the HEAD made the origin say.
func (x *exchange) headUpdates(status int, fields policy.Fields, epoch uint64) {
	o := x.stale
	if x.rule.Forgo.Head || x.asker.Personal() || x.asker.NoStore {
		return
	}
	r := &policy.Response{Status: status, Fields: fields, RequestTime: x.now, ResponseTime: x.p.now().UnixNano()}
	change := policy.HeadUpdates(o.Fields, o.Length, r)
	if change != policy.HeadSilent && o.Status != 200 && o.Status != 203 {
		// A GET would not have brought what is stored.
		change = policy.HeadChanged
	}
	switch change {
	case policy.HeadSilent:
		return
	case policy.HeadChanged:
		x.p.makeStale(o, r.ResponseTime)
		return
	}
	get := x.req
	get.Method = "GET"
	k := policy.Key{Text: []byte(o.Text), Hash: o.Hash}
	t := &fetch{flight: &flight{p: x.p, rule: x.rule, req: get, key: k, epoch: epoch, incarnation: x.p.incarnation()}, presp: *r}
	t.presp.Fields = policy.HeadFields(x.rule, fields)
	t.storage = policy.Refresh(x.rule, &get, o.Status, o.Fields, &t.presp)
	t.presp.Status = o.Status
	if t.storage.Reason != policy.ReasonNone || t.variesOtherwise(o) {
		x.p.makeStale(o, r.ResponseTime)
		return
	}
	t.tags, _ = policy.Tags(x.rule, t.storage.Fields)
	if x.p.purged(o) == invalidation.Invalid || t.purgedSince(o.Epoch) {
		return // the body is from before the purge
	}
	x.p.tiers.Refresh(o, t.object())
}

// makeStale stores the object as stale from now on at the latest.
func (p *Proxy) makeStale(o *tiers.Object, now int64) {
	f := softened(o)
	switch {
	case f.Lifetime <= 0, o.Validators.ETag == "":
		// It serves nobody without validation, or a date would confirm it in vain.
		p.tiers.Delete(&o.Hash)
		return
	case f.TTL(now) <= 0:
		return
	}
	p.tiers.Refresh(o, &tiers.Object{
		Kind: o.Kind, Status: o.Status, Fields: o.Fields, Freshness: f.StaleFrom(now), Validators: o.Validators,
		Policy: o.Policy, Tags: o.Tags, Stored: o.Stored, Epoch: o.Epoch, Incarnation: o.Incarnation, Closure: o.Closure,
	})
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
	if !x.asksForKey(&get) {
		return nil
	}
	storage := policy.Decide(x.rule, &x.req, &r)
	if storage.Reason != policy.ReasonNone || x.live.ContentLength > x.p.tiers.MaxObject() {
		return nil
	}
	x.keys.Reset()
	x.key = x.keys.Of(x.rule, &x.req)
	f := x.newFlight()
	f.epoch, f.closure = epoch, closure
	t := &fetch{flight: f, presp: r, storage: storage, resp: x.live}
	t.tags, storage.Reason = policy.Tags(x.rule, fields)
	if storage.Reason != policy.ReasonNone {
		return nil
	}
	return t
}

// asksForKey reports whether the origin was asked for just what a GET of the same
// key asks for, although a request that is not one for a stored answer goes on as
// it came.
func (x *exchange) asksForKey(get *policy.Request) bool {
	return !x.view.Override && !x.cfg.Rules.InDoubt(x.rule, get) &&
		bytes.Equal(policy.AppendRawTarget(nil, get), x.rule.AppendTarget(nil, get))
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
