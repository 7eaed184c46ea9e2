package fetch

import (
	"weir/invalidation"
	"weir/policy"
	"weir/proxy/stored"
	"weir/tiers"
)

// readTags takes the surrogate keys of what is stored, or reaches several requests
// unstored: whoever waited holds the purges against them, too.
func (t *run) readTags(fields policy.Fields) {
	t.tags = nil
	if t.storage.Reason != policy.ReasonNone && !t.storage.Unstored(t.presp.ResponseTime) {
		return
	}
	tags, reason := policy.Tags(t.q.Rule, fields)
	if t.tags = tags; reason != policy.ReasonNone {
		t.storage.Reason = reason
	}
}

// displaces is why a response that may be stored must not take the place of what
// is stored: an error that a request may have provoked, or what nobody may use
// without validation and was made for a request with cookies, in the place of
// what still serves others, or may stand in.
func (t *run) displaces() policy.Reason {
	reason := policy.ReasonNone
	switch {
	case !policy.Lasting(t.presp.Status):
		reason = policy.ReasonStatus
	case t.Personal && !t.storage.Freshness.FreshAt(t.presp.ResponseTime):
		reason = policy.ReasonCookie
	default:
		return reason
	}
	h, text := t.variant()
	primary := t.q.Key.WithoutVariant()
	// Under the primary key stands what has no variants, or the record of those: it
	// lasts as long as they do, and would take them along.
	if t.servesAt(h, text) || h != primary.Hash && t.servesAt(primary.Hash, primary.Text) {
		return reason
	}
	return policy.ReasonNone
}

// servesAt reports whether a response other than an error is stored under the key
// that serves others better than this one: it is fresh, or may still stand in
// where this one serves nobody. Of a vary record, that is no variant's place, it
// says no.
func (t *run) servesAt(h policy.Hash, text []byte) bool {
	o := t.m.store.Usable(t.m.store.LookupRare(&h, text))
	if o == nil {
		return false
	}
	defer o.Close()
	if o.Kind == tiers.KindVary {
		return len(t.storage.Vary.Names) == 0
	}
	now, f := t.presp.ResponseTime, stored.Freshness(o)
	if policy.Lasting(t.presp.Status) && t.storage.Freshness.ServesOthers(now) {
		return policy.Lasting(o.Status) && f.FreshAt(now)
	}
	return policy.Lasting(o.Status) && f.StandsInAt(t.q.Rule, now)
}

// superseded reports whether RAM has an answer under the key that came later than
// this one, whose body arrived sooner: fetches of one thing may run side by side.
func (t *run) superseded(hash *policy.Hash, text []byte) bool {
	o := t.m.store.Peek(hash, text)
	if o == nil || o.Kind != tiers.KindResponse || o.Freshness.Came <= t.storage.Freshness.Came || t.m.store.Purged(o) != invalidation.Valid {
		return false
	}
	now, f := t.presp.ResponseTime, stored.Freshness(o)
	return f.FreshAt(now) || !t.storage.Freshness.FreshAt(now)
}

// object makes the head of what is stored from the judged response.
func (t *run) object() *tiers.Object {
	return &tiers.Object{
		Kind: tiers.KindResponse, Status: t.presp.Status, Fields: t.storage.Fields,
		Freshness: t.storage.Freshness, Validators: policy.ValidatorsOf(t.storage.Fields),
		Policy: t.q.Rule.Name, Tags: t.tags, Stored: t.presp.ResponseTime, Tier: policy.TierOrigin,
		Epoch: t.moment.Epoch, Incarnation: t.moment.Incarnation, Closure: t.moment.Closure,
	}
}

// variant is the key that the response belongs to. The text may be that of the
// question: it is copied to be kept.
func (t *run) variant() (policy.Hash, []byte) {
	text := t.q.Key.Text[:t.q.Key.Primary:t.q.Key.Primary]
	if len(t.storage.Vary.Names) > 0 {
		text = t.storage.Vary.AppendVariant(text, t.q.Rule, &t.q.Request)
	}
	return policy.HashKey(text), text
}

// purgedSince reports whether a hard purge that came since the epoch touches what
// the fetch brings.
func (t *run) purgedSince(epoch uint64) bool {
	since := t.moment
	since.Epoch = epoch
	return t.m.store.PurgedSince(&t.q.Key, t.tags, since)
}

// mark remembers that the answer is for its asker alone, or needs validation
// before each use, for the key of the flight and that of the variant.
func (t *run) mark(reason policy.Reason, variant policy.Hash) {
	t.m.store.Mark(t.q.Rule, t.Personal, reason, t.moment, t.hash, variant)
}

// markStored remembers whether what is stored needs validation before each use.
func (t *run) markStored(variant policy.Hash) {
	if t.storage.Freshness.NeedsValidation() {
		t.mark(policy.ReasonExpired, variant)
		return
	}
	t.m.store.Unmark(t.Personal, t.hash, variant)
}
