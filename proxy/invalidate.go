package proxy

import (
	"weir/invalidation"
	"weir/policy"
)

// invalidate drops what an unsafe method has changed: the target, and what
// Location and Content-Location of the same origin name (RFC 9111 section 4.4).
// Where the keys of a URL differ in more than the URL, a purge of the URL reaches
// them all; elsewhere that would be a write to the log of purges for each request.
// It returns the epoch of that purge, 0 where there was none.
func (x *exchange) invalidate(status int, fields policy.Fields) (epoch uint64) {
	x.forget(&x.req)
	var facts []invalidation.Fact
	resp := &policy.Response{Status: status, Fields: fields}
	for _, uri := range policy.InvalidationTargets(&x.req, resp) {
		t, err := policy.SplitTarget([]byte(uri))
		if err != nil {
			continue
		}
		q := x.req
		q.Path, q.Query = t.Path, t.Query
		if t.Form == policy.AbsoluteForm {
			host, err := policy.ParseHost(nil, t.Authority, t.Scheme)
			if err != nil {
				continue
			}
			q.Scheme, q.Host = t.Scheme, host
		}
		x.forget(&q)
		if !x.cfg.Rules.KeysBeyondURL(&q) {
			continue
		}
		scopes, err := x.cfg.Rules.URLScopes(uri)
		if err != nil {
			continue
		}
		for _, scope := range scopes {
			facts = append(facts, invalidation.Fact{Kind: invalidation.URL, Scope: scope})
		}
	}
	return x.purgeAll(facts)
}

// purgeAll applies the facts. Where that fails, what the request's own policy.Key leads
// to is forgotten all the same.
func (x *exchange) purgeAll(facts []invalidation.Fact) (epoch uint64) {
	if len(facts) == 0 || x.core.store.Facts() == nil {
		return 0
	}
	done, err := x.core.store.Facts().Purge(facts)
	if err != nil {
		x.core.log.Error("cannot invalidate what an unsafe request has changed under other keys", "error", err)
	}
	return done.Epoch
}

// forget removes what a GET of the same target would find, and keeps fetches
// that are under way from bringing it back.
func (x *exchange) forget(q *policy.Request) {
	get := *q
	get.Method = "GET"
	rule := x.cfg.Rules.Match(&get)
	if rule == nil {
		return
	}
	var room policy.KeyRoom
	k := room.Of(rule, &get)
	x.core.fetch.Outdate(k.Hash)
	x.core.store.Forget(&k)
}
