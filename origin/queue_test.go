package origin

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// wait makes n clients wait for an answer; 0 is a request in the background.
func (r *testRoster) wait(n int64) *waiter {
	w := &waiter{members: r.list, people: new(atomic.Int64)}
	w.people.Store(n)
	if m := r.acquire(r.now, w); m != nil {
		r.t.Fatalf("there is a permit of %s left", m.url)
	}
	r.pass(time.Millisecond)
	return w
}

// served returns which waiter was granted a permit by its place in the list; -1 is
// none.
func served(list []*waiter) int {
	return slices.IndexFunc(list, func(w *waiter) bool {
		select {
		case m := <-w.granted:
			return m != nil
		default:
			return false
		}
	})
}

func fullRoster(t *testing.T, n int) *testRoster {
	r := newTestRoster(t, servers(n)...)
	for _, m := range r.list {
		m.inUse = m.limit
	}
	return r
}

func TestQueueOrder(t *testing.T) {
	r := fullRoster(t, 1)
	var list []*waiter
	for _, people := range []int64{0, 1, 1, 1, 5, 1, 0} {
		list = append(list, r.wait(people))
	}
	var got []int
	for range list {
		r.release(r.now, r.list[0])
		got = append(got, served(list))
	}
	if want := []int{4, 1, 2, 3, 5, 0, 6}; !slices.Equal(got, want) {
		t.Errorf("served in the order %v, want %v", got, want)
	}
	if r.list[0].inUse != r.list[0].limit || len(r.waiting.waiters) != 0 {
		t.Errorf("%d permits of %d in use", r.list[0].inUse, r.list[0].limit)
	}
	r.release(r.now, r.list[0])
	if r.list[0].inUse != r.list[0].limit-1 {
		t.Error("a permit that nobody waits for is not free")
	}
}

func TestQueueIsBounded(t *testing.T) {
	r := fullRoster(t, 1)
	r.waiting.size = 2
	list := []*waiter{r.wait(0), r.wait(1)}
	// The background makes room for people, and the last of people for nobody.
	list = append(list, r.wait(1))
	if m, ok := <-list[0].granted; m != nil || !ok {
		t.Error("the request in the background keeps its place")
	}
	list = append(list, r.wait(1))
	if m := <-list[3].granted; m != nil {
		t.Error("a permit came from nowhere")
	}
	// One that many wait for takes the place of the newest.
	list = append(list, r.wait(3))
	if m := <-list[2].granted; m != nil {
		t.Error("a permit came from nowhere")
	}
	if len(r.waiting.waiters) != 2 {
		t.Errorf("%d wait", len(r.waiting.waiters))
	}
}

// The losing interleaving: a waiter gives up while it is granted a permit, which
// nobody would then return.
func TestQueueGiveUp(t *testing.T) {
	r := fullRoster(t, 1)
	w, next := r.wait(1), r.wait(1)
	r.giveUp(r.now, w)
	if len(r.waiting.waiters) != 1 {
		t.Fatal("whoever gave up waits")
	}
	r.release(r.now, r.list[0]) // for next
	w = r.wait(1)
	r.giveUp(r.now, next)
	if m := <-w.granted; m != r.list[0] || r.list[0].inUse != r.list[0].limit {
		t.Errorf("the permit went to %v; %d in use", m, r.list[0].inUse)
	}
}

// A waiter takes a permit of any server that it may be sent to, and of no other.
func TestQueueOfSeveralServers(t *testing.T) {
	r := fullRoster(t, 3)
	a, b, c := r.list[0], r.list[1], r.list[2]
	w := r.wait(1)
	w.tried = []*member{a}
	r.release(r.now, a)
	for range 3 {
		r.unreached(b)
	}
	r.release(r.now, b)
	if served([]*waiter{w}) >= 0 {
		t.Error("it is sent to a server that it was sent to before, or that is ejected")
	}
	r.release(r.now, c)
	if served([]*waiter{w}) < 0 {
		t.Error("it does not get the permit of the third")
	}
}

func TestQueueWakesWhenMorePermitsAreConfigured(t *testing.T) {
	r := fullRoster(t, 1)
	w := r.wait(1)
	c := r.conf
	c.permits++
	r.configure(r.now, []Server{{URL: "a"}}, c)
	if m := <-w.granted; m != r.list[0] {
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
