package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/invalidation"
	"weir/origin"
	"weir/policy"
	"weir/proxy/accesslog"
	"weir/proxy/fetch"
	"weir/proxy/front"
	"weir/tiers"
	"weir/tiers/disk"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// One ticker for the life of the process, owned by fasthttp.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Sleeps for up to ten seconds before it sees that its server has stopped.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// fieldsOf puts a header in order.
func fieldsOf(h http.Header) (f policy.Fields) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			f = append(f, policy.Field{Name: name, Value: value})
		}
	}
	return f
}

// staticOrigin answers every request with the same fields and body.
type staticOrigin struct {
	fields policy.Fields
	body   []byte
}

func (o staticOrigin) Do(_ context.Context, _ *origin.Request) (*origin.Response, error) {
	return &origin.Response{Status: 200, Fields: o.fields, ContentLength: int64(len(o.body)), Body: wholeBody{bytes.NewReader(o.body)}}, nil
}

// wholeBody came with its header.
type wholeBody struct{ *bytes.Reader }

func (b wholeBody) Immediate(int) ([]byte, bool) {
	body := make([]byte, b.Len())
	_, err := b.Read(body)
	return body, err == nil || len(body) == 0
}

func (b wholeBody) Close() error { return nil }

// bench is a proxy without sockets: requests go straight into the handler.
type bench struct {
	t testing.TB
	p *Proxy
}

func newBench(t testing.TB, o Options, dir string, up fetch.Origin, rules ...policy.Rule) *bench {
	t.Helper()
	to := tiers.Options{RAMSize: 64 << 20, RAMMaxObject: 1 << 20}
	if dir != "" {
		to.Disk, to.DiskMaxObject = &disk.Options{Dir: dir, Size: 256 << 20}, 64<<20
	}
	return newBenchOver(t, o, to, up, rules...)
}

// serve serves what is accepted by ln until the test ends.
func (b *bench) serve(ln net.Listener) {
	served := make(chan error, 1)
	go func() { served <- b.p.Serve(ln, false) }()
	b.t.Cleanup(func() {
		if err := b.p.Shutdown(context.Background()); err != nil {
			b.t.Error(err)
		}
		if err := <-served; err != nil {
			b.t.Error(err)
		}
	})
}

// newBenchOver is newBench with tiers of any size.
func newBenchOver(t testing.TB, o Options, to tiers.Options, up fetch.Origin, rules ...policy.Rule) *bench {
	t.Helper()
	if len(rules) == 0 {
		rules = []policy.Rule{{Name: "all", Origin: "o"}}
	}
	set, err := policy.NewSet(rules)
	if err != nil {
		t.Fatal(err)
	}
	if o.Tiers, err = tiers.Open(to); err != nil {
		t.Fatal(err)
	}
	p, err := New(o, &Config{
		Rules: set, Origins: map[string]fetch.Upstream{"o": {Origin: up}},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := o.Tiers.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{t: t, p: p}
}

// peer is who sends the requests of a bench.
var peer = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711}

// request makes the session of a request.
func (b *bench) request(raw string) *front.Recorder {
	b.t.Helper()
	r, err := front.NewRecorder(strings.ReplaceAll(raw, "\n", "\r\n")+"\r\n\r\n", peer)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// do handles one request and returns its Cache-Status.
func (b *bench) do(r *front.Recorder) string {
	status, _ := b.get(r, io.Discard)
	return status
}

// get handles one request, has its body written, and returns its Cache-Status and what ended the body.
func (b *bench) get(r *front.Recorder, body io.Writer) (status string, err error) {
	r.Reset()
	b.p.handle(r)
	if err = r.WriteBody(body); err != nil {
		b.t.Error(err)
	}
	return r.Sent("Cache-Status"), err
}

// hitUntil repeats the request until its object is a hit: a fill's commit comes
// after its last byte.
func (b *bench) hitUntil(r *front.Recorder, want string) {
	b.t.Helper()
	for range 1000 {
		if strings.Contains(b.do(r), want) {
			return
		}
		b.p.fetch.Wait()
	}
	b.t.Fatalf("no answer with %q; the last one: %s", want, r.Head())
}

var hitHeader = fieldsOf(http.Header{
	"Cache-Control": {"public, max-age=3600"}, "Content-Type": {"text/html; charset=utf-8"},
	"Etag": {`"5f3c-1"`}, "Last-Modified": {"Sun, 22 Nov 2026 08:00:00 GMT"}, "Server": {"origin"},
	"Surrogate-Key": {"home product-1 product-2"}, "Vary": {"Accept-Encoding"},
})

// browserRequest is what a CDN sends for a browser, more or less.
const browserRequest = "GET /products/1234/view.html?color=red&size=10 HTTP/1.1\nHost: www.example.com\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0\n" +
	"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\nAccept-Encoding: gzip, deflate, br\n" +
	"Accept-Language: de,en;q=0.5\nCookie: session=abcdef0123456789\nX-Forwarded-Proto: https\nVia: 1.1 cdn"

// nodeWithFacts has that many facts, none of which touches what browserRequest asks for. In a cluster its gate was
// opened for a time, as the bus does again and again.
func nodeWithFacts(t testing.TB, count int, cluster bool) *invalidation.Node {
	t.Helper()
	n, err := invalidation.Open(invalidation.Options{Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	var facts []invalidation.Fact
	for i := range count {
		f := invalidation.Fact{Kind: invalidation.Tag, Scope: fmt.Sprint("sold-", i)}
		switch i % 4 {
		case 1:
			f = invalidation.Fact{Kind: invalidation.URL, Scope: fmt.Sprintf("//www.example.com/sold/%d.html", i)}
		case 2:
			f = invalidation.Fact{Kind: invalidation.Host, Scope: fmt.Sprintf("shop-%d.example.com", i)}
		}
		if facts = append(facts, f); len(facts) == 4000 || i == count-1 {
			if _, err := n.Purge(facts); err != nil {
				t.Fatal(err)
			}
			facts = nil
		}
	}
	if got := n.Stats(); got.Scopes != int64(count) || got.FloorRaised != 0 {
		t.Fatalf("%d scopes, floor raised %d times; want %d", got.Scopes, got.FloorRaised, count)
	}
	if cluster {
		n.Gate().Close()
		n.Gate().OpenUntil(time.Now().Add(time.Hour))
	}
	return n
}

// TestHitPathAllocatesNothing holds the whole handler, from receive to the
// record, to zero allocations for every kind of answer from RAM.
func TestHitPathAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates in sync.Pool; make test runs this test without it as well")
	}
	logger, err := accesslog.Open(accesslog.Options{
		Target: accesslog.Target{Kind: accesslog.File, Path: filepath.Join(t.TempDir(), "access.log")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := logger.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		name, extra, want string
		log               *accesslog.Logger
		purges            *invalidation.Node
	}{
		{"plain", "", "hit", nil, nil},
		{"with the access log", "", "hit", logger, nil},
		{"with the access log, for a client behind proxies", "\nX-Forwarded-For: 203.0.113.9, [::ffff:127.0.0.3]:80", "hit", logger, nil},
		{"not modified", "\nIf-None-Match: \"5f3c-1\"", "hit", nil, nil},
		{"range", "\nRange: bytes=100-199", "hit", nil, nil},
		{"client directives", "\nCache-Control: max-age=100, min-fresh=5", "hit", nil, nil},
		{"with purges", "", "hit", nil, nodeWithFacts(t, 1000, false)},
		{"in a cluster", "", "hit", logger, nodeWithFacts(t, 1000, true)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Options{AccessLog: c.log, Invalidation: c.purges}, "", staticOrigin{hitHeader, make([]byte, 10<<10)})
			b.hitUntil(b.request(browserRequest), "hit")
			r := b.request(browserRequest + c.extra)
			b.hitUntil(r, c.want)
			for range 20000 {
				// The access log's ring has 8192 lines, each made at first use.
				r.Reset()
				b.p.handle(r)
			}
			allocs := testing.AllocsPerRun(2000, func() {
				r.Reset()
				b.p.handle(r)
			})
			if allocs != 0 {
				t.Errorf("%v allocations for each hit, want 0", allocs)
			}
			if s := r.Sent("Cache-Status"); !strings.Contains(s, "; hit;") {
				t.Errorf("Cache-Status %q: that was no hit", s)
			}
		})
	}
}

func BenchmarkHit(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("ram/%dKiB", size>>10), func(b *testing.B) {
			h := newBench(b, Options{}, "", staticOrigin{hitHeader, make([]byte, size)})
			r := h.request(browserRequest)
			h.hitUntil(r, "hit")
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				r.Reset()
				h.p.handle(r)
			}
		})
	}
}

func BenchmarkHitParallel(b *testing.B) {
	h := newBench(b, Options{}, "", staticOrigin{hitHeader, make([]byte, 10<<10)})
	h.hitUntil(h.request(browserRequest), "hit")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := h.request(browserRequest)
		for pb.Next() {
			r.Reset()
			h.p.handle(r)
		}
	})
}

func BenchmarkMiss(b *testing.B) {
	date := policy.Field{Name: "Date", Value: "Mon, 30 Nov 2026 08:00:00 GMT"}
	rich := append(policy.Fields{date}, hitHeader...)
	plain := policy.Fields{
		{Name: "Cache-Control", Value: "max-age=600"}, {Name: "Content-Type", Value: "text/html"}, date, {Name: "Etag", Value: `"1"`},
	}
	for _, c := range []struct {
		name   string
		disk   bool
		fields policy.Fields
	}{{"ram", false, rich}, {"ram, no Vary, no tags", false, plain}, {"disk", true, rich}} {
		b.Run(c.name, func(b *testing.B) {
			dir := ""
			if c.disk {
				dir = b.TempDir()
			}
			h := newBench(b, Options{}, dir, staticOrigin{c.fields, make([]byte, 10<<10)})
			b.ReportAllocs()
			r := h.request(browserRequest)
			uri := bytes.Clone(r.Request().Target)
			for i := range b.N {
				r.SetTarget(strconv.AppendInt(uri, int64(i), 10))
				if s := h.do(r); !strings.Contains(s, "fwd=") {
					b.Fatalf("Cache-Status %q: that was no miss", s)
				}
			}
			h.p.fetch.Wait()
		})
	}
}

// confirming answers what is asked under a condition with a 304, and all else whole.
type confirming struct{ staticOrigin }

func (o confirming) Do(ctx context.Context, r *origin.Request) (*origin.Response, error) {
	if !r.Fields.Has("If-None-Match") {
		return o.staticOrigin.Do(ctx, r)
	}
	return &origin.Response{Status: 304, Fields: o.fields, Body: wholeBody{bytes.NewReader(nil)}}, nil
}

// BenchmarkRevalidation is a stored object that the origin confirms for each request.
func BenchmarkRevalidation(b *testing.B) {
	fields := policy.Fields{
		{Name: "Cache-Control", Value: "no-cache"},
		{Name: "Content-Type", Value: "text/html"},
		{Name: "Date", Value: "Mon, 30 Nov 2026 08:00:00 GMT"},
		{Name: "Etag", Value: `"1"`},
	}
	h := newBench(b, Options{}, "", confirming{staticOrigin{fields, make([]byte, 1<<10)}})
	r := h.request(browserRequest)
	h.do(r)
	h.p.fetch.Wait()
	b.ReportAllocs()
	for b.Loop() {
		if s := h.do(r); !strings.Contains(s, "fwd-status=304") {
			b.Fatalf("Cache-Status %q: that was no revalidation", s)
		}
	}
}

// BenchmarkKey is everything before the lookup: framing, target, host,
// rule, key and hash.
func BenchmarkKey(b *testing.B) {
	h := newBench(b, Options{}, "", staticOrigin{hitHeader, nil})
	r := h.request(browserRequest)
	x := h.p.pool.Get().(*exchange)
	b.ReportAllocs()
	for range b.N {
		x.session, x.head, x.cfg = r, r.Request(), h.p.cfg.Load()
		if s := x.receive(); s != stateLookup {
			b.Fatal(s)
		}
		x.key = x.keys.Of(x.rule, &x.req)
		x.reset()
	}
}
