package front

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// deadlineConn counts the deadlines that are set.
type deadlineConn struct {
	net.Conn
	past, none int
}

func (c *deadlineConn) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		c.none++
	} else {
		c.past++
	}
	return nil
}

// TestPhases: each phase has its own limit, nothing ends early or while it is served, and what has ended stays so.
func TestPhases(t *testing.T) {
	const header, idle, round = 100, 1000, 10
	c := &deadlineConn{}
	var clock coarseClock
	k := newClientConn(c, netip.Addr{}, &clock, time.Minute)
	at := func(now int64, ended bool) {
		t.Helper()
		before := c.past
		if k.hold(now, header, idle, round); (c.past > before) != ended {
			t.Fatalf("at %d: ended is %v, want %v", now, c.past > before, ended)
		}
	}
	at(header+round, false)
	clock.t.Store(90)
	k.began() // the first header's time runs from the start
	at(header+round, false)
	k.serve()
	at(1e9, false)
	clock.t.Store(1e9)
	k.idle()
	at(1e9+idle+round, false)
	clock.t.Store(1e9 + idle)
	k.began()
	clock.t.Store(2e9)
	k.began() // more of the same head
	at(1e9+idle+header+round, false)
	at(1e9+idle+header+round+1, true)
	at(1e9+idle+header+round+2, true) // again, in case somebody took the deadline off
	k.idle()
	k.serve()
	at(2e9, true)

	// A body's deadline is taken off with its answer.
	past := c.past
	k = newClientConn(c, netip.Addr{}, &clock, time.Minute)
	k.in.announced = 1
	if k.serve(); c.past != past+1 {
		t.Error("a body has no deadline")
	}
	if k.idle(); c.none != 1 || k.bodyDeadline {
		t.Errorf("the deadline of a body was taken off %d times", c.none)
	}
	// No limit is no limit.
	if k.hold(1e12, 0, 0, round); c.none != 1 || phase(k.phase.Load()) != phaseIdle {
		t.Error("without a limit it ended")
	}
}

// TestStopsCountForNobody: a connection that came after the process stood still for an hour, and before the clock was set
// again, has all of its time.
func TestStopsCountForNobody(t *testing.T) {
	const header, idle, round = time.Second, time.Minute, 100 * time.Millisecond
	var clock coarseClock
	clock.advance(round, round)
	c := &deadlineConn{}
	k := newClientConn(c, netip.Addr{}, &clock, 0)
	clock.advance(time.Hour, round)
	for lived := time.Duration(0); lived <= header; lived += round {
		if k.hold(clock.now(), int64(header), int64(idle), int64(round)); c.past > 0 {
			t.Fatalf("ended after %v, %v are its due", lived, header)
		}
		clock.advance(round, round)
	}
	clock.advance(round, round)
	if k.hold(clock.now(), int64(header), int64(idle), int64(round)); c.past == 0 {
		t.Error("it is still open when its time is over")
	}
}

// lastDeadline keeps the read deadline that was set last.
type lastDeadline struct {
	net.Conn
	last time.Time
}

func (c *lastDeadline) SetReadDeadline(t time.Time) error {
	c.last = t
	return nil
}

// TestCloseEndsTheReadThatBegins: the origin wants no more of an upload when the Read of it has begun for the origin's
// pool, and is about to set its deadline. That one must not take the place of the one that ends the Read.
func TestCloseEndsTheReadThatBegins(t *testing.T) {
	c := &lastDeadline{}
	ctx := new(fasthttp.RequestCtx)
	ctx.Init2(c, quietLogger{}, false)
	up := &upload{ctx: ctx, r: strings.NewReader("abc"), length: 9, timeout: time.Minute}
	if err := up.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := up.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if c.last.After(time.Now()) {
		t.Errorf("the client may be silent for another %v", time.Until(c.last))
	}
}
