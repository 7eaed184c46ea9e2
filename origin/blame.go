package origin

import (
	"slices"
	"time"
)

// maxCases bounds the targets that a blame remembers.
const maxCases = 128

// blame decides whether a failure counts against the server on which it happened.
// A request that fails on every server shows that something is wrong with what it
// asks for, and counts against none of them. So a failure counts once another
// server has answered the same target well, just before or after it, for example
// because the request was sent there next. Targets are compared without their
// queries. Failures to connect need no such evidence.
//
// While nothing fails it remembers nothing and costs nothing.
type blame struct {
	window time.Duration // for how long evidence counts
	cases  map[uint64]*blameCase
}

// blameCase is what is known of one target: where it failed with nothing to
// compare, and where it was answered. No server is in both.
type blameCase struct {
	at       time.Duration // of the newest evidence
	failed   []*member
	answered []*member
	// everywhere is set when the target failed on two servers: until one answers
	// it, its failures do not count.
	everywhere bool
}

// failed records that m failed to answer target, and reports whether that counts
// against m at once.
func (b *blame) failed(now time.Duration, target uint64, m *member) bool {
	c := b.find(now, target)
	if c == nil {
		c = b.open(now, target)
	}
	c.at = now
	c.answered = slices.DeleteFunc(c.answered, func(o *member) bool { return o == m })
	switch {
	case len(c.answered) > 0:
		return true
	case c.everywhere:
	case slices.ContainsFunc(c.failed, func(o *member) bool { return o != m }):
		c.everywhere, c.failed = true, nil
	case len(c.failed) == 0:
		c.failed = append(c.failed, m)
	}
	return false
}

// answeredWell records that m answered target well, and returns the servers whose
// failures count because of that.
func (b *blame) answeredWell(now time.Duration, target uint64, m *member) (guilty []*member) {
	if len(b.cases) == 0 {
		return nil
	}
	c := b.find(now, target)
	if c == nil {
		return nil
	}
	c.at, c.everywhere = now, false
	guilty = slices.DeleteFunc(c.failed, func(o *member) bool { return o == m })
	c.failed = nil
	if !slices.Contains(c.answered, m) {
		c.answered = append(c.answered, m)
	}
	return guilty
}

// everywhere reports whether target is known to fail on every server.
func (b *blame) everywhere(now time.Duration, target uint64) bool {
	c := b.find(now, target)
	return c != nil && c.everywhere
}

func (b *blame) find(now time.Duration, target uint64) *blameCase {
	c := b.cases[target]
	if c != nil && now-c.at > b.window {
		delete(b.cases, target)
		return nil
	}
	return c
}

// open makes room for a target and returns its case.
func (b *blame) open(now time.Duration, target uint64) *blameCase {
	if b.cases == nil {
		b.cases = make(map[uint64]*blameCase)
	}
	if len(b.cases) >= maxCases {
		var oldest uint64
		at := now + 1
		for t, c := range b.cases {
			if now-c.at > b.window {
				delete(b.cases, t)
			} else if c.at < at {
				oldest, at = t, c.at
			}
		}
		if len(b.cases) >= maxCases {
			delete(b.cases, oldest)
		}
	}
	c := &blameCase{}
	b.cases[target] = c
	return c
}
