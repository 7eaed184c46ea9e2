package metrics

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	resultHit = iota
	resultMiss
	resultPass
)

const (
	tierRAM = iota
	tierDisk
	tierOrigin
	tierNone
)

func testOptions() Options {
	return Options{
		Results:         []string{"hit", "miss", "pass"},
		Tiers:           []string{"ram", "disk", "origin", "none"},
		Reasons:         []string{"no_store", "private"},
		EvictionReasons: []string{"fresh", "stale"},
		OriginOutcomes:  []string{"ok", "timeout"},
		PurgeKinds:      []string{"url", "tag"},
		Origins:         []string{"shop", "images"},
		Version:         "1.2.3",
		GoVersion:       "go1.26",
	}
}

// page returns the value of each series on r's page.
func page(t *testing.T, r *Registry) map[string]float64 {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteMetrics(&b); err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if _, twice := out[line[:at]]; twice {
			t.Errorf("series %s is on the page twice", line[:at])
		}
		out[line[:at]] = v
	}
	return out
}

func expect(t *testing.T, got map[string]float64, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		g, ok := got[name]
		if !ok {
			t.Errorf("no series %s", name)
		} else if math.Abs(g-v) > 1e-9 {
			t.Errorf("%s = %v, want %v", name, g, v)
		}
	}
}

// served is a request of no policy.
func served(result, tier uint8, dur, ttfb time.Duration, bytes int64, shard uint32) *Served {
	return &Served{Result: result, Tier: tier, Status: 200, Duration: dur, TTFB: ttfb, Bytes: bytes, Shard: shard}
}

// fill counts a little of everything.
func fill(r *Registry) {
	for i := range uint32(9) {
		r.Begin(i)
		r.Request(served(resultHit, tierRAM, 60*time.Microsecond, 40*time.Microsecond, 100, i))
	}
	r.Begin(3)
	r.Request(served(resultMiss, tierOrigin, 30*time.Millisecond, 20*time.Millisecond, 100, 3))
	r.Origin(0, 0, 25*time.Millisecond)
	r.OriginBytes(0, 60)
	r.OriginBytes(0, 40)
	r.NotCached(1)
	r.Coalesced()
	r.Evicted(tierDisk, 0, 7)
}

func TestPageHoldsWhatWasCounted(t *testing.T) {
	r := New(testOptions())
	fill(r)
	r.Begin(0)
	r.ConfigLoaded(time.Unix(1700000000, 500e6))
	r.ReloadFailed()
	r.SetTier(tierRAM, TierFuncs{Bytes: func() float64 { return 5 }, Objects: func() float64 { return 2 }, Capacity: func() float64 { return 10 }})
	r.SetTier(tierDisk, TierFuncs{Corrupt: func() float64 { return 3 }})
	r.SetSource(SourceDiskUp, func() float64 { return 0 })
	r.SetSource(SourceDiskUp, func() float64 { return 1 })
	r.SetDiskStates([]string{"opening", "open"}, func() string { return "open" })
	r.SetSource(SourceDiskWrittenObjects, func() float64 { return 4096 })
	r.SetSource(SourceDiskReadErrors, func() float64 { return 2 })
	got := page(t, r)
	expect(t, got, map[string]float64{
		`weir_requests_total{result="hit",tier="ram"}`:                  9,
		`weir_requests_total{result="miss",tier="origin"}`:              1,
		`weir_requests_total{result="pass",tier="none"}`:                0,
		`weir_request_duration_seconds_bucket{tier="ram",le="5e-05"}`:   0,
		`weir_request_duration_seconds_bucket{tier="ram",le="7.5e-05"}`: 9,
		`weir_request_duration_seconds_count{tier="disk"}`:              0,
		`weir_time_to_first_byte_seconds_bucket{tier="ram",le="5e-05"}`: 9,
		`weir_time_to_first_byte_seconds_sum{tier="origin"}`:            0.02,
		`weir_response_bytes_total{tier="ram"}`:                         900,
		`weir_origin_requests_total{origin="shop",outcome="ok"}`:        1,
		`weir_origin_requests_total{origin="images",outcome="timeout"}`: 0,
		`weir_origin_duration_seconds_count{origin="shop"}`:             1,
		`weir_origin_response_bytes_total{origin="shop"}`:               100,
		`weir_origin_offload_ratio`:                                     0.9,
		`weir_origin_byte_offload_ratio`:                                0.9,
		`weir_not_cached_total{reason="private"}`:                       1,
		`weir_not_cached_total{reason="no_store"}`:                      0,
		`weir_coalesced_requests_total`:                                 1,
		`weir_evictions_total{tier="disk",reason="fresh"}`:              7,
		`weir_corrupt_records_total{tier="disk"}`:                       3,
		`weir_disk_written_bytes_total{kind="object"}`:                  4096,
		`weir_disk_errors_total{op="read"}`:                             2,
		`weir_evictions_total{tier="ram",reason="stale"}`:               0,
		`weir_tier_bytes{tier="ram"}`:                                   5,
		`weir_tier_objects{tier="ram"}`:                                 2,
		`weir_tier_capacity_bytes{tier="ram"}`:                          10,
		`weir_disk_state{state="opening"}`:                              0,
		`weir_disk_state{state="open"}`:                                 1,
		`weir_disk_up`:                                                  1,
		`weir_requests_in_flight`:                                       1,
		`weir_config_reloads_total{outcome="failed"}`:                   1,
		`weir_config_reloads_total{outcome="ok"}`:                       0,
		`weir_config_last_reload_success`:                               0,
		`weir_config_loaded_timestamp_seconds`:                          1700000000.5,
		`weir_build_info{version="1.2.3",goversion="go1.26"}`:           1,
	})
	for name := range got {
		if strings.Contains(name, `="other"`) {
			t.Errorf("nothing was counted under other, yet the page holds %s", name)
		}
	}
	if _, ok := got[`weir_evictions_total{tier="none",reason="fresh"}`]; ok {
		t.Error("a tier that stores nothing has evictions")
	}
	for _, name := range []string{"weir_client_connections", `weir_corrupt_records_total{tier="ram"}`, `weir_disk_errors_total{op="write"}`} {
		if _, ok := got[name]; ok {
			t.Errorf("%s was never set and is on the page", name)
		}
	}
}

func TestIndicesOutsideTheListsAreOther(t *testing.T) {
	r := New(testOptions())
	r.Request(served(200, 200, time.Millisecond, time.Millisecond, 5, math.MaxUint32))
	r.Request(served(resultHit, 4, time.Millisecond, time.Millisecond, -5, 0))
	r.NotCached(99)
	r.Evicted(99, 99, 2)
	r.Evicted(99, 99, -2)
	r.Origin(-1, 255, time.Millisecond)
	r.Origin(1<<30, 0, time.Millisecond)
	r.OriginBytes(-7, 3)
	r.OriginBytes(0, -3)
	r.SetTier(99, TierFuncs{Bytes: func() float64 { return 1 }})
	expect(t, page(t, r), map[string]float64{
		`weir_requests_total{result="other",tier="other"}`:           1,
		`weir_requests_total{result="hit",tier="other"}`:             1,
		`weir_request_duration_seconds_count{tier="other"}`:          2,
		`weir_response_bytes_total{tier="other"}`:                    5,
		`weir_not_cached_total{reason="other"}`:                      1,
		`weir_evictions_total{tier="other",reason="other"}`:          2,
		`weir_origin_requests_total{origin="other",outcome="ok"}`:    1,
		`weir_origin_response_bytes_total{origin="other"}`:           3,
		`weir_origin_requests_total{origin="other",outcome="other"}`: 1,
	})
}

func TestOriginsKeepTheirCountsAcrossReloads(t *testing.T) {
	r := New(testOptions())
	r.Origin(0, 0, time.Millisecond)
	after := r.SetOrigins([]string{"images", "new\"\\one\n"})
	if !slices.Equal(after, []int{1, 2}) {
		t.Fatalf("indices after a reload %v, want [1 2]", after)
	}
	r.Origin(0, 0, time.Millisecond) // a fetch that began before the reload
	r.Origin(2, 1, time.Millisecond)
	got := page(t, r)
	if _, ok := got[`weir_origin_requests_total{origin="shop",outcome="ok"}`]; ok {
		t.Error("an origin that is no longer configured is still on the page")
	}
	expect(t, got, map[string]float64{`weir_origin_requests_total{origin="new\"\\one\n",outcome="timeout"}`: 1})
	if back := r.SetOrigins([]string{"shop", "other"}); !slices.Equal(back, []int{0, -1}) {
		t.Fatalf("indices %v, want [0 -1]", back)
	}
	expect(t, page(t, r), map[string]float64{`weir_origin_requests_total{origin="shop",outcome="ok"}`: 2})
}

func TestOffloadCoversFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(testOptions())
		r.Start()
		r.Start()
		defer r.Close()
		want := func(requests, bytes float64) {
			t.Helper()
			gr, gb := r.Offload()
			if math.Abs(gr-requests) > 1e-9 || math.Abs(gb-bytes) > 1e-9 {
				t.Errorf("offload %v %v, want %v %v", gr, gb, requests, bytes)
			}
		}
		want(0, 0) // no traffic yet
		fill(r)
		want(0.9, 0.9)
		time.Sleep(4 * time.Minute)
		r.Request(served(resultPass, tierOrigin, 0, 0, 10, 0))
		r.Origin(1, 0, 0)
		r.OriginBytes(1, 30)
		want(1-2.0/11, 1-130.0/1010)
		time.Sleep(time.Minute + 2*offloadStep)
		want(0, -2) // only the last request is left; it fetched three times what it sent
		time.Sleep(5 * time.Minute)
		want(0, 0)
		synctest.Wait()
		if n := len(r.offload.samples); n > int(offloadSpan/offloadStep)+1 {
			t.Errorf("%d samples are kept", n)
		}
	})
}

func TestOffloadAfterAPauseOfTheProcess(t *testing.T) {
	now := time.Unix(1000, 0)
	o := testOptions()
	o.Now = func() time.Time { return now }
	r := New(o)
	fill(r)
	now = now.Add(time.Hour)
	if requests, _ := r.Offload(); math.Abs(requests-0.9) > 1e-9 {
		t.Errorf("offload %v, want 0.9 measured from the only sample there is", requests)
	}
}

func TestCloseWithoutStart(t *testing.T) {
	r := New(testOptions())
	r.Close()
	r.Start()
	r.Close()
	r.Close()
}

func TestRequestAllocatesNothing(t *testing.T) {
	r := New(testOptions())
	p := r.SetPolicies([]string{"all"})[0]
	if n := testing.AllocsPerRun(1000, func() {
		r.Begin(7)
		r.Request(&Served{
			Policy: p, Result: resultHit, Tier: tierRAM, Status: 200, Duration: 60 * time.Microsecond,
			TTFB: 50 * time.Microsecond, Bytes: 1024, Shard: 7,
		})
	}); n != 0 {
		t.Errorf("%v allocations per request, want 0", n)
	}
}

func TestScrapesDuringTrafficAreConsistent(t *testing.T) {
	r := New(testOptions())
	r.Start()
	defer r.Close()
	var wg sync.WaitGroup
	for w := range uint32(4) {
		wg.Go(func() {
			for i := range 500 {
				r.Begin(w)
				r.Request(served(uint8(i%3), uint8(i%4), time.Duration(i)*time.Microsecond, 0, 1, w))
				r.Origin(i%3, 0, 0)
			}
		})
	}
	wg.Go(func() {
		for i := range 20 {
			r.SetOrigins([]string{"shop", "o" + strconv.Itoa(i)})
			got := page(t, r)
			if got["weir_requests_in_flight"] < 0 {
				t.Error("negative number of requests in flight")
			}
			if inf, n := got[`weir_request_duration_seconds_bucket{tier="ram",le="+Inf"}`], got[`weir_request_duration_seconds_count{tier="ram"}`]; inf != n {
				t.Errorf("+Inf bucket %v differs from count %v", inf, n)
			}
		}
	})
	wg.Wait()
	got := page(t, r)
	var requests float64
	for name, v := range got {
		if strings.HasPrefix(name, nameRequests) {
			requests += v
		}
	}
	if requests != 2000 || got["weir_requests_in_flight"] != 0 {
		t.Errorf("%v requests, %v in flight, want 2000 and 0", requests, got["weir_requests_in_flight"])
	}
}

func TestEveryFamilyHasOneHelpAndOneType(t *testing.T) {
	r := New(testOptions())
	fill(r)
	for s := range numSources {
		r.SetSource(s, func() float64 { return 1 })
	}
	one := func() float64 { return 1 }
	r.SetDiskStates([]string{"open"}, func() string { return "open" })
	r.SetPolicyRows(func() ([]PolicyRow, int64) { return []PolicyRow{{Bytes: 1, Guaranteed: 2, EvictedFresh: 3}}, 4 })
	counts := []Counted{{"a", 1}}
	r.SetPoolRows(func() []PoolRow {
		return []PoolRow{{Origin: "shop", Retries: counts, Hedges: counts, Servers: []ServerRow{{Server: "http://a", Up: true, Outcomes: counts}}}}
	})
	r.SetPeers([]string{"open", "behind"}, func() Peers { return Peers{Gate: "open", Rows: []PeerRow{{Peer: "n2", Live: true, Lag: 3}}} })
	r.SetTier(tierRAM, TierFuncs{Bytes: one, Objects: one, Capacity: one})
	r.SetTier(tierDisk, TierFuncs{Bytes: one, Objects: one, Capacity: one, Corrupt: one})
	var b bytes.Buffer
	if err := r.WriteMetrics(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, f := range families {
		if !strings.HasPrefix(f.name, "weir_") {
			continue // what the process page holds depends on the platform
		}
		if n := strings.Count(text, "# HELP "+f.name+" "+f.help+"\n"); n != 1 {
			t.Errorf("%d HELP lines for %s, want 1", n, f.name)
		}
		if n := strings.Count(text, "# TYPE "+f.name+" "+f.kind.String()+"\n"); n != 1 {
			t.Errorf("%d TYPE lines for %s, want 1", n, f.name)
		}
	}
	for _, name := range []string{"process_resident_memory_bytes", "process_open_fds", "go_goroutines"} {
		if !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("no %s on the page", name)
		}
	}
}

func TestListsWithDoublesAreABug(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"twice":      func(o *Options) { o.Tiers = []string{"ram", "ram"} },
		"the spare":  func(o *Options) { o.Results = []string{"hit", "other"} },
		"a nil func": nil,
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p, _ := recover().(string); !strings.HasPrefix(p, "BUG: ") {
					t.Errorf("panic %q, want one that begins with BUG: ", p)
				}
			}()
			o := testOptions()
			if change == nil {
				New(o).SetSource(SourceFlights, nil)
				return
			}
			change(&o)
			New(o)
		})
	}
}

func TestShardCount(t *testing.T) {
	for procs, want := range map[int]int{1: 1, 2: 2, 3: 4, 12: 16, 64: 64, 200: 64} {
		if got := shardCount(procs); got != want {
			t.Errorf("shardCount(%d) = %d, want %d", procs, got, want)
		}
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteErrorIsReported(t *testing.T) {
	if err := New(testOptions()).WriteMetrics(brokenWriter{}); !errors.Is(err, errBroken) {
		t.Errorf("error %v, want the writer's", err)
	}
}

func BenchmarkRequest(b *testing.B) {
	r := New(testOptions())
	b.ReportAllocs()
	for i := uint32(0); b.Loop(); i++ {
		r.Request(served(resultHit, tierRAM, 60*time.Microsecond, 50*time.Microsecond, 1024, 1))
	}
}

func BenchmarkRequestParallel(b *testing.B) {
	r := New(testOptions())
	var next sync.Mutex
	var n uint32
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		next.Lock()
		n++
		shard := n
		next.Unlock()
		for pb.Next() {
			r.Request(served(resultHit, tierRAM, 60*time.Microsecond, 50*time.Microsecond, 1024, shard))
		}
	})
}

func BenchmarkWriteMetrics(b *testing.B) {
	r := New(testOptions())
	fill(r)
	b.ReportAllocs()
	for b.Loop() {
		if err := r.WriteMetrics(&bytes.Buffer{}); err != nil {
			b.Fatal(err)
		}
	}
}
