package origin

import (
	"slices"
	"time"
)

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
