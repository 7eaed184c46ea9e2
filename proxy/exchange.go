package proxy

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"weir/origin"
	"weir/policy"
	"weir/proxy/front"
	"weir/tiers"
)

// state is where the client machine stands.
type state uint8

const (
	stateReceive state = iota
	stateLookup
	stateJoin
	statePass
	stateDeliver
	stateRefuse
	stateFinish
	stateDone
)

// String is the state's name in the package's drawing.
func (s state) String() string {
	switch s {
	case stateReceive:
		return "Receive"
	case stateLookup:
		return "Lookup"
	case stateJoin:
		return "Join"
	case statePass:
		return "Pass"
	case stateDeliver:
		return "Deliver"
	case stateRefuse:
		return "Refuse"
	case stateFinish:
		return "Finish"
	case stateDone:
		return "Done"
	}
	return "unknown"
}

// exchange is the client machine: one request from Receive to Finish. It is
// pooled; everything that points into the request dies with finish.
type exchange struct {
	p   *Proxy
	cfg *Config
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

	// What Deliver delivers: obj alone (its body in memory or on disk), obj
	// with fill (the head of a response whose body still arrives), or live.
	obj  *tiers.Object
	fill *tiers.FillReader
	// delivery is how obj is read where it streams.
	delivery *tiers.Delivery
	live     *origin.Response
	cancel   func()
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
	// lent: obj is closed once the answer is written.
	lent bool
}

// handle answers a request.
func (p *Proxy) handle(s front.Session) {
	x := p.exchangeFor(s)
	x.begin()
	x.run()
}

// expects reports whether the client of a request may send the body that it asks
// about. Where the head alone rules the request out, it is answered.
func (p *Proxy) expects(s front.Session) bool {
	x := p.exchangeFor(s)
	if x.receive() != stateRefuse {
		x.reset()
		p.pool.Put(x)
		return true
	}
	x.begin()
	x.refuse()
	x.handOver()
	return false
}

// exchangeFor begins an exchange.
func (p *Proxy) exchangeFor(s front.Session) *exchange {
	x := p.pool.Get().(*exchange)
	x.session, x.head, x.cfg, x.start = s, s.Request(), p.cfg.Load(), p.now()
	x.now = p.clock.At(x.start)
	x.from = x.head.Sender
	x.from.Proxies = x.cfg.TrustedProxies
	x.trusted = x.from.Trusted()
	return x
}

// elapsed is the time since the request began. Of the real clock it asks the
// monotonic time alone, which costs half of what time.Now does.
func (x *exchange) elapsed() time.Duration {
	if x.p.realTime {
		return time.Since(x.start)
	}
	return x.p.now().Sub(x.start)
}

// run drives the machine. A panic becomes a 500 and a log line: one request
// must not take the others with it.
func (x *exchange) run() {
	defer func() {
		if r := recover(); r != nil {
			x.panicked(r)
		}
	}()
	for s := stateReceive; s != stateDone; {
		switch s {
		case stateReceive:
			s = x.receive()
		case stateLookup:
			s = x.lookup()
		case stateJoin:
			s = x.join()
		case statePass:
			s = x.pass()
		case stateDeliver:
			s = x.deliver()
		case stateRefuse:
			s = x.refuse()
		case stateFinish:
			s = x.handOver()
		default:
			panic(fmt.Sprintf("BUG: client machine in state %d", s))
		}
	}
}

func (x *exchange) panicked(r any) {
	x.p.log.Error("request failed", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	x.closing = true
	x.drop()
	x.refusal(http.StatusInternalServerError, policy.ReasonInternal, "an internal error; it is in weir's log")
	x.refuse()
	x.handOver()
}

// handOver gives the answer to the client's session. A body that streams finishes
// the exchange itself when it is written.
func (x *exchange) handOver() state {
	x.answer.Close = x.closing
	streams := x.answer.Stream != nil
	x.session.Send(&x.answer)
	if !streams {
		x.finish()
	}
	return stateDone
}

// finish is the only exit: it gives everything back, and counts and logs the
// request once.
func (x *exchange) finish() {
	p := x.p
	took := x.elapsed()
	if x.firstByte == 0 {
		x.firstByte = took
	}
	x.drop()
	x.record(took)
	x.reset()
	p.pool.Put(x)
}

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
	if x.delivery != nil {
		x.delivery.Close()
		x.delivery = nil
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
		if !x.lent {
			x.obj.Close()
		}
		x.obj, x.lent = nil, false
	}
	if x.stale != nil {
		x.stale.Close()
		x.stale = nil
	}
}

// reset forgets the request and keeps the memory. It clears in place: a literal
// with what is kept would be made elsewhere and copied.
func (x *exchange) reset() {
	p, memo, ranges, view := x.p, x.hostMemo, x.rangeRoom, x.view
	keys, host := x.keys[:0], x.host[:0]
	status, age, location, extent := x.status[:0], x.age[:0], x.location[:0], x.extent[:0]
	*x = exchange{}
	view.Reset()
	x.p, x.hostMemo, x.rangeRoom, x.view = p, memo, ranges, view
	x.keys, x.host = keys, host
	x.status, x.age, x.location, x.extent = status, age, location, extent
}

// verdict is what the request is counted, logged and shown as.
func (x *exchange) verdict() policy.Verdict { return verdict(x.found, x.outcome) }
