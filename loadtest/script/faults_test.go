package script

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"weir/loadtest/selfcheck"
)

// The body waits half way: what stands before the stall is with the client, what stands after it is not.
func TestStallAndRelease(t *testing.T) {
	for _, framing := range []string{"length", "chunked", "close"} {
		t.Run(framing, func(t *testing.T) {
			o := start(t, "on GET /f\nbody 100KiB version 2\nframing "+framing+"\nstall half at 40000\n")
			ctx := testContext(t)
			res, err := http.Get(o.URL() + "/f")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			seed := selfcheck.SeedOf("/f", 2)
			if _, err := selfcheck.Verify(io.LimitReader(res.Body, 40000), seed, 0, 40000, nil); err != nil {
				t.Fatal(err)
			}
			if err := o.WaitStalled(ctx, "half"); err != nil {
				t.Fatal(err)
			}
			if r := o.Requests()[0]; r.Outcome != OutcomeRunning || r.Sent != 40000 {
				t.Errorf("while stalled: %s after %d bytes", r.Outcome, r.Sent)
			}
			if err := o.Release("half"); err != nil {
				t.Fatal(err)
			}
			if _, err := selfcheck.Verify(res.Body, seed, 40000, 100<<10-40000, nil); err != nil {
				t.Fatal(err)
			}
			if err := o.WaitDone(ctx, 1); err != nil {
				t.Fatal(err)
			}
			if r := o.Requests()[0]; r.Outcome != OutcomeDone || r.Sent != 100<<10 {
				t.Errorf("at the end: %s after %d bytes", r.Outcome, r.Sent)
			}
			http.DefaultClient.CloseIdleConnections()
		})
	}
}

func TestStallEnds(t *testing.T) {
	t.Run("when nobody releases it", func(t *testing.T) {
		o := start(t, "on GET /\ntext \"hello\"\nstall s at 2 for 1ms")
		got, _ := exchangeRaw(t, o, get("/"))
		if !strings.HasSuffix(got, "\r\n\r\nhe") {
			t.Errorf("got %q", got)
		}
		if err := o.WaitDone(testContext(t), 1); err != nil || o.Requests()[0].Outcome != OutcomeStallExpired {
			t.Errorf("outcome %s, %v", o.Requests()[0].Outcome, err)
		}
	})
	t.Run("when the peer leaves", func(t *testing.T) {
		o := start(t, "on GET /\nstall s\nthen\ndelay 1h")
		for i := range 2 {
			c := dial(t, o)
			io.WriteString(c, get("/"))
			if err := o.WaitRequests(testContext(t), i+1); err != nil {
				t.Fatal(err)
			}
			c.Close()
			if err := o.WaitDone(testContext(t), i+1); err != nil || o.Requests()[i].Outcome != OutcomePeerGone {
				t.Errorf("outcome %s, %v", o.Requests()[i].Outcome, err)
			}
		}
	})
	t.Run("when the origin closes", func(t *testing.T) {
		o := start(t, "on GET /\nstall s")
		c := dial(t, o)
		io.WriteString(c, get("/"))
		if err := o.WaitStalled(testContext(t), "s"); err != nil {
			t.Fatal(err)
		}
		o.Close()
		if got := o.Requests()[0].Outcome; got != OutcomeClosed {
			t.Errorf("outcome %s", got)
		}
	})
}

func TestReset(t *testing.T) {
	o := start(t, "on GET /\ntext \"hello\"\nreset at 2\nthen\nreset")
	for range 2 {
		if _, err := exchangeRaw(t, o, get("/")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want a reset", err)
		}
	}
	if err := o.WaitDone(testContext(t), 2); err != nil || o.Requests()[1].Outcome != OutcomeReset {
		t.Errorf("outcome %s, %v", o.Requests()[1].Outcome, err)
	}
}

func TestRefuseAndDown(t *testing.T) {
	o := start(t, "refuse 2\non GET /\nclose")
	for i := range 3 {
		got, err := exchangeRaw(t, o, get("/"))
		if refused := err != nil || got == ""; refused != (i < 2) {
			t.Errorf("connection %d: %q, %v", i+1, got, err)
		}
	}
	if n := o.Connections(); n != 3 {
		t.Errorf("%d connections", n)
	}
	addr := o.Addr()
	o.Down()
	o.Down()
	if c, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		if err == nil {
			c.Close()
		}
		t.Errorf("while down: %v, want refused", err)
	}
	if err := o.Up(); err != nil {
		t.Fatal(err)
	}
	if got, err := exchangeRaw(t, o, get("/")); err != nil || got == "" || o.Addr() != addr {
		t.Errorf("up again at %s: %q, %v", o.Addr(), got, err)
	}
	o.Close()
	if err := o.Up(); err == nil {
		t.Error("a closed origin came up")
	}
}

func TestDownEndsConnections(t *testing.T) {
	o := start(t, "on GET /\nbody 10")
	c := dial(t, o)
	io.WriteString(c, get("/"))
	if err := o.WaitDone(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	if o.Open() != 1 {
		t.Errorf("%d connections are open, want 1", o.Open())
	}
	o.Down()
	got, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(got), "HTTP/1.1 200 OK") {
		t.Errorf("got %q", got)
	}
}
