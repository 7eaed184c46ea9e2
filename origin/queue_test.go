package origin

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// ask makes n clients wait for an answer; 0 is a request in the background. The waiter
// is nil when a permit was free.
func (r *testRoster) ask(n int64, tried ...*member) (*attempt, *waiter) {
	people := new(atomic.Int64)
	people.Store(n)
	a := &attempt{members: r.list, tried: tried}
	return a, r.acquire(r.now, a, people)
}

// wait is ask where no permit is free.
func (r *testRoster) wait(n int64, tried ...*member) *waiter {
	r.t.Helper()
	a, w := r.ask(n, tried...)
	if w == nil {
		r.t.Fatalf("there is a permit of %s left", a.member.url)
	}
	r.pass(time.Millisecond)
	return w
}

// served returns which waiter was granted a permit by its place in the list; -1 is
// none.
func served(list []*waiter) int {
	return slices.IndexFunc(list, func(w *waiter) bool {
		select {
		case granted := <-w.granted:
			return granted
		default:
			return false
		}
	})
}

// full returns a roster with all permits in use, and one attempt at each server that
// may be settled.
func full(t *testing.T, n int) (*testRoster, []*attempt) {
	r := newTestRoster(t, servers(n)...)
	list := make([]*attempt, n)
	for i := range list {
		list[i], _ = r.ask(1)
	}
	slices.SortFunc(list, func(a, b *attempt) int { return slices.Index(r.list, a.member) - slices.Index(r.list, b.member) })
	for _, m := range r.list {
		m.inUse = m.limit
	}
	return r, list
}

func TestQueueOrder(t *testing.T) {
	r, flying := full(t, 1)
	var list []*waiter
	for _, people := range []int64{0, 1, 1, 1, 5, 1, 0} {
		list = append(list, r.wait(people))
	}
	var got []int
	a := flying[0]
	for range list {
		r.settle(r.now, a, &result{})
		n := served(list)
		got, a = append(got, n), list[n].attempt
	}
	if want := []int{4, 1, 2, 3, 5, 0, 6}; !slices.Equal(got, want) {
		t.Errorf("served in the order %v, want %v", got, want)
	}
	m := r.list[0]
	if m.inUse != m.limit || len(r.waiting.waiters) != 0 {
		t.Errorf("%d permits of %d in use", m.inUse, m.limit)
	}
	if r.settle(r.now, a, &result{}); m.inUse != m.limit-1 || len(m.flying) != 0 {
		t.Error("a permit that nobody waits for is not free")
	}
}

func TestQueueIsBounded(t *testing.T) {
	r, _ := full(t, 1)
	r.waiting.size = 2
	list := []*waiter{r.wait(0), r.wait(1)}
	// The background makes room for people, and the last of people for nobody.
	list = append(list, r.wait(1))
	if <-list[0].granted {
		t.Error("the request in the background keeps its place")
	}
	list = append(list, r.wait(1))
	if <-list[3].granted {
		t.Error("a permit came from nowhere")
	}
	// One that many wait for takes the place of the newest.
	list = append(list, r.wait(3))
	if <-list[2].granted {
		t.Error("a permit came from nowhere")
	}
	if len(r.waiting.waiters) != 2 {
		t.Errorf("%d wait", len(r.waiting.waiters))
	}
}

// The losing interleaving: a waiter gives up while it is granted a permit, which
// nobody would then return.
func TestQueueGiveUp(t *testing.T) {
	r, flying := full(t, 1)
	w, next := r.wait(1), r.wait(1)
	r.giveUp(r.now, w)
	if len(r.waiting.waiters) != 1 {
		t.Fatal("whoever gave up waits")
	}
	r.settle(r.now, flying[0], &result{}) // for next
	w = r.wait(1)
	r.giveUp(r.now, next)
	if m := r.list[0]; !<-w.granted || w.member != m || m.inUse != m.limit || len(m.flying) != 1 {
		t.Errorf("the permit went to %v; %d in use", w.member, m.inUse)
	}
}

// A waiter takes a permit of any server that it may be sent to, and of no other.
func TestQueueOfSeveralServers(t *testing.T) {
	r, flying := full(t, 3)
	w := r.wait(1, r.list[0])
	r.settle(r.now, flying[0], &result{})
	for range 3 {
		r.unreached(r.list[1])
	}
	r.settle(r.now, flying[1], &result{})
	if served([]*waiter{w}) >= 0 {
		t.Error("it is sent to a server that it was sent to before, or that is ejected")
	}
	r.settle(r.now, flying[2], &result{})
	if served([]*waiter{w}) < 0 || w.member != r.list[2] {
		t.Error("it does not get the permit of the third")
	}
}

func TestQueueWakesWhenMorePermitsAreConfigured(t *testing.T) {
	r, _ := full(t, 1)
	w := r.wait(1)
	c := r.conf
	c.permits++
	r.configure(r.now, []Server{{URL: "a"}}, c)
	if !<-w.granted || w.member != r.list[0] {
		t.Error("nobody is granted the new permit")
	}
}

// TestQueueAfterPurge plays what happens when everything is purged: requests for a
// few popular objects and many others, an origin with far fewer connections than
// would be needed, and clients who wait five seconds. It compares the queue with one
// that serves first in, first out, and one that serves the newest.
func TestQueueAfterPurge(t *testing.T) {
	ours := playPurge(nil)
	fifo := playPurge(func(*queue) int { return 0 })
	lifo := playPurge(func(q *queue) int { return len(q.waiters) - 1 })
	t.Logf("first in, first out: %+v; newest first: %+v; ours: %+v", fifo, lifo, ours)
	if fifo.failed < 0.1 {
		t.Fatalf("the origin is not overloaded: %+v", fifo)
	}
	if ours.failed > 0.75*fifo.failed || ours.slow > 0.75*fifo.slow {
		t.Error("it is not much better than first in, first out")
	}
	if ours.failed > 0.5*lifo.failed {
		t.Error("it does not fail much less often than newest first")
	}
}

// purgePlay is which share of the requests failed, and was answered after more than
// a second.
type purgePlay struct{ failed, slow float64 }

// playPurge simulates fifteen seconds in steps of a millisecond. order chooses among
// the waiters; nil leaves it to the queue.
func playPurge(order func(*queue) int) purgePlay {
	const (
		objects, requests = 50_000, 5 // requests a millisecond
		permits, takes    = 50, 100   // milliseconds
		seconds, patience = 15, 5000
	)
	rnd := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rnd, 1.1, 20, objects-1)
	type flight struct {
		w       *waiter
		clients []int // when each came
	}
	flights := make(map[uint64]*flight)
	byWaiter := make(map[*waiter]uint64)
	stored := make(map[uint64]bool)
	ends := make([][]uint64, seconds*1000+takes+1)
	q := &queue{size: 1 << 20}
	free, total := permits, 0
	var result purgePlay
	start := func(now int, object uint64) {
		free--
		ends[now+takes] = append(ends[now+takes], object)
	}
	for now := range seconds * 1000 {
		for _, object := range ends[now] {
			free++
			stored[object] = true
			for _, came := range flights[object].clients {
				if now-came > 1000 {
					result.slow++
				}
			}
			delete(flights, object)
		}
		for len(q.waiters) > 0 && now-int(q.waiters[0].since/time.Millisecond) >= patience {
			object := byWaiter[q.waiters[0]]
			q.cut(0)
			result.failed += float64(len(flights[object].clients))
			delete(flights, object)
		}
		for free > 0 && len(q.waiters) > 0 {
			var w *waiter
			if order == nil {
				w = q.pop(func(*waiter) bool { return true })
			} else {
				w = q.waiters[order(q)]
				q.remove(w)
			}
			start(now, byWaiter[w])
		}
		for range requests {
			total++
			object := zipf.Uint64()
			switch f := flights[object]; {
			case stored[object]:
			case f != nil:
				f.clients = append(f.clients, now)
				f.w.people.Add(1)
			default:
				w := &waiter{people: new(atomic.Int64), since: time.Duration(now) * time.Millisecond}
				w.people.Store(1)
				flights[object] = &flight{w: w, clients: []int{now}}
				byWaiter[w] = object
				if free > 0 {
					start(now, object)
				} else {
					q.push(w)
				}
			}
		}
	}
	result.failed /= float64(total)
	result.slow /= float64(total)
	return result
}
