package origin

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// TestAttemptsYieldToAnOutage: while the origin fails, what something else can stand in
// for is given up, whether it is under way or waits for a permit; and nothing else is.
func TestAttemptsYieldToAnOutage(t *testing.T) {
	r, flying := full(t, 1)
	flying[0].yields, flying[0].left = true, time.Minute
	other := &attempt{members: r.list, left: time.Minute}
	r.fly(r.now, other, r.list[0])
	waits, stays := r.wait(1), r.wait(1)
	waits.yields = true
	if _, vain, _ := r.look(r.now); len(vain) > 0 {
		t.Fatal("something is given up while the origin answers")
	}
	r.pass(2 * time.Second) // nothing has come
	r.look(r.now)
	if !r.failing(r.list) {
		t.Fatal("the origin does not count as failing")
	}
	_, vain, _ := r.look(r.now)
	if len(vain) != 1 || vain[0] != flying[0] {
		t.Errorf("%d attempts are given up, want one", len(vain))
	}
	if <-waits.granted || !waits.failing {
		t.Error("what waits for a permit has got one")
	}
	if served([]*waiter{stays}) >= 0 || len(r.waiting.waiters) != 1 || r.waiting.waiters[0] != stays {
		t.Error("what does not yield has lost its place")
	}
	// The header is here, and the body flows.
	flying[0].stage.Store(2)
	if _, vain, _ = r.look(r.now); len(vain) != 0 {
		t.Error("an answer that is coming is given up")
	}
}

// talker returns a pool with one server that reads a request, says what is given, and
// no more.
func talker(t *testing.T, says string, c Config) *Pool {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 4<<10))
			_, _ = io.WriteString(conn, says)
		}
	}()
	c.Name, c.Servers = "o", []Server{{URL: "http://" + ln.Addr().String()}}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		ln.Close()
		<-ended
	})
	return p
}

func TestStandInEndsTheWait(t *testing.T) {
	p := talker(t, "", Config{})
	_, err := p.Do(t.Context(), &Request{Target: "/", StandIn: time.Hour})
	if !errors.Is(err, ErrFailing) || !p.Failing() {
		t.Errorf("the error is %v, failing is %v", err, p.Failing())
	}
}

// TestStandInBoundsTheWaitForAPermit: a body that nobody reads holds the only permit. A
// request that something can stand in for waits shortly. When it has waited for longer
// than an answer takes, and none has come, the origin counts as failing.
func TestStandInBoundsTheWaitForAPermit(t *testing.T) {
	p := talker(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", Config{MaxConnsPerServer: 1, WaitTimeout: time.Hour})
	resp, err := p.Do(t.Context(), &Request{Target: "/held"})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, wait := range []time.Duration{10 * time.Millisecond, slowLeast} {
		_, err := p.Do(t.Context(), &Request{Target: "/", StandIn: wait})
		var e *Error
		if !errors.As(err, &e) || e.Kind != Busy {
			t.Errorf("the error is %v, want that of a busy origin", err)
		}
		if p.Failing() != (wait >= slowLeast) {
			t.Errorf("after %v, failing is %v", wait, p.Failing())
		}
	}
}
