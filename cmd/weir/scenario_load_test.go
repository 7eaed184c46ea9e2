package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// leastSlow is the least time after which an answer counts as late, however fast a
// healthy origin is. The page says 250 ms, of a machine that does nothing else. A test
// has no such machine; who is caught by a sick server waits for a second or more.
const leastSlow = 900 * time.Millisecond

// sample is how one of many requests went.
type sample struct {
	took time.Duration
	err  error
}

// cmdMisses sends requests for distinct targets at a steady rate, whatever becomes of
// them. The first use in a scenario measures how long a healthy origin takes.
func cmdMisses(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "misses W PREFIX COUNT EVERY [SKIP]"
	arguments(ts, neg, args, 4, 5, usage)
	count, err := strconv.Atoi(args[2])
	ts.Check(err)
	every, err := time.ParseDuration(args[3])
	ts.Check(err)
	skip := 0
	if len(args) == 5 {
		skip, err = strconv.Atoi(args[4])
		ts.Check(err)
	}
	w := worldOf(ts)
	samples := steadily("http://"+processOf(ts, args[0]).data[0]+args[1], count, every)
	limit := max(leastSlow, 2*w.healthy)
	if w.healthy == 0 {
		limit = patience
	}
	var took []time.Duration
	bad, failed, worst := 0, 0, sample{}
	for i, s := range samples {
		if i < skip {
			continue
		}
		if s.err != nil {
			failed++
		}
		if s.err != nil || s.took > limit {
			bad++
		}
		if worst.err == nil && (s.err != nil || s.took > worst.took) {
			worst = s
		}
		took = append(took, s.took)
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	ts.Logf("%d requests: %d failed, %d took longer than %v; p50 %v, p99 %v, worst %v (error %v)",
		len(took), failed, bad-failed, limit, took[len(took)/2], p99, worst.took, worst.err)
	if w.healthy == 0 {
		w.healthy = p99
	}
	if bad*100 > len(took) {
		ts.Fatalf("%d of %d requests failed or took longer than %v", bad, len(took), limit)
	}
}

// steadily sends GETs of prefix1, prefix2 and so on, one every so often.
func steadily(prefix string, count int, every time.Duration) []sample {
	t := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	defer t.CloseIdleConnections()
	samples := make([]sample, count)
	var wg sync.WaitGroup
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range samples {
		wg.Go(func() {
			begin := time.Now()
			samples[i].err = miss(t, prefix+strconv.Itoa(i+1))
			samples[i].took = time.Since(begin)
		})
		<-tick.C
	}
	wg.Wait()
	return samples
}

// miss gets one target whole.
func miss(t http.RoundTripper, url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience/2)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Host = "shop.example"
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d, %s", resp.StatusCode, resp.Header.Get("Cache-Status"))
	}
	return nil
}

// cmdCrowd opens many connections at once and leaves them as they are.
func cmdCrowd(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 3, 3, "crowd WEIR N BYTES")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	w, text := worldOf(ts), unquote(ts, args[2])
	for range n {
		c := dial(ts, args[0], &request{})
		w.crowd = append(w.crowd, c)
		_, err := io.WriteString(c, text)
		ts.Check(err)
	}
}
