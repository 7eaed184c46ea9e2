package load_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/loadtest/load"
	"weir/loadtest/loadorigin"
	"weir/loadtest/selfcheck"
	"weir/loadtest/workload"
)

// again writes a text over and over until the connection ends.
func again(text string) func(net.Conn) {
	text = strings.Repeat(text, 100)
	return func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

// drip writes a byte every few milliseconds of a body that has many.
func drip(c net.Conn) {
	io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := io.WriteString(c, "x"); err != nil {
			return
		}
	}
}

// A target that makes progress for ever does not hold the run for ever.
func TestRunEndsWhateverTheTargetDoes(t *testing.T) {
	chunks := func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		again("4\r\nabcd\r\n")(c)
	}
	for name, tc := range map[string]struct {
		then func(net.Conn)
		kind load.FaultKind
		text string
	}{
		"drips":            {drip, load.FaultTimeout, "not whole "},
		"never ends":       {chunks, load.FaultTimeout, "not whole "},
		"interim for ever": {again("HTTP/1.1 103 Early Hints\r\n\r\n"), load.FaultMalformed, "interim answers"},
	} {
		t.Run(name, func(t *testing.T) {
			engines(t, func(t *testing.T, blocking bool) {
				for what, schedule := range map[string]workload.Schedule{"open": workload.Constant{PerSecond: 1000, For: 100 * time.Millisecond}, "closed": nil} {
					ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
					res, err := load.Run(ctx, load.Options{
						Target: breaking(t, 0, tc.then), Path: "/x;size=64", Connections: 4, Schedule: schedule, Duration: 100 * time.Millisecond,
						Timeout: time.Second, NoVerify: true, Blocking: blocking, GiveUp: 1000,
					})
					stop()
					if ctx.Err() == context.DeadlineExceeded {
						t.Fatalf("%s loop: it does not end: %v", what, err)
					}
					if res.Faults.Kinds[tc.kind.String()] < 4 || len(res.Faults.Kinds) != 1 || !strings.Contains(res.Examples[0].Fault, tc.text) {
						t.Errorf("%s loop: faults %+v, %+v", what, res.Faults, res.Examples)
					}
				}
			})
		})
	}
}

// The same when the number of requests, and no time, limits the run.
func TestRunOfSoManyRequestsEnds(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		defer stop()
		res, err := load.Run(ctx, load.Options{
			Target: breaking(t, 0, drip), Path: "/x", Connections: 2, Requests: 2, Timeout: time.Second, NoVerify: true, Blocking: blocking,
		})
		if err != nil {
			t.Fatal(err)
		}
		wantOnly(t, res, load.FaultTimeout, 2)
	})
}

// An answer that was slow and is whole in the time after the end is right.
func TestSlowAnswerIsWaitedFor(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		origin, _ := startOrigin(t, loadorigin.Options{})
		res := run(t, load.Options{
			Target: origin, Path: "/x;size=64;delay=300ms", Connections: 2, Duration: 50 * time.Millisecond, Timeout: 10 * time.Second, Blocking: blocking,
		})
		if res.Answers != 2 || res.Faults.Total != 0 {
			t.Errorf("%d answers, faults %+v, %+v", res.Answers, res.Faults, res.Examples)
		}
	})
}

// A body that has outgrown its object is found while it grows, and what was right before it does not count.
func TestFindsBodiesThatGoOn(t *testing.T) {
	const target = "/x;size=640"
	right := string(selfcheck.Bytes(selfcheck.SeedOf(target, 0), 0, 640))
	for name, tc := range map[string]struct {
		body string
		kind load.FaultKind
	}{
		"right bytes first": {right, load.FaultSize},
		"wrong bytes first": {strings.Repeat("x", 640), load.FaultContent},
	} {
		t.Run(name, func(t *testing.T) {
			engines(t, func(t *testing.T, blocking bool) {
				o := load.Options{Path: target, Connections: 2, Requests: 10, Timeout: 5 * time.Second, Blocking: blocking}
				o.Target = breaking(t, 0, func(c net.Conn) {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n280\r\n"+tc.body+"\r\n")
					again("4\r\nabcd\r\n")(c)
				})
				wantOnly(t, run(t, o), tc.kind, 10)
			})
		})
	}
}

// A framing that is right does not help a body that is too long.
func TestFindsBodiesThatAreTooLong(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		origin, _ := startOrigin(t, loadorigin.Options{})
		o := closed(startCache(t, &cache{origin: origin, bad: every(100), wrong: func(_ *cache, w http.ResponseWriter, e *entry) {
			w.Write(append(e.body[:len(e.body):len(e.body)], "and more"...))
		}}))
		o.Blocking = blocking
		wantOnly(t, run(t, o), load.FaultSize, 20)
	})
}
