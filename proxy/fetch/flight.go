package fetch

import (
	"bytes"
	"context"
	"time"

	"weir/origin"
	"weir/policy"
	"weir/proxy/stored"
	"weir/tiers"
)

// Question is what is asked of an origin. What it points to is the caller's, and
// must stay as it is until Lead or Behind returns.
type Question struct {
	Rule     *policy.Rule
	Upstream Upstream
	// Request is canonical, and its method is GET.
	Request policy.Request
	Key     policy.Key
	// Stale is what a 304 would renew.
	Stale *tiers.Object
	// Part is a stored part from 0 on, in memory; only what is missing behind it
	// is fetched.
	Part *tiers.Object
	// Ranged: the client's Range goes on to the origin.
	Ranged bool
	// Conditional: the client's conditions go on to the origin, and its 304 is for
	// that client. It goes with a flight that nobody joins and nothing stale.
	Conditional bool
	// Context ends the exchange with the origin when nobody can use its answer; nil:
	// only Stop ends it. Done is called at the end, where it is set.
	Context context.Context
	Done    func()
	// StandIn is how long the asker would wait for a connection to the origin, since
	// something stale may stand in when the origin fails; the fetch then ends as soon as
	// that is known (origin.Request.StandIn). 0: nothing may, or the asker does not wait.
	StandIn time.Duration
	// Interim gets the origin's interim responses; nil: nobody waits for them.
	Interim func(code int, fields policy.Fields) error
}

// asksForNotModified reports whether the client's conditions may be answered with a
// 304 (RFC 9110 section 13.2.2).
func (q *Question) asksForNotModified() bool {
	return q.Conditional && (q.Request.IfNoneMatch != nil || q.Request.IfModifiedSince != nil)
}

// clone makes the question outlive what it points to.
func (q *Question) clone() {
	q.Request = q.Request.Clone()
	q.Key.Text = bytes.Clone(q.Key.Text)
}

// Lead fetches in the caller's goroutine, until there is an answer. What goes on
// behind it does so in a goroutine of its own, on a copy of the question. The
// stale object stays the caller's.
func (f *Flight) Lead(q *Question) (Answer, Own) {
	t := &run{Flight: f, q: *q, leading: true, done: q.Done}
	f.people.Add(1)
	f.m.running.enter()
	t.from(stateRoundTrip)
	return f.Answer(), t.own
}

// LeadBehind is Lead in a goroutine of its own, for a caller that does not want to
// wait for ever: it waits for Ready and then calls TakeOwn, or calls Abandon. The
// stale object is the flight's.
func (f *Flight) LeadBehind(q *Question) {
	t := &run{Flight: f, q: *q, leading: true, behind: true, done: q.Done}
	t.q.clone()
	f.people.Add(1)
	f.m.running.enter()
	go func() {
		defer t.q.Stale.Close()
		t.from(stateRoundTrip)
	}()
}

// TakeOwn returns what the answer holds for the caller of LeadBehind, when it is here.
func (f *Flight) TakeOwn() Own {
	f.mu.Lock()
	defer f.mu.Unlock()
	own := f.own
	f.own = Own{}
	return own
}

// Abandon leaves the flight of LeadBehind to those who follow it.
func (f *Flight) Abandon() {
	f.people.Add(-1)
	f.mu.Lock()
	f.left = true
	own := f.own
	f.own = Own{}
	f.mu.Unlock()
	own.drop()
}

// keep holds own for the caller of LeadBehind, unless that has left.
func (f *Flight) keep(own Own) {
	f.mu.Lock()
	left := f.left
	if !left {
		f.own = own
	}
	f.mu.Unlock()
	if left {
		own.drop()
	}
}

// drop gives back what own holds.
func (own *Own) drop() {
	if own.Reader != nil {
		own.Reader.Close()
	}
	if own.Live != nil {
		own.Live.Body.Close()
	}
}

// Behind fetches in a goroutine of its own, for nobody but those who join. The
// stale object is the flight's from now on.
func (f *Flight) Behind(q *Question) {
	t := &run{Flight: f, q: *q, done: q.Done}
	t.q.clone()
	f.m.running.enter()
	go func() {
		defer t.q.Stale.Close()
		t.from(stateRoundTrip)
	}()
}

// Kept is a response that somebody has fetched otherwise and that may be stored.
type Kept struct {
	Response *origin.Response
	Judged   policy.Response
	Storage  policy.Storage
	Tags     []string
	// Since is from when purges are held against it.
	Since stored.Moment
	// Done is called when nothing is read from the response any more.
	Done func()
}

// Keep stores a response; f is a flight that nobody joins. The response is the
// machine's from now on.
func (f *Flight) Keep(q *Question, k *Kept) (Answer, Own) {
	f.moment = k.Since
	t := &run{
		Flight: f, q: *q, leading: true, done: k.Done,
		resp: k.Response, presp: k.Judged, storage: k.Storage, tags: k.Tags, heard: Heard{Status: k.Response.Status},
	}
	f.m.running.enter()
	t.from(stateBody)
	return f.Answer(), t.own
}
