package origin

import (
	"fmt"
	"testing"
	"time"
)

// testRoster is a roster with a clock that its test moves.
type testRoster struct {
	*roster
	t    *testing.T
	now  time.Duration
	list []*member
}

var testEject = Eject{Failures: 3, Ratio: 0.5, Window: 10 * time.Second, For: 10 * time.Second}

func newTestRoster(t *testing.T, servers ...Server) *testRoster {
	r := &testRoster{t: t, now: time.Minute}
	r.roster = newRoster(func() time.Duration { return r.now })
	r.watching = true // the test looks by itself
	t.Cleanup(r.close)
	r.conf = rosterConfig{eject: testEject, queueSize: 100, permits: 100, retries: 1, retryBudget: 0.1}
	for i := range servers {
		servers[i].URL = string(rune('a' + i))
	}
	r.list = r.configure(r.now, servers, r.conf)
	return r
}

func servers(n int) []Server { return make([]Server, n) }

// next chooses a server without taking a permit.
func (r *testRoster) next(tried ...*member) *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.chooseLocked(r.now, r.list, tried, true)
}

// shares counts which servers n choices lead to.
func (r *testRoster) shares(n int) map[string]int {
	counts := make(map[string]int)
	for range n {
		counts[r.next().url]++
	}
	return counts
}

// at is an attempt at a server for a target, without a permit.
func (r *testRoster) at(m *member, target uint64) *attempt {
	return &attempt{members: r.list, member: m, began: r.now, target: target}
}

func (r *testRoster) ok(m *member, target uint64) {
	r.record(r.now, r.at(m, target), &result{good: true, took: time.Millisecond})
}

func (r *testRoster) bad(m *member, target uint64) {
	r.record(r.now, r.at(m, target), &result{bad: true, reason: fmt.Sprint("bad ", target)})
}

func (r *testRoster) unreached(m *member) {
	r.record(r.now, r.at(m, 0), &result{bad: true, unreached: true, reason: "connection refused"})
}

func (r *testRoster) states() string {
	var s string
	for i, m := range r.list {
		if i > 0 {
			s += " "
		}
		s += m.health.state(m.backup).String()
	}
	return s
}

func (r *testRoster) want(states string) {
	r.t.Helper()
	if got := r.states(); got != states {
		r.t.Errorf("the servers are %s, want %s", got, states)
	}
}

// pass moves the clock on.
func (r *testRoster) pass(d time.Duration) { r.now += d }

func TestChoiceByWeight(t *testing.T) {
	for _, balance := range []Balance{LeastRequests, RoundRobin} {
		r := newTestRoster(t, Server{Weight: 1}, Server{Weight: 2}, Server{})
		r.conf.balance = balance
		if got := r.shares(400); got["a"] != 100 || got["b"] != 200 || got["c"] != 100 {
			t.Errorf("balance %d: shares %v, want 1 to 2 to 1", balance, got)
		}
	}
}

func TestChoiceByRequestsInFlight(t *testing.T) {
	r := newTestRoster(t, servers(2)...)
	a := r.list[0]
	a.inUse = 5
	if got := r.shares(5); got["b"] != 5 {
		t.Errorf("with five requests at a: %v", got)
	}
	r.conf.balance = RoundRobin
	r.shares(2)
	if got := r.shares(10); got["a"] != 5 {
		t.Errorf("taking turns: %v", got)
	}
	// A turn that a missed while it was busy is lost.
	r.conf.balance = LeastRequests
	r.shares(50)
	a.inUse = 0
	if got := r.shares(10); got["a"] > 6 {
		t.Errorf("after a pause a gets %d of ten requests", got["a"])
	}
}

func TestChoiceByLatency(t *testing.T) {
	r := newTestRoster(t, servers(2)...)
	for range 20 {
		r.record(r.now, r.at(r.list[0], 1), &result{good: true, took: 40 * time.Millisecond})
		r.record(r.now, r.at(r.list[1], 1), &result{good: true, took: 10 * time.Millisecond})
	}
	if got := r.shares(100); got["a"] != 20 {
		t.Errorf("of a server four times as slow: %v, want 20 of 100", got)
	}
	r.pass(time.Minute)
	if got := r.shares(100); got["a"] != 50 {
		t.Errorf("nobody knows any more that it was slow: %v", got)
	}
}

func TestChoiceWithoutPermits(t *testing.T) {
	r := newTestRoster(t, Server{}, Server{}, Server{Backup: true})
	r.list[0].inUse = r.list[0].limit
	if got := r.shares(10); got["b"] != 10 {
		t.Errorf("a has no permit: %v", got)
	}
	r.list[1].inUse = r.list[1].limit
	if m := r.next(); m != nil {
		t.Errorf("without permits %s is chosen; a server that is busy is usable", m.url)
	}
	if m := r.next(r.list[0], r.list[1]); m != r.list[2] {
		t.Error("a request that failed on both is not sent to the backup")
	}
	if m := r.next(r.list...); m != nil {
		t.Errorf("when all were tried %s is chosen", m.url)
	}
}

func TestBackups(t *testing.T) {
	r := newTestRoster(t, Server{}, Server{}, Server{Backup: true})
	if got := r.shares(10); got["c"] != 0 {
		t.Errorf("the backup is asked: %v", got)
	}
	for range 3 {
		r.unreached(r.list[0])
	}
	r.want("ejected up backup")
	if got := r.shares(10); got["b"] != 10 {
		t.Errorf("with one server left: %v", got)
	}
	for range 3 {
		r.unreached(r.list[1])
	}
	r.want("ejected down backup")
	if got := r.shares(10); got["c"] != 10 {
		t.Errorf("without a server that can be reached: %v", got)
	}
}

// A backup relieves servers that fail although no more of them may be ejected.
func TestBackupForWhatFails(t *testing.T) {
	r := newTestRoster(t, Server{}, Server{}, Server{Backup: true})
	for i := range uint64(3) {
		for _, m := range r.list[:2] {
			r.bad(m, 10+i)
			r.ok(r.list[2], 10+i)
		}
	}
	if got := r.shares(10); got["c"] != 10 {
		t.Errorf("%s: %v", r.states(), got)
	}
}

func TestEjection(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(r *testRoster, a, b *member)
		want string
	}{
		{"three failures in a row that another server does not have", func(r *testRoster, a, b *member) {
			for i := range uint64(3) {
				r.bad(a, i)
				r.ok(b, i)
			}
		}, "ejected up"},
		{"not in a row", func(r *testRoster, a, b *member) {
			for i := range uint64(2) {
				r.bad(a, i)
				r.ok(b, i)
			}
			r.ok(a, 7)
			r.bad(a, 8)
			r.ok(b, 8)
		}, "up up"},
		{"half of ten", func(r *testRoster, a, b *member) {
			for i := range uint64(5) {
				r.ok(a, 100+i)
				r.bad(a, i)
				r.ok(b, i)
			}
		}, "ejected up"},
		{"half of nine", func(r *testRoster, a, b *member) {
			for i := range uint64(4) {
				r.ok(a, 100+i)
				r.bad(a, i)
				r.ok(b, i)
			}
			r.ok(a, 200)
		}, "up up"},
		{"half of ten, but not within the window", func(r *testRoster, a, b *member) {
			for i := range uint64(5) {
				r.ok(a, 100+i)
				r.bad(a, i)
				r.ok(b, i)
				r.pass(3 * time.Second)
			}
		}, "up up"},
		{"refused connections count by themselves", func(r *testRoster, a, b *member) {
			for range 3 {
				r.unreached(a)
			}
		}, "ejected up"},
		{"a target that fails everywhere", func(r *testRoster, a, b *member) {
			for range 20 {
				r.bad(a, 1)
				r.bad(b, 1)
			}
		}, "up up"},
		{"a target that fails everywhere, others do not", func(r *testRoster, a, b *member) {
			for i := range uint64(20) {
				r.bad(a, 1)
				r.bad(b, 1)
				r.ok(a, 2+i)
				r.ok(b, 2+i)
			}
		}, "up up"},
		{"one target that fails and is asked of nobody else", func(r *testRoster, a, b *member) {
			for range 20 {
				r.bad(a, 1)
				r.pass(time.Millisecond)
				r.ok(b, 2)
			}
		}, "up up"},
		{"several that fail and are asked of nobody else, while another server answers", func(r *testRoster, a, b *member) {
			for i := range uint64(3) {
				r.bad(a, i)
				r.pass(time.Millisecond)
				r.ok(b, 10+i)
			}
		}, "ejected up"},
		{"several that fail and are asked of nobody else, while no other server answers", func(r *testRoster, a, b *member) {
			for i := range uint64(10) {
				r.bad(a, i)
				r.bad(b, 10+i)
			}
		}, "up up"},
		{"both fail: one is left", func(r *testRoster, a, b *member) {
			for range 5 {
				r.unreached(a)
				r.unreached(b)
			}
		}, "ejected down"},
		{"an answer elsewhere before the failure is evidence, too", func(r *testRoster, a, b *member) {
			r.bad(a, 1)
			r.ok(b, 1)
			r.bad(a, 1)
			r.bad(a, 1)
		}, "ejected up"},
	} {
		r := newTestRoster(t, servers(2)...)
		test.do(r, r.list[0], r.list[1])
		if got := r.states(); got != test.want {
			t.Errorf("%s: the servers are %s, want %s", test.name, got, test.want)
		}
	}
}

func TestNeverMoreThanHalf(t *testing.T) {
	r := newTestRoster(t, servers(5)...)
	for i := range uint64(6) {
		for _, m := range r.list[:4] {
			r.bad(m, i)
			r.ok(r.list[4], i)
		}
	}
	r.want("ejected ejected up up up")
	// Nothing is gained by asking servers that cannot be reached.
	for range 3 {
		r.unreached(r.list[2])
	}
	r.want("ejected ejected down up up")
	// And one that fails and yet is in service gets little.
	if got := r.shares(170); got["d"] != 10 || got["e"] != 160 {
		t.Errorf("shares %v", got)
	}
}

func TestNobodyIsEjected(t *testing.T) {
	r := newTestRoster(t, servers(3)...)
	r.conf.eject.Off = true
	a := r.list[0]
	for n := range uint64(30) {
		r.ok(r.list[1], n)
		r.bad(a, n)
		r.unreached(a)
		r.pass(100 * time.Millisecond)
	}
	r.want("up up up")
	if a.health.reason == "" {
		t.Error("nothing says how it last failed")
	}
	r.ok(a, 1)
	if got := r.shares(300); got["a"] < 90 || got["a"] > 110 {
		t.Errorf("shares %v, want a third for each", got)
	}
	// Checks still take it out.
	r.conf.health = Health{Fall: 1, Rise: 1}
	r.checked(r.now, r.list, a, false, "ill")
	r.want("down up up")
}

func TestOneAloneIsNeverEjected(t *testing.T) {
	r := newTestRoster(t, servers(1)...)
	for i := range uint64(20) {
		r.bad(r.list[0], i)
	}
	r.want("up")
	for range 20 {
		r.unreached(r.list[0])
	}
	r.want("down")
	if m := r.next(); m != r.list[0] {
		t.Error("the only server is not asked")
	}
	r.ok(r.list[0], 1)
	r.want("up")
}

// ejectFirst makes the first server fail until it is ejected.
func (r *testRoster) ejectFirst() {
	r.t.Helper()
	for range 3 {
		r.unreached(r.list[0])
	}
	if !r.list[0].health.out {
		r.t.Fatal("the first server is not ejected")
	}
}

// probeNow begins a probe, or returns nil when none is due.
func (r *testRoster) probeNow(alone bool) *attempt {
	a := &attempt{members: r.list, target: 1}
	if !r.probe(r.now, a, alone) {
		return nil
	}
	return a
}

func TestProbe(t *testing.T) {
	r := newTestRoster(t, servers(2)...)
	a := r.list[0]
	r.ejectFirst()
	if got := r.shares(10); got["a"] != 0 {
		t.Errorf("an ejected server is asked: %v", got)
	}
	none := func() {
		t.Helper()
		if r.probeNow(false) != nil {
			t.Fatalf("at %v there is a probe", r.now)
		}
	}
	probe := func() *attempt {
		t.Helper()
		p := r.probeNow(false)
		if p == nil || p.member != a {
			t.Fatalf("at %v there is no probe", r.now)
		}
		return p
	}
	bad, good := &result{bad: true, unreached: true}, &result{good: true}
	r.pass(10*time.Second - 1)
	none()
	r.pass(1)
	p := probe()
	r.want("probing up")
	none() // one at a time
	r.settle(r.now, p, bad)
	r.want("ejected up")
	for _, wait := range []time.Duration{20, 40, 80, 80} {
		r.pass(wait*time.Second - 1)
		none()
		r.pass(1)
		r.settle(r.now, probe(), bad)
	}
	r.pass(80 * time.Second)
	r.settle(r.now, probe(), good)
	r.want("up up")
	if a.inUse != 0 || len(a.flying) != 0 {
		t.Errorf("%d permits are in use after all probes", a.inUse)
	}
	if got := r.shares(10); got["a"] == 0 {
		t.Errorf("a server that is back is not asked: %v", got)
	}
	// It is on probation: one failure is enough, and the wait is still long.
	r.pass(time.Second)
	r.unreached(a)
	r.want("ejected up")
	if wait := a.health.until - r.now; wait != 80*time.Second {
		t.Errorf("ejected again for %v, want 80 s", wait)
	}
	// Once it has been well for long enough all is forgotten.
	r.pass(80 * time.Second)
	r.settle(r.now, probe(), good)
	r.pass(time.Hour)
	r.unreached(a)
	r.want("up up")
	r.unreached(a)
	r.unreached(a)
	if wait := a.health.until - r.now; wait != 10*time.Second {
		t.Errorf("ejected for %v an hour later, want 10 s", wait)
	}
}

// A request that must not be sent twice finds out only when none that may has come.
func TestProbeAlone(t *testing.T) {
	r := newTestRoster(t, servers(2)...)
	r.ejectFirst()
	r.pass(15 * time.Second)
	if r.probeNow(true) != nil {
		t.Error("a request that must not be sent twice is a probe at once")
	}
	r.pass(5 * time.Second)
	if r.probeNow(true) == nil {
		t.Error("nothing ever finds out whether the server is back")
	}
}

// A probe with a target that fails everywhere says nothing.
func TestProbeWithWhatFailsEverywhere(t *testing.T) {
	r := newTestRoster(t, servers(3)...)
	r.ejectFirst()
	r.pass(10 * time.Second)
	r.bad(r.list[1], 1)
	r.bad(r.list[2], 1)
	r.settle(r.now, r.probeNow(false), &result{bad: true})
	if wait := r.list[0].health.until - r.now; wait != 10*time.Second {
		t.Errorf("the next probe is due in %v, want 10 s", wait)
	}
}

// What an exchange that began before the ejection says is known already.
func TestLateResultsOfAnEjectedServer(t *testing.T) {
	r := newTestRoster(t, servers(2)...)
	one, two := r.at(r.list[0], 1), r.at(r.list[0], 2)
	r.pass(time.Second)
	r.ejectFirst()
	until := r.list[0].health.until
	r.pass(time.Second)
	r.record(r.now, one, &result{bad: true})
	r.record(r.now, two, &result{good: true, took: 2 * time.Second})
	r.want("ejected up")
	if r.list[0].health.until != until {
		t.Error("the probe was put off")
	}
}

// When nobody is good the ejected are asked again, and one that answers is back.
func TestNobodyIsGood(t *testing.T) {
	r := newTestRoster(t, servers(2)...)
	r.ejectFirst()
	for range 3 {
		r.unreached(r.list[1])
	}
	r.want("ejected down")
	if got := r.shares(10); got["a"] != 5 {
		t.Errorf("shares %v", got)
	}
	r.pass(time.Second)
	r.ok(r.list[0], 1)
	r.want("up down")
}

func TestActiveChecks(t *testing.T) {
	r := newTestRoster(t, servers(2)...)
	r.conf.health = Health{Path: "/h", Rise: 2, Fall: 3, Status: [][2]int{{200, 399}}}
	a := r.list[0]
	check := func(results string) {
		for _, c := range results {
			r.checked(r.now, r.list, a, c == '+', "it answered 404")
		}
	}
	check("--+--")
	r.want("up up")
	check("-")
	r.want("down up")
	if got := r.shares(10); got["a"] != 0 {
		t.Errorf("a server that is down is asked: %v", got)
	}
	// A good answer to a request does not overrule the checks, only they do.
	r.ok(a, 1)
	check("+-+")
	r.want("down up")
	check("+")
	r.want("up up")
	// When all are down they are asked all the same.
	check("---")
	for range 3 {
		r.checked(r.now, r.list, r.list[1], false, "")
	}
	if got := r.shares(10); got["a"] != 5 {
		t.Errorf("all are down: %v", got)
	}
	if !r.failing(r.list) {
		t.Error("the origin is not failing although all are down")
	}
	r.pass(time.Second)
	if r.ok(a, 2); r.failing(r.list) {
		t.Error("the origin is failing although a server answers requests")
	}
}

func TestHealthStatusRanges(t *testing.T) {
	h := Health{Status: [][2]int{{200, 299}, {401, 401}}}
	for code, want := range map[int]bool{199: false, 200: true, 299: true, 300: false, 400: false, 401: true, 402: false} {
		if got := h.good(code); got != want {
			t.Errorf("%d is good: %v", code, got)
		}
	}
	if got := h.wants(); got != "200-299, 401" {
		t.Errorf("wants %s", got)
	}
}

// What is known of a server survives a new configuration, permits in use included.
func TestConfigureKeepsWhatIsKnown(t *testing.T) {
	r := newTestRoster(t, servers(2)...)
	r.ejectFirst()
	old := r.list[0]
	old.inUse = 7
	c := r.conf
	c.permits = 8
	r.list = r.configure(r.now, []Server{{URL: "c"}, {URL: "a", Weight: 3}}, c)
	a := r.list[1]
	if a != old || a.inUse != 7 || a.limit != 8 || a.weight != 3 {
		t.Errorf("after a reload: %+v", a)
	}
	r.want("up ejected")
}

func TestBlameIsBounded(t *testing.T) {
	b := blame{window: 10 * time.Second}
	m := &member{}
	for i := range uint64(3 * maxCases) {
		b.failed(time.Duration(i)*time.Millisecond, i, m)
	}
	if len(b.cases) != maxCases {
		t.Errorf("%d targets are remembered", len(b.cases))
	}
	if b.find(400*time.Millisecond, 3*maxCases-1) == nil || b.find(400*time.Millisecond, 0) != nil {
		t.Error("it is not the oldest that are forgotten")
	}
	if b.find(time.Minute, 3*maxCases-1) != nil {
		t.Error("evidence counts for longer than the window")
	}
}
