package origin

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
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
	hedged   map[bool]uint64 // by whether they won
	news     []news          // what is to be logged
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
	r := &roster{clock: clock, members: make(map[string]*member), hedged: make(map[bool]uint64)}
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
	r.notePresenceLocked()
	r.wakeLocked(now)
	return list
}

// notePresenceLocked notes whether any server is ejected.
func (r *roster) notePresenceLocked() {
	r.anyOut.Store(slices.ContainsFunc(r.list, func(m *member) bool { return m.health.out }))
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
