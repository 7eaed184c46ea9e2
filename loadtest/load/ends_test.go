package load_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/loadtest/load"
	"weir/loadtest/loadorigin"
	"weir/loadtest/workload"
)

// listen is a target whose connections are served by serve, each in a goroutine, and closed then. It ends with the test.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return "http://" + ln.Addr().String()
}

// breaking is a target that answers so many requests rightly, and then does something else with every connection.
func breaking(t *testing.T, after int64, then func(net.Conn)) string {
	t.Helper()
	origin, _ := startOrigin(t, loadorigin.Options{})
	var answered atomic.Int64
	return listen(t, func(conn net.Conn) {
		up, err := (&net.Dialer{}).Dial("tcp", strings.TrimPrefix(origin, "http://"))
		if err != nil {
			return
		}
		defer up.Close()
		buf := make([]byte, 16<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			if answered.Add(1) > after {
				then(conn)
				return
			}
			if _, err := up.Write(buf[:n]); err != nil {
				return
			}
			if n, err = up.Read(buf); err != nil { // small enough for one piece
				return
			}
			if _, err := conn.Write(buf[:n]); err != nil {
				return
			}
		}
	})
}

// The run ends by itself, with what was measured and with what happened.
func TestTargetThatBreaksHalfWay(t *testing.T) {
	for name, tc := range map[string]struct {
		then func(net.Conn)
		kind load.FaultKind
	}{
		"dies":    {func(net.Conn) {}, load.FaultCut},
		"garbage": {func(c net.Conn) { io.WriteString(c, "\x16\x03\x01 this is no HTTP\r\n\r\n") }, load.FaultMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			engines(t, func(t *testing.T, blocking bool) {
				o := closed(breaking(t, 500, tc.then))
				o.Mix, o.Requests, o.Duration, o.Blocking = mix(20, 1024), 0, time.Minute, blocking
				begin := time.Now()
				res, err := load.Run(t.Context(), o)
				if !errors.Is(err, load.ErrGaveUp) || res == nil {
					t.Fatalf("%v, %+v", err, res)
				}
				if res.Complete || !strings.Contains(res.Ended, tc.kind.String()) || res.Faults.Kinds[tc.kind.String()] < 20 {
					t.Errorf("ended %q, faults %+v", res.Ended, res.Faults)
				}
				if res.Answers < 490 || res.Answers > 500 {
					t.Errorf("%d answers, want those before it broke", res.Answers)
				}
				if took := time.Since(begin); took > 30*time.Second {
					t.Errorf("it took %v to give up", took)
				}
			})
		})
	}
}

func TestTargetThatRefuses(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	engines(t, func(t *testing.T, blocking bool) {
		o := closed("http://" + ln.Addr().String())
		o.Blocking = blocking
		res, err := load.Run(t.Context(), o)
		if !errors.Is(err, load.ErrGaveUp) || res == nil || res.Answers != 0 || res.Faults.Kinds["connect"] < 20 || res.Opened != 0 {
			t.Errorf("%v, %+v", err, res)
		}
	})
}

func TestTargetThatNeverAnswers(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(release)
	engines(t, func(t *testing.T, blocking bool) {
		o := closed(s.URL)
		o.Requests, o.Timeout, o.Blocking = 8, 500*time.Millisecond, blocking // connecting has to fit into it on a busy machine
		wantOnly(t, run(t, o), load.FaultTimeout, 8)
	})
}

// Requests that wait for an answer when a run is cut short have none, and are no fault of the target's.
func TestRunThatIsCutShort(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		ctx, cut := context.WithCancel(t.Context())
		defer cut()
		var asked, waiting atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) <= 20 {
				w.Header().Set("Content-Length", "0")
				return
			}
			if waiting.Add(1) == 4 {
				cut()
			}
			<-r.Context().Done()
		}))
		defer s.Close()
		o := closed(s.URL)
		o.Blocking, o.NoVerify, o.Requests, o.Duration = blocking, true, 0, time.Minute
		res, err := load.Run(ctx, o)
		if !errors.Is(err, context.Canceled) || res == nil || res.Complete {
			t.Fatalf("%v, %+v", err, res)
		}
		if res.Answers != 20 || res.Faults.Total != 0 || res.Reopened != 0 {
			t.Errorf("%d answers, %d opened again, faults %+v", res.Answers, res.Reopened, res.Faults)
		}
		if res.InFlight != 4 || res.Requests != 24 || res.LongestUS <= 0 || res.Latency.Count != 24 || res.Service.Count != 20 {
			t.Errorf("%d in flight, the longest for %v us; %d requests, %d latencies, %d of answers", res.InFlight, res.LongestUS, res.Requests,
				res.Latency.Count, res.Service.Count)
		}
	})
}

// An open loop that is so late that it gives the rest up has not gone as planned.
func TestOpenLoopThatCannotKeepUp(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		origin, _ := startOrigin(t, loadorigin.Options{})
		res, err := load.Run(t.Context(), load.Options{
			Target: origin, Path: "/x;size=64;delay=100ms", Connections: 1, Schedule: workload.Constant{PerSecond: 1000, For: 200 * time.Millisecond},
			Timeout: time.Second, Blocking: blocking,
		})
		if !errors.Is(err, load.ErrLate) || res.Complete || !strings.Contains(res.Ended, "cannot keep up") {
			t.Fatalf("%v, complete %v, ended %q", err, res.Complete, res.Ended)
		}
		if res.Answers+res.Unsent != 200 || res.Unsent < 150 || res.Latency.Count != 200 || res.Faults.Total != 0 {
			t.Errorf("%d answers, %d not sent, %d latencies, faults %+v", res.Answers, res.Unsent, res.Latency.Count, res.Faults)
		}
	})
}

// A server that closes a kept connection after each answer, without saying so, does nothing wrong (RFC 9112 section 9.3.1).
func TestClosedKeptConnectionIsNoFault(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	origin, _ := startOrigin(t, loadorigin.Options{})
	s := &http.Server{Handler: &cacheOnce{origin: origin}}
	s.SetKeepAlivesEnabled(true)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(ln) })
	defer wg.Wait()
	defer s.Close()
	engines(t, func(t *testing.T, blocking bool) {
		o := closed("http://" + ln.Addr().String())
		o.Requests, o.Blocking, o.Connections = 50, blocking, 2
		res := run(t, o)
		if res.Faults.Total != 0 || res.Answers != 50 || res.Reopened < 20 {
			t.Errorf("%d answers, %d opened again, faults %+v, %+v", res.Answers, res.Reopened, res.Faults, res.Examples)
		}
	})
}

// cacheOnce answers and closes the connection without announcing it.
type cacheOnce struct{ origin string }

func (c *cacheOnce) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resp, err := http.Get(c.origin + r.RequestURI)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(buf, "HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n")
	buf.Write(body)
	buf.Flush()
}

func TestRangesConditionsAndNewConnections(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		origin, _ := startOrigin(t, loadorigin.Options{})
		o := closed(origin)
		o.Blocking, o.PerConnection, o.Origin = blocking, 1, origin
		o.Mix.Ranges, o.Mix.Conditional = 0.3, 0.5
		o.Requests = 500
		res := run(t, o)
		if res.Faults.Total != 0 || res.Statuses["206"] < 100 || res.Statuses["304"] < 100 || res.Opened != 500 {
			t.Errorf("statuses %v, %d connections, faults %+v, %+v", res.Statuses, res.Opened, res.Faults, res.Examples)
		}
		if res.Origin.NotModified != res.Statuses["304"] {
			t.Errorf("the origin has %d answers of 304, the clients %d", res.Origin.NotModified, res.Statuses["304"])
		}
	})
}

func TestPrefillAndOpenLoop(t *testing.T) {
	origin, _ := startOrigin(t, loadorigin.Options{})
	c := &cache{origin: origin}
	o := load.Options{
		Target: startCache(t, c), Mix: mix(300, 256), Connections: 8, Prefill: true, Origin: origin,
		Schedule: workload.Constant{PerSecond: 400, For: time.Second}, Warmup: 500 * time.Millisecond, Duration: time.Second,
	}
	res := run(t, o)
	if res.Answers != 200 || res.HitRatio != 1 || res.Origin.Requests != 0 || res.Unsent != 0 {
		t.Errorf("%d answers, hit ratio %v, origin %+v", res.Answers, res.HitRatio, res.Origin)
	}
}

// A flash crowd asks for what nobody asked for before, prefill included.
func TestPrefillLeavesFlashCrowdsOut(t *testing.T) {
	origin, _ := startOrigin(t, loadorigin.Options{})
	m := mix(50, 256)
	m.Flashes = []workload.Flash{{For: time.Minute, Share: 1, Objects: 10}}
	res := run(t, load.Options{
		Target: startCache(t, &cache{origin: origin}), Mix: m, Connections: 1, Prefill: true, Origin: origin, Requests: 200,
	})
	if misses := res.Tiers[len(res.Tiers)-1]; misses.Tier != "miss" || misses.Answers != 10 || res.Origin.Requests != 10 {
		t.Errorf("tiers %+v, origin %+v; want a miss for each of 10 objects", res.Tiers, res.Origin)
	}
}

// Every fault of the settings is named at once, with what would be possible.
func TestImpossibleSettings(t *testing.T) {
	m := mix(0, 10)
	m.Exponent, m.Ranges = -1, 2
	_, err := load.Run(t.Context(), load.Options{
		Target: "ftp://x", Mix: m, Connections: -1, Timeout: -1, Fields: []string{"Host: x"},
		Schedule: workload.Constant{PerSecond: 0, For: time.Second}, Warmup: -1,
	})
	if err == nil {
		t.Fatal("it ran")
	}
	for _, want := range []string{"target", "connections", "timeout", "rate 0", "warm-up", "header", "objects", "exponent", "sizes 10 B: 64 B", "ranges"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in:\n%v", want, err)
		}
	}
}

func TestRefusesWhatIsNotLoopback(t *testing.T) {
	for _, o := range []load.Options{
		{Target: "http://192.0.2.1:80"},
		{Target: "http://127.0.0.1:1", Origin: "http://192.0.2.1"},
		{Target: "http://127.0.0.1:1", Purges: load.PurgeOptions{API: "http://192.0.2.1"}},
	} {
		o.Path, o.Requests = "/", 1
		if res, err := load.Run(context.Background(), o); res != nil || err == nil || !strings.Contains(err.Error(), "not loopback") {
			t.Errorf("%s, %s: %v", o.Target, o.Origin, err)
		}
	}
}

func TestTLS(t *testing.T) {
	origin, _ := startOrigin(t, loadorigin.Options{})
	c := &cache{origin: origin, client: &http.Client{Transport: &http.Transport{}}, entries: map[string]*entry{}}
	s := httptest.NewTLSServer(c)
	defer s.Close()
	defer c.client.CloseIdleConnections()
	o := closed(s.URL)
	o.Requests, o.TLS = 200, s.Client().Transport.(*http.Transport).TLSClientConfig
	if res := run(t, o); res.Answers != 200 || res.Faults.Total != 0 || res.Engine != "blocking" {
		t.Errorf("%d answers, faults %+v, engine %s", res.Answers, res.Faults, res.Engine)
	}
	o.TLS = nil // the system's roots do not know the server
	if res, err := load.Run(t.Context(), o); !errors.Is(err, load.ErrGaveUp) || res.Answers != 0 || res.Faults.Kinds["connect"] == 0 {
		t.Errorf("a certificate that nobody signed: %v, %+v", err, res)
	}
}
