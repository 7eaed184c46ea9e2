package fetch

import (
	"weir/invalidation"
	"weir/policy"
	"weir/proxy/stored"
	"weir/tiers"
)

// LearnFromHead renews the freshness of o, a stored answer to the GET, with the
// answer to a HEAD that proves it (RFC 9111 section 4.3.5). Where that may not be
// stored any more, o is stale from now on. at is the start of the HEAD.
func (m *Machine) LearnFromHead(rule *policy.Rule, get *policy.Request, o *tiers.Object, r *policy.Response, at stored.Moment) {
	now := r.ResponseTime
	t := &run{
		Flight: &Flight{m: m, hash: o.Hash, moment: at},
		q:      Question{Rule: rule, Request: *get, Key: policy.Key{Text: []byte(o.Text), Hash: o.Hash}},
		presp:  *r,
	}
	t.presp.Fields = policy.HeadFields(rule, r.Fields)
	t.storage = policy.Refresh(rule, get, o.Status, o.Fields, &t.presp)
	t.presp.Status = o.Status
	if t.storage.Reason != policy.ReasonNone || t.variesOtherwise(o) {
		m.store.MakeStale(o, now)
		return
	}
	t.tags, _ = policy.Tags(rule, t.storage.Fields)
	if m.store.Purged(o) == invalidation.Invalid || t.purgedSince(o.Epoch) {
		return // the body is from before the purge
	}
	m.store.Refresh(o, t.object())
}
