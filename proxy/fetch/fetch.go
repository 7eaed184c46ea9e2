package fetch

import (
	"fmt"
	"runtime/debug"
	"time"

	"weir/invalidation"
	"weir/origin"
	"weir/policy"
	"weir/proxy/stored"
	"weir/tiers"
)

// state is where the fetch machine stands.
type state uint8

const (
	stateRoundTrip state = iota
	stateMerge
	stateBody
	stateStream
	stateAlone
	stateFail
	stateRelease
)

// String is the state's name in the package's drawing.
func (s state) String() string {
	switch s {
	case stateRoundTrip:
		return "RoundTrip"
	case stateMerge:
		return "Merge"
	case stateBody:
		return "Body"
	case stateStream:
		return "Stream"
	case stateAlone:
		return "Alone"
	case stateFail:
		return "Fail"
	case stateRelease:
		return "Release"
	}
	return "unknown"
}

// run is the state of one run of a flight.
type run struct {
	*Flight
	q Question
	// leading: the question's asker waits for the answer, in this goroutine unless
	// behind is set.
	leading, behind bool
	own             Own

	resp *origin.Response
	// presp is the response as policy sees it, and storage its judgement.
	presp   policy.Response
	storage policy.Storage
	tags    []string
	heard   Heard
	code    int
	// failure: the response is the origin's word on a failure of its own, and goes
	// to all who wait for it, unstored.
	failure bool
	// came is the place of the response among all that came.
	came int64
	// fill is where the body arrives that is not whole with its header.
	fill *tiers.Fill
	// done is called at the end, where it is set.
	done func()
	// elsewhere: another goroutine goes on, and releases the flight.
	elsewhere bool
}

// from drives the machine and releases the flight exactly once: those who wait
// always learn what to do, also after a panic.
func (t *run) from(s state) {
	defer t.release()
	for s != stateRelease {
		switch s {
		case stateRoundTrip:
			s = t.roundTrip()
		case stateMerge:
			s = t.merge()
		case stateBody:
			s = t.body()
		case stateStream:
			if t.leading && !t.behind {
				t.goOn()
				return
			}
			s = t.stream()
		case stateAlone:
			s = t.alone()
		case stateFail:
			s = t.fail()
		default:
			panic(fmt.Sprintf("BUG: fetch machine in state %d", s))
		}
	}
}

// goOn reads the body in a goroutine of its own, on a copy of the question: the
// leader has its answer, and reads along.
func (t *run) goOn() {
	rest := *t
	rest.leading, rest.own = false, Own{}
	rest.q.clone()
	rest.q.Stale = nil
	t.elsewhere = true
	go rest.from(stateStream)
}

// tell gives the answer to all who wait, and what is the leader's to the leader.
func (t *run) tell(a Answer) {
	if t.behind {
		t.keep(t.own)
	}
	t.settle(a)
}

func (t *run) release() {
	if r := recover(); r != nil {
		t.m.log.Error("fetch failed", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		// Leaving the table first: whoever looks up again must not find this.
		t.Leave()
		t.settle(&Failed{Heard: Heard{Reason: policy.ReasonInternal}, Code: 502})
	}
	if t.elsewhere {
		return
	}
	t.end()
	t.settle(&Again{})
	if t.fill != nil {
		// Whoever reads the fill must not wait for ever when this machine breaks;
		// once it has ended this does nothing.
		t.fill.Abandon(ErrBroke)
	}
	if t.resp != nil && t.own.Live == nil {
		t.resp.Body.Close()
	}
	if t.done != nil {
		t.done()
	}
	t.m.running.leave()
}

// roundTrip asks the origin and judges the header of its answer.
func (t *run) roundTrip() state {
	clock := t.m.store.Clock()
	t.presp.RequestTime = clock.Now()
	ctx := t.q.Context
	if ctx == nil {
		ctx = t.m.base
	}
	resp, err := t.q.Upstream.Do(ctx, t.request())
	arrived := t.m.now()
	t.presp.ResponseTime, t.presp.Behind = clock.At(arrived), clock.Behind(arrived)
	t.came = t.m.arrival(t.presp.ResponseTime)
	t.heard = Heard{Took: time.Duration(t.presp.ResponseTime - t.presp.RequestTime)}
	if err != nil {
		t.heard.Reason, t.code = OriginReason(err)
		return stateFail
	}
	t.resp, t.heard.Status = resp, resp.Status
	fields, err := policy.EndToEnd(resp.Fields)
	if err != nil {
		t.heard.Reason, t.code = policy.ReasonOriginMalformed, 502
		return stateFail
	}
	t.presp.Status, t.presp.Fields = resp.Status, t.q.Rule.KeepSession(&t.q.Request, fields)
	t.m.NoteDate(t.q.Rule.Origin, t.q.Upstream.Index, &t.presp)
	t.presp.Fields = t.q.Rule.Received(&t.presp)
	switch {
	case resp.Status == 304 && t.q.Stale != nil:
		return stateMerge
	case resp.Status == 304 && t.q.asksForNotModified():
		return t.notModified()
	case resp.Status == 304:
		// Nothing was asked that a 304 could answer.
		t.heard.Reason, t.code = policy.ReasonOriginMalformed, 502
		return stateFail
	case t.q.Stale != nil && resp.Status >= 400 && t.moment.Closure == 0 && t.staleMayStandIn(resp.Status):
		t.heard.Reason, t.code = policy.ReasonOriginStatus, resp.Status
		return stateFail
	case t.q.Upstream.Fallback != "" && t.q.Rule.TTL.Unreachable(resp.Status):
		// Each who waits is passed to the fallback.
		t.heard.Reason, t.code = policy.ReasonOriginStatus, resp.Status
		return stateFail
	case t.q.Part != nil && (resp.Status == 206 || resp.Status == 416):
		if resp.Status != 206 || !completes(t.q.Part, &t.presp, resp.ContentLength) {
			// What is stored is of another representation: fetch the whole.
			resp.Body.Close()
			t.resp, t.q.Part = nil, nil
			return stateRoundTrip
		}
		t.presp = whole(t.presp)
		t.moment.Epoch = min(t.moment.Epoch, t.q.Part.Epoch)
	default:
		t.q.Part = nil
	}
	return t.judge()
}

// notModified takes a 304 to the client's own condition, which answers that client
// and stores nothing. Where it states that the whole could serve others, the whole
// is asked for instead: else a crowd of clients that each have it would keep it out
// of the store.
func (t *run) notModified() state {
	judged := whole(t.presp)
	t.storage = policy.Decide(t.q.Rule, &t.q.Request, &judged)
	f := &t.storage.Freshness
	if t.storage.Reason == policy.ReasonNone && f.Stated > 0 && f.ServesOthers(t.presp.ResponseTime) && !t.q.Ranged {
		t.resp.Body.Close()
		t.resp, t.q.Conditional = nil, false
		return stateRoundTrip
	}
	if t.storage.Reason == policy.ReasonNone {
		t.storage.Reason = policy.ReasonStatus
	}
	return stateAlone
}

// judge decides whether the response may be stored.
func (t *run) judge() state {
	judged := t.presp
	part := t.q.Ranged && !t.q.Rule.Forgo.Parts && judged.Status == 206 && judged.Fields.Has("Content-Range")
	if part {
		judged = whole(judged)
	}
	t.storage = policy.Decide(t.q.Rule, &t.q.Request, &judged)
	t.storage.Freshness.Replaced, t.storage.Freshness.Came = t.q.Stale != nil, t.came
	t.readTags(judged.Fields)
	if t.storage.Reason == policy.ReasonNone {
		switch {
		case !t.resp.Provable():
			t.storage.Reason = policy.ReasonUnproven
		case t.resp.ContentLength > t.m.store.MaxObject():
			t.storage.Reason = policy.ReasonTooLarge
		case t.outdated.Load() || t.purgedSince(t.moment.Epoch):
			t.storage.Reason = policy.ReasonPurged
		case part:
			t.storage.Reason = t.partStorable()
		default:
			t.storage.Reason = t.displaces()
		}
	}
	switch {
	case t.storage.Reason == policy.ReasonNone, t.sharedUnstored():
		return stateBody
	case t.q.Part != nil:
		// What came is the rest of a body, and nothing may be built with it: it
		// answers nobody who asked for the whole.
		t.resp.Body.Close()
		t.resp, t.q.Part = nil, nil
		return stateRoundTrip
	}
	return stateAlone
}

// staleMayStandIn reports whether somebody who waits may be given the stale
// object in place of an error of the origin (RFC 5861 section 4).
func (t *run) staleMayStandIn(status int) bool {
	on, failed := policy.OnStatus(t.q.Rule, status)
	if !failed {
		return false
	}
	asker := policy.NewAsker(t.q.Rule, &t.q.Request)
	f := stored.Freshness(t.q.Stale)
	return f.Reusable(&asker, on, t.presp.ResponseTime) != policy.UseRevalidate
}

// merge renews the stale object with a 304 (RFC 9111 section 4.3.4).
func (t *run) merge() state {
	t.storage = policy.Refresh(t.q.Rule, &t.q.Request, t.q.Stale.Status, t.q.Stale.Fields, &t.presp)
	t.storage.Freshness.Replaced, t.storage.Freshness.Came = t.q.Stale.Freshness.Replaced, t.came
	t.presp.Status = t.q.Stale.Status
	t.readTags(t.storage.Fields)
	switch {
	case t.storage.Reason != policy.ReasonNone:
	case t.variesOtherwise(t.q.Stale):
		t.storage.Reason = policy.ReasonVaryChanged
	case t.Personal && !t.servesBetterThanStale():
		// What it says is to one visitor; what it is about may serve others.
		t.storage.Reason = policy.ReasonCookie
	}
	o := t.object()
	a := &Renewed{Heard: t.heard, Object: o, Of: t.q.Stale, Hash: t.hash, Waiting: t.storage.Waiting}
	a.Reason = t.storage.Reason
	switch {
	case t.outdated.Load() || t.m.store.Purged(t.q.Stale) == invalidation.Invalid || t.purgedSince(t.q.Stale.Epoch):
		a.Reason = policy.ReasonPurged
	case t.storage.Reason == policy.ReasonNone:
		a.Reason = t.m.store.Refresh(t.q.Stale, o)
		a.Stored = a.Reason == policy.ReasonNone
	}
	if a.Stored {
		t.markStored(t.hash)
	} else {
		t.m.NotCached(a.Reason)
		if !OfRequest(a.Reason) {
			t.m.store.Delete(&t.q.Stale.Hash)
			t.mark(a.Reason, t.hash)
		}
		// Those who wait may still have what the origin just confirmed.
		o.Hash, o.Text, o.Length, o.Body = t.q.Stale.Hash, t.q.Stale.Text, t.q.Stale.Length, t.q.Stale.Body
		o.Tier = t.q.Stale.Tier
	}
	t.own.First = t.firstRenewed(o)
	t.Leave()
	t.tell(a)
	return stateRelease
}

// servesBetterThanStale reports whether the renewed object serves others, and is
// fresh where what it renews is: that was validated for a request which does not
// take it without.
func (t *run) servesBetterThanStale() bool {
	now, was := t.presp.ResponseTime, stored.Freshness(t.q.Stale)
	if was.FreshAt(now) {
		return t.storage.Freshness.FreshAt(now)
	}
	return t.storage.Freshness.ServesOthers(now)
}

// variesOtherwise reports whether the stored object, renewed by the answer, varies
// on other fields than before: the key that it lies under is then not its own
// any more.
func (t *run) variesOtherwise(o *tiers.Object) bool {
	was, _ := policy.ParseVary(o.Fields.Values("Vary"))
	return !was.Counting(t.q.Rule).Equal(t.storage.Vary)
}

// firstRenewed is the renewed object for the client that caused the validation,
// when the 304 sets a cookie: that is for this client, and not kept for others.
func (t *run) firstRenewed(o *tiers.Object) *tiers.Object {
	if !t.leading || !t.presp.Fields.Has("Set-Cookie") {
		return nil
	}
	first := t.object()
	first.Hash, first.Text, first.Length, first.Body = o.Hash, o.Text, o.Length, o.Body
	first.Fields = o.Fields.Except("Set-Cookie")
	for _, v := range t.presp.Fields.Values("Set-Cookie") {
		first.Fields = append(first.Fields, policy.Field{Name: "Set-Cookie", Value: v})
	}
	first.Tier = o.Tier
	return first
}

// alone hands a response that may not be stored to the leader, and tells the
// others what to do without it.
func (t *run) alone() state {
	reason := t.storage.Reason
	t.m.NotCached(reason)
	if t.aboutTheResource() && !policy.NoStoreAsked(t.q.Rule, &t.q.Request) {
		if t.q.Stale != nil && !OfRequest(reason) && !t.Personal && policy.Lasting(t.resp.Status) {
			// The origin has something else now; the stale object is history.
			t.m.store.Delete(&t.q.Stale.Hash)
		}
		if reason == policy.ReasonCookie || !OfRequest(reason) {
			t.mark(reason, t.hash)
		}
	}
	t.Leave()
	a := &Alone{Heard: t.heard, Validates: policy.StatesValidation(t.q.Rule, &t.presp), Waiting: t.storage.Waiting}
	a.Reason, a.RetryAfter = reason, t.presp.Fields.Get("Retry-After")
	if t.leading {
		t.own.Done, t.done = t.done, nil
		t.own.Live, t.own.Fields = t.resp, t.presp.Dated()
	}
	t.tell(a)
	return stateRelease
}

// aboutTheResource reports whether the answer says something about the resource,
// and not only about this request or the origin's state: else one client's Range
// or Accept could switch coalescing off for everybody.
func (t *run) aboutTheResource() bool {
	switch s := t.resp.Status; {
	case t.q.Ranged, s >= 500:
		return false
	default:
		switch s {
		case 304, 400, 406, 408, 412, 413, 414, 415, 416, 417, 421, 429, 431:
			return false
		}
	}
	return true
}

// OfRequest reports whether the reason lies in the request that led, and not in
// the response: others may then be luckier.
func OfRequest(r policy.Reason) bool {
	switch r {
	case policy.ReasonAuthorization, policy.ReasonRequestNoStore, policy.ReasonPurged, policy.ReasonCookie,
		policy.ReasonQueryReflected:
		return true
	}
	return false
}

// OriginFails reports whether a status says that the origin cannot answer now,
// so that those who wait for the same must not all ask it again.
func OriginFails(status int) bool { return status >= 500 || status == 429 }

// maxSharedFailure bounds the failures whose words go to all who waited, in
// bytes.
const maxSharedFailure = 64 << 10

// sharedUnstored reports whether a response that is not stored goes to those who
// wait for it all the same: see policy.Storage.Unstored; and a failure of the
// origin.
func (t *run) sharedUnstored() bool {
	length := t.resp.ContentLength
	switch {
	case !t.listed || t.q.Ranged || t.q.Part != nil || !t.resp.Provable():
		return false
	case t.storage.Unstored(t.presp.ResponseTime):
		// What no-store forbids to store stays in memory, whatever its length.
		inMemory := 0 <= length && length <= t.m.store.MaxInMemory()
		return inMemory || t.storage.Reason != policy.ReasonRequestNoStore
	case !OriginFails(t.resp.Status) || length > maxSharedFailure:
		return false
	}
	t.failure = true
	fields := t.presp.Dated()
	t.storage = policy.Storage{Reason: t.storage.Reason, Fields: fields.Except("Set-Cookie", "Set-Cookie2")}
	return true
}

// fail tells everybody that there is no answer; each decides by its own request
// whether something stale may stand in.
func (t *run) fail() state {
	t.Leave()
	a := &Failed{Heard: t.heard, Code: t.code}
	if t.resp != nil {
		a.RetryAfter = t.presp.Fields.Get("Retry-After")
	}
	t.tell(a)
	return stateRelease
}
