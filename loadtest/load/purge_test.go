package load_test

import (
	"io"
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

// purging is a short run with a storm that one worker sends to an API.
func purging(t *testing.T, api http.HandlerFunc, storm workload.PurgeStorm) load.Options {
	origin, _ := startOrigin(t, loadorigin.Options{})
	s := httptest.NewServer(api)
	t.Cleanup(s.Close)
	return load.Options{
		Target: origin, Mix: mix(10, 64), Connections: 1, Schedule: workload.Constant{PerSecond: 100, For: time.Second}, Origin: origin, Timeout: 20 * time.Second,
		Purges: load.PurgeOptions{API: s.URL, Workers: 1, Storms: []workload.PurgeStorm{storm}},
	}
}

// A purge that has to wait for the one before it waits on the clock.
func TestPurgesCountFromWhenTheyWereDue(t *testing.T) {
	var once sync.Once
	o := purging(t, func(http.ResponseWriter, *http.Request) {
		once.Do(func() { time.Sleep(300 * time.Millisecond) })
	}, workload.PurgeStorm{For: 300 * time.Millisecond, PerSecond: 10})
	res := run(t, o)
	// They are due at 0, 100 and 200 ms, and none is acknowledged before 300.
	if p := res.Purges; p.Asked != 3 || p.Done != 3 || p.Ack.MeanUS < 199_000 || p.Unsent+p.Cut != 0 {
		t.Errorf("%+v", p)
	}
}

// Purges that no worker came to, and those under way at the end, are counted.
func TestPurgesThatWereDueAndNotSent(t *testing.T) {
	o := purging(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // so that the end of the connection is seen
		<-r.Context().Done()
	}, workload.PurgeStorm{For: 200 * time.Millisecond, PerSecond: 100})
	res := run(t, o)
	if p := res.Purges; p.Asked != 1 || p.Cut != 1 || p.Unsent != 19 || p.Done != 0 || p.Failed != 0 {
		t.Errorf("%+v", p)
	}
}

// What a report shows of a failed purge is passed on: it must not hold the password of the API's address.
func TestFailedPurgeShowsNoPassword(t *testing.T) {
	o := purging(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		workload.PurgeStorm{For: 100 * time.Millisecond, PerSecond: 10})
	o.Purges.API = strings.Replace(o.Purges.API, "http://", "http://me:hunter2@", 1)
	p := run(t, o).Purges
	if p.Failed != 1 || len(p.First) != 1 || !strings.Contains(p.First[0], "403") || strings.Contains(p.First[0], "hunter2") {
		t.Errorf("%+v", p)
	}
}

// A redirect acknowledges nothing, and nothing goes where it leads.
func TestRedirectedPurgeHasFailed(t *testing.T) {
	var led atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { led.Add(1) }))
	defer elsewhere.Close()
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}
	for _, method := range []bool{false, true} {
		o := purging(t, redirect, workload.PurgeStorm{PerSecond: 1})
		if o.Purges.Method = method; method {
			o.Target, o.Purges.API, o.NoVerify = o.Purges.API, "", true
		}
		res := run(t, o)
		if p := res.Purges; p.Done != 0 || p.Failed != 1 || !strings.Contains(p.First[0], "307") || led.Load() != 0 {
			t.Errorf("PURGE %v: %+v, %d went on", method, p, led.Load())
		}
	}
}

// Neither do the origin's counts come from where it redirects to.
func TestRedirectedOrigin(t *testing.T) {
	origin, _ := startOrigin(t, loadorigin.Options{})
	s := httptest.NewServer(http.RedirectHandler(origin+load.StatsPath, http.StatusFound))
	defer s.Close()
	res := run(t, load.Options{Target: origin, Path: "/x;size=64", Connections: 1, Origin: s.URL, Requests: 10})
	if res.Origin != nil || !strings.Contains(res.OriginError, "302") {
		t.Errorf("%+v, %q", res.Origin, res.OriginError)
	}
}
