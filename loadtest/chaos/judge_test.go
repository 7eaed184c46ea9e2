package chaos

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/loadtest/load"
	"weir/loadtest/selfcheck"
)

// fakeBench is a bench whose weir is a handler of the test.
func fakeBench(t *testing.T, weirDoes http.HandlerFunc) *bench {
	t.Helper()
	server := httptest.NewServer(weirDoes)
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	return &bench{
		place: &place{data: address, admin: address}, weir: &weir{}, found: newFindings(), floors: newFloors(),
		purges: newPurgeTransport(), watcher: newTransport(address, false),
	}
}

// TestJudge has answers that are wrong in one way each, and some that are right.
func TestJudge(t *testing.T) {
	o := object{group: 3, host: "g3.shop.test", target: "/g3/x;size=500", size: 500}
	other := object{target: "/g3/y;size=500"}
	answer := func(version uint64, cs string, seed selfcheck.Seed, n int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(load.VersionField, strconv.FormatUint(version, 10))
			w.Header().Set("Cache-Status", cs)
			w.Header().Set("Content-Length", strconv.Itoa(n))
			_, _ = w.Write(selfcheck.Bytes(seed, 0, n))
		}
	}
	right := func(version uint64) selfcheck.Seed { return selfcheck.SeedOf(o.target, version) }
	for _, c := range []struct {
		name string
		does http.HandlerFunc
		want kind // kinds: none
	}{
		{"right", answer(9, "weir; hit; ttl=5", right(9), 500), kinds},
		{"fresh from the origin", answer(12, "weir; fwd=uri-miss", right(12), 500), kinds},
		{"stale after a soft purge", answer(9, "weir; hit; ttl=-5", right(9), 500), kinds},
		{"fresh after a soft purge", answer(7, "weir; hit; ttl=5", right(7), 500), kindStale},
		{"older than a hard purge", answer(5, "weir; fwd=stale; ttl=-5; detail=stale-if-error", right(5), 500), kindStale},
		{"another version's bytes", answer(9, "weir; hit; ttl=5", right(8), 500), kindWrong},
		{"another object", answer(9, "weir; hit; ttl=5", selfcheck.SeedOf(other.target, 9), 500), kindWrong},
		{"too short", answer(9, "weir; hit; ttl=5", right(9), 499), kindWrong},
		{"too long", answer(9, "weir; hit; ttl=5", right(9), 501), kindWrong},
		{"no version", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, kindWrong},
		{"not found", http.NotFound, kindWrong},
		{"the origin's trouble", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, kinds},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := fakeBench(t, c.does)
			b.floors.raise(&purge{group: 3, version: 6})
			b.floors.raise(&purge{object: &o, version: 8, soft: true})
			b.floors.raise(&purge{group: 4, version: 100})
			hard, soft := b.floors.of(&o)
			if hard != 6 || soft != 8 {
				t.Fatalf("the floors are %d and %d, want 6 and 8", hard, soft)
			}
			q := &ask{method: http.MethodGet, host: o.host, target: o.target, header: http.Header{}}
			a := b.send(t.Context(), newTransport(b.place.data, false), q)
			if a.err != nil {
				t.Fatal(a.err)
			}
			b.judge(q, a, &o, 0, o.size, hard, soft, nil)
			wantOnly(t, b.found, c.want)
		})
	}
}

// wantOnly wants findings of one kind, or none.
func wantOnly(t *testing.T, f *findings, want kind) {
	t.Helper()
	for k := range kinds {
		if (f.count(k) > 0) != (k == want) {
			t.Errorf("%d findings of kind %v, examples %q", f.count(k), k, f.examples[k])
		}
	}
}

// TestVisitorsPages: a page, or a cookie, of another visitor is found.
func TestVisitorsPages(t *testing.T) {
	for _, c := range []struct {
		name, target, who, cookie string
		want                      kind
	}{
		{"own", "/me/etag/1", "alice", "", kinds},
		{"another's", "/me/etag/1", "bob", "", kindVisitor},
		{"own cookie", "/me/cookie/1", "alice", "mine=alice", kinds},
		{"another's cookie", "/me/cookie/1", "alice", "mine=bob", kindVisitor},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := fakeBench(t, func(w http.ResponseWriter, r *http.Request) {
				name := r.URL.Path + "#" + c.who
				if c.cookie != "" {
					w.Header().Set("Set-Cookie", c.cookie)
					name = r.URL.Path
				}
				w.Header().Set(visitorField, c.who)
				_, _ = w.Write(selfcheck.Bytes(selfcheck.SeedOf(name, 0), 0, pageSize))
			})
			b.visit(t.Context(), newTransport(b.place.data, false), "alice", c.target, nil)
			wantOnly(t, b.found, c.want)
		})
	}
}

// TestProbe: what is refused although nobody has to be asked for it is found, and what is not stored is not.
func TestProbe(t *testing.T) {
	o := object{group: 1, host: "g1.shop.test", target: "/g1/x;size=5", size: 5}
	for _, c := range []struct {
		name, cs string
		want     kind
	}{
		{"not stored", "weir; detail=only-if-cached", kinds},
		{"no connection left", "weir; detail=too-many-connections", kindHit},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := fakeBench(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Status", c.cs)
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			b.probe(t.Context(), newTransport(b.place.data, false), &o, nil)
			wantOnly(t, b.found, c.want)
		})
	}
	b := fakeBench(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	over := b.weir.disturb()
	b.probe(t.Context(), newTransport(b.place.data, false), &o, nil)
	over()
	wantOnly(t, b.found, kinds)
	b.probe(t.Context(), newTransport(b.place.data, false), &o, nil)
	wantOnly(t, b.found, kindHit)
}

// TestTrouble: what is still under way in quiet is found.
func TestTrouble(t *testing.T) {
	for _, c := range []struct {
		name, metrics, status string
		want                  kind
	}{
		{"a request", "weir_requests_in_flight 1\nweir_ready 1", `{"tiers":[{"name":"disk","up":true}]}`, kindHang},
		{"a flight", "weir_flights 1\nweir_ready 1", `{"tiers":[{"name":"disk","up":true}]}`, kindHang},
		{"a permit", "weir_ready 1", `{"tiers":[{"name":"disk","up":true}],"origins":[{"servers":[{"in_flight":0},{"in_flight":1}]}]}`, kindPermits},
		{"one that waits", "weir_ready 1", `{"tiers":[{"name":"disk","up":true}],"origins":[{"waiting":1}]}`, kindPermits},
		{"goroutines", "weir_ready 1\ngo_goroutines 90", `{"tiers":[{"name":"disk","up":true}]}`, kindRoutines},
		{"no disk", "weir_ready 1", `{"tiers":[{"name":"disk","up":false}]}`, kindRecovered},
		{"not ready", "weir_ready 0", `{"tiers":[{"name":"disk","up":true}]}`, kindRecovered},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := readMetrics([]byte(c.metrics))
			if err := s.readStatus([]byte(c.status)); err != nil {
				t.Fatal(err)
			}
			b := &bench{base: baseline{goroutines: 50, sockets: 10}}
			if k, text := b.compare(&s, &files{sockets: 10}, 0); k != c.want || text == "" {
				t.Errorf("%v, %q; want %v", k, text, c.want)
			}
		})
	}
	b := &bench{base: baseline{goroutines: 50, sockets: 10}}
	b.weir = &weir{}
	good := state{diskUp: true, ready: true, goroutines: 60}
	if k, text := b.compare(&good, &files{sockets: 11, deleted: 1, other: 60}, 0); text != "" {
		t.Errorf("a quiet weir: %v, %q", k, text)
	}
	for _, f := range []files{{sockets: 40}, {deleted: 40}, {other: 4000}} {
		if k, text := b.compare(&good, &f, 0); k != kindFiles || text == "" {
			t.Errorf("%+v: %v, %q", f, k, text)
		}
	}
}

// TestGate holds the manners of a server to what a client sees of them.
func TestGate(t *testing.T) {
	o, err := startOrigin()
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	g := o.gates[0]
	ask := func() (string, error) {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 400 * time.Millisecond}
		resp, err := client.Get("http://" + g.addr + "/x;size=300")
		if err != nil {
			return "", err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		return fmt.Sprintf("%d %d", resp.StatusCode, len(body)), err
	}
	for _, c := range []struct {
		manner manner
		want   string // empty: an error
	}{
		{good, "200 300"}, {hang, ""}, {reset, ""}, {stall, ""}, {garbage, ""}, {errs, "503 5"}, {good, "200 300"},
	} {
		g.be(c.manner)
		if got, err := ask(); got != c.want && (c.want != "" || err == nil) {
			t.Errorf("manner %d: %q, %v; want %q", c.manner, got, err, c.want)
		}
	}
	g.shut(true)
	if got, err := ask(); err == nil {
		t.Errorf("a server that is shut answers %q", got)
	}
	if err := g.open(); err != nil {
		t.Fatal(err)
	}
	if got, err := ask(); got != "200 300" {
		t.Errorf("a server that is open again: %q, %v", got, err)
	}
}

// TestPulse: a busy machine stretches bounds, within bounds.
func TestPulse(t *testing.T) {
	var p pulse
	if got := p.within(time.Second, maxStretch); got != time.Second {
		t.Errorf("before anything was measured: %v", got)
	}
	p.note(10*time.Millisecond, 100*time.Millisecond, 200*time.Millisecond)
	if got := p.within(time.Second, maxStretch); got != 3040*time.Millisecond {
		t.Errorf("twice as long waited as run: %v, want 3.04s", got)
	}
	if got := p.within(time.Second, quietStretch); got != 2040*time.Millisecond {
		t.Errorf("at most twice the bound: %v, want 2.04s", got)
	}
	for range memory {
		p.note(0, time.Second, 0)
	}
	if got := p.within(time.Second, maxStretch); got != time.Second {
		t.Errorf("when it is over: %v", got)
	}
}

// TestSite: every URL of the site is within its group, so that a purge of the group reaches it.
func TestSite(t *testing.T) {
	for _, o := range makeSite(rand.New(rand.NewPCG(1, 0))) {
		url := "//" + o.host + o.target
		if !strings.HasPrefix(url, groupPrefix(o.group)) || !strings.Contains(o.target, ";tag="+groupTag(o.group)+";") {
			t.Errorf("%s is not in group %d", url, o.group)
		}
	}
}
