package origin

import (
	"slices"
	"sync"
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
	mu      sync.Mutex // protects all below, and every member
	conf    rosterConfig
	members map[string]*member // by URL
	vtime   float64            // the virtual time of the last choice, see key
	blame   blame
	usual   latencies // of good answers
	pace    pace      // derived from usual at pacedAt
	pacedAt time.Duration
	outage  outage
	retries budget
	hedges  budget
	waiting queue
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
	balance     Balance
	eject       Eject
	health      Health
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
}

// newRoster returns a roster without members.
func newRoster() *roster {
	return &roster{members: make(map[string]*member)}
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
			m = &member{url: s.URL, pass: r.vtime}
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

// result is how one exchange with a server ended, or that it has a header.
type result struct {
	began time.Duration
	took  time.Duration // until the header
	// target identifies what was asked for, without its query.
	target uint64
	// bad: the server failed. unreached: no connection was made. reason is the text.
	bad, unreached bool
	reason         string
	// late: the answer is good, but came after it was taken for overdue.
	late bool
	// probe: the exchange was to find out whether an ejected server is back.
	probe bool
}

// record takes note of a result at m and decides what follows from it for members.
func (r *roster) record(now time.Duration, members []*member, m *member, res *result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, e := &m.health, &r.conf.eject
	if h.out && !res.probe && res.began <= h.outAt {
		return // more of what it was ejected for
	}
	if !res.bad {
		r.goodLocked(now, members, m, res)
		return
	}
	switch {
	case h.out:
		if res.unreached || !r.blame.everywhere(now, res.target) {
			h.probeFailed(e, now, res.reason)
		} else {
			h.until = now + e.For // it says nothing about this server
		}
		return
	case res.unreached, r.blame.failed(now, res.target, m):
		h.failed(now, res.reason, res.unreached)
	case r.blame.everywhere(now, res.target):
		return
	case !h.suspect(e, now, res.target, res.reason, othersGood(members, m)):
		h.reason = res.reason
		return
	}
	r.judgeLocked(now, members, m)
}

func (r *roster) goodLocked(now time.Duration, members []*member, m *member, res *result) {
	m.mean.add(now, res.took)
	if !res.late {
		r.usual.add(now, res.took)
	}
	for _, guilty := range r.blame.answeredWell(now, res.target, m) {
		if h := &guilty.health; !h.out {
			h.failed(now, h.reason, false)
			r.judgeLocked(now, members, guilty)
		}
	}
	if m.health.good(now); m.health.out {
		m.health.comeBack(&r.conf.eject, now)
		r.wakeLocked(now)
	} else if m.health.failing {
		r.judgeLocked(now, members, m)
	}
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
	if h.judge(&r.conf.eject, now) != was {
		h.since = now
	}
	if !h.failing || h.out || h.check.down {
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
	}
}

// checked takes note of an active check of m.
func (r *roster) checked(now time.Duration, members []*member, m *member, good bool, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := &m.health
	if !good {
		h.reason = reason
	}
	if !h.check.record(&r.conf.health, good) {
		return
	}
	h.since = now
	if h.judge(&r.conf.eject, now); good && h.out {
		h.comeBack(&r.conf.eject, now)
	}
	r.wakeLocked(now)
}

// overdue notes that an exchange with m takes longer than usual, or (by -1) that it
// no longer does.
func (r *roster) overdue(m *member, by int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.health.overdue += by
}

// probe returns an ejected server that is due to be probed, with a permit, and marks
// it as being probed; nil when there is none. For requests that must not be sent
// twice, alone, a server is due later.
func (r *roster) probe(now time.Duration, members []*member, alone bool) *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range members {
		if h := &m.health; h.probeDue(now) && m.inUse < m.limit && (!alone || now >= h.until+r.conf.eject.For) {
			h.probing = true
			m.inUse++
			return m
		}
	}
	return nil
}

// probed ends what probe began. The permit goes back on its own.
func (r *roster) probed(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.health.probing = false
}
