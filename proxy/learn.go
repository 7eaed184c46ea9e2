package proxy

import (
	"bytes"

	"weir/policy"
	"weir/proxy/fetch"
	"weir/proxy/stored"
)

// What the cache learns from answers that it only passes on.

// headUpdates renews the freshness of the stored GET with the answer to a HEAD
// that proves it, or makes it stale when that answer shows that the
// representation has changed (RFC 9111 section 4.3.5). It learns only from
// requests that could have shared the answer, and nothing but freshness: any
// other field may be what the sender of the HEAD made the origin say.
func (x *exchange) headUpdates(status int, fields policy.Fields, moment stored.Moment) {
	o := x.stale
	if x.rule.Forgo.Head || x.asker.Personal() || x.asker.NoStore {
		return
	}
	r := &policy.Response{Status: status, Fields: fields, RequestTime: x.now}
	x.arrivedNow(r)
	change := policy.HeadUpdates(o.Fields, o.Length, r)
	if change != policy.HeadSilent && o.Status != 200 && o.Status != 203 {
		// A GET would not have brought what is stored.
		change = policy.HeadChanged
	}
	switch change {
	case policy.HeadSilent:
		return
	case policy.HeadChanged:
		x.core.store.MakeStale(o, r.ResponseTime)
		return
	}
	get := x.req
	get.Method = "GET"
	x.core.fetch.LearnFromHead(x.rule, &get, o, r, moment)
}

// arrivedNow notes that the response has just come.
func (x *exchange) arrivedNow(r *policy.Response) {
	now := x.core.now()
	r.ResponseTime, r.Behind = x.core.clock.At(now), x.core.clock.Behind(now)
}

// keepPost stores the answer to a POST for later GETs of the target (RFC 9110
// section 9.3.3), where it may be. The body then comes from the fetch machine.
func (x *exchange) keepPost(status int, fields policy.Fields, moment stored.Moment) (a fetch.Answer, own fetch.Own, kept bool) {
	r := policy.Response{Status: status, Fields: fields, RequestTime: x.core.clock.At(x.start)}
	x.arrivedNow(&r)
	if !policy.PostReusable(x.rule, &x.req, &r) {
		return nil, own, false
	}
	get := x.req
	get.Method = "GET"
	if x.cfg.Rules.Match(&get) != x.rule || !x.asksForKey(&get) {
		// GETs fall under another policy: its key and lifetime are not ours.
		return nil, own, false
	}
	storage := policy.Decide(x.rule, &x.req, &r)
	if storage.Reason != policy.ReasonNone || x.live.ContentLength > x.core.store.MaxObject() {
		return nil, own, false
	}
	tags, reason := policy.Tags(x.rule, fields)
	if reason != policy.ReasonNone {
		return nil, own, false
	}
	x.keys.Reset()
	x.key = x.keys.Of(x.rule, &x.req)
	f := x.core.fetch.Alone(&x.key, x.asker.Personal())
	q := x.question()
	// The machine owns the origin's answer and its context from here on, and stores it
	// for others.
	x.endVigil()
	a, own = f.Keep(&q, &fetch.Kept{Response: x.live, Judged: r, Storage: storage, Tags: tags, Since: moment, Done: x.cancel})
	x.live, x.cancel = nil, nil
	return a, own, true
}

// asksForKey reports whether the origin was asked for just what a GET of the same
// key asks for, although a request that is not one for a stored answer goes on as
// it came.
func (x *exchange) asksForKey(get *policy.Request) bool {
	return !x.view.Override && !x.cfg.Rules.InDoubt(x.rule, get) &&
		bytes.Equal(policy.AppendRawTarget(nil, get), x.rule.AppendTarget(nil, get))
}
