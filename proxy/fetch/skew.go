package fetch

import (
	"sync"
	"time"

	"weir/policy"
)

// skews are the origins whose clocks the log has told of, by name.
type skews struct {
	mu   sync.Mutex // protects told
	told map[string]time.Time
}

const (
	// notableSkew is from where the log tells of an origin's clock, in seconds.
	notableSkew = 5
	// skewEvery bounds how often the log tells of one origin's clock.
	skewEvery = 10 * time.Minute
	// maxSkews bounds the origins that are remembered: reloads may bring new names.
	maxSkews = 1024
)

// NoteDate counts by how much the Date of an origin's response is off, and tells the
// log where that is much.
func (m *Machine) NoteDate(origin string, index int, r *policy.Response) {
	skew := policy.Skew(r)
	m.metrics.OriginSkew(index, skew)
	if (skew <= -notableSkew || skew >= notableSkew) && m.skews.tell(origin, m.now()) {
		m.log.Warn("the Date of an origin's responses is off: its clock is, or ours, or a cache in front of it sends no Age; see ttl.trust_date",
			"origin", origin, "seconds", skew)
	}
}

// tell reports whether the log is to tell of the origin now.
func (s *skews) tell(origin string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.told[origin]; ok && now.Sub(last) < skewEvery {
		return false
	}
	if s.told == nil || len(s.told) >= maxSkews {
		s.told = make(map[string]time.Time)
	}
	s.told[origin] = now
	return true
}
