package proxy

import (
	"time"

	"weir/origin"
	"weir/policy"
	"weir/proxy/fetch"
	"weir/proxy/front"
	"weir/tiers"
)

// state is where the client machine stands. The drawing is in the package's
// documentation.
type state uint8

const (
	stateReceive state = iota
	statePurge
	stateLookup
	stateJoin
	stateFollow
	stateAlone
	stateTake
	statePass
	stateFail
	stateDeliver
	stateRefuse
	stateFinish
	stateDone
)

var stateNames = [...]string{
	stateReceive: "Receive", statePurge: "Purge", stateLookup: "Lookup", stateJoin: "Join", stateFollow: "Follow", stateAlone: "Alone",
	stateTake: "Take", statePass: "Pass", stateFail: "Fail", stateDeliver: "Deliver", stateRefuse: "Refuse", stateFinish: "Finish", stateDone: "Done",
}

// String is the state's name in the package's drawing.
func (s state) String() string { return stateNames[s] }

// exchange is the client machine: one request from Receive to Finish. It is
// pooled; everything that points into the request dies with finish.
type exchange struct {
	core *core
	cfg  *Config
	// session is the client's, head what arrived.
	session front.Session
	head    *front.Request
	start   time.Time
	now     int64 // start, or later, by the clock of what is stored
	// softened is a freshness that a soft purge has changed.
	softened policy.Freshness

	req      policy.Request
	asterisk bool
	// asker is the request as it asks for what others have caused.
	asker policy.Asker
	rule  *policy.Rule

	// key is under which the request looks up and joins: that of its variant,
	// where one is known. keys is where its text stands.
	key  policy.Key
	keys policy.KeyRoom
	host []byte
	// These are scratch for fields of the answer: Cache-Status, Age, Location and
	// Content-Range.
	status, age, location, extent []byte
	// view makes req of what arrived from the sender, whose word is taken where it
	// is trusted.
	view    *policy.View
	from    policy.Sender
	trusted bool
	// canonical: the origin is asked for the target of the key, since its answer
	// may be stored.
	canonical bool
	// hostMemo outlives the request.
	hostMemo hostMemo
	// rangeRoom is scratch for the ranges of the request; nobody appends beyond
	// its capacity.
	rangeRoom []policy.ByteRange

	// found is what lookup saw, outcome how the request ended.
	found     found
	outcome   outcome
	reason    policy.Reason
	tier      policy.Tier
	code      int // what the client gets
	fwdStatus int // what the origin said, 0 when it was not asked
	stored    bool
	collapsed bool
	// coalesced: it followed a flight that another request led, whatever came of
	// that, and was counted for it.
	coalesced bool
	hasTTL    bool
	ttl       int64 // nanoseconds
	// fallback is the origin that is asked in the place of the rule's; empty: that is.
	fallback string
	// avoided: the rule's origin was not asked, since it is known to fail; lastResort:
	// it is now, after its fallbacks.
	avoided, lastResort bool
	// probed ends the request's part as the one that finds out whether the rule's
	// origin is back; nil: it has none.
	probed func()
	// originTime is how long the origin needed for its header.
	originTime time.Duration
	hops       int

	// flight is the fetch that the request takes part in, told its answer, and own
	// what that holds for this request besides.
	flight *fetch.Flight
	told   fetch.Answer
	own    fetch.Own
	// failed is why there is no answer, for Fail.
	failed policy.Reason

	// What Deliver delivers: obj alone (its body in memory or on disk), obj
	// with fill (the head of a response whose body still arrives), or live.
	obj    *tiers.Object
	fill   *tiers.FillReader
	live   *origin.Response
	cancel func()
	// answer is what the client gets.
	answer front.Answer
	// shown is how obj is shown, where nothing is prepared for it.
	shown shown
	// closing: the connection ends with this answer, and the answer says so.
	closing bool
	// judgeLive: weir applies the client's conditions to the origin's answer.
	judgeLive bool
	// toldOrigin: the origin has seen the client's conditions.
	toldOrigin bool
	// part is set when obj is a stored part that covers the range asked for.
	part partHit
	// partListed: the vary record lists a part of the variant that key is of.
	partListed bool
	// refused: the request waited for an answer that it may not have.
	refused bool
	// waited: the request waited for the flight whose answer it takes.
	waited bool
	// alone: answers to requests of this kind proved to be for their askers
	// alone, so it neither waits for others nor lets others wait for it.
	alone bool
	// unconfirmed: something is stored that may be used only when the origin
	// says so, since the gate is closed.
	unconfirmed bool
	// purged: a purge made what was stored invalid, or stale before its time.
	purged bool
	// stale is what Join may revalidate.
	stale *tiers.Object
	// interims are what the client gets while it waits for the origin.
	interims front.Interims
	// refuseText explains what weir answers by itself, retryAfter is the origin's
	// word on when to ask again.
	refuseText, retryAfter string

	bodyBytes int64
	// broke is why the body ended before its end, after the header had said
	// something else.
	broke policy.Reason
	// firstByte is how long after start the first byte of the body left; 0 until
	// it has.
	firstByte time.Duration
}

// shown is how an object is shown, as far as it follows from the object and the
// configuration.
type shown struct {
	// status is the Cache-Status of caches before us, with ", " behind it.
	status []byte
	// cacheName and hidden are all of the configuration that the header and the
	// fields of the 304 are made with; when a reload changes them they are made
	// anew. The lists are compared and not where they lie: most reloads leave them as
	// they are, and would else make every header anew.
	cacheName string
	hidden    []string
}

// partHit is a stored part that covers the range asked for.
type partHit struct {
	start, size int64
	want        policy.ByteRange
}

// hostMemo is the last host that was parsed. It is memory of the exchange's own.
type hostMemo struct {
	raw, host []byte
	scheme    string
}

// elapsed is the time since the request began. Of the real clock it asks the
// monotonic time alone, which costs half of what time.Now does.
func (x *exchange) elapsed() time.Duration {
	if x.core.realTime {
		return time.Since(x.start)
	}
	return x.core.now().Sub(x.start)
}

// verdict is what the request is counted, logged and shown as.
func (x *exchange) verdict() policy.Verdict { return verdict(x.found, x.outcome) }

// upstream is the origin that the request goes to, by its name.
func (x *exchange) upstream() (string, fetch.Upstream) {
	name := x.rule.Origin
	if x.fallback != "" {
		name = x.fallback
	}
	return name, x.cfg.Origins[name]
}

// again sends the request back to lookup.
func (x *exchange) again() state {
	x.dropStale()
	x.collapsed = false
	// The time of the request's arrival is behind what arrived meanwhile.
	x.now = x.core.clock.Now()
	return stateLookup
}

// endInterims returns when nothing is being written to the client any more.
func (x *exchange) endInterims() {
	if x.interims != nil {
		x.interims.End()
		x.interims = nil
	}
}

// endVigil leaves the exchange with the origin to go on without the client.
func (x *exchange) endVigil() { x.session.WhenGone(nil) }

// drop gives back whatever the exchange still holds.
func (x *exchange) drop() {
	x.endInterims()
	x.endVigil()
	if x.probed != nil {
		x.probed()
		x.probed = nil
	}
	if x.fill != nil {
		x.fill.Close()
		x.fill = nil
	}
	if x.live != nil {
		x.live.Body.Close()
		x.live = nil
	}
	if x.cancel != nil {
		x.cancel()
		x.cancel = nil
	}
	if x.obj != nil {
		if x.answer.Release == nil { // else it is closed once the answer is written
			x.obj.Close()
		}
		x.obj = nil
	}
	if x.stale != nil {
		x.stale.Close()
		x.stale = nil
	}
}

func (x *exchange) dropStale() {
	if x.stale != nil {
		x.stale.Close()
		x.stale = nil
	}
}

func (x *exchange) dropLive() {
	x.live.Body.Close()
	x.cancel()
	x.live, x.cancel = nil, nil
}

// reset forgets the request and keeps the memory. It clears in place: a literal
// with what is kept would be made elsewhere and copied.
func (x *exchange) reset() {
	c, memo, ranges, view := x.core, x.hostMemo, x.rangeRoom, x.view
	keys, host := x.keys[:0], x.host[:0]
	status, age, location, extent := x.status[:0], x.age[:0], x.location[:0], x.extent[:0]
	*x = exchange{}
	view.Reset()
	x.core, x.hostMemo, x.rangeRoom, x.view = c, memo, ranges, view
	x.keys, x.host = keys, host
	x.status, x.age, x.location, x.extent = status, age, location, extent
}
