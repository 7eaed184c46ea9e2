package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	loadgen "weir/loadtest/load"
	"weir/loadtest/loadorigin"
	"weir/loadtest/workload"
)

var waitsFull = flag.Bool("waits.full", false, "tests of waits and overload at full length and rate, on a machine that does nothing else")

const waitsConfig = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
log: {level: error}
tiers: {ram: {size: 64MiB}}
origins:
  o: {servers: [%q]}
policies:
  - {name: all, origin: o}
`

// steadyLoad are the options of an open loop for one path.
func steadyLoad(target, path string, rate float64, connections int, d time.Duration) loadgen.Options {
	return loadgen.Options{
		Target: target, Path: path, Schedule: workload.Constant{PerSecond: rate, For: d}, NoVerify: true,
		Connections: connections, Timeout: time.Minute, GiveUp: math.MaxInt,
	}
}

func runLoad(t *testing.T, o loadgen.Options) *loadgen.Result {
	r, err := loadgen.Run(t.Context(), o)
	if err != nil {
		t.Error(err)
		return &loadgen.Result{}
	}
	return r
}

// TestHotStalePage: one page is stale and asked for all the time, and its origin hangs.
// Its visitors get what is stale, hits of others are as fast as before, and 1,564
// connections are enough for all (FAULTS F3).
func TestHotStalePage(t *testing.T) {
	rate, length, slack := 200.0, 3*time.Second, 600*time.Millisecond
	if *waitsFull {
		rate, length, slack = 700, time.Minute, 0
	}
	var hangs atomic.Bool
	release := make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hangs.Load() {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = w.Write(make([]byte, 1000))
	}))
	defer origin.Close()
	p := startProcess(t, fmt.Sprintf(waitsConfig, origin.URL))
	defer p.stop(t)
	defer close(release)
	for _, path := range []string{"/hot", "/hit"} {
		resp, err := http.Get(p.url + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	healthy := runLoad(t, steadyLoad(p.url, "/hit", 200, 64, 2*time.Second))
	resp, err := http.Post(p.admin+"/v1/purge", "application/json", bytes.NewReader([]byte(`{"urls": ["`+p.url+`/hot"], "soft": true}`)))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("cannot purge: %v, %+v", err, resp)
	}
	resp.Body.Close()
	hangs.Store(true)
	var hot, others *loadgen.Result
	var wg sync.WaitGroup
	wg.Go(func() { hot = runLoad(t, steadyLoad(p.url, "/hot", rate, 1500, length)) })
	wg.Go(func() { others = runLoad(t, steadyLoad(p.url, "/hit", 200, 64, length)) })
	wg.Wait()
	t.Logf("hot page: %v, worst %.0f ms, p50 %.2f ms; hits p99 %.2f ms, healthy %.2f ms",
		hot.Statuses, hot.Latency.MaxUS/1000, hot.Latency.P50US/1000, others.Latency.P99US/1000, healthy.Latency.P99US/1000)
	if hot.Answers == 0 || hot.Statuses["200"] != hot.Answers || hot.Unsent+hot.InFlight > 0 {
		t.Errorf("the hot page was answered %v; %d were not sent, %d not answered", hot.Statuses, hot.Unsent, hot.InFlight)
	}
	if worst := time.Duration(hot.Latency.MaxUS) * time.Microsecond; worst > 1200*time.Millisecond+slack {
		t.Errorf("a visitor of the hot page waited %v", worst)
	}
	if limit := max(2*healthy.Latency.P99US, float64(slack.Microseconds())); others.Latency.P99US > limit {
		t.Errorf("hits took %.0f us (p99), %.0f us before", others.Latency.P99US, healthy.Latency.P99US)
	}
}

// TestOverload: twice as many requests come as weir can take to its origin. Those that
// are served are served soon, the others are told to come back, and a second after the
// overload it is over.
func TestOverload(t *testing.T) {
	// What a busy machine makes of it is bounded, and no more.
	length, bound := 3*time.Second, 15*time.Second
	if *waitsFull {
		length, bound = 30*time.Second, time.Second
	}
	t.Setenv("GOMAXPROCS", "1") // of weir: the load and the origin need the rest of the machine
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o, err := loadorigin.New(loadorigin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Serve(ctx, ln) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	p := startProcess(t, fmt.Sprintf(waitsConfig, "http://"+ln.Addr().String()))
	defer p.stop(t)
	// Nothing can be stored, so each request goes to the origin.
	options := func(connections int, d time.Duration) loadgen.Options {
		s := workload.Sizes{Median: 1 << 10, Min: 1 << 10, Max: 1 << 10}
		return loadgen.Options{
			Target: p.url, Mix: &workload.Mix{Catalogue: workload.Catalogue{Objects: 1_000_000, Sizes: s, Uncacheable: 1, Prefix: "/o/"}},
			Duration: d, NoVerify: true, Connections: connections, Timeout: time.Minute, GiveUp: math.MaxInt,
		}
	}
	capacity := runLoad(t, options(64, 2*time.Second)).Rate
	at := func(times float64, connections int, d time.Duration) *loadgen.Result {
		opts := options(connections, 0)
		opts.Schedule = workload.Constant{PerSecond: max(1, times*capacity), For: d}
		return runLoad(t, opts)
	}
	over := at(2, 8000, length)
	after := at(0.3, 64, 3*time.Second)
	t.Logf("capacity %.0f/s; at twice that %v, p50 %.0f ms, p99 %.0f ms, p999 %.0f ms; lag of the load p99 %.0f ms; afterwards %v, p99 %.0f ms",
		capacity, over.Statuses, over.Latency.P50US/1000, over.Latency.P99US/1000, over.Latency.P999US/1000, over.Lag.P99US/1000,
		after.Statuses, after.Latency.P99US/1000)
	for status, n := range over.Statuses {
		if status != "200" && status != "503" {
			t.Errorf("%d answers are %s", n, status)
		}
	}
	if over.Statuses["200"] == 0 {
		t.Error("nothing was served")
	}
	if over.Unsent+over.InFlight+after.Unsent+after.InFlight > 0 || after.Statuses["200"] == 0 {
		t.Errorf("not all was answered: %+v, %+v", over, after)
	}
	// Of all that was answered: the more of what was served.
	if p999 := time.Duration(over.Latency.P999US) * time.Microsecond; p999 > bound {
		t.Errorf("one in a thousand took %v and more", p999)
	}
	if *waitsFull && over.Statuses["503"] == 0 {
		t.Error("nothing was turned away")
	}
	for _, slot := range after.Timeline {
		if *waitsFull && slot.AtS >= 1 && slot.Answers > 0 && (slot.Faults > 0 || slot.P99US > bound.Seconds()*1e6/2) {
			t.Errorf("%v s after the overload: %+v", slot.AtS, slot)
		}
	}
}
