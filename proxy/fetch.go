package proxy

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"weir/invalidation"
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
	// failure: the response is the origin's word on a failure of its own, and goes
	// to all who wait for it, unstored.
	failure bool
	// came is the place of the response among all that came.
	came int64
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
	t.came = t.p.arrival(t.presp.ResponseTime)
	t.took = time.Duration(t.presp.ResponseTime - t.presp.RequestTime)
	if err != nil {
		t.reason, t.code = originReason(err)
		return fetchFail
	}
	t.resp = resp
	fields, err := policy.EndToEnd(resp.Fields)
	if err != nil {
		t.reason, t.code = policy.ReasonOriginMalformed, 502
		return fetchFail
	}
	t.presp.Status, t.presp.Fields = resp.Status, t.rule.KeepSession(&t.req, fields)
	switch {
	case resp.Status == 304 && t.stale != nil:
		return fetchMerge
	case resp.Status == 304:
		// Nothing was asked that a 304 could answer.
		t.reason, t.code = policy.ReasonOriginMalformed, 502
		return fetchFail
	case resp.Status >= 500 && t.stale != nil && t.closure == 0 && t.staleMayStandIn(resp.Status):
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
		t.epoch = min(t.epoch, t.part.Epoch)
	default:
		t.part = nil
	}
	return t.judge()
}

// judge decides whether the response may be stored.
func (t *fetch) judge() fetchState {
	judged := t.presp
	part := t.ranged && !t.rule.Forgo.Parts && judged.Status == 206 && judged.Fields.Has("Content-Range")
	if part {
		judged = whole(judged)
	}
	t.storage = policy.Decide(t.rule, &t.req, &judged)
	t.storage.Freshness.Replaced, t.storage.Freshness.Came = t.stale != nil, t.came
	t.readTags(judged.Fields)
	if t.storage.Reason == policy.ReasonNone {
		switch {
		case !t.resp.Provable():
			t.storage.Reason = policy.ReasonUnproven
		case t.resp.ContentLength > t.p.tiers.MaxObject():
			t.storage.Reason = policy.ReasonTooLarge
		case t.outdated.Load() || t.purgedSince(t.epoch):
			t.storage.Reason = policy.ReasonPurged
		case part:
			t.storage.Reason = t.partStorable()
		default:
			t.storage.Reason = t.displaces()
		}
	}
	switch {
	case t.storage.Reason == policy.ReasonNone, t.sharedUnstored():
		return fetchBody
	case t.part != nil:
		// What came is the rest of a body, and nothing may be built with it: it
		// answers nobody who asked for the whole.
		t.resp.Body.Close()
		t.resp, t.part = nil, nil
		return fetchRoundTrip
	}
	return fetchAlone
}

// staleMayStandIn tells whether somebody who waits may be given the stale
// object in place of an error of the origin (RFC 5861 section 4).
func (t *fetch) staleMayStandIn(status int) bool {
	switch status {
	case 500, 502, 503, 504:
		asker := policy.NewAsker(t.rule, &t.req)
		f := softened(t.stale)
		return f.Reusable(&asker, policy.OnFailure, t.presp.ResponseTime) != policy.UseRevalidate
	}
	return false
}

// merge renews the stale object with a 304 (RFC 9111 section 4.3.4).
func (t *fetch) merge() fetchState {
	t.storage = policy.Refresh(t.rule, &t.req, t.stale.Status, t.stale.Fields, &t.presp)
	t.storage.Freshness.Replaced, t.storage.Freshness.Came = t.stale.Freshness.Replaced, t.came
	t.presp.Status = t.stale.Status
	t.readTags(t.storage.Fields)
	switch {
	case t.storage.Reason != policy.ReasonNone:
	case t.variesOtherwise(t.stale):
		t.storage.Reason = policy.ReasonVaryChanged
	case t.personal && !t.servesBetterThanStale():
		// What it says is to one visitor; what it is about may serve others.
		t.storage.Reason = policy.ReasonCookie
	}
	o := t.object()
	a := answer{kind: answerObject, obj: o, hash: t.key.hash, waiting: t.storage.Waiting, status: 304, renewed: true, renewedOf: t.stale, reason: t.storage.Reason}
	switch {
	case t.outdated.Load() || t.p.purged(t.stale) == invalidation.Invalid || t.purgedSince(t.stale.Epoch):
		a.reason = policy.ReasonPurged
	case t.storage.Reason == policy.ReasonNone:
		a.reason = t.p.tiers.Refresh(t.stale, o)
		a.stored = a.reason == policy.ReasonNone
	}
	if a.stored {
		t.markStored(t.key.hash)
	} else {
		t.p.notCached(a.reason)
		if !ofRequest(a.reason) {
			t.p.tiers.Delete(&t.stale.Hash)
			t.mark(a.reason, t.key.hash)
		}
		// Those who wait may still have what the origin just confirmed.
		o.Hash, o.Text, o.Length, o.Body = t.stale.Hash, t.stale.Text, t.stale.Length, t.stale.Body
	}
	a.first = t.firstRenewed(o)
	t.p.flights.leave(t.flight)
	t.settle(a)
	return fetchRelease
}

// readTags takes the surrogate keys of what is stored, or reaches several requests
// unstored: whoever waited holds the purges against them, too.
func (t *fetch) readTags(fields policy.Fields) {
	t.tags = nil
	if t.storage.Reason != policy.ReasonNone && !t.storage.Unstored(t.presp.ResponseTime) {
		return
	}
	tags, reason := policy.Tags(t.rule, fields)
	if t.tags = tags; reason != policy.ReasonNone {
		t.storage.Reason = reason
	}
}

// servesBetterThanStale reports whether the renewed object serves others, and is
// fresh where what it renews is: that was validated for a request which does not
// take it without.
func (t *fetch) servesBetterThanStale() bool {
	now, was := t.presp.ResponseTime, softened(t.stale)
	if was.FreshAt(now) {
		return t.storage.Freshness.FreshAt(now)
	}
	return t.storage.Freshness.ServesOthers(now)
}

// variesOtherwise tells whether the stored object, renewed by the answer, varies
// on other fields than before: the key that it lies under is then not its own
// any more.
func (t *fetch) variesOtherwise(o *tiers.Object) bool {
	was, _ := policy.ParseVary(o.Fields.Values("Vary"))
	return !was.Counting(t.rule).Equal(t.storage.Vary)
}

// firstRenewed is the renewed object for the client that caused the validation,
// when the 304 sets a cookie: that is for this client, and not kept for others.
func (t *fetch) firstRenewed(o *tiers.Object) *tiers.Object {
	if !t.leading || !t.presp.Fields.Has("Set-Cookie") {
		return nil
	}
	first := t.object()
	first.Hash, first.Text, first.Length, first.Body = o.Hash, o.Text, o.Length, o.Body
	first.Fields = without(o.Fields, "Set-Cookie")
	for _, v := range t.presp.Fields.Values("Set-Cookie") {
		first.Fields = append(first.Fields, policy.Field{Name: "Set-Cookie", Value: v})
	}
	first.Tier = o.Tier
	return first
}

// alone hands a response that may not be stored to the leader, and tells the
// others what to do without it.
func (t *fetch) alone() fetchState {
	reason := t.storage.Reason
	t.p.notCached(reason)
	if t.aboutTheResource() && !policy.NoStoreAsked(t.rule, &t.req) {
		if t.stale != nil && !ofRequest(reason) && !t.personal && policy.Lasting(t.resp.Status) {
			// The origin has something else now; the stale object is history.
			t.p.tiers.Delete(&t.stale.Hash)
		}
		if reason == policy.ReasonCookie || !ofRequest(reason) {
			t.mark(reason, t.key.hash)
		}
	}
	t.p.flights.leave(t.flight)
	a := answer{
		kind: answerAlone, validates: policy.StatesValidation(t.rule, &t.presp), status: t.resp.Status, code: t.resp.Status, reason: reason, waiting: t.storage.Waiting,
		fields: policy.Dated(t.presp.Fields, t.presp.ResponseTime), retryAfter: t.presp.Fields.Get("Retry-After"),
	}
	if t.leading {
		a.live, a.cancel, t.handed = t.resp, t.cancel, true
	}
	t.settle(a)
	return fetchRelease
}

// aboutTheResource tells whether the answer says something about the resource,
// and not only about this request or the origin's state: else one client's Range
// or Accept could switch coalescing off for everybody.
func (t *fetch) aboutTheResource() bool {
	switch s := t.resp.Status; {
	case t.ranged, s >= 500:
		return false
	default:
		switch s {
		case 400, 406, 408, 412, 413, 414, 415, 416, 417, 421, 429, 431:
			return false
		}
	}
	return true
}

// ofRequest tells whether the reason lies in the request that led, and not in
// the response: others may then be luckier.
func ofRequest(r policy.Reason) bool {
	switch r {
	case policy.ReasonAuthorization, policy.ReasonRequestNoStore, policy.ReasonPurged, policy.ReasonCookie,
		policy.ReasonQueryReflected:
		return true
	}
	return false
}

// displaces is why a response that may be stored must not take the place of what
// is stored: an error that a request may have provoked, or what nobody may use
// without validation and was made for a request with cookies, in the place of
// what still serves others, or may stand in.
func (t *fetch) displaces() policy.Reason {
	reason := policy.ReasonNone
	switch {
	case !policy.Lasting(t.presp.Status):
		reason = policy.ReasonStatus
	case t.personal && !t.storage.Freshness.FreshAt(t.presp.ResponseTime):
		reason = policy.ReasonCookie
	default:
		return reason
	}
	h, text := t.variant()
	primary := t.key.withoutVariant()
	// Under the primary key stands what has no variants, or the record of those: it
	// lasts as long as they do, and would take them along.
	if t.servesAt(h, []byte(text)) || h != primary.hash && t.servesAt(primary.hash, primary.text) {
		return reason
	}
	return policy.ReasonNone
}

// servesAt reports whether a response other than an error is stored under the key
// that serves others better than this one: it is fresh, or may still stand in
// where this one serves nobody. Of a vary record, that is no variant's place, it
// says no.
func (t *fetch) servesAt(h policy.Hash, text []byte) bool {
	o := t.p.usable(t.p.tiers.LookupRare(&h, text))
	if o == nil {
		return false
	}
	defer o.Close()
	if o.Kind == tiers.KindVary {
		return len(t.storage.Vary.Names) == 0
	}
	now, f := t.presp.ResponseTime, softened(o)
	if policy.Lasting(t.presp.Status) && t.storage.Freshness.ServesOthers(now) {
		return policy.Lasting(o.Status) && f.FreshAt(now)
	}
	return policy.Lasting(o.Status) && f.StandsInAt(t.rule, now)
}

// softened is the object's freshness, as soft purges leave it.
func softened(o *tiers.Object) policy.Freshness {
	if since := o.Softened(); since != 0 {
		return o.Freshness.StaleFrom(since)
	}
	return o.Freshness
}

// originFails reports whether a status says that the origin cannot answer now,
// so that those who wait for the same must not all ask it again.
func originFails(status int) bool { return status >= 500 || status == 429 }

// maxSharedFailure bounds the failures whose words go to all who waited, in
// bytes.
const maxSharedFailure = 64 << 10

// sharedUnstored reports whether a response that is not stored goes to those who
// wait for it all the same: see policy.Storage.Unstored; and a failure of the
// origin.
func (t *fetch) sharedUnstored() bool {
	length := t.resp.ContentLength
	switch {
	case !t.listed || t.ranged || t.part != nil || !t.resp.Provable():
		return false
	case t.storage.Unstored(t.presp.ResponseTime):
		// What no-store forbids to store stays in memory, whatever its length.
		inMemory := 0 <= length && length <= t.p.tiers.MaxInMemory()
		return inMemory || t.storage.Reason != policy.ReasonRequestNoStore
	case !originFails(t.resp.Status) || length > maxSharedFailure:
		return false
	}
	t.failure = true
	fields := policy.Dated(t.presp.Fields, t.presp.ResponseTime)
	t.storage = policy.Storage{Reason: t.storage.Reason, Fields: without(fields, "Set-Cookie", "Set-Cookie2")}
	return true
}

// fail tells everybody that there is no answer; each decides by its own request
// whether something stale may stand in.
func (t *fetch) fail() fetchState {
	t.p.flights.leave(t.flight)
	a := answer{kind: answerFail, reason: t.reason, code: t.code}
	if t.resp != nil {
		a.status, a.retryAfter = t.resp.Status, t.presp.Fields.Get("Retry-After")
	}
	t.settle(a)
	return fetchRelease
}
