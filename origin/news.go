package origin

import (
	"log/slog"
	"time"
)

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
