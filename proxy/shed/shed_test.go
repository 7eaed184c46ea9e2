package shed

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		connections int
		fit         int64
	}{{1, 1}, {2, 1}, {4, 3}, {8, 6}, {9, 6}, {10_000, 7500}} {
		r := NewRoom(c.connections)
		for range c.fit {
			if !r.Enter() {
				t.Fatalf("of %d connections only %d may wait, want %d", c.connections, r.Waiting(), c.fit)
			}
		}
		if r.Enter() || r.Waiting() != c.fit {
			t.Errorf("of %d connections more than %d may wait", c.connections, c.fit)
		}
		if r.Leave(); !r.Enter() {
			t.Errorf("of %d connections none may wait after one has left", c.connections)
		}
	}
	unbounded := NewRoom(0)
	for range 100_000 {
		if !unbounded.Enter() {
			t.Fatal("a room without bound is full")
		}
	}
}

// machine plays processors that need ten times as long for a request to an origin as
// for one that is turned away. A request passes the queue of what may run five times.
type machine struct {
	control
	rate    float64 // requests a round that the machine can do
	backlog float64 // in requests
}

const (
	passes      = 5
	refusalCost = 0.1
)

// round lets the load of a round arrive, as a multiple of what the machine can do, and
// returns how long those take that are served now.
func (m *machine) round(load float64) time.Duration {
	arrive := load * m.rate
	served := arrive * (1 - m.share)
	m.backlog = max(0, m.backlog+served+(arrive-served)*refusalCost-m.rate)
	took := time.Duration(m.backlog / m.rate * float64(round))
	m.next(took / passes)
	return took
}

// TestControl: what is served is served in time, most of what could be is, and when the load falls nothing is turned away any more.
func TestControl(t *testing.T) {
	for load, bound := range map[float64]time.Duration{
		1.1: 700 * time.Millisecond, 1.5: 700 * time.Millisecond, 2: 700 * time.Millisecond, 3: time.Second, 6: 2 * time.Second,
	} {
		m := machine{rate: 100}
		for range 100 {
			m.round(0.8)
		}
		if m.share != 0 {
			t.Fatalf("without overload a share of %v is turned away", m.share)
		}
		slow, worst, idle, rounds := 0, time.Duration(0), 0, int(30*time.Second/round)
		for i := range rounds {
			took := m.round(load)
			if worst = max(worst, took); took > bound {
				slow++
			}
			if i > rounds/10 && m.backlog == 0 {
				idle++
			}
		}
		if slow > 0 {
			t.Errorf("load %v: %d of %d rounds served slowly, the worst in %v", load, slow, rounds, worst)
		}
		if idle*4 > rounds {
			t.Errorf("load %v: the machine was idle in %d of %d rounds", load, idle, rounds)
		}
		recovered := 0
		for m.share > 0.2 || m.backlog > m.rate {
			m.round(0.5)
			recovered++
		}
		if d := time.Duration(recovered) * round; d > time.Second {
			t.Errorf("load %v: it took %v to recover", load, d)
		}
		for i := 0; m.share > 0; i++ {
			if m.round(0.5); i > int(2*time.Second/round) {
				t.Fatalf("load %v: a share of %v is turned away long after it", load, m.share)
			}
		}
		t.Logf("load %v: worst %v, idle in %d rounds, recovered in %v", load, worst, idle, time.Duration(recovered)*round)
	}
}

// A burst, such as a collection of garbage, turns nothing away.
func TestControlLeavesBurstsAlone(t *testing.T) {
	var c control
	for range 10 {
		for range sustained - 1 {
			if c.next(time.Second) != 0 {
				t.Fatal("a burst counts as overload")
			}
		}
		c.next(time.Millisecond)
	}
}

func TestControlTellsOnce(t *testing.T) {
	var c control
	var told []news
	for i := range 1000 {
		delay := time.Duration(0)
		if i%100 < 10 && i < 500 {
			delay = time.Second
		}
		c.next(delay)
		if n := c.news(); n != newsNone {
			told = append(told, n)
		}
	}
	if len(told) != 2 || told[0] != newsBegan || told[1] != newsOver {
		t.Errorf("told %v", told)
	}
}

// TestOverloadIsNoticed keeps every processor busy with more goroutines than can run in
// time, until the share rises, and then with none, until it is 0 again.
func TestOverloadIsNoticed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	room := NewRoom(0)
	o := NewOverload(room, slog.New(slog.DiscardHandler))
	o.Start(ctx)
	defer o.Wait()
	defer cancel()
	if o.Sheds() || o.Share() != 0 {
		t.Error("something is turned away at the start")
	}
	var stop atomic.Bool
	busy := make(chan struct{})
	n := 600 * runtime.GOMAXPROCS(0)
	for range n {
		go func() {
			defer func() { busy <- struct{}{} }()
			for !stop.Load() {
				for begin := time.Now(); time.Since(begin) < 100*time.Microsecond; {
				}
				runtime.Gosched()
			}
		}()
	}
	until(t, func() bool { return o.Share() > 0.3 })
	// Something else keeps the machine busy as long as there is no crowd.
	for range crowdOf*runtime.GOMAXPROCS(0) - 1 {
		room.Enter()
	}
	for range 100 {
		if o.Sheds() {
			t.Fatal("a request is turned away although few wait")
		}
	}
	room.Enter()
	until(t, o.Sheds)
	stop.Store(true)
	for range n {
		<-busy
	}
	until(t, func() bool { return o.Share() == 0 })
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}
