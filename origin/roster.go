package origin

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Balance says by what a server is chosen.
type Balance uint8

const (
	// LeastRequests chooses the server with the fewest requests in flight for its
	// weight, and counts those of a slow server several times.
	LeastRequests Balance = iota
	// RoundRobin lets the servers take turns, by their weights only.
	RoundRobin
)

// roster knows the servers of an origin: which is chosen, what is in flight at each,
// and how each fares. It outlives the Pool of one configuration, so that a reload
// changes neither how many requests a server has nor what is known of it. All times
// are by one clock, which its callers read.
type roster struct {
	clock func() time.Duration // for the watch; all else is told the time
	quit  context.Context      // ends the watch
	close context.CancelFunc

	mu       sync.Mutex // protects all below, and every member
	conf     rosterConfig
	members  map[string]*member // by URL
	list     []*member          // in the order of the configuration
	vtime    float64            // the virtual time of the last choice, see key
	blame    blame
	patience patience // derived from the members' latencies at the time derived
	derived  time.Duration
	outage   outage
	retries  budget
	hedges   budget
	waiting  queue
	watching bool        // the watch runs
	anyOut   atomic.Bool // a server is ejected, so that it may be due to be probed
	retried  [numWhys]uint64
	hedged   [2]uint64 // that won, and that did not
	news     []news    // what is to be logged
}

// Server is one server of a pool.
type Server struct {
	// URL is "http://host[:port]" or "https://host[:port]".
	URL string
	// Weight is its share of the requests in relation to the others; 0 is 1.
	Weight int
	// Backup: it gets requests only while no other server is usable.
	Backup bool
}

// rosterConfig is what a roster depends on of a Config.
type rosterConfig struct {
	name        string
	log         *slog.Logger // nil: nobody
	balance     Balance
	eject       Eject
	health      Health
	retries     int     // of one request
	retryBudget float64 // a share of the requests
	hedge       Hedge
	queueSize   int
	permits     int // of each server
}

// retryFloor is how many retries within budgetSpan are allowed whatever the budget.
const retryFloor = 3

// member is one server as the roster knows it.
type member struct {
	url    string
	health health
	inUse  int     // permits taken
	limit  int     // permits there are
	weight float64 // its share in relation to the others
	backup bool
	pass   float64 // the virtual time of its next turn
	mean   mean
	usual  latencies
	flying []*attempt // what is in flight

	outcomes map[string]uint64
	said     map[string]saying
}

// newRoster returns a roster without members. clock is that of all times it is told.
func newRoster(clock func() time.Duration) *roster {
	r := &roster{clock: clock, members: make(map[string]*member)}
	r.quit, r.close = context.WithCancel(context.Background())
	return r
}

// configure makes the servers of the roster those given, and returns them in the same
// order. Those that are known stay what they are.
func (r *roster) configure(now time.Duration, servers []Server, c rosterConfig) []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conf = c
	r.blame.window = c.eject.Window
	r.retries.share, r.retries.floor, r.retries.seen.span = c.retryBudget, retryFloor, budgetSpan
	r.hedges.share, r.hedges.seen.span = c.hedge.AtMost, budgetSpan
	r.waiting.size = c.queueSize
	list := make([]*member, len(servers))
	known := r.members
	r.members = make(map[string]*member, len(servers))
	for i, s := range servers {
		m := known[s.URL]
		if m == nil {
			m = &member{url: s.URL, pass: r.vtime, outcomes: make(map[string]uint64), health: health{since: now}}
		}
		if m.health.results.span != c.eject.Window {
			m.health.results = tally{span: c.eject.Window}
		}
		if c.health.Path == "" {
			m.health.check = checks{} // what the last check said holds no longer
		}
		m.weight, m.backup, m.limit = float64(max(s.Weight, 1)), s.Backup, c.permits
		r.members[s.URL], list[i] = m, m
	}
	r.list = list
	r.wakeLocked(now)
	return list
}

// rank is how willingly a server is chosen; the lowest is tried first.
type rank uint8

const (
	rankFirst  rank = iota // in service
	rankBackup             // a backup, while no other server is good
	rankWorse              // it fails, or is a backup that is not needed
	rankOut                // ejected, while others are good
	ranks
)

// standing is what a choice must know of all servers first.
type standing struct {
	good    bool // one of them is good
	primary bool // one that is no backup is good
}

func standingOf(members []*member) (s standing) {
	for _, m := range members {
		if m.good() {
			s.good, s.primary = true, s.primary || !m.backup
		}
	}
	return s
}

// good reports whether the server is in service and does not fail.
func (m *member) good() bool { return !m.health.out && !m.health.failing && !m.health.check.down }

// rank returns how willingly m is chosen. When no server is good those that were
// ejected are as good as the others: one of them may be back.
func (s standing) rank(m *member) rank {
	switch {
	case s.good && (m.health.out || m.health.check.down):
		return rankOut
	case !m.backup && s.primary:
		return rankFirst
	case m.backup && m.good() && !s.primary:
		return rankBackup
	}
	return rankWorse
}

// chooseLocked returns the server to try next, among those of the best rank that
// tried does not hold; free restricts it to those with a permit left. It returns nil
// when there is none.
func (r *roster) chooseLocked(now time.Duration, members, tried []*member, free bool) *member {
	s := standingOf(members)
	best, fastest := ranks, 0.0
	for _, m := range members {
		if slices.Contains(tried, m) {
			continue
		}
		best = min(best, s.rank(m))
		if v := m.mean.known(now); v > 0 && (fastest == 0 || v < fastest) {
			fastest = v
		}
	}
	var chosen *member
	var least, stride float64
	for _, m := range members {
		if s.rank(m) != best || slices.Contains(tried, m) || free && m.inUse >= m.limit {
			continue
		}
		if key, step := r.key(now, m, fastest); chosen == nil || key < least {
			chosen, least, stride = m, key, step
		}
	}
	if chosen != nil {
		r.vtime = max(chosen.pass, r.vtime)
		chosen.pass = r.vtime + stride
	}
	return chosen
}

// slowBy is by how much slower than the fastest server one must be for that to
// count, and maxSlow the most that it counts. A suspected server, and one that fails
// and yet is in service, count as that much slower than they are: with two servers
// the latter gets a smaller share than the budget of retries usually is.
const (
	slowBy    = 1.5
	maxSlow   = 8.0
	suspicion = 4.0
	distrust  = 16.0
)

// key orders the servers: the lowest is next. Each choice of a server moves its next
// turn on by a stride, the longer the less weight it has. A turn that was missed is
// lost (pass is at least vtime), so that by themselves the turns share requests out
// by weight, and what is in flight outweighs them as soon as it differs.
func (r *roster) key(now time.Duration, m *member, fastest float64) (key, stride float64) {
	slow := 1.0
	if r.conf.balance == LeastRequests {
		if v := m.mean.known(now); v > slowBy*fastest && fastest > 0 {
			slow = min(v/fastest, maxSlow)
		}
		key = float64(m.inUse)
	}
	switch {
	case m.health.failing:
		slow *= distrust
	case m.health.suspected(now):
		slow *= suspicion
	}
	stride = slow / m.weight
	return max(m.pass, r.vtime) + key*stride, stride
}

// attempt is one exchange with a server as the roster knows it.
type attempt struct {
	members []*member // the servers of its pool
	tried   []*member // those among them that failed the same request
	member  *member   // the one it was given a permit of
	place   int       // in member.flying
	began   time.Duration
	left    time.Duration // what it may take
	target  uint64        // identifies what is asked for, without its query
	// safe: it may be sent to another server, too. owner is then told to.
	safe  bool
	owner contender
	// hedged: that may also be because of Config.Hedge.
	hedged bool
	// probe: it finds out whether an ejected server is back.
	probe bool

	// stage is 0 before the header is here. From then on it grows with each read of
	// the body, and is odd during one.
	stage atomic.Uint32
	// stalls: it can be told from the response's header that the body is not one that
	// pauses for as long as it likes.
	stalls atomic.Bool

	// Protected by the roster's mu.
	seen    uint32        // stage when last looked at
	seenAt  time.Duration // when that was new
	overdue bool          // it takes longer than is usual
	counted bool          // what it says about its server has been recorded
	raced   bool          // another server has been asked beside
}

// contender is asked to begin another attempt beside its own, at a server whose permit
// is taken.
type contender interface{ rival(m *member, w why) }

// result is how an attempt ended.
type result struct {
	outcome string        // for the metrics
	good    bool          // the answer was whole, and none that tells of a fault
	bad     bool          // the server failed; else, if not good, nothing follows
	reason  string        // of bad
	took    time.Duration // until the header; 0 when there was none
	// unreached: no connection was made.
	unreached bool
}

// settle ends an attempt: what its result says is recorded, and its permit is free.
func (r *roster) settle(now time.Duration, a *attempt, res *result) {
	r.mu.Lock()
	defer r.unlock()
	m := a.member
	if res.outcome != "" {
		m.outcomes[res.outcome]++
	}
	last := m.flying[len(m.flying)-1]
	m.flying[a.place], last.place = last, a.place
	m.flying[len(m.flying)-1] = nil
	m.flying = m.flying[:len(m.flying)-1]
	r.recordLocked(now, a, res)
	if a.overdue {
		m.health.overdue--
	}
	if a.probe {
		m.health.probing = false
	}
	m.inUse--
	r.grantLocked(now, m)
}

// record takes note of what an attempt says about its server before it ends.
func (r *roster) record(now time.Duration, a *attempt, res *result) {
	r.mu.Lock()
	defer r.unlock()
	r.recordLocked(now, a, res)
}

func (r *roster) recordLocked(now time.Duration, a *attempt, res *result) {
	m, h, e := a.member, &a.member.health, &r.conf.eject
	if res.good {
		m.mean.add(now, res.took)
		m.usual.add(now, res.took)
	}
	if a.counted || h.out && !a.probe && a.began <= h.outAt || !res.good && !res.bad {
		return // known, more of what it was ejected for, or nothing
	}
	a.counted = true
	switch {
	case res.good:
		r.goodLocked(now, a, res.took)
		return
	case h.out:
		if res.unreached || !r.blame.everywhere(now, a.target) {
			h.probeFailed(e, now, res.reason)
		} else {
			h.until = now + e.For // it says nothing about this server
		}
		return
	case res.unreached, r.blame.failed(now, a.target, m):
		h.failed(now, res.reason, res.unreached)
	case r.blame.everywhere(now, a.target):
		return
	case !h.suspect(e, now, a.target, res.reason, othersGood(a.members, m)):
		h.reason = res.reason
		return
	}
	r.judgeLocked(now, a.members, m)
}

func (r *roster) goodLocked(now time.Duration, a *attempt, took time.Duration) {
	m := a.member
	if took < r.patienceLocked(now).slow {
		r.outage.good(now)
	} else {
		r.outage.silent(now, a.began)
	}
	for _, guilty := range r.blame.answeredWell(now, a.target, m) {
		if h := &guilty.health; !h.out {
			h.failed(now, h.reason, false)
			r.judgeLocked(now, a.members, guilty)
		}
	}
	if m.health.good(now); m.health.out {
		r.comeBackLocked(now, m)
	} else if m.health.failing {
		r.judgeLocked(now, a.members, m)
	}
}

// comeBackLocked returns m to service.
func (r *roster) comeBackLocked(now time.Duration, m *member) {
	m.health.comeBack(&r.conf.eject, now)
	r.anyOut.Store(slices.ContainsFunc(r.list, func(m *member) bool { return m.health.out }))
	r.becameLocked(m, false)
	r.wakeLocked(now)
}

// othersGood is when another server than m last answered well.
func othersGood(members []*member, m *member) (last time.Duration) {
	for _, o := range members {
		if o != m {
			last = max(last, o.health.lastGood)
		}
	}
	return last
}

// judgeLocked ejects m if it fails too often and enough others are left: never the
// last that is good, and never more than half of the servers, except that one which
// cannot be reached relieves the others of nothing.
func (r *roster) judgeLocked(now time.Duration, members []*member, m *member) {
	h := &m.health
	was := h.failing
	if h.judge(&r.conf.eject, now) != was && !h.out {
		h.since = now
	}
	if !h.failing || h.out || h.check.down {
		if was && !h.failing {
			r.becameLocked(m, false)
		}
		return
	}
	out, good := 1, false
	for _, o := range members {
		if o.health.out {
			out++
		}
		good = good || o != m && o.good()
	}
	if beyond := out > len(members)/2; good && (!beyond || h.unreached) {
		h.eject(&r.conf.eject, now, beyond)
		r.anyOut.Store(true)
	}
	if h.out || !was {
		r.becameLocked(m, true)
	}
}

// news is what is to be logged: a failure of some kind, or what became of a server.
type news struct {
	url, reason string
	kind        string // of a failure
	unsaid      int    // how many of that kind were not logged
	state       State  // what the server is now, without a kind
	bad         bool   // that is worse than before
}

// maxNews bounds what waits to be logged.
const maxNews = 100

func (r *roster) newsLocked(n news) {
	if len(r.news) < maxNews {
		r.news = append(r.news, n)
	}
}

func (r *roster) becameLocked(m *member, bad bool) {
	r.newsLocked(news{url: m.url, reason: m.health.reason, state: m.health.state(m.backup), bad: bad})
}

// unlock unlocks mu, and then logs what there is to tell.
func (r *roster) unlock() {
	list, log, name := r.news, r.conf.log, r.conf.name
	r.news = nil
	r.mu.Unlock()
	if log == nil {
		return
	}
	for _, n := range list {
		origin, server := slog.String("origin", name), slog.String("server", n.url)
		switch {
		case n.kind != "":
			log.Warn("origin server failed", origin, server, slog.String("kind", n.kind), slog.String("error", n.reason), slog.Int("unlogged", n.unsaid))
		case n.bad:
			log.Warn("origin server is "+n.state.String(), origin, server, slog.String("reason", n.reason))
		default:
			log.Info("origin server is "+n.state.String()+" again", origin, server)
		}
	}
}

// saying is when a kind of failure was last logged, and how many came since.
type saying struct {
	at     time.Duration
	unsaid int
}

// sayAgain is how long a server's failures of one kind are not logged again.
const sayAgain = 10 * time.Second

// say reports whether a failure of that kind is to be logged, and how many of it were
// not.
func (m *member) say(now time.Duration, kind string) (unsaid int, yes bool) {
	s, said := m.said[kind]
	if said && now-s.at < sayAgain {
		s.unsaid++
		m.said[kind] = s
		return 0, false
	}
	if m.said == nil {
		m.said = make(map[string]saying)
	}
	m.said[kind] = saying{at: now}
	return s.unsaid, true
}

// complain logs a failure of m, each kind at most once in ten seconds.
func (r *roster) complain(now time.Duration, m *member, kind, reason string) {
	r.mu.Lock()
	defer r.unlock()
	if unsaid, yes := m.say(now, kind); yes {
		r.newsLocked(news{url: m.url, kind: kind, reason: reason, unsaid: unsaid})
	}
}

// checked takes note of an active check of m.
func (r *roster) checked(now time.Duration, members []*member, m *member, good bool, reason string) {
	r.mu.Lock()
	defer r.unlock()
	h := &m.health
	if !good {
		h.reason = reason
	}
	if !h.check.record(&r.conf.health, good) {
		return
	}
	h.since = now
	if h.judge(&r.conf.eject, now); good && h.out {
		r.comeBackLocked(now, m)
		return
	}
	r.becameLocked(m, !good)
	r.wakeLocked(now)
}

// probe begins an attempt at an ejected server that is due to be probed, and reports
// whether there is one. For requests that must not be sent twice, alone, a server is
// due later.
func (r *roster) probe(now time.Duration, a *attempt, alone bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range a.members {
		if h := &m.health; h.probeDue(now) && m.inUse < m.limit && (!alone || now >= h.until+r.conf.eject.For) {
			h.probing, a.probe = true, true
			r.takeOffLocked(now, a, m)
			return true
		}
	}
	return false
}

// takeOffLocked gives an attempt a permit of m.
func (r *roster) takeOffLocked(now time.Duration, a *attempt, m *member) {
	m.inUse++
	r.flyLocked(now, a, m)
}

func (r *roster) flyLocked(now time.Duration, a *attempt, m *member) {
	a.member, a.began, a.seenAt, a.place = m, now, now, len(m.flying)
	m.flying = append(m.flying, a)
	r.watchLocked()
}

// fly begins an attempt with a permit that is taken already.
func (r *roster) fly(now time.Duration, a *attempt, m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flyLocked(now, a, m)
}

// free returns a permit of m that no attempt uses.
func (r *roster) free(now time.Duration, m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.inUse--
	r.grantLocked(now, m)
}

// retry reports whether one more attempt is within the budget, and counts it if so.
func (r *roster) retry(now time.Duration, w why) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.retries.take(now) {
		return false
	}
	r.retried[w]++
	return true
}

// left reports whether there is a server in service that tried does not hold. For an
// answer that tells of a fault there is none where all servers are known to answer so.
func (r *roster) left(members, tried []*member, target uint64, answered bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if answered && r.blame.everywhere(r.clock(), target) {
		return false
	}
	return slices.ContainsFunc(members, func(m *member) bool {
		return !slices.Contains(tried, m) && !m.health.out && !m.health.check.down
	})
}

// failing reports whether the origin as a whole fails.
func (r *roster) failing(members []*member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failingLocked(members)
}

func (r *roster) failingLocked(members []*member) bool {
	return r.outage.failing || !slices.ContainsFunc(members, (*member).works)
}

// works reports whether m is good, or has answered well since it no longer is: a
// health check may ask for what is not there.
func (m *member) works() bool { return m.good() || m.health.lastGood > m.health.since }

// silent and failed take note of a request that no server answered well.
func (r *roster) silent(now, began time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outage.silent(now, began)
}

func (r *roster) failed(now time.Duration, target uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outage.bad(now, target)
}

// mayProbe and hasProbed are outage.probe and outage.probed.
func (r *roster) mayProbe(now time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outage.probe(now)
}

func (r *roster) hasProbed(now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outage.probed(now)
}
