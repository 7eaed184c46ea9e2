package fetch

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"weir/policy"
	"weir/tiers"
	"weir/tiers/spool"
)

// body answers with a response that may be stored, or goes to all who wait for it
// all the same.
func (t *run) body() state {
	if t.whole() {
		return stateRelease
	}
	hash, key := t.variant()
	text := string(key)
	length := t.resp.ContentLength
	if t.q.Part != nil {
		length += t.q.Part.Length
	}
	head := t.object()
	head.Hash, head.Text, head.Length = hash, text, length
	if t.presp.Status == 206 {
		head.Fields = append(head.Fields[:len(head.Fields):len(head.Fields)], policy.Field{
			Name: "Content-Range", Value: t.presp.Fields.Get("Content-Range"),
		})
	}
	t.fill = t.m.store.NewFill(hash, text, t.q.Rule.Name, length)
	t.m.watch(t.q.Upstream, t.fill)
	a := t.answer(head)
	a.Fill = t.fill
	if ok, reason := t.fill.Storable(); a.Stored && !ok {
		a.Stored, a.Reason = false, reason
	}
	if t.resp.CloseDelimited {
		a.Stored = false // nobody knows yet
	}
	if t.leading {
		t.own = Own{Reader: t.fill.NewReader(0), First: t.firstHead(head)}
	}
	switch {
	case t.storage.Reason != policy.ReasonNone:
		// Whoever may not take it, and whoever comes, starts anew.
		t.Leave()
	case t.presp.Status != 206:
		t.markStored(hash)
	}
	t.tell(a)
	return stateStream
}

// maxWhole bounds a body that is taken whole with its header, in bytes: what is not
// longer is in the buffers by then, or will be with the next read.
const maxWhole = 256 << 10

// whole answers with a response whose body is here with its header, and stores it,
// where it may be. It reports false where the body is still to come: nothing has
// happened then.
func (t *run) whole() bool {
	if t.q.Part != nil || t.presp.Status == 206 {
		return false
	}
	body, ok := t.resp.Immediate(int(min(t.m.store.MaxInMemory(), maxWhole)))
	if !ok {
		return false
	}
	t.m.metrics.OriginBytes(t.q.Upstream.Index, int64(len(body)))
	if body == nil {
		body = []byte{} // nil says that it is on disk
	}
	o := t.object()
	hash, text := t.variant()
	o.Hash, o.Text = hash, string(text)
	o.Body, o.Length = body, int64(len(body))
	a := t.answer(o)
	if t.leading {
		if t.own.First = t.firstHead(o); t.own.First != nil {
			t.own.First.Body = body
		}
	}
	if a.Stored && (t.outdated.Load() || t.purgedSince(t.moment.Epoch)) {
		a.Stored, a.Reason = false, policy.ReasonPurged
	}
	if a.Stored && !t.superseded(&hash, text) {
		t.publish(o, a)
		return true
	}
	if a.Reason != policy.ReasonNone {
		t.m.NotCached(a.Reason)
	}
	a.Stored = false
	t.Leave()
	t.tell(a)
	return true
}

// publish stores the object and gives the answer as soon as RAM has it. An
// invalidation that comes between the check before and the commit found nothing to
// delete, so it is looked for once more.
func (t *run) publish(o *tiers.Object, a *Body) {
	visible := false
	reason := t.m.store.Publish(o, func() {
		visible = true
		t.markStored(o.Hash)
		t.listVariant(o.Hash, o)
		t.Leave()
		t.tell(a)
	})
	if !visible {
		a.Stored, a.Reason = false, policy.ReasonStorage
		t.Leave()
		t.tell(a)
	}
	if reason != policy.ReasonNone {
		t.m.NotCached(reason)
	}
	if t.outdated.Load() {
		t.m.store.Delete(&o.Hash)
		t.m.store.Delete(&t.primary)
		t.m.NotCached(policy.ReasonPurged)
	}
}

// answer is what those who wait are told of the response.
func (t *run) answer(head *tiers.Object) *Body {
	a := &Body{
		Heard: t.heard, Head: head, Waiting: t.storage.Waiting, Stored: t.storage.Reason == policy.ReasonNone, Vary: t.storage.Vary,
		Failure: t.failure, Validates: policy.StatesValidation(t.q.Rule, &t.presp),
	}
	a.Reason, a.RetryAfter = t.storage.Reason, t.presp.Fields.Get("Retry-After")
	a.Public = t.failure && policy.FailureIsPublic(t.q.Rule, &t.q.Request, &t.presp)
	return a
}

// stream brings the body to whoever waits, and commits it once it is proven
// complete.
func (t *run) stream() state {
	fill := t.fill
	err := t.copyBody(fill)
	switch {
	case err != nil:
		fill.Abandon(err)
		reason := policy.ReasonTruncated
		switch {
		case errors.Is(err, tiers.ErrNoReaders):
			reason = policy.ReasonClientGone
		case errors.Is(err, spool.ErrCut):
			reason = policy.ReasonMemory
		}
		t.m.NotCached(reason)
	case !t.resp.Proven():
		fill.Abandon(nil)
		t.m.NotCached(policy.ReasonUnproven)
	case t.storage.Reason != policy.ReasonNone:
		fill.Abandon(nil)
		t.m.NotCached(t.storage.Reason)
	case t.presp.Status == 206:
		t.commitPart(fill)
	default:
		t.commit(fill)
	}
	return stateRelease
}

// firstHead is the head for the client that caused the fetch, when it differs
// from what is stored: fields that private="..." or no-cache="..." name are not
// kept for others, but they were sent to this client (RFC 9111 sections 5.2.2.4
// and 5.2.2.7). Else nil.
func (t *run) firstHead(head *tiers.Object) *tiers.Object {
	sent := t.presp.Dated()
	switch {
	case t.failure: // as it came
	case t.presp.Status == 206:
		sent = sent.Except("Age", "Content-Length")
	case sent.Has("Age"):
		sent = sent.Except("Age")
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
func (t *run) copyBody(fill *tiers.Fill) error {
	length := t.resp.ContentLength
	if t.q.Part != nil {
		length += t.q.Part.Length
		if err := fill.CopyFrom(t.q.Part.NewReader(0, t.q.Part.Length)); err != nil {
			return err
		}
	}
	err := fill.CopyFrom(t.m.Counted(t.q.Upstream, t.resp.Body))
	if err == nil && length >= 0 && fill.Length() != length {
		err = fmt.Errorf("origin sent %d bytes of %d: %w", fill.Length(), length, io.ErrUnexpectedEOF)
	}
	return err
}

// commitPart stores what a 206 brought, when it is small enough to be in memory.
func (t *run) commitPart(fill *tiers.Fill) {
	_, text := t.variant()
	reason := policy.ReasonTooLarge
	if t.outdated.Load() || t.purgedSince(t.moment.Epoch) {
		reason = policy.ReasonPurged
	} else if body, ok := fill.Bytes(); ok {
		o := t.object()
		if reason = t.keepPart(o, body, string(text)); reason == policy.ReasonNone {
			t.listVariant(o.Hash, o)
		}
	}
	fill.Abandon(nil)
	if reason != policy.ReasonNone {
		t.m.NotCached(reason)
	}
}

// listVariant records under the primary key how requests select the object.
func (t *run) listVariant(hash policy.Hash, o *tiers.Object) {
	if len(t.storage.Vary.Names) > 0 {
		accept := ""
		if slices.Contains(t.storage.Vary.Names, acceptLanguage) {
			text, _ := policy.AcceptLanguageText(nil, t.q.Rule, &t.q.Request)
			accept = string(text)
		}
		t.m.store.AddVariant(t.primary, string(t.q.Key.Text[:t.q.Key.Primary]), t.storage.Vary, hash, accept, o)
	}
}

// commit publishes the object. An invalidation that came while the body arrived
// wins, and one that comes between the check and the commit does too: it found
// nothing to delete, so the check is made once more behind the commit.
func (t *run) commit(fill *tiers.Fill) {
	hash, text := t.variant()
	if t.outdated.Load() || t.purgedSince(t.moment.Epoch) {
		fill.Abandon(nil)
		t.m.NotCached(policy.ReasonPurged)
		return
	}
	if t.superseded(&hash, text) {
		fill.Abandon(nil)
		return
	}
	if reason := t.displaces(); reason != policy.ReasonNone {
		// What it would displace came while the body did.
		fill.Abandon(nil)
		t.m.NotCached(reason)
		return
	}
	o := t.object()
	reason := fill.Commit(o, func() {
		t.listVariant(hash, o)
		// Whoever has seen the end of the body must not join it any more.
		t.Leave()
	})
	if reason != policy.ReasonNone {
		t.m.NotCached(reason)
	}
	if reason == policy.ReasonTooLarge {
		// It will be next time; trouble of the disk may be over by then.
		t.mark(reason, hash)
	}
	if t.outdated.Load() {
		t.m.store.Delete(&hash)
		t.m.store.Delete(&t.primary)
		t.m.NotCached(policy.ReasonPurged)
	}
}
