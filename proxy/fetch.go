package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"time"

	"weir/origin"
	"weir/policy"
	"weir/tiers"
)

// fetchState is where the fetch machine stands.
type fetchState uint8

const (
	fetchRoundTrip fetchState = iota
	fetchMerge
	fetchBody
	fetchAlone
	fetchFail
	fetchRelease
)

// String is the state's name in the package's drawing.
func (s fetchState) String() string {
	switch s {
	case fetchRoundTrip:
		return "RoundTrip"
	case fetchMerge:
		return "Merge"
	case fetchBody:
		return "Body"
	case fetchAlone:
		return "Alone"
	case fetchFail:
		return "Fail"
	case fetchRelease:
		return "Release"
	}
	return "unknown"
}

// fetch is the state of one run of a flight.
type fetch struct {
	*flight
	ctx    context.Context
	cancel context.CancelFunc
	resp   *origin.Response
	// presp is the response as policy sees it, and storage its judgement.
	presp   policy.Response
	storage policy.Storage
	tags    []string
	reason  policy.Reason
	code    int
	// handed is set when the leader took resp and cancel.
	handed bool
}

// run drives the machine and releases the flight exactly once: those who wait
// always learn what to do, also after a panic.
func (t *fetch) run(s fetchState) {
	defer t.release()
	for s != fetchRelease {
		switch s {
		case fetchRoundTrip:
			s = t.roundTrip()
		case fetchMerge:
			s = t.merge()
		case fetchBody:
			s = t.body()
		case fetchAlone:
			s = t.alone()
		case fetchFail:
			s = t.fail()
		default:
			panic(fmt.Sprintf("BUG: fetch machine in state %d", s))
		}
	}
}

func (t *fetch) release() {
	if r := recover(); r != nil {
		t.p.log.Error("fetch failed", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		// Leaving the table first: whoever looks up again must not find this.
		t.p.flights.leave(t.flight)
		t.settle(answer{kind: answerFail, reason: policy.ReasonInternal, code: 502})
	}
	t.p.flights.leave(t.flight)
	t.settle(answer{kind: answerAgain})
	if !t.handed {
		if t.resp != nil {
			t.resp.Body.Close()
		}
		t.cancel()
	}
	if t.stale != nil && !t.leading {
		t.stale.Close()
	}
}

// roundTrip asks the origin and judges the header of its answer.
func (t *fetch) roundTrip() fetchState {
	o := t.cfg.Origins[t.rule.Origin]
	t.presp.RequestTime = t.p.now().UnixNano()
	resp, err := o.Do(t.ctx, t.request())
	t.presp.ResponseTime = t.p.now().UnixNano()
	t.took = time.Duration(t.presp.ResponseTime - t.presp.RequestTime)
	if err != nil {
		t.reason, t.code = originReason(err)
		return fetchFail
	}
	t.resp = resp
	fields, err := policy.EndToEnd(resp.Header)
	if err != nil {
		t.reason, t.code = policy.ReasonOriginMalformed, 502
		return fetchFail
	}
	t.presp.Status, t.presp.Fields = resp.Status, fields
	switch {
	case resp.Status == 304 && t.stale != nil:
		return fetchMerge
	case resp.Status == 304:
		// Nothing was asked that a 304 could answer.
		t.reason, t.code = policy.ReasonOriginMalformed, 502
		return fetchFail
	case resp.Status >= 500 && t.stale != nil && t.staleMayStandIn(resp.Status):
		t.reason, t.code = policy.ReasonOriginStatus, resp.Status
		return fetchFail
	case t.part != nil && (resp.Status == 206 || resp.Status == 416):
		if resp.Status != 206 || !completes(t.part, &t.presp, resp.ContentLength) {
			// What is stored is of another representation: fetch the whole.
			resp.Body.Close()
			t.resp, t.part = nil, nil
			return fetchRoundTrip
		}
		t.presp = whole(t.presp)
	default:
		t.part = nil
	}
	return t.judge()
}

// judge decides whether the response may be stored.
func (t *fetch) judge() fetchState {
	judged := t.presp
	if t.ranged && judged.Status == 206 {
		judged = whole(judged)
	}
	t.storage = policy.Decide(t.rule, &t.req, &judged)
	t.tags = nil
	if t.storage.Reason == policy.ReasonNone {
		t.tags, t.storage.Reason = policy.Tags(t.rule, judged.Fields)
	}
	if t.storage.Reason == policy.ReasonNone {
		switch {
		case t.resp.CloseDelimited:
			t.storage.Reason = policy.ReasonUnproven
		case t.resp.ContentLength > t.p.tiers.MaxObject():
			t.storage.Reason = policy.ReasonTooLarge
		case t.outdated.Load():
			t.storage.Reason = policy.ReasonPurged
		}
	}
	if t.storage.Reason != policy.ReasonNone {
		return fetchAlone
	}
	return fetchBody
}

// staleMayStandIn tells whether somebody who waits may be given the stale
// object in place of an error of the origin (RFC 5861 section 4).
func (t *fetch) staleMayStandIn(status int) bool {
	switch status {
	case 500, 502, 503, 504:
		d := policy.ParseClient(t.rule, &t.req)
		return t.stale.Freshness.StaleIfErrorAllowed(&d, t.presp.ResponseTime)
	}
	return false
}

// merge renews the stale object with a 304 (RFC 9111 section 4.3.4).
func (t *fetch) merge() fetchState {
	t.storage = policy.Refresh(t.rule, &t.req, t.stale.Status, t.stale.Fields, &t.presp)
	t.presp.Status = t.stale.Status
	if t.storage.Reason == policy.ReasonNone {
		t.tags, t.storage.Reason = policy.Tags(t.rule, t.storage.Fields)
	}
	if was, _ := policy.ParseVary(t.stale.Fields.Values("Vary")); t.storage.Reason == policy.ReasonNone && !was.Equal(t.storage.Vary) {
		// It now varies on something else: its key is no longer the right one.
		t.storage.Reason = policy.ReasonVaryChanged
	}
	o := t.object()
	a := answer{kind: answerObject, obj: o, hash: t.hash, status: 304, renewed: true, reason: t.storage.Reason}
	switch {
	case t.outdated.Load():
		a.reason = policy.ReasonPurged
	case t.storage.Reason == policy.ReasonNone:
		a.reason = t.p.tiers.Refresh(t.stale, o)
		a.stored = a.reason == policy.ReasonNone
	}
	if !a.stored {
		t.p.notCached(a.reason)
		t.p.tiers.Delete(&t.stale.Hash)
		// Those who wait may still have what the origin just confirmed.
		o.Hash, o.Text, o.Length, o.Body = t.stale.Hash, t.stale.Text, t.stale.Length, t.stale.Body
	}
	t.p.flights.leave(t.flight)
	t.settle(a)
	return fetchRelease
}

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
	fill := t.p.tiers.NewFill(hash, text, length)
	a := answer{kind: answerBody, obj: head, fill: fill, hash: hash, status: t.resp.Status, stored: true}
	if ok, reason := fill.Storable(); !ok {
		a.stored, a.reason = false, reason
	}
	if len(t.storage.Vary.Names) > 0 {
		a.spec = &t.storage.Vary
	}
	if t.leading {
		a.reader = fill.NewReader(0)
		a.first = t.firstHead(head)
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
	case partial:
		t.commitPart(fill, text)
	default:
		t.commit(fill, hash)
	}
	return fetchRelease
}

// firstHead is the head for the client that caused the fetch, when it differs
// from what is stored: fields that private="..." or no-cache="..." name are not
// kept for others, but they were sent to this client (RFC 9111 sections 5.2.2.4
// and 5.2.2.7). Else nil.
func (t *fetch) firstHead(head *tiers.Object) *tiers.Object {
	sent := without(policy.Dated(t.presp.Fields, t.presp.ResponseTime), "Age")
	if t.presp.Status == 206 || len(sent) == len(t.storage.Fields) {
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
	if t.outdated.Load() {
		reason = policy.ReasonPurged
	} else if body, ok := fill.Bytes(); ok {
		o := t.object()
		if reason = t.keepPart(o, body, text); reason == policy.ReasonNone {
			t.listVariant(policy.HashKey([]byte(text)), o)
		}
	}
	fill.Abandon(nil)
	if reason != policy.ReasonNone {
		t.p.notCached(reason)
	}
}

// listVariant records under the primary key how requests select the object.
func (t *fetch) listVariant(hash policy.Hash, o *tiers.Object) {
	if primary := t.primaryHash(); hash != primary {
		accept := ""
		if slices.Contains(t.storage.Vary.Names, acceptLanguage) {
			text, _ := policy.AcceptLanguageText(nil, &t.req)
			accept = string(text)
		}
		t.p.tiers.AddVariant(primary, string(t.text[:t.primary]), t.storage.Vary, hash, accept, o)
	}
}

// commit publishes the object. An invalidation that came while the body arrived
// wins, and one that comes between the check and the commit does too: it found
// nothing to delete, so the check is made once more behind the commit.
func (t *fetch) commit(fill *tiers.Fill, hash policy.Hash) {
	if t.outdated.Load() {
		fill.Abandon(nil)
		t.p.notCached(policy.ReasonPurged)
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
		t.remember(reason)
	}
	if t.outdated.Load() {
		primary := t.primaryHash()
		t.p.tiers.Delete(&hash)
		t.p.tiers.Delete(&primary)
		t.p.notCached(policy.ReasonPurged)
	}
}

// alone hands a response that may not be stored to the leader, and tells the
// others what to do without it.
func (t *fetch) alone() fetchState {
	reason := t.storage.Reason
	t.p.notCached(reason)
	if t.resp.Status < 500 && !ofRequest(reason) {
		if t.stale != nil {
			// The origin has something else now; the stale object is history.
			t.p.tiers.Delete(&t.stale.Hash)
		}
		t.remember(reason)
	}
	t.p.flights.leave(t.flight)
	a := answer{kind: answerAlone, status: t.resp.Status, reason: reason, fields: policy.Dated(t.presp.Fields, t.presp.ResponseTime)}
	if t.leading {
		a.live, a.cancel, t.handed = t.resp, t.cancel, true
	}
	t.settle(a)
	return fetchRelease
}

// ofRequest tells whether the reason lies in the request that led, and not in
// the response: others may then be luckier.
func ofRequest(r policy.Reason) bool {
	return r == policy.ReasonAuthorization || r == policy.ReasonRequestNoStore || r == policy.ReasonPurged
}

// remember leaves a marker, so that requests for what cannot be stored do not
// wait for each other (hit-for-miss).
func (t *fetch) remember(reason policy.Reason) {
	ttl := t.rule.TTL.HitForMiss
	if ttl == 0 {
		ttl = policy.DefaultHitForMiss
	}
	now := t.p.now().UnixNano()
	t.p.tiers.Put(&tiers.Object{
		Hash: t.hash, Text: string(t.text), Kind: tiers.KindPass, Reason: reason, Stored: now,
		Freshness: policy.Freshness{Born: now, Lifetime: int64(ttl)},
	})
}

// fail tells everybody that there is no answer; each decides by its own request
// whether something stale may stand in.
func (t *fetch) fail() fetchState {
	t.p.flights.leave(t.flight)
	a := answer{kind: answerFail, reason: t.reason, code: t.code}
	if t.resp != nil {
		a.status = t.resp.Status
	}
	t.settle(a)
	return fetchRelease
}

// object makes the head of what is stored from the judged response.
func (t *fetch) object() *tiers.Object {
	return &tiers.Object{
		Kind: tiers.KindResponse, Status: t.presp.Status, Fields: t.storage.Fields,
		Freshness: t.storage.Freshness, Validators: policy.ValidatorsOf(t.storage.Fields),
		Tags: t.tags, Stored: t.presp.ResponseTime, Tier: policy.TierOrigin,
	}
}

// variant is the key that the response belongs to.
func (t *fetch) variant() (policy.Hash, string) {
	text := t.text[:t.primary:t.primary]
	if len(t.storage.Vary.Names) > 0 {
		text = t.storage.Vary.AppendVariant(text, t.rule, &t.req)
	}
	return policy.HashKey(text), string(text)
}

// originReason turns an origin's error into the reason and the status code that
// the client gets.
func originReason(err error) (policy.Reason, int) {
	var e *origin.Error
	if !errors.As(err, &e) {
		return policy.ReasonOriginOther, 502
	}
	return reasonOfKind(e.Kind), e.Status()
}

func reasonOfKind(k origin.Kind) policy.Reason {
	switch k {
	case origin.Invalid:
		return policy.ReasonBadRequest
	case origin.RequestBody:
		return policy.ReasonUploadCut
	case origin.Refused:
		return policy.ReasonOriginRefused
	case origin.Connect:
		return policy.ReasonOriginConnect
	case origin.TLS:
		return policy.ReasonOriginTLS
	case origin.ConnectTimeout, origin.FirstByteTimeout:
		return policy.ReasonOriginTimeout
	case origin.Stalled:
		return policy.ReasonOriginStalled
	case origin.Reset:
		return policy.ReasonOriginReset
	case origin.Truncated:
		return policy.ReasonOriginTruncated
	case origin.HeaderTooLarge:
		return policy.ReasonOriginHeader
	case origin.Malformed:
		return policy.ReasonOriginMalformed
	case origin.Busy:
		return policy.ReasonOriginBusy
	case origin.Canceled:
		return policy.ReasonShuttingDown
	}
	return policy.ReasonOriginOther
}
