package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/loadtest/accesslog"
	"weir/loadtest/script"
	"weir/loadtest/selfcheck"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func entry(line string, status int, size int64) accesslog.Entry {
	method, target, _ := strings.Cut(line, " ")
	return accesslog.Entry{Method: method, Target: target, Proto: "HTTP/1.1", Status: status, Size: size, Agent: "test", Referer: "-"}
}

func TestCatalogue(t *testing.T) {
	c := NewCatalogue([]accesslog.Entry{
		entry("GET /grows", 200, 10), entry("GET /grows", 200, 12), entry("GET /grows", 200, 11), entry("GET /grows", 304, -1),
		entry("GET /empty", 200, -1),
		entry("GET /part", 206, 5), entry("GET /part", 206, 7),
		entry("GET /seen", 304, -1),
		entry("HEAD /head", 200, -1),
		entry("GET /gone", 404, 300), entry("GET /gone", 404, 324),
		entry("GET /came", 404, 300), entry("GET /came", 200, 1000),
		entry("GET /moved", 301, 318), entry("GET /moved", 404, 400),
		entry("POST /grows", 404, 99),
		entry("GET /%7euser/%2f", 200, 20), entry("GET /~user/%2F", 200, 21),
		entry("GET //double", 200, 30),
		entry("GET http://other.test/abs?x", 200, 40),
		entry("GET /a b\xe4", 200, 50),
		entry("GET /frag?x#top/y", 200, 70), entry("GET http://other.test#top", 200, 80),
		entry("GET #top", 200, 60), entry("GET nowhere", 200, 60), entry("CONNECT a:1", 200, 60), entry(" ", 400, 0),
	}, CatalogueOptions{MaxSize: 900})
	for _, w := range []struct {
		method, target string
		status         int
		size           int64
	}{
		{"GET", "/grows", 200, 12},
		{"HEAD", "/grows", 200, 12},
		{"POST", "/grows", 404, 99},
		{"GET", "/empty", 200, 0},
		{"GET", "/part", 200, 7},
		{"GET", "/gone", 404, 324},
		{"GET", "/came", 200, 900},
		{"GET", "/moved", 301, 318},
		{"GET", "/%7Euser/%2F", 200, 21},
		{"GET", "//double", 200, 30},
		{"GET", "/abs?x", 200, 40},
		{"GET", "/a%20b%E4", 200, 50},
		{"GET", "/frag?x", 200, 70},
		{"GET", "/", 200, 80},
	} {
		r, ok := c.Lookup(w.method, w.target)
		if !ok || r.Status != w.status || r.Size != w.size {
			t.Errorf("%s %s: got %d with %d bytes (%t), want %d with %d", w.method, w.target, r.Status, r.Size, ok, w.status, w.size)
		}
	}
	for _, target := range []string{"/seen", "/head"} {
		r, _ := c.Lookup("GET", target)
		again, _ := NewCatalogue([]accesslog.Entry{entry("GET "+target, 304, -1)}, CatalogueOptions{}).Lookup("GET", target)
		if r.Status != 200 || again.Size < 1<<10 || again.Size > 32<<10 || r.Size != min(again.Size, 900) {
			t.Errorf("%s: %d with %d bytes, alone %d", target, r.Status, r.Size, again.Size)
		}
	}
	for _, target := range []string{"/user/", "nowhere", "/~user//"} {
		if r, ok := c.Lookup("GET", target); ok {
			t.Errorf("%s is there: %+v", target, r)
		}
	}
	if c.Len() != 15 {
		t.Errorf("%d resources, want 15", c.Len())
	}
}

// testCache is a small cache over an Origin: what it has once answered with 200 it answers again, from RAM or, when the
// body is large, from disk. spoil may break an answer.
type testCache struct {
	origin http.Handler
	mu     sync.Mutex // protects stored
	stored map[string]*httptest.ResponseRecorder
	spoil  func(w http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder) bool
}

func newTestCache(o http.Handler) *testCache {
	return &testCache{origin: o, stored: map[string]*httptest.ResponseRecorder{}}
}

func (c *testCache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Method + r.RequestURI + r.Header.Get("Range")
	c.mu.Lock()
	rec := c.stored[key]
	c.mu.Unlock()
	status := "weir; fwd=uri-miss; stored"
	switch {
	case rec != nil && rec.Body.Len() > 1000:
		status = "weir; hit; detail=disk"
	case rec != nil:
		status = "weir; hit; detail=ram"
	default:
		rec = httptest.NewRecorder()
		c.origin.ServeHTTP(rec, r)
		if r.Method == "POST" {
			status = "weir; fwd=method"
		} else {
			c.mu.Lock()
			c.stored[key] = rec
			c.mu.Unlock()
		}
	}
	w.Header().Set("Cache-Status", status)
	if c.spoil != nil && c.spoil(w, r, rec) {
		return
	}
	for name, v := range rec.Header() {
		w.Header()[name] = v
	}
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes())
}

func testLog() []accesslog.Entry {
	return []accesslog.Entry{
		entry("GET /small", 200, 100), entry("GET /small", 200, 100), entry("GET /small", 304, -1),
		entry("GET /large", 200, 50_000), entry("GET /large", 200, 50_000), entry("GET /large", 206, 20_000),
		entry("HEAD /large", 200, -1),
		entry("GET /gone", 404, 324), entry("POST /form", 200, 512),
		entry("GET //favicon.ico", 200, 70), entry("GET /q?width=100%&x=\"<>|", 200, 80),
		entry("CONNECT x:1", 400, 0),
	}
}

func TestRunCountsTiersAndOffload(t *testing.T) {
	entries := testLog()
	cat := NewCatalogue(entries, CatalogueOptions{})
	o := NewOrigin(cat, OriginOptions{})
	ts := httptest.NewServer(newTestCache(o))
	defer ts.Close()
	opts := Options{Target: ts.URL, Entries: entries, Catalogue: cat, Origin: o, Concurrency: 1}
	first, err := Run(t.Context(), opts)
	if err != nil || first.Err() != nil {
		t.Fatal(err, first.Err())
	}
	for tier, want := range map[Tier]int64{TierRAM: 2, TierDisk: 1, TierMiss: 7, TierPass: 1, TierNone: 0} {
		if got := first.Count(tier); got != want {
			t.Errorf("%s: %d, want %d", tier, got, want)
		}
	}
	wantBytes := int64(3*100 + 2*50_000 + 20_000 + 324 + 512 + 70 + 80)
	if first.Requests != 11 || first.Skipped != 1 || first.Bytes != wantBytes || first.Origin.Requests != 8 || first.Hits() != 3 {
		t.Errorf("first pass: %+v", first)
	}
	if first.Origin.Bytes != wantBytes-2*100-50_000 || first.Origin.Unknown != 0 {
		t.Errorf("origin: %+v", first.Origin)
	}
	second, err := Run(t.Context(), opts)
	if err != nil || second.Err() != nil {
		t.Fatal(err, second.Err())
	}
	if second.Count(TierMiss) != 0 || second.Origin.Requests != 1 {
		t.Errorf("second pass: %+v", second)
	}
	requests, bytes, ok := second.Offload()
	if want := 1 - 1.0/11; !ok || requests != want || bytes != 1-512/float64(wantBytes) {
		t.Errorf("offload %v, %v (%t), want %v", requests, bytes, ok, want)
	}
	text := Tables(Pass{"first", first}, Pass{"second | pass", second})
	for _, want := range []string{"hits from RAM", `second \| pass`, "90.9 %", "first, RAM hit", "118.4 KiB", "entries that cannot be sent"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if _, err := json.Marshal(first); err != nil {
		t.Error(err)
	}
}

// Each planted fault is found, named, and does not stop the run.
func TestRunFindsFaults(t *testing.T) {
	small := func(r *http.Request) bool { return r.RequestURI == "/small" }
	for name, c := range map[string]struct {
		kind  FaultKind
		text  string
		spoil func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder) bool
	}{
		"flipped byte": {FaultBody, "wrong byte at", func(w http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder) bool {
			b := append([]byte(nil), rec.Body.Bytes()...)
			b[77] ^= 1
			w.Write(b)
			return true
		}},
		"cut body": {FaultBody, "body", func(w http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder) bool {
			w.Header().Set("Content-Length", "100")
			w.Write(rec.Body.Bytes()[:50])
			return true
		}},
		"whole but short": {FaultBody, "ends at offset 50, should end at 100", func(w http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder) bool {
			w.Write(rec.Body.Bytes()[:50])
			return true
		}},
		"too long": {FaultBody, "goes on at offset 100", func(w http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder) bool {
			w.Write(append(append([]byte(nil), rec.Body.Bytes()...), 'x'))
			return true
		}},
		"another object": {FaultBody, "offset 0", func(w http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder) bool {
			w.Write(selfcheck.Bytes(selfcheck.SeedOf("GET /large", 0), 0, 100))
			return true
		}},
		"wrong status": {FaultStatus, "502, should be 200", func(w http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder) bool {
			http.Error(w, "bad gateway", http.StatusBadGateway)
			return true
		}},
	} {
		t.Run(name, func(t *testing.T) {
			entries := testLog()
			cat := NewCatalogue(entries, CatalogueOptions{})
			cache := newTestCache(NewOrigin(cat, OriginOptions{}))
			cache.spoil = func(w http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder) bool {
				return small(r) && c.spoil(w, r, rec)
			}
			ts := httptest.NewServer(cache)
			defer ts.Close()
			res, err := Run(t.Context(), Options{Target: ts.URL, Entries: entries, Concurrency: 2})
			if err != nil {
				t.Fatal(err)
			}
			if res.Faults != 3 || res.FaultKinds[c.kind.String()] != 3 || res.Requests != 11 {
				t.Fatalf("faults %v of %d", res.FaultKinds, res.Requests)
			}
			want := strings.Replace(c.text, "wrong byte at", "at offset 77", 1)
			if e := res.Examples[0]; !strings.Contains(e.Fault, want) || e.Request != "GET /small" {
				t.Errorf("example %+v, want %q", e, want)
			}
			if err := res.Err(); err == nil || !strings.Contains(err.Error(), "3 of 11") {
				t.Errorf("Err: %v", err)
			}
		})
	}
}

// What no HTTP library would send as an answer.
func TestRunFindsBrokenHTTP(t *testing.T) {
	seed := "of \"GET /x\"" // the name that a catalogue gives to the body of GET /x
	for name, c := range map[string]struct {
		answer string
		line   string
		kind   FaultKind
	}{
		"surplus bytes":       {"body 100 " + seed + "\nsurplus \"more\"", "GET /x", FaultSurplus},
		"no status line":      {"status-line \"nonsense\"", "GET /x", FaultTransport},
		"reset":               {"body 100 " + seed + "\nreset at 50", "GET /x", FaultTransport},
		"cut in a chunk":      {"body 100 " + seed + "\nframing chunked\ncut at 50", "GET /x", FaultBody},
		"cut before the last": {"body 100 " + seed + "\nframing chunked\ncut at end", "GET /x", FaultBody},
		"wrong HEAD length":   {"body 99", "HEAD /x", FaultHeader},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := script.ParseScript("on * *\n" + c.answer)
			if err != nil {
				t.Fatal(err)
			}
			so, err := script.Start(s)
			if err != nil {
				t.Fatal(err)
			}
			defer so.Close()
			entries := []accesslog.Entry{entry(c.line, 200, 100)}
			res, err := Run(t.Context(), Options{Target: so.URL(), Entries: entries, Catalogue: NewCatalogue([]accesslog.Entry{entry("GET /x", 200, 100)}, CatalogueOptions{})})
			if err != nil || res.FaultKinds[c.kind.String()] != 1 {
				t.Errorf("faults %v, %v (%v)", res.FaultKinds, res.Err(), err)
			}
		})
	}
}

func TestRunChecksRanges(t *testing.T) {
	for name, c := range map[string]struct {
		ranged string
		faults int64
	}{"right": {"bytes 0-9/100", 0}, "wrong size": {"bytes 0-9/101", 1}} {
		t.Run(name, func(t *testing.T) {
			s, err := script.ParseScript("on GET *\nstatus 206 Partial Content\nheader Content-Range: " + c.ranged + "\nbody 10 of \"GET /x\"")
			if err != nil {
				t.Fatal(err)
			}
			so, err := script.Start(s)
			if err != nil {
				t.Fatal(err)
			}
			defer so.Close()
			entries := []accesslog.Entry{entry("GET /x", 206, 10)}
			cat := NewCatalogue([]accesslog.Entry{entry("GET /x", 200, 100)}, CatalogueOptions{})
			res, err := Run(t.Context(), Options{Target: so.URL(), Entries: entries, Catalogue: cat})
			if err != nil || res.Faults != c.faults {
				t.Errorf("%v (%v)", res.Err(), err)
			}
			if got := so.Requests()[0].Header.Get("Range"); got != "bytes=0-9" {
				t.Errorf("asked for %q", got)
			}
		})
	}
}

// The bytes of a request are those of the log, and a connection that the server closed between two is no fault.
func TestRequestsAreFaithful(t *testing.T) {
	s, _ := script.ParseScript("on * *\nclose\nthen\nthen\ncut\nthen\n")
	so, err := script.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	defer so.Close()
	entries := []accesslog.Entry{
		entry("GET //a/../b?x=%zz\"<|>^`{}\\\xff", 200, 0),
		entry("GET /with space\r\nX: y", 200, 0),
		entry("GET /again", 200, 0), // the third answer of the script is a cut of the kept connection
		entry("POST /form", 200, 0),
	}
	entries[0].Agent, entries[0].Referer = "A\r\nEvil: 1", "http://r.test/"
	res, err := Run(t.Context(), Options{Target: so.URL(), Entries: entries, Concurrency: 1, Host: "shop.test"})
	if err != nil || res.Err() != nil {
		t.Fatal(err, res.Err())
	}
	want := []string{
		"GET //a/../b?x=%zz\"<|>^`{}\\\xff HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: AEvil: 1\r\nReferer: http://r.test/\r\n\r\n",
		"GET /with%20space%0D%0AX:%20y HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\n\r\n",
		"GET /again HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\n\r\n",
		"GET /again HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\n\r\n",
		"POST /form HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nContent-Length: 0\r\n\r\n",
	}
	got := so.Requests()
	if len(got) != len(want) {
		t.Fatalf("%d requests came, want %d", len(got), len(want))
	}
	for i, r := range got {
		if r.RawHead != want[i] {
			t.Errorf("request %d: got %q, want %q", i, r.RawHead, want[i])
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for _, target := range []string{"http://192.0.2.1:80", "https://127.0.0.1", "127.0.0.1:80", "http://", "http://0.0.0.0:80", "%"} {
		if _, err := Run(t.Context(), Options{Target: target}); err == nil {
			t.Errorf("%s was accepted", target)
		}
	}
	for _, o := range []Options{{Concurrency: -1}, {Concurrency: 5000}, {Timeout: -1}} {
		o.Target = "http://127.0.0.1:1"
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestRunEndsWhenTheTargetIsGone(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	entries := make([]accesslog.Entry, 1000)
	for i := range entries {
		entries[i] = entry(fmt.Sprintf("GET /%d", i), 200, 1)
	}
	res, err := Run(t.Context(), Options{Target: "http://" + ln.Addr().String(), Entries: entries, Concurrency: 1})
	if !errors.Is(err, ErrTargetGone) || res.Requests != maxConnectFaults || res.FaultKinds["connect"] != maxConnectFaults {
		t.Errorf("got %v with %+v", err, res)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s, _ := script.ParseScript("on * *\nthen\nstall s")
	so, err := script.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	defer so.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		so.WaitStalled(ctx, "s")
	}()
	entries := []accesslog.Entry{entry("GET /", 200, 0), entry("GET /", 200, 0), entry("GET /", 200, 0)}
	res, err := Run(ctx, Options{Target: so.URL(), Entries: entries, Concurrency: 1})
	if !errors.Is(err, context.Canceled) || res.Requests != 1 || res.Faults != 0 {
		t.Errorf("got %v with %+v", err, res)
	}
}

func TestTierOf(t *testing.T) {
	for text, want := range map[string]Tier{
		`weir; hit; detail=ram`:                        TierRAM,
		`weir; hit; detail="disk"; ttl=3`:              TierDisk,
		`weir; hit; ttl=-3`:                            TierHit,
		`weir; hit=?0; fwd=uri-miss`:                   TierMiss,
		`weir; fwd=uri-miss; collapsed`:                TierCollapsed,
		`weir; fwd=stale; fwd-status=304`:              TierRevalidated,
		`weir; fwd=vary-miss; stored`:                  TierMiss,
		`weir; fwd=partial`:                            TierMiss,
		`weir; fwd=bypass; detail=no-store`:            TierPass,
		`weir; fwd=method`:                             TierPass,
		`weir; fwd=request`:                            TierPass,
		`Inner; hit; detail=ram, weir; fwd=miss`:       TierMiss,
		`weir`:                                         TierNone,
		`weir; hit; (`:                                 TierNone,
		`("a" "b"); hit`:                               TierNone,
		`"quoted name"; hit; detail=ram; key="a;hit="`: TierRAM,
	} {
		if got := tierOf(http.Header{"Cache-Status": {text}}); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	if got := tierOf(http.Header{}); got != TierNone {
		t.Errorf("no field: %s", got)
	}
}

func TestTablesGolden(t *testing.T) {
	pass := func(label string, hits int64, known bool) Pass {
		c := newCollector()
		for i := range hits {
			c.add(&request{}, answer{tier: TierRAM, bytes: 2000, firstByte: 80 * time.Microsecond, whole: time.Duration(100+i) * time.Microsecond}, nil)
		}
		c.add(&request{method: "GET", target: "/"}, answer{tier: TierMiss, bytes: 5 << 20, firstByte: 20 * time.Millisecond, whole: 1500 * time.Millisecond}, nil)
		r := c.result()
		r.OriginKnown, r.Origin, r.Duration = known, Counts{Requests: 1, Bytes: 5 << 20}, 1234*time.Millisecond
		return Pass{label, r}
	}
	got := Tables(pass("cold", 1000, true), pass("after a restart", 1, false))
	const want = `|                            |    cold | after a restart |
|:---------------------------|--------:|----------------:|
| requests                   |   1,001 |               2 |
| wrong answers              |       0 |               0 |
| hits from RAM              |   1,000 |               1 |
| hits from disk             |       0 |               0 |
| misses                     |       1 |               1 |
| passed                     |       0 |               0 |
| requests to the origin     |       1 |         unknown |
| body bytes to clients      | 6.9 MiB |         5.0 MiB |
| body bytes from the origin | 5.0 MiB |         unknown |
| offload by requests        |  99.9 % |         unknown |
| offload by bytes           |  27.6 % |         unknown |
| duration                   |   1.2 s |           1.2 s |

| latency                  | requests | first byte p50 |   p99 |  p999 | whole body p50 |     p99 |   p999 |
|:-------------------------|---------:|---------------:|------:|------:|---------------:|--------:|-------:|
| cold, RAM hit            |    1,000 |          80 µs | 80 µs | 80 µs |         599 µs | 1.09 ms | 1.1 ms |
| cold, miss               |        1 |          20 ms | 20 ms | 20 ms |          1.5 s |   1.5 s |  1.5 s |
| after a restart, RAM hit |        1 |          80 µs | 80 µs | 80 µs |         100 µs |  100 µs | 100 µs |
| after a restart, miss    |        1 |          20 ms | 20 ms | 20 ms |          1.5 s |   1.5 s |  1.5 s |
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOffloadIsNotRoundedToAll(t *testing.T) {
	for text, origin := range map[string]int64{"100.0 %": 0, "> 99.9 %": 1, "99.9 %": 10, "-20.0 %": 12_000} {
		r := &Result{Requests: 10_000, Bytes: 1, OriginKnown: true, Origin: Counts{Requests: origin}}
		if got := offload(func(requests, _ float64) float64 { return requests })(r); got != text {
			t.Errorf("%d of 10000 at the origin: %q, want %q", origin, got, text)
		}
	}
}

// The whole trace without a proxy: the origin alone answers every request of the log as the log says.
func TestTraceAgainstTheOrigin(t *testing.T) {
	log, source, err := accesslog.Load(".", accesslog.GenerateOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	cat := NewCatalogue(log.Entries, CatalogueOptions{MaxSize: 256 << 10})
	o := NewOrigin(cat, OriginOptions{})
	ts := httptest.NewServer(newTestCache(o))
	defer ts.Close()
	res, err := Run(t.Context(), Options{Target: ts.URL, Entries: log.Entries, Catalogue: cat, Origin: o})
	if err != nil || res.Err() != nil {
		t.Fatal(err, res.Err())
	}
	if res.Requests != int64(len(log.Entries)) || res.Skipped != 0 || res.Origin.Unknown != 0 {
		t.Errorf("%s: %d requests of %d entries, %d skipped, %d unknown", source, res.Requests, len(log.Entries), res.Skipped, res.Origin.Unknown)
	}
	t.Logf("%s, %d resources\n%s", source, cat.Len(), res.Table())
}
