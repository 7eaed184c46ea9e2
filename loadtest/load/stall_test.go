package load_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/loadtest/load"
	"weir/loadtest/selfcheck"
	"weir/loadtest/workload"
)

// answer64 gives the request its right answer, 64 bytes long.
func answer64(conn net.Conn, req *http.Request) error {
	body := selfcheck.Bytes(selfcheck.SeedOf(req.RequestURI, 0), 0, 64)
	_, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n%s", body)
	return err
}

// stallingServer answers in 2 ms, and stops for a second once in ten: whatever is under way then waits until the end of it.
func stallingServer(begin time.Time, conn net.Conn) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		time.Sleep(2 * time.Millisecond)
		if in := time.Since(begin) % (10 * time.Second); in > 5*time.Second && in < 6*time.Second {
			time.Sleep(6*time.Second - in)
		}
		if answer64(conn, req) != nil {
			return
		}
	}
}

// The same server, the same clock: the open loop shows the stalls in p999, the closed loop hides them, since it sends nothing while it
// waits (coordinated omission). The clock is a false one, so the figures are exact.
func TestStallShowsInOpenLoopOnly(t *testing.T) {
	measure := func(schedule workload.Schedule) (res *load.Result) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			var err error
			res, err = load.Run(t.Context(), load.Options{
				Target: "http://127.0.0.1:80", Path: "/x", Size: 64, Connections: 4, Loops: 1,
				Schedule: schedule, Duration: 20 * time.Second,
				Dial: func(string, string) (net.Conn, error) {
					client, server := net.Pipe()
					go stallingServer(begin, server)
					return client, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
		})
		return res
	}
	open := measure(workload.Constant{PerSecond: 500, For: 20 * time.Second})
	closed := measure(nil)

	if open.Answers != 10_000 || open.Unsent != 0 || open.Faults.Total != 0 {
		t.Errorf("open loop: %d answers, %d not sent, faults %+v", open.Answers, open.Unsent, open.Faults)
	}
	// A tenth of the requests is due in a stall. They wait up to a second for its end, and some for the queue after it.
	if p := open.Latency.P999US; p < 900_000 || p > 1_100_000 {
		t.Errorf("open loop: p999 is %.0f us, should be about a second", p)
	}
	if p := open.Latency.P50US; p < 1900 || p > 2100 {
		t.Errorf("open loop: p50 is %.0f us, should be 2 ms", p)
	}
	if p := closed.Latency.P999US; p > 2100 {
		t.Errorf("closed loop: p999 is %.0f us; if it shows the stall, this contrast is wrong in the handbook too", p)
	}
	if m := closed.Latency.MaxUS; m < 900_000 {
		t.Errorf("closed loop: the longest took %.0f us; the stall should be there at least", m)
	}
	// From sending, the open loop has seen little more than the closed one: the difference is what had to wait.
	if open.Lag.P99US < 500_000 {
		t.Errorf("open loop: p99 of the lag is %.0f us", open.Lag.P99US)
	}
}

// A target that hangs until somebody loses patience: what the requests had waited by then is in the latencies, sent or not.
func TestHangShowsWhenTheRunIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cut := context.WithTimeout(t.Context(), 6*time.Second)
		defer cut()
		begin := time.Now()
		res, err := load.Run(ctx, load.Options{
			Target: "http://127.0.0.1:80", Path: "/x;size=64", Connections: 4, Loops: 2,
			Schedule: workload.Constant{PerSecond: 100, For: time.Minute},
			Dial: func(string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go answerUntil(begin.Add(time.Second), server)
				return client, nil
			},
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		// Due at 0, 10, 20 ms and so on; the last that is answered is that of 990 ms, and at 6 s there have been 601.
		if res.Answers != 100 || res.InFlight != 4 || res.Unsent != 497 || res.Faults.Total != 0 || res.Requests != 104 {
			t.Errorf("%d requests, %d answers, %d in flight, %d not sent, faults %+v", res.Requests, res.Answers, res.InFlight, res.Unsent, res.Faults)
		}
		if res.LongestUS != 5_000_000 || res.Latency.Count != 601 || res.Latency.P50US < 1_900_000 || res.Latency.MaxUS < 4_990_000 {
			t.Errorf("the longest had waited %v us; latencies %+v", res.LongestUS, res.Latency)
		}
	})
}

// Two hundred million requests that were never sent are counted, each with about the wait that it had, in no time to speak of.
func TestUnsentOfAHighRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		res, err := load.Run(t.Context(), load.Options{
			Target: "http://127.0.0.1:80", Path: "/x;size=64", Connections: 1, Timeout: time.Second, Warmup: 10 * time.Second, GiveUp: 1000,
			Schedule: workload.Constant{PerSecond: load.MaxRate, For: 20 * time.Second}, Duration: 20 * time.Second,
			Dial: func(string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go answerUntil(begin, server)
				return client, nil
			},
		})
		if !errors.Is(err, load.ErrLate) {
			t.Fatal(err)
		}
		// The warm-up apart, they were due from 10 s to 20, and nobody sent them until 22.
		if res.DurationS != 22 || res.Unsent != 10*load.MaxRate || res.Latency.Count != res.Unsent {
			t.Errorf("%v s, %d requests, %d not sent, %d latencies", res.DurationS, res.Requests, res.Unsent, res.Latency.Count)
		}
		near := func(us, want float64) bool { return us > 0.998*want && us < 1.002*want }
		if l := res.Latency; !near(l.MeanUS, 7e6) || !near(l.P50US, 7e6) || !near(l.P99US, 11.9e6) || !near(l.MaxUS, 12e6) {
			t.Errorf("%+v", l)
		}
	})
}

// Nobody knows how long a closed loop of so many requests takes. Whatever it takes, its timeline spreads over all of it.
func TestTimelineOfALongRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		res, err := load.Run(t.Context(), load.Options{
			Target: "http://127.0.0.1:80", Path: "/x;size=64", Connections: 1, Requests: 5000, Timeout: time.Minute,
			Dial: func(string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go slowServer(server)
				return client, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if res.DurationS != 5000 || res.IntervalS < 4 || len(res.Timeline) < 500 || len(res.Timeline) > 1300 {
			t.Fatalf("%v s in %d slots of %v", res.DurationS, len(res.Timeline), res.IntervalS)
		}
		n := int64(0)
		for i, s := range res.Timeline {
			n += s.Answers
			if whole := i > 0 && i < len(res.Timeline)-1; whole && (s.Rate < 0.7 || s.Rate > 1.3 || s.P50US < 990_000 || s.P50US > 1_010_000) {
				t.Fatalf("slot %d of %v s: %+v", i, res.IntervalS, s)
			}
		}
		if n != 5000 {
			t.Errorf("%d answers", n)
		}
	})
}

// slowServer answers in a second.
func slowServer(conn net.Conn) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		time.Sleep(time.Second)
		if answer64(conn, req) != nil {
			return
		}
	}
}

// answerUntil answers at once until a moment, and then reads and says nothing more.
func answerUntil(end time.Time, conn net.Conn) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if !time.Now().Before(end) {
			continue
		}
		if answer64(conn, req) != nil {
			return
		}
	}
}
