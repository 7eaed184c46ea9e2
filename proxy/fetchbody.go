package proxy

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"weir/invalidation"
	"weir/policy"
	"weir/tiers"
)

// errFetchBroke ends the body for its readers when a panic has ended the fetch.
var errFetchBroke = errors.New("the fetch broke off")

// body streams a response that may be stored to whoever waits, and commits it
// once it is proven complete.
func (t *fetch) body() fetchState {
	hash, text := t.variant()
	length := t.resp.ContentLength
	if t.part != nil {
		length += t.part.Length
	}
	head := t.object()
	head.Hash, head.Text, head.Length = hash, text, length
	partial := t.presp.Status == 206
	if partial {
		head.Fields = append(head.Fields[:len(head.Fields):len(head.Fields)], policy.Field{
			Name: "Content-Range", Value: t.presp.Fields.Get("Content-Range"),
		})
	}
	fill := t.p.tiers.NewFill(hash, text, t.rule.Name, length)
	// Whoever reads the fill must not wait for ever when this machine breaks; once
	// it has ended this does nothing.
	defer fill.Abandon(errFetchBroke)
	kept := t.storage.Reason == policy.ReasonNone
	a := answer{
		kind: answerBody, validates: policy.StatesValidation(t.rule, &t.presp), obj: head, waiting: t.storage.Waiting, fill: fill, hash: hash, status: t.resp.Status, stored: kept,
		reason: t.storage.Reason, failure: t.failure, retryAfter: t.presp.Fields.Get("Retry-After"),
	}
	a.public = t.failure && policy.FailureIsPublic(t.rule, &t.req, &t.presp)
	if ok, reason := fill.Storable(); kept && !ok {
		a.stored, a.reason = false, reason
	}
	if t.resp.CloseDelimited {
		a.stored = false // nobody knows yet
	}
	if len(t.storage.Vary.Names) > 0 {
		a.spec = &t.storage.Vary
	}
	if t.leading {
		a.reader = fill.NewReader(0)
		a.first = t.firstHead(head)
	}
	switch {
	case !kept:
		// Whoever may not take it, and whoever comes, starts anew.
		t.p.flights.leave(t.flight)
	case !partial:
		t.markStored(hash)
	}
	t.settle(a)

	err := t.copyBody(fill, length)
	switch {
	case err != nil:
		fill.Abandon(err)
		reason := policy.ReasonTruncated
		if errors.Is(err, tiers.ErrNoReaders) {
			reason = policy.ReasonClientGone
		}
		t.p.notCached(reason)
	case !t.resp.Proven():
		fill.Abandon(nil)
		t.p.notCached(policy.ReasonUnproven)
	case !kept:
		fill.Abandon(nil)
		t.p.notCached(t.storage.Reason)
	case partial:
		t.commitPart(fill, text)
	default:
		t.commit(fill, hash, text)
	}
	return fetchRelease
}

// firstHead is the head for the client that caused the fetch, when it differs
// from what is stored: fields that private="..." or no-cache="..." name are not
// kept for others, but they were sent to this client (RFC 9111 sections 5.2.2.4
// and 5.2.2.7). Else nil.
func (t *fetch) firstHead(head *tiers.Object) *tiers.Object {
	sent := policy.Dated(t.presp.Fields, t.presp.ResponseTime)
	switch {
	case t.failure: // as it came
	case t.presp.Status == 206:
		sent = without(sent, "Age", "Content-Length")
	default:
		sent = without(sent, "Age")
	}
	if slices.Equal(sent, head.Fields) {
		return nil
	}
	first := t.object()
	first.Hash, first.Text, first.Length, first.Fields = head.Hash, head.Text, head.Length, sent
	return first
}

// copyBody brings the body into the fill: the part that was stored, if any, and
// what the origin sends.
func (t *fetch) copyBody(fill *tiers.Fill, length int64) error {
	if t.part != nil {
		if err := fill.CopyFrom(t.part.NewReader(0, t.part.Length)); err != nil {
			return err
		}
	}
	err := fill.CopyFrom(t.cfg.counted(t.rule, t.resp.Body, t.p.opts.Metrics))
	if err == nil && length >= 0 && fill.Length() != length {
		err = fmt.Errorf("origin sent %d bytes of %d: %w", fill.Length(), length, io.ErrUnexpectedEOF)
	}
	return err
}

// commitPart stores what a 206 brought, when it is small enough to be in memory.
func (t *fetch) commitPart(fill *tiers.Fill, text string) {
	reason := policy.ReasonTooLarge
	if t.outdated.Load() || t.purgedSince(t.epoch) {
		reason = policy.ReasonPurged
	} else if body, ok := fill.Bytes(); ok {
		o := t.object()
		if reason = t.keepPart(o, body, text); reason == policy.ReasonNone {
			t.listVariant(o.Hash, o)
		}
	}
	fill.Abandon(nil)
	if reason != policy.ReasonNone {
		t.p.notCached(reason)
	}
}

// listVariant records under the primary key how requests select the object.
func (t *fetch) listVariant(hash policy.Hash, o *tiers.Object) {
	if primary := t.primaryHash(); len(t.storage.Vary.Names) > 0 {
		accept := ""
		if slices.Contains(t.storage.Vary.Names, acceptLanguage) {
			text, _ := policy.AcceptLanguageText(nil, t.rule, &t.req)
			accept = string(text)
		}
		t.p.tiers.AddVariant(primary, string(t.key.Text[:t.key.Primary]), t.storage.Vary, hash, accept, o)
	}
}

// commit publishes the object. An invalidation that came while the body arrived
// wins, and one that comes between the check and the commit does too: it found
// nothing to delete, so the check is made once more behind the commit.
func (t *fetch) commit(fill *tiers.Fill, hash policy.Hash, text string) {
	if t.outdated.Load() || t.purgedSince(t.epoch) {
		fill.Abandon(nil)
		t.p.notCached(policy.ReasonPurged)
		return
	}
	if t.superseded(&hash, text) {
		fill.Abandon(nil)
		return
	}
	if reason := t.displaces(); reason != policy.ReasonNone {
		// What it would displace came while the body did.
		fill.Abandon(nil)
		t.p.notCached(reason)
		return
	}
	o := t.object()
	reason := fill.Commit(o, func() {
		t.listVariant(hash, o)
		// Whoever has seen the end of the body must not join it any more.
		t.p.flights.leave(t.flight)
	})
	if reason != policy.ReasonNone {
		t.p.notCached(reason)
	}
	if reason == policy.ReasonTooLarge {
		// It will be next time; trouble of the disk may be over by then.
		t.mark(reason, hash)
	}
	if t.outdated.Load() {
		primary := t.primaryHash()
		t.p.tiers.Delete(&hash)
		t.p.tiers.Delete(&primary)
		t.p.notCached(policy.ReasonPurged)
	}
}

// superseded reports whether RAM has an answer under the key that came later than
// this one, whose body arrived sooner: fetches of one thing may run side by side.
func (t *fetch) superseded(hash *policy.Hash, text string) bool {
	o := t.p.tiers.Peek(hash, []byte(text))
	if o == nil || o.Kind != tiers.KindResponse || o.Freshness.Came <= t.storage.Freshness.Came || t.p.purged(o) != invalidation.Valid {
		return false
	}
	now, f := t.presp.ResponseTime, softened(o)
	return f.FreshAt(now) || !t.storage.Freshness.FreshAt(now)
}

// object makes the head of what is stored from the judged response.
func (t *fetch) object() *tiers.Object {
	return &tiers.Object{
		Kind: tiers.KindResponse, Status: t.presp.Status, Fields: t.storage.Fields,
		Freshness: t.storage.Freshness, Validators: policy.ValidatorsOf(t.storage.Fields),
		Policy: t.rule.Name, Tags: t.tags, Stored: t.presp.ResponseTime, Tier: policy.TierOrigin,
		Epoch: t.epoch, Incarnation: t.incarnation, Closure: t.closure,
	}
}

// variant is the key that the response belongs to.
func (t *fetch) variant() (policy.Hash, string) {
	text := t.key.Text[:t.key.Primary:t.key.Primary]
	if len(t.storage.Vary.Names) > 0 {
		text = t.storage.Vary.AppendVariant(text, t.rule, &t.req)
	}
	return policy.HashKey(text), string(text)
}
