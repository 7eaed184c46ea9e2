package proxy

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/policy"
	"weir/tiers"
	"weir/tiers/disk"
)

// reloaded gives the proxy other rules, and another name, as a reload does.
func (b *bench) reloaded(name string, rules ...policy.Rule) {
	b.t.Helper()
	set, err := policy.NewSet(rules)
	if err != nil {
		b.t.Fatal(err)
	}
	c := *b.p.Config()
	c.Rules, c.CacheName = set, name
	if err := b.p.SetConfig(&c); err != nil {
		b.t.Fatal(err)
	}
}

const reloadRequest = " /a HTTP/1.1\nHost: h.example"

// hits are the headers of all kinds of answers with a stored object. The fields of the 304 are kept at its first, so
// each is asked for twice.
func (b *bench) hits() map[string][]string {
	b.t.Helper()
	got := map[string][]string{}
	for range 2 {
		for _, kind := range []struct {
			name, raw string
			code      int
		}{
			{"GET", "GET" + reloadRequest, 200},
			{"HEAD", "HEAD" + reloadRequest, 200},
			{"304", "GET" + reloadRequest + "\nIf-None-Match: \"1\"", 304},
			{"range", "GET" + reloadRequest + "\nRange: bytes=100-199", 206},
			{"ranges", "GET" + reloadRequest + "\nRange: bytes=100-199,300-399", 206},
		} {
			r := b.request(kind.raw)
			status, code, lines := b.do(r), r.Code(), strings.Split(r.Head(), "\r\n")
			slices.Sort(lines)
			if code != kind.code || !strings.Contains(status, "; hit;") {
				b.t.Fatalf("%s: %d, %s", kind.name, code, status)
			}
			got[kind.name] = slices.DeleteFunc(lines, func(l string) bool {
				return strings.Contains(l, "boundary=") // which is made up for each
			})
		}
	}
	return got
}

// TestReloadReachesWhatWasHit: after a reload a stored object that was hit before is answered with as by a proxy that had
// the configuration from the start, whatever is kept beside the object, and where.
func TestReloadReachesWhatWasHit(t *testing.T) {
	// Tagged and with a line that is there twice, which goes without folding.
	plain := http.Header{
		"Cache-Control": {"max-age=3600"}, "Etag": {`"1"`}, "Content-Type": {"text/html"}, "Date": {"Thu, 26 Nov 2026 10:00:00 GMT"},
		"Surrogate-Key": {"a b"}, "Cache-Tag": {"c"}, "X-Secret-Tags": {"s"}, "X-Own": {"yes"}, "Via": {"1.1 cdn"},
	}
	twice := maps.Clone(plain)
	twice["Link"] = []string{"</a>", "</b>"}
	rule := func(strip bool, tags ...string) policy.Rule {
		return policy.Rule{Name: "all", Origin: "o", StripTags: strip, TagFields: tags}
	}
	withKey := rule(false)
	withKey.ShowKey = true
	type config struct {
		name string
		rule policy.Rule
	}
	steps := []struct {
		what          string
		before, after config
	}{
		{"other fields are hidden", config{"weir", rule(true, "Surrogate-Key")}, config{"weir", rule(true, "X-Secret-Tags")}},
		{"more fields are hidden", config{"weir", rule(true, "Surrogate-Key")}, config{"weir", rule(true, "Surrogate-Key", "X-Secret-Tags")}},
		{"no fields are hidden", config{"weir", rule(true, "Surrogate-Key")}, config{"weir", rule(true, []string{}...)}},
		{"the default fields are hidden", config{"weir", rule(true, "X-Secret-Tags")}, config{"weir", rule(true)}},
		{"strip is switched on", config{"weir", rule(false)}, config{"weir", rule(true)}},
		{"strip is switched off", config{"weir", rule(true)}, config{"weir", rule(false)}},
		{"the cache's name", config{"weir", rule(true)}, config{"edge", rule(true)}},
		{"the key is shown", config{"weir", rule(false)}, config{"weir", withKey}},
		{"the key is not shown", config{"weir", withKey}, config{"weir", rule(false)}},
	}
	now := time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)
	for _, tier := range []string{"ram", "disk"} {
		for _, header := range []http.Header{plain, twice} {
			// warmed is a proxy whose object was hit with that configuration in every way.
			warmed := func(t *testing.T, c config) (*bench, map[string][]string) {
				o := tiers.Options{RAMSize: 64 << 20, RAMMaxObject: 1 << 20}
				if tier == "disk" {
					o.RAMMaxObject, o.DiskMaxObject = 1<<10, 64<<20
					o.Disk = &disk.Options{Dir: t.TempDir(), Size: 256 << 20}
				}
				b := newBenchOver(t, Options{Now: func() time.Time { return now }}, o, staticOrigin{fieldsOf(header), make([]byte, 10<<10)}, c.rule)
				b.reloaded(c.name, c.rule)
				b.hitUntil(b.request("GET"+reloadRequest), "detail="+tier)
				return b, b.hits()
			}
			for _, step := range steps {
				t.Run(fmt.Sprintf("%s/%d links/%s", tier, len(header["Link"]), step.what), func(t *testing.T) {
					b, before := warmed(t, step.before)
					_, want := warmed(t, step.after)
					b.reloaded(step.after.name, step.after.rule)
					got := b.hits()
					for kind := range want {
						if !slices.Equal(got[kind], want[kind]) {
							t.Errorf("%s:\n%q, want\n%q", kind, got[kind], want[kind])
						}
						if slices.Equal(before[kind], want[kind]) {
							t.Errorf("%s: the reload changes nothing of %q", kind, want[kind])
						}
					}
				})
			}
		}
	}
}

// TestReloadKeepsPreparedHeaders: a reload that changes nothing of what clients get makes no header anew, for which
// every hit would have to allocate once.
func TestReloadKeepsPreparedHeaders(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates in sync.Pool; make test runs this test without it as well")
	}
	rule := policy.Rule{Name: "all", Origin: "o", StripTags: true, TagFields: []string{"Surrogate-Key", "Xkey"}}
	b := newBench(t, Options{}, "", staticOrigin{hitHeader, make([]byte, 10<<10)}, rule)
	rule.TagFields = []string{"surrogate-key", "xkey"}
	b.hitUntil(b.request(browserRequest), "hit")
	for _, extra := range []string{"", "\nIf-None-Match: \"5f3c-1\""} {
		r := b.request(browserRequest + extra)
		b.hitUntil(r, "hit")
		one := b.p.cfg.Load()
		b.reloaded("weir", rule)
		two := b.p.cfg.Load()
		allocs := testing.AllocsPerRun(1000, func() {
			one, two = two, one
			b.p.cfg.Store(one)
			r.Reset()
			b.p.handle(r)
		})
		if allocs != 0 {
			t.Errorf("%v allocations for each hit, want 0", allocs)
		}
		if h := r.Head(); strings.Contains(h, "Surrogate-Key") || !strings.Contains(h, "; hit;") {
			t.Errorf("the last answer is %q", h)
		}
	}
}
