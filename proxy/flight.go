package proxy

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"weir/origin"
	"weir/policy"
	"weir/tiers"
)

// flights are the fetches under way that others may join, by key.
type flights struct {
	shards [64]flightShard
}

type flightShard struct {
	// mu protects byKey.
	mu    sync.Mutex
	byKey map[policy.Hash]*flight
	// alone are the flights that nobody can join. An invalidation must find
	// them all the same.
	alone map[*flight]struct{}
}

func (t *flights) init() {
	for i := range t.shards {
		t.shards[i].byKey = make(map[policy.Hash]*flight)
		t.shards[i].alone = make(map[*flight]struct{})
	}
}

func (t *flights) shard(h *policy.Hash) *flightShard { return &t.shards[h[0]%64] }

// flight is the fetch machine: one request to the origin, and what comes of it.
type flight struct {
	p    *Proxy
	cfg  *Config
	rule *policy.Rule
	// req is a copy of the leader's request that outlives the leader.
	req policy.Request
	// interims gets the origin's interim responses; nil when nobody waits for
	// the flight as its leader.
	interims *interims
	// target is what the origin is asked for, equal in all requests with the key.
	target string
	// personal: the leader's cookies or credentials may make the answer its own.
	personal bool
	// key is what the flight is registered under.
	key policy.Key
	// part is a stored part from 0 on; only what is missing behind it is
	// fetched. It is in memory.
	part *tiers.Object
	// ranged: the client's Range goes on to the origin.
	ranged bool
	// listed is false for a flight that nobody can join.
	listed bool
	// stale is what a 304 would renew; the flight closes it.
	stale *tiers.Object
	// leading is set while the exchange that started the flight waits for its
	// answer, and may take the origin's answer itself.
	leading bool
	// outdated is set by an invalidation that came while the flight was under
	// way: what it brings was made before, and is not stored.
	outdated atomic.Bool
	// epoch and incarnation are the invalidation's at the start.
	epoch, incarnation uint64
	// closure is that of the gate at the start, 0 while it is open.
	closure uint64
	// took is how long the origin needed for its header.
	took time.Duration

	// ready is closed once answer is set; answer is immutable from then on.
	ready  chan struct{}
	once   sync.Once
	answer answer
}

// answerKind is what a flight tells those who wait to do.
type answerKind uint8

const (
	// answerAgain: look up again; one of you will lead.
	answerAgain answerKind = iota
	// answerBody: take the response whose body arrives in fill.
	answerBody
	// answerObject: take the stored object.
	answerObject
	// answerAlone: the response is the leader's only; the others fetch alone.
	answerAlone
	// answerFail: there is no response; use what is stale, or fail.
	answerFail
)

// String names the kind.
func (k answerKind) String() string {
	switch k {
	case answerAgain:
		return "again"
	case answerBody:
		return "body"
	case answerObject:
		return "object"
	case answerAlone:
		return "alone"
	case answerFail:
		return "fail"
	}
	return "unknown"
}

// answer is how a flight ends for those who wait.
type answer struct {
	kind answerKind
	// hash is the key that the response belongs to, and spec the Vary list by
	// which a follower finds out whether that is its own policy.Key; nil: it varies
	// on nothing.
	hash policy.Hash
	spec *policy.VarySpec

	// obj is the stored object, or the head of the response in fill; first is
	// the leader's head where it is another. waiting is obj's freshness for those
	// who waited.
	obj     *tiers.Object
	first   *tiers.Object
	waiting policy.Freshness
	fill    *tiers.Fill
	// failure: obj is the origin's word on a failure of its own. Its body is for
	// those who waited, where it is public and they are anonymous.
	failure, public bool
	// validates: the response itself says that it is for nobody without validation.
	validates bool
	// retryAfter is the origin's.
	retryAfter string
	// renewedOf is what the 304 was about; its body is not to be read.
	renewedOf *tiers.Object
	// live and cancel are the leader's with answerAlone.
	live   *origin.Response
	fields policy.Fields
	cancel func()
	// reader is the leader's with answerBody: made before the body begins, so
	// that a body that cannot be stored waits for it.
	reader *tiers.FillReader

	status  int // what the origin said, 0 when it said nothing
	stored  bool
	renewed bool // by a 304
	reason  policy.Reason
	code    int // with answerFail: what clients get
	took    time.Duration
}

// join returns the flight under x's key, and whether x leads it. A leader must
// start or abandon it.
func (t *flights) join(x *exchange) (f *flight, leads bool) {
	s := t.shard(&x.key.Hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.byKey[x.key.Hash]; f != nil {
		if x.p.mayJoin(f) && !f.spent(x.p.now().UnixNano()) {
			return f, false
		}
		// It goes on for those who wait; who comes from now on asks anew.
		s.alone[f] = struct{}{}
	}
	f = x.newFlight()
	f.listed = true
	s.byKey[x.key.Hash] = f
	return f, true
}

// spent reports whether the flight has nothing for requests that come now: its
// answer is here, and is no longer for anybody without validation.
func (f *flight) spent(now int64) bool {
	if !settled(f) || f.answer.kind != answerBody {
		return false
	}
	return !f.answer.obj.Freshness.FreshAt(now)
}

// leave takes the flight off the table; a request that comes now starts anew.
func (t *flights) leave(f *flight) {
	s := t.shard(&f.key.Hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.alone, f)
	if s.byKey[f.key.Hash] == f {
		delete(s.byKey, f.key.Hash)
	}
}

// enterAlone and leaveAlone keep the book of flights that nobody can join.
func (t *flights) enterAlone(f *flight) {
	s := t.shard(&f.key.Hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alone[f] = struct{}{}
}

func (t *flights) leaveAlone(f *flight) {
	s := t.shard(&f.key.Hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.alone, f)
}

// outdate keeps the flights of a primary key, whatever their variant, from
// storing what they bring. Unsafe requests are rare and flights few, so all are
// looked at.
func (t *flights) outdate(primary policy.Hash) {
	for i := range t.shards {
		t.shards[i].outdate(primary)
	}
}

func (s *flightShard) outdate(primary policy.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h, f := range s.byKey {
		if f.primaryHash() == primary {
			f.outdated.Store(true)
			// Whoever comes after the invalidation must not join what began
			// before it.
			delete(s.byKey, h)
		}
	}
	for f := range s.alone {
		if f.primaryHash() == primary {
			f.outdated.Store(true)
		}
	}
}

// primaryHash is the hash of the flight's key without the variant.
func (f *flight) primaryHash() policy.Hash { return f.key.WithoutVariant().Hash }

// newFlight makes a flight of the exchange's request. The stale object stays
// the exchange's too: each holds what it needs.
func (x *exchange) newFlight() *flight {
	f := &flight{
		p: x.p, cfg: x.cfg, rule: x.rule, key: x.key, ready: make(chan struct{}), leading: true, personal: x.asker.Personal(),
		epoch: x.p.epoch(), incarnation: x.p.incarnation(), closure: x.p.closure(),
	}
	f.key.Text = bytes.Clone(x.key.Text)
	x.showForwarded()
	f.req = x.req.Clone()
	// A HEAD that may renew what is stored fetches like the GET it stands for.
	f.req.Method = "GET"
	f.target = string(x.rule.AppendTarget(nil, &x.req))
	f.stale = x.stale
	return f
}

// settle gives the answer to everybody who waits, once.
func (f *flight) settle(a answer) {
	f.once.Do(func() {
		a.took = f.took
		f.answer = a
		close(f.ready)
	})
}

// start runs the flight in a goroutine of its own; Shutdown waits for it.
func (f *flight) start() {
	t := &fetch{flight: f}
	t.ctx, t.cancel = context.WithCancel(f.p.base)
	t.goFrom(fetchRoundTrip)
}

// goFrom runs the machine from a state on.
func (t *fetch) goFrom(s fetchState) {
	p := t.p
	p.fetching.enter()
	if !t.listed {
		p.flights.enterAlone(t.flight)
	}
	go func() {
		defer p.fetching.leave()
		t.run(s)
		if !t.listed {
			p.flights.leaveAlone(t.flight)
		}
	}()
}

// gate counts what is under way and waits for none. Unlike a WaitGroup it may
// be entered while somebody waits: requests that arrive on open connections
// while the proxy drains still fetch.
type gate struct {
	mu   sync.Mutex
	none sync.Cond
	n    int64
}

func (g *gate) init() { g.none.L = &g.mu }

func (g *gate) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 {
		g.none.Broadcast()
	}
}

// wait returns at a moment when nothing is under way.
func (g *gate) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.n > 0 {
		g.none.Wait()
	}
}

func (g *gate) count() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// refresh starts a background flight for a stale object that is being served,
// unless one is under way already.
func (p *Proxy) refresh(x *exchange, o *tiers.Object) {
	if o.Large() {
		// What the object holds open is the exchange's; the flight looks up
		// its own.
		own := p.tiers.Lookup(&x.key.Hash, x.key.Text)
		if own == nil {
			return
		}
		o = own
	}
	x.stale = o
	f, leads := p.flights.join(x)
	x.stale = nil
	if !leads {
		if o.Large() {
			o.Close()
		}
		return
	}
	f.leading = false
	f.start()
}
