package fetch

import (
	"sync"
	"sync/atomic"

	"weir/policy"
	"weir/proxy/stored"
)

// flights are the fetches under way that others may join, by key.
type flights struct {
	shards [64]flightShard
}

type flightShard struct {
	// mu protects byKey and alone, and of the flights in them what its comment
	// says.
	mu    sync.Mutex
	byKey map[policy.Hash]*Flight
	// alone are the flights that nobody can join. An invalidation must find
	// them all the same.
	alone map[*Flight]struct{}
}

func (t *flights) init() {
	for i := range t.shards {
		t.shards[i].byKey = make(map[policy.Hash]*Flight)
		t.shards[i].alone = make(map[*Flight]struct{})
	}
}

func (t *flights) shard(h *policy.Hash) *flightShard { return &t.shards[h[0]%64] }

// Flight is one fetch, and what comes of it.
type Flight struct {
	m *Machine
	// hash is what the flight is registered under, primary that of its key
	// without a variant.
	hash, primary policy.Hash
	// Personal reports whether the leader's cookies or credentials may make the
	// answer its own.
	Personal bool
	// moment is what purges are held against.
	moment stored.Moment
	// listed is false for a flight that nobody can join.
	listed bool
	// outdated is set by an invalidation that came while the flight was under
	// way: what it brings was made before, and is not stored.
	outdated atomic.Bool
	// people counts the clients who wait for the answer: where an origin has more to
	// do than connections, it answers them in that order.
	people atomic.Int64
	// followers is how many of them follow another's question.
	followers atomic.Int64

	// mu protects the fields below; answer does not change once it is set.
	mu     sync.Mutex
	ready  chan struct{} // closed with the answer; nil: nobody waits yet
	answer Answer
	// own is what LeadBehind holds for its caller, until that has taken it or left.
	own  Own
	left bool
}

// Join returns the flight under the key, and whether the caller leads it. A
// leader must call Lead, Behind or GiveUp. The moment from which purges win over
// the flight is now.
func (m *Machine) Join(k *policy.Key, personal bool) (f *Flight, leads bool) {
	s := m.flights.shard(&k.Hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.byKey[k.Hash]; f != nil {
		if m.store.Joinable(&f.moment) && !f.spent() {
			return f, false
		}
		// It goes on for those who wait; who comes from now on asks anew.
		s.alone[f] = struct{}{}
	}
	f = m.newFlight(k, personal)
	f.listed = true
	s.byKey[k.Hash] = f
	return f, true
}

// Alone returns a flight that nobody joins. The caller must call Lead.
func (m *Machine) Alone(k *policy.Key, personal bool) *Flight {
	f := m.newFlight(k, personal)
	s := m.flights.shard(&f.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alone[f] = struct{}{}
	return f
}

func (m *Machine) newFlight(k *policy.Key, personal bool) *Flight {
	f := &Flight{m: m, hash: k.Hash, primary: k.Hash, Personal: personal, moment: m.store.Moment()}
	if !k.IsPrimary() {
		f.primary = k.WithoutVariant().Hash
	}
	return f
}

// spent reports whether the flight has nothing for requests that come now: its
// answer is here, and is no longer for anybody without validation.
func (f *Flight) spent() bool {
	b, ok := f.Answer().(*Body)
	return ok && !b.Head.Freshness.FreshAt(f.m.store.Clock().Now())
}

// Answer returns the answer where it is here, else nil.
func (f *Flight) Answer() Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answer
}

// Ready returns a channel that is closed when the answer is here.
func (f *Flight) Ready() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ready == nil {
		f.ready = make(chan struct{})
		if f.answer != nil {
			close(f.ready)
		}
	}
	return f.ready
}

// Follow counts a client who waits for the answer to another's question, until
// Unfollow. It reports false where as many wait already as may: then Unfollow must not
// be called.
func (f *Flight) Follow() bool {
	if n := f.followers.Add(1); f.m.maxFollowers > 0 && n > f.m.maxFollowers {
		f.followers.Add(-1)
		return false
	}
	f.people.Add(1)
	return true
}

// Unfollow ends what Follow began.
func (f *Flight) Unfollow() {
	f.people.Add(-1)
	f.followers.Add(-1)
}

// settle gives the answer to everybody who waits; the first counts.
func (f *Flight) settle(a Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answer != nil {
		return
	}
	f.answer = a
	if f.ready != nil {
		close(f.ready)
	}
}

// Leave takes the flight off the table; a request that comes now starts anew.
func (f *Flight) Leave() {
	s := f.m.flights.shard(&f.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(f)
}

func (s *flightShard) leave(f *Flight) {
	if f.listed {
		delete(s.alone, f)
	}
	if s.byKey[f.hash] == f {
		delete(s.byKey, f.hash)
	}
}

// end takes the flight out of every book.
func (f *Flight) end() {
	s := f.m.flights.shard(&f.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(f)
	delete(s.alone, f)
}

// GiveUp ends a flight that was not started: who waits looks up again.
func (f *Flight) GiveUp() {
	f.end()
	f.settle(&Again{})
}

// Outdate keeps the flights of a primary key, whatever their variant, from
// storing what they bring. Unsafe requests are rare and flights few, so all are
// looked at.
func (m *Machine) Outdate(primary policy.Hash) {
	for i := range m.flights.shards {
		m.flights.shards[i].outdate(primary)
	}
}

func (s *flightShard) outdate(primary policy.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h, f := range s.byKey {
		if f.primary == primary {
			f.outdated.Store(true)
			// Whoever comes after the invalidation must not join what began
			// before it.
			delete(s.byKey, h)
		}
	}
	for f := range s.alone {
		if f.primary == primary {
			f.outdated.Store(true)
		}
	}
}
