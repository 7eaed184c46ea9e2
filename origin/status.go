package origin

import (
	"maps"
	"time"
)

// Status is what a pool knows of its servers.
type Status struct {
	// Failing: see Pool.Failing.
	Failing bool
	Servers []ServerStatus
	Waiting int // requests that wait for a connection
	// Retries are counted by why, Hedges by whether they won; since the roster began.
	Retries, Hedges map[string]uint64
}

// ServerStatus is what is known of one server.
type ServerStatus struct {
	URL       string
	Addresses []string // what its name stands for
	State     State
	Since     time.Time // when State began
	Reason    string    // why it is not simply up, or else how it last failed
	InFlight  int
	Outcomes  map[string]uint64 // of Outcomes, what was counted since the roster began
}

// status fills in what the roster knows. The servers are those of members.
func (r *roster) status(now time.Duration, members []*member) Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{
		Failing: r.failingLocked(members), Waiting: len(r.waiting.waiters),
		Retries: make(map[string]uint64), Hedges: map[string]uint64{"true": r.hedged[true], "false": r.hedged[false]},
	}
	for w := range whyHedge {
		s.Retries[w.String()] = r.retried[w]
	}
	wall := time.Now()
	for _, m := range members {
		s.Servers = append(s.Servers, ServerStatus{
			URL: m.url, State: m.health.state(m.backup), Since: wall.Add(m.health.since - now), Reason: m.health.reason,
			InFlight: m.inUse, Outcomes: maps.Clone(m.outcomes),
		})
	}
	return s
}
