package load_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/loadtest/load"
	"weir/loadtest/loadorigin"
	"weir/loadtest/workload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startOrigin serves a scripted origin until the test ends.
func startOrigin(t *testing.T, opts loadorigin.Options) (url string, o *loadorigin.Origin) {
	t.Helper()
	o, err := loadorigin.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := o.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
	return "http://" + ln.Addr().String(), o
}

// cache is a small caching proxy that can be told to do wrong.
type cache struct {
	origin string
	client *http.Client
	served atomic.Int64
	bad    func(n int64) bool // whether answer number n is to be done wrong
	wrong  func(c *cache, w http.ResponseWriter, e *entry)
	deaf   bool // it acknowledges purges and keeps what it has

	mu      sync.Mutex // protects the fields below
	entries map[string]*entry
	other   *entry // the one filled last
}

type entry struct {
	header http.Header
	body   []byte
}

func startCache(t *testing.T, c *cache) string {
	t.Helper()
	c.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	c.entries = map[string]*entry{}
	s := httptest.NewServer(c)
	t.Cleanup(func() { s.Close(); c.client.CloseIdleConnections() })
	return s.URL
}

func (c *cache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == "PURGE" {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.deaf {
			delete(c.entries, r.RequestURI)
		}
		return
	}
	c.mu.Lock()
	e := c.entries[r.RequestURI]
	c.mu.Unlock()
	status := "test; hit; detail=ram"
	if e == nil {
		status = "test; fwd=uri-miss; stored"
		var err error
		if e, err = c.fetch(r); err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
	}
	w.Header().Set("Cache-Status", status)
	w.Header().Set(load.VersionField, e.header.Get(load.VersionField))
	if n := c.served.Add(1); c.bad != nil && c.bad(n) {
		c.wrong(c, w, e)
		return
	}
	w.Write(e.body)
}

func (c *cache) fetch(r *http.Request) (*entry, error) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, c.origin+r.RequestURI, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	e := &entry{header: resp.Header, body: body}
	c.mu.Lock()
	defer c.mu.Unlock()
	// What a purge meanwhile made old is not kept: the version tells.
	c.entries[r.RequestURI] = e
	c.other = e
	return e, nil
}

func every(n int64) func(int64) bool { return func(i int64) bool { return i%n == 0 } }

func mix(objects int64, size int64) *workload.Mix {
	return &workload.Mix{
		Catalogue: workload.Catalogue{Objects: objects, Sizes: workload.Sizes{Median: size, Min: size, Max: size}, Prefix: "/o/"},
		Exponent:  0.9, Seed: 1,
	}
}

func closed(target string) load.Options {
	return load.Options{Target: target, Mix: mix(20, 4096), Connections: 4, Requests: 2000, Timeout: 5 * time.Second}
}

func run(t *testing.T, o load.Options) *load.Result {
	t.Helper()
	res, err := load.Run(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%+v", err, res)
	}
	return res
}

// wantOnly checks that faults of one kind were found, so many of them, and of no other kind.
func wantOnly(t *testing.T, res *load.Result, kind load.FaultKind, n int64) {
	t.Helper()
	if got := res.Faults.Kinds[kind.String()]; got != n || len(res.Faults.Kinds) != 1 {
		t.Errorf("found %v, want %d of %v and nothing else; examples %+v", res.Faults.Kinds, n, kind, res.Examples)
	}
	if len(res.Examples) == 0 || res.Examples[0].Kind != kind.String() {
		t.Errorf("no example of it: %+v", res.Examples)
	}
}

func engines(t *testing.T, f func(t *testing.T, blocking bool)) {
	t.Run("loop", func(t *testing.T) { f(t, false) })
	t.Run("blocking", func(t *testing.T) { f(t, true) })
}

func TestHealthyCacheHasNoFaults(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		origin, _ := startOrigin(t, loadorigin.Options{})
		c := &cache{origin: origin}
		o := closed(startCache(t, c))
		o.Blocking, o.Origin = blocking, origin
		res := run(t, o)
		if res.Faults.Total != 0 || res.Answers != 2000 || res.Requests != 2000 {
			t.Errorf("%d answers, faults %+v, examples %+v", res.Answers, res.Faults, res.Examples)
		}
		if len(res.Tiers) != 2 || res.Tiers[0].Tier != "ram" || res.Tiers[1].Tier != "miss" {
			t.Fatalf("tiers: %+v", res.Tiers)
		}
		// The origin was asked exactly for what the tiers call a miss.
		if res.Origin == nil || res.Origin.Requests != res.Tiers[1].Answers || res.Origin.Requests > 20*4 {
			t.Errorf("origin: %+v, misses %d", res.Origin, res.Tiers[1].Answers)
		}
	})
}

func TestFindsCutBodies(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		origin, _ := startOrigin(t, loadorigin.Options{})
		o := closed(startCache(t, &cache{origin: origin, bad: every(100), wrong: func(_ *cache, w http.ResponseWriter, e *entry) {
			w.Header().Set("Content-Length", strconv.Itoa(len(e.body)))
			w.Write(e.body[:len(e.body)/2])
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}}))
		o.Blocking = blocking
		wantOnly(t, run(t, o), load.FaultCut, 20)
	})
}

// The framing is right here, so only who knows the object can tell.
func TestFindsBodiesThatAreTooShort(t *testing.T) {
	origin, _ := startOrigin(t, loadorigin.Options{})
	o := closed(startCache(t, &cache{origin: origin, bad: every(100), wrong: func(_ *cache, w http.ResponseWriter, e *entry) {
		w.Write(e.body[:len(e.body)/2])
	}}))
	wantOnly(t, run(t, o), load.FaultSize, 20)
}

func TestFindsMixedUpObjects(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		origin, _ := startOrigin(t, loadorigin.Options{})
		o := closed(startCache(t, &cache{origin: origin, bad: func(n int64) bool { return n > 200 && n%100 == 0 }, wrong: func(c *cache, w http.ResponseWriter, e *entry) {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, other := range c.entries {
				if !bytes.Equal(other.body, e.body) {
					w.Write(other.body)
					return
				}
			}
		}}))
		o.Blocking = blocking
		res := run(t, o)
		wantOnly(t, res, load.FaultContent, 18)
		if !bytes.Contains([]byte(res.Examples[0].Fault), []byte("the body is that of /o/")) {
			t.Errorf("it does not say whose body that is: %s", res.Examples[0].Fault)
		}
	})
}

// One wrong byte in the second half of a body that arrives in several pieces.
func TestFindsOneWrongByte(t *testing.T) {
	origin, _ := startOrigin(t, loadorigin.Options{})
	o := closed(startCache(t, &cache{origin: origin, bad: every(10), wrong: func(_ *cache, w http.ResponseWriter, e *entry) {
		b := bytes.Clone(e.body)
		b[len(b)-7] ^= 1
		w.Write(b)
	}}))
	o.Mix, o.Requests = mix(3, 700_001), 100
	wantOnly(t, run(t, o), load.FaultContent, 10)
}

func TestFindsStaleAfterPurge(t *testing.T) {
	for _, deaf := range []bool{true, false} {
		t.Run(fmt.Sprintf("deaf=%v", deaf), func(t *testing.T) {
			origin, _ := startOrigin(t, loadorigin.Options{})
			c := &cache{origin: origin, deaf: deaf}
			o := closed(startCache(t, c))
			o.Requests, o.Duration, o.Origin = 0, 1500*time.Millisecond, origin
			// One object, which is in the cache long before the purge: so this simple cache, which has the race between a
			// fetch and a purge that real ones have to win, does not show it.
			o.Mix, o.Connections = mix(1, 1024), 1
			o.Purges = load.PurgeOptions{Method: true, Workers: 1, Storms: []workload.PurgeStorm{{At: 700 * time.Millisecond, PerSecond: 1}}}
			res := run(t, o)
			if res.Purges == nil || res.Purges.Done != 1 {
				t.Fatalf("purges: %+v", res.Purges)
			}
			if !deaf {
				if res.Faults.Total != 0 {
					t.Errorf("a healthy cache: %+v, %+v", res.Faults, res.Examples)
				}
				return
			}
			wantOnly(t, res, load.FaultStale, res.Faults.Total)
			if res.Faults.Stale < 10 || res.Examples[0].AtS < 0.7 {
				t.Errorf("%d stale, the first at %v s; the purge was at 0.7 s", res.Faults.Stale, res.Examples[0].AtS)
			}
		})
	}
}

func TestFindsBytesAfterAnAnswer(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		origin, _ := startOrigin(t, loadorigin.Options{})
		o := closed(startCache(t, &cache{origin: origin, bad: every(100), wrong: func(_ *cache, w http.ResponseWriter, e *entry) {
			conn, buf, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%ssurplus", len(e.body), e.body)
			buf.Flush()
		}}))
		o.Blocking = blocking
		wantOnly(t, run(t, o), load.FaultSurplus, 20)
	})
}

// An answer that is wrong and has bytes behind it is one faulty answer, not two.
func TestAnAnswerHasOneFault(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		origin, _ := startOrigin(t, loadorigin.Options{})
		o := closed(startCache(t, &cache{origin: origin, bad: every(1), wrong: func(_ *cache, w http.ResponseWriter, e *entry) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%ssurplus", len(e.body), bytes.ToUpper(e.body))
		}}))
		o.Blocking, o.Requests = blocking, 30
		wantOnly(t, run(t, o), load.FaultContent, 30)
	})
}

// Bytes that come before any request are no answer's; they spoil the first one.
func TestBytesBeforeARequest(t *testing.T) {
	target := listen(t, func(conn net.Conn) {
		io.WriteString(conn, "220 ready\r\n")
		io.Copy(io.Discard, conn)
	})
	engines(t, func(t *testing.T, blocking bool) {
		o := closed(target)
		o.Blocking, o.Requests = blocking, 10
		wantOnly(t, run(t, o), load.FaultMalformed, 10)
	})
}

// What is wrong in the warm-up is not measured: no fault, and no example of one.
func TestFaultsOfTheWarmup(t *testing.T) {
	engines(t, func(t *testing.T, blocking bool) {
		origin, _ := startOrigin(t, loadorigin.Options{})
		o := closed(startCache(t, &cache{origin: origin, bad: every(1), wrong: func(c *cache, w http.ResponseWriter, e *entry) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			surplus := "surplus"
			if c.served.Load()%2 == 0 {
				surplus, e = "", &entry{body: bytes.ToUpper(e.body)}
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s%s", len(e.body), e.body, surplus)
		}}))
		o.Blocking, o.Requests, o.Warmup = blocking, 30, time.Hour
		if res := run(t, o); res.Requests != 0 || res.Faults.Total != 0 || len(res.Examples) != 0 {
			t.Errorf("%d requests, faults %+v, examples %+v", res.Requests, res.Faults, res.Examples)
		}
	})
}

// A status that no standard has is counted like any other.
func TestOddStatuses(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(999) }))
	defer s.Close()
	o := closed(s.URL)
	o.Requests = 10
	res := run(t, o)
	wantOnly(t, res, load.FaultStatus, 10)
	if res.Statuses["999"] != 10 {
		t.Errorf("statuses %v", res.Statuses)
	}
}
