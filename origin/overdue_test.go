package origin

import (
	"testing"
	"time"
)

// begin begins an attempt that may be repeated.
func (r *testRoster) begin(target uint64) *attempt {
	a := &attempt{members: r.list, target: target, safe: true, hedged: true, left: time.Minute}
	if r.acquire(r.now, a, nil) != nil {
		r.t.Fatal("there is no permit")
	}
	return a
}

// usually makes all servers answer in that time.
func (r *testRoster) usually(d time.Duration) {
	for _, m := range r.list {
		for range 100 {
			m.usual.add(r.now, d)
		}
	}
}

// rivals returns how many attempts get a rival when the clock has moved by d.
func (r *testRoster) rivals(d time.Duration) []late {
	r.pass(d)
	due, _, _ := r.look(r.now)
	return due
}

func (r *testRoster) end(a *attempt, good bool) {
	r.settle(r.now, a, &result{good: good, took: r.now - a.began})
}

// One attempt that is overdue proves nothing; two make the server suspected, and then
// others are asked beside it.
func TestOverdueAttemptsGetRivals(t *testing.T) {
	r := newTestRoster(t, servers(2)...)
	r.usually(10 * time.Millisecond)
	r.list[1].inUse = 10 // all go to the first
	one := r.begin(1)
	if due := r.rivals(150 * time.Millisecond); len(due) != 0 {
		t.Fatalf("%d rivals of a single overdue attempt", len(due))
	}
	two := r.begin(2)
	due := r.rivals(150 * time.Millisecond)
	if len(due) == 0 || due[0].to != r.list[1] || due[0].why != whySlow {
		t.Fatalf("rivals %v", due)
	}
	due = append(due, r.rivals(watchRound)...)
	if len(due) != 2 {
		t.Fatalf("%d rivals of two overdue attempts", len(due))
	}
	if more := r.rivals(watchRound); len(more) != 0 {
		t.Error("an attempt gets a second rival")
	}
	if r.list[1].inUse != 12 {
		t.Errorf("%d permits of the other server are in use", r.list[1].inUse)
	}
	if got := r.retried[whySlow]; got != 2 {
		t.Errorf("%d retries are counted", got)
	}
	r.end(one, true)
	r.end(two, true)
	if h := &r.list[0].health; h.overdue != 0 || h.suspected(r.now) {
		t.Errorf("the server is still suspected: %+v", h)
	}
}

func TestSlowAttemptsGetRivals(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(r *testRoster, a *attempt)
		after   time.Duration
		want    int
	}{
		{"not yet", func(*testRoster, *attempt) {}, 990 * time.Millisecond, 0},
		{"after a second", func(*testRoster, *attempt) {}, time.Second, 1},
		{"an origin that is always slow", func(r *testRoster, _ *attempt) { r.usually(2 * time.Second) }, 5 * time.Second, 0},
		{"half of the time is left", func(_ *testRoster, a *attempt) { a.left = 500 * time.Millisecond }, 250 * time.Millisecond, 1},
		{"a request that must not be repeated", func(_ *testRoster, a *attempt) { a.safe = false }, 10 * time.Second, 0},
		{"no retries", func(r *testRoster, _ *attempt) { r.conf.retries = 0 }, 10 * time.Second, 0},
		{"the budget is used up", func(r *testRoster, _ *attempt) {
			for r.retries.take(r.now) {
			}
		}, time.Second, 0},
		{"the header is here", func(_ *testRoster, a *attempt) { a.stage.Store(2) }, 10 * time.Second, 0},
		{"nobody else is good", func(r *testRoster, _ *attempt) { r.list[1].health.out = true }, 10 * time.Second, 0},
		{"the other is suspected, too", func(r *testRoster, _ *attempt) { r.list[1].health.row = 1 }, 10 * time.Second, 0},
		{"the other has no permit", func(r *testRoster, _ *attempt) { r.list[1].inUse = r.list[1].limit }, 10 * time.Second, 0},
		{"a hedge", func(r *testRoster, _ *attempt) {
			r.conf.hedge = Hedge{After: 50 * time.Millisecond}
			r.hedges.share = 1
		}, 50 * time.Millisecond, 1},
		{"a hedge that the budget forbids", func(r *testRoster, _ *attempt) {
			r.conf.hedge = Hedge{After: 50 * time.Millisecond}
			r.hedges.share = 0.02
		}, 500 * time.Millisecond, 0},
	} {
		r := newTestRoster(t, servers(2)...)
		a := r.begin(1)
		test.prepare(r, a)
		if due := r.rivals(test.after); len(due) != test.want {
			t.Errorf("%s: %d rivals, want %d", test.name, len(due), test.want)
		}
	}
}

// A server that stays silent while others answer is ejected after a second, not
// sooner: a pause of that kind is no failure.
func TestLosersAreEjected(t *testing.T) {
	for _, test := range []struct {
		pause time.Duration
		want  string
	}{{800 * time.Millisecond, "up up"}, {2 * time.Second, "ejected up"}} {
		r := newTestRoster(t, servers(2)...)
		r.usually(10 * time.Millisecond)
		a, b := r.list[0], r.list[1]
		for end := r.now + test.pause; r.now < end; r.pass(100 * time.Millisecond) {
			x := r.at(a, 1)
			x.began -= 100 * time.Millisecond
			r.lost(r.now, x, "lost")
			r.ok(b, 1)
		}
		if test.want == "up up" {
			r.ok(a, 1)
		}
		r.want(test.want)
	}
}

// What nobody repeats is evidence, too: nothing came for a second, while other servers
// answered.
func TestSilenceIsNoticedWithoutRivals(t *testing.T) {
	r := newTestRoster(t, servers(2)...)
	r.list[1].inUse = 50
	for range 3 {
		r.begin(1).safe = false
	}
	r.pass(500 * time.Millisecond)
	r.ok(r.list[1], 2)
	r.rivals(600 * time.Millisecond)
	r.want("ejected up")
	if r.outage.failing {
		t.Error("the origin is failing although a server answers")
	}
}

func TestSilenceOfTheWholeOrigin(t *testing.T) {
	for n := 1; n <= 2; n++ {
		r := newTestRoster(t, servers(n)...)
		r.ok(r.list[0], 1)
		r.pass(time.Second)
		var list []*attempt
		for range 4 {
			list = append(list, r.begin(1))
		}
		if r.rivals(900 * time.Millisecond); r.outage.failing {
			t.Errorf("%d servers: the origin is failing after less than a second", n)
		}
		if r.rivals(200 * time.Millisecond); !r.outage.failing {
			t.Errorf("%d servers: the origin is not failing after more than a second", n)
		}
		for _, m := range r.list {
			if s := m.health.state(false); s != StateUp {
				t.Errorf("%d servers: %s is %s, but they are equally slow", n, m.url, s)
			}
		}
		// An answer that took too long changes nothing, one in time does.
		r.pass(time.Second)
		if r.end(list[0], true); !r.outage.failing {
			t.Errorf("%d servers: a slow answer is as good as any", n)
		}
		if r.end(r.begin(1), true); r.outage.failing {
			t.Errorf("%d servers: a quick answer does not help", n)
		}
	}
}

// Of bodies only a pause counts that cannot be meant.
func TestStalledBodies(t *testing.T) {
	for _, test := range []struct {
		name   string
		stalls bool
		moves  bool
		want   string
	}{
		{"bodies stall", true, false, "ejected up"},
		{"bodies that may pause", false, false, "up up"},
		{"bodies that move", true, true, "up up"},
		{"bodies that nobody reads", true, false, "up up"},
	} {
		r := newTestRoster(t, servers(2)...)
		r.list[1].inUse = 50
		var list []*attempt
		for range 3 {
			a := r.begin(1)
			a.stalls.Store(test.stalls)
			a.stage.Store(3)
			if test.name == "bodies that nobody reads" {
				a.stage.Store(2)
			}
			list = append(list, a)
		}
		r.rivals(watchRound)
		r.pass(500 * time.Millisecond)
		r.ok(r.list[1], 2)
		for range 5 {
			for _, a := range list {
				if test.moves {
					a.stage.Add(2)
				}
			}
			r.rivals(300 * time.Millisecond)
		}
		if got := r.states(); got != test.want {
			t.Errorf("%s: the servers are %s, want %s", test.name, got, test.want)
		}
	}
}

// One body that stalls is enough in the end, while other servers answer.
func TestOneStalledBody(t *testing.T) {
	r := newTestRoster(t, servers(2)...)
	r.list[1].inUse = 50
	a := r.begin(1)
	a.stalls.Store(true)
	a.stage.Store(3)
	r.rivals(watchRound)
	for range 29 {
		r.ok(r.list[1], 2)
		r.rivals(100 * time.Millisecond)
	}
	r.want("up up")
	r.ok(r.list[1], 2)
	r.rivals(200 * time.Millisecond)
	r.want("ejected up")
}

func TestWatchEnds(t *testing.T) {
	r := newTestRoster(t, servers(1)...)
	a := r.begin(1)
	if r.unwatch() {
		t.Error("the watch ends while something is in flight")
	}
	if r.end(a, true); !r.unwatch() || r.watching {
		t.Error("the watch does not end")
	}
}
