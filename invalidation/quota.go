package invalidation

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Exhausted is the refusal of a purge that names more new scopes than its token may
// add. Nothing was purged.
type Exhausted struct {
	Token string
	// Most is how many new scopes of that kind the token may add at once, and
	// within an hour.
	Most int64
	// Hosts: the scopes are hosts, which have a bound of their own.
	Hosts bool
	// After is when there is room for these again.
	After time.Duration
}

// Error implements error.
func (e *Exhausted) Error() string {
	if e.Hosts {
		return fmt.Sprintf("%s has purged more than %d hosts that were not purged before within an hour; purge everything (all), or try again in %v",
			e.who(), e.Most, e.After)
	}
	return fmt.Sprintf("%s has purged more than %d URLs, tags and prefixes that were not purged before within an hour; "+
		"purge by host or everything (all), which always works, or try again in %v", e.who(), e.Most, e.After)
}

func (e *Exhausted) who() string {
	if e.Token == "" {
		return "whoever needs no token"
	}
	return fmt.Sprintf("the token %q", e.Token)
}

// quotas bound the new scopes that each token adds, so that none of them can use up
// the room of all and raise the floor. What was purged before costs nothing, and
// neither does purging everything.
type quotas struct {
	scopes, hosts int64 // for each token, at once and within an hour
	refused       atomic.Int64

	mu     sync.Mutex // protects tokens
	tokens map[string]*quota
}

// quota is what a token may still add.
type quota struct {
	scopes, hosts float64
	at            time.Time
}

const (
	// quotaShare and hostShare are the parts of all scopes that a token may add at
	// once: four tokens that do can fill the room in an hour, and one in four.
	quotaShare = 4
	hostShare  = 16
	quotaTime  = time.Hour
	// maxQuotas bounds the tokens that are told apart. The rest share one quota.
	maxQuotas = 1024
)

func (q *quotas) init(most int64) {
	q.scopes, q.hosts = max(most/quotaShare, 1), max(most/hostShare, 1)
	q.tokens = make(map[string]*quota)
}

// of returns the quota of a token as it is now. The caller holds mu.
func (q *quotas) of(token string, now time.Time) *quota {
	t := q.tokens[token]
	if t == nil && len(q.tokens) >= maxQuotas {
		token = ""
		t = q.tokens[token]
	}
	if t == nil {
		t = &quota{scopes: float64(q.scopes), hosts: float64(q.hosts), at: now}
		q.tokens[token] = t
	}
	part := max(now.Sub(t.at), 0).Hours() / quotaTime.Hours()
	t.scopes = min(t.scopes+part*float64(q.scopes), float64(q.scopes))
	t.hosts = min(t.hosts+part*float64(q.hosts), float64(q.hosts))
	t.at = now
	return t
}

// Admit takes what the facts need from the quota of a token, "" for those who need
// none. The error is *Exhausted; nothing was taken then.
func (n *Node) Admit(token string, facts []Fact) error {
	var scopes, hosts float64
	for i := range facts {
		f := &facts[i]
		if f.Kind == All {
			continue
		}
		if _, had := n.table.get(hash(f.Kind, f.Scope)); had {
			continue
		}
		if f.Kind == Host {
			hosts++
		} else {
			scopes++
		}
	}
	if scopes+hosts == 0 {
		return nil
	}
	q := &n.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.of(token, n.o.Now())
	e := &Exhausted{Token: token}
	switch {
	case scopes > t.scopes:
		e.Most, e.After = q.scopes, refill(scopes-t.scopes, q.scopes)
	case hosts > t.hosts:
		e.Most, e.Hosts, e.After = q.hosts, true, refill(hosts-t.hosts, q.hosts)
	default:
		t.scopes -= scopes
		t.hosts -= hosts
		return nil
	}
	q.refused.Add(1)
	return e
}

// refill is how long it takes until so many more may be added.
func refill(missing float64, most int64) time.Duration {
	return max(time.Duration(missing/float64(most)*float64(quotaTime)).Round(time.Second), time.Second)
}
