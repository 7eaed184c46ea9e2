package policy

import (
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	rows := []struct {
		name         string
		delay, after int64
		fields       []string
		want         int64
	}{
		{"9111 4.2.3 resident time", 0, 7, nil, 7},
		{"9111 4.2.3 response delay counts", 3, 0, nil, 3},
		{"9111 4.2.3 Age plus delay", 3, 2, []string{"Age: 30"}, 35},
		{"9111 4.2.3 apparent age", 0, 0, []string{"Date: @-7200"}, 7200},
		{"9111 4.2.3 the larger of both", 1, 0, []string{"Date: @-7200", "Age: 30"}, 7200},
		{"9111 4.2.3 future Date", 0, 1, []string{"Date: @100"}, 1},
		{"9111 5.1 no number", 0, 0, []string{"Age: abc"}, 0},
		{"9111 5.1 negative", 0, 0, []string{"Age: -7200"}, 0},
		{"9111 5.1 decimal", 0, 0, []string{"Age: 7200.0"}, 0},
		{"9111 5.1 parameter", 0, 0, []string{"Age: 7200;foo=bar"}, 0},
		{"9111 5.1 first of a list", 0, 0, []string{"Age: 7200, 0"}, 7200},
		{"9111 5.1 first of a list, young", 0, 0, []string{"Age: 0, 7200"}, 0},
		{"9111 5.1 first line", 0, 0, []string{"Age: 7200", "Age: 0"}, 7200},
		{"9111 1.2.2 2^31-1", 0, 0, []string{"Age: 2147483647"}, 2147483647},
		{"9111 1.2.2 2^31", 0, 0, []string{"Age: 2147483648"}, 1 << 31},
		{"9111 1.2.2 beyond", 0, 5, []string{"Age: 99999999999999999999"}, 1 << 31},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := answer(200, append([]string{"Cache-Control: max-age=10", `ETag: "a"`}, row.fields...)...)
			r.RequestTime -= row.delay * second
			s := Decide(&Rule{}, get(), r)
			if age := s.Freshness.Age(t0 + row.after*second); age != row.want {
				t.Errorf("age %d, want %d", age, row.want)
			}
		})
	}
}

func TestUse(t *testing.T) {
	swr := []string{"Cache-Control: max-age=10, stale-while-revalidate=20"}
	cc := func(s string) []string { return []string{"Cache-Control: " + s} }
	fresh := append(cc("max-age=10"), `ETag: "a"`)
	rule := Rule{TTL: TTL{StaleWhileRevalidate: 20 * time.Second}}
	despite := func(d Despite) Rule { return Rule{TTL: TTL{StaleWhileRevalidate: 20 * time.Second, StaleDespite: d}} }
	runStored(t, []stored{
		{name: "5861 3 within the window", fields: swr, after: 29, use: UseStaleRevalidating},
		{name: "5861 3 after the window", fields: swr, after: 30, use: UseRevalidate},
		{name: "5861 3 nothing but the window", fields: cc("max-age=0, stale-while-revalidate=20"), after: 19, use: UseStaleRevalidating},
		{name: "5861 3 from the rule", rule: rule, fields: fresh, after: 29, use: UseStaleRevalidating},
		{name: "5861 3 the response before the rule", rule: rule, fields: cc("max-age=10, stale-while-revalidate=1"), after: 12, use: UseRevalidate},
		{name: "5861 3 an unreadable window is none", rule: rule, fields: cc("max-age=10, stale-while-revalidate=x"), after: 12, use: UseRevalidate},
		{name: "9111 5.2.2.2 must-revalidate beats it", fields: cc("max-age=10, must-revalidate, stale-while-revalidate=20"), after: 12, use: UseRevalidate},
		{name: "9111 5.2.2.2 must-revalidate beats the rule", rule: rule, fields: cc("max-age=10, must-revalidate"), after: 12, use: UseRevalidate},
		{name: "9111 5.2.2.8 proxy-revalidate beats it", fields: cc("max-age=10, proxy-revalidate, stale-while-revalidate=20"), after: 12, use: UseRevalidate},
		{name: "5861 3 what the response states holds beside s-maxage", fields: cc("s-maxage=10, stale-while-revalidate=20"), after: 29, use: UseStaleRevalidating},
		{name: "5861 3 and not longer", fields: cc("s-maxage=10, stale-while-revalidate=20"), after: 30, use: UseRevalidate},
		{name: "9111 5.2.2.10 s-maxage beats the rule", rule: rule, fields: cc("s-maxage=10"), after: 12, use: UseRevalidate},
		{name: "the rule despite s-maxage", rule: despite(DespiteSMaxAge), fields: cc("s-maxage=10"), after: 29, use: UseStaleRevalidating},
		{name: "the rule despite s-maxage, not must-revalidate", rule: despite(DespiteSMaxAge), fields: cc("s-maxage=10, must-revalidate"), after: 12, use: UseRevalidate},
		{name: "the rule despite must-revalidate", rule: despite(DespiteMustRevalidate), fields: cc("max-age=10, must-revalidate"), after: 29, use: UseStaleRevalidating},
		{name: "the response's window despite must-revalidate", rule: Rule{TTL: TTL{StaleDespite: DespiteMustRevalidate}}, fields: cc("max-age=10, must-revalidate, stale-while-revalidate=5"), after: 14, use: UseStaleRevalidating},
		{name: "the rule despite proxy-revalidate", rule: despite(DespiteProxyRevalidate), fields: cc("max-age=10, proxy-revalidate"), after: 29, use: UseStaleRevalidating},
		{name: "the rule despite all three", rule: despite(DespiteSMaxAge | DespiteProxyRevalidate | DespiteMustRevalidate), fields: cc("s-maxage=10, proxy-revalidate, must-revalidate"), after: 29, use: UseStaleRevalidating},
		{name: "no-cache whatever is despised", rule: despite(DespiteSMaxAge | DespiteMustRevalidate), fields: append(fresh, "Cache-Control: no-cache"), after: 12, use: UseRevalidate},
		{name: "stale for others needs to have been fresh", rule: rule, fields: append(cc("max-age=0"), `ETag: "a"`), use: UseRevalidate},
		{name: "or the response's word, beside a stated lifetime", rule: rule, fields: []string{"Cache-Control: stale-while-revalidate=20", `ETag: "a"`}, use: UseRevalidate},
		{name: "max-stale needs it to have been fresh", fields: []string{`ETag: "a"`}, later: cc("max-stale"), use: UseRevalidate},
		{name: "max-stale needs it to have been fresh, max-age of 0", fields: append(cc("max-age=0"), `ETag: "a"`), later: cc("max-stale"), use: UseRevalidate},
		{name: "9111 5.2.2.2 must-revalidate while fresh", fields: cc("max-age=10, must-revalidate"), after: 9},
		{name: "9111 5.2.2.4 no-cache", fields: append(fresh, "Cache-Control: no-cache"), use: UseRevalidate},
		{name: "9111 5.2.2.4 no-cache in any case", fields: append(fresh, "Cache-Control: No-CaChE"), use: UseRevalidate},
		{name: "9111 5.2.2.4 no-cache beats stale-while-revalidate", fields: append(swr, "Cache-Control: no-cache", `ETag: "a"`), after: 12, use: UseRevalidate},
		{name: "9111 5.2.2.4 no-cache without a validator", fields: cc("no-cache, max-age=10"), reason: ReasonExpired},
		{name: "9111 5.2.2.4 no-cache with a list", fields: cc(`no-cache="a", max-age=10`), after: 9},

		{name: "9111 5.2.1.1 max-age", fields: fresh, later: cc("max-age=5"), after: 5},
		{name: "9111 5.2.1.1 older than max-age", fields: fresh, later: cc("max-age=5"), after: 6, use: UseRevalidate},
		{name: "9111 5.2.1.1 max-age of 0", fields: fresh, later: cc("max-age=0"), after: 1, use: UseRevalidate},
		{name: "9111 5.2.1.1 max-age of 0, just validated", fields: fresh, later: cc("max-age=0")},
		{name: "9111 5.2.1.4 no-cache, just validated", fields: fresh, later: cc("no-cache")},
		{name: "9111 5.2.1.5 no-store, just validated", fields: fresh, later: cc("no-store")},
		{name: "9111 5.2.2.4 no-cache of the response, just validated", fields: append(fresh, "Cache-Control: no-cache"), later: cc("no-cache"), use: UseRevalidate},
		{name: "9111 5.2.1.1 unreadable max-age", fields: fresh, later: cc("max-age=x"), after: 1, use: UseRevalidate},
		{name: "9111 5.2.1.1 two max-age", fields: fresh, later: cc("max-age=9, max-age=1"), after: 2, use: UseRevalidate},
		{name: "9111 5.2.1.1 max-age wants nothing stale", fields: swr, later: cc("max-age=100"), after: 12, use: UseRevalidate},
		{name: "9111 5.2.1.2 max-stale", fields: fresh, later: cc("max-stale=5"), after: 15, use: UseStale},
		{name: "9111 5.2.1.2 beyond max-stale", fields: fresh, later: cc("max-stale=5"), after: 16, use: UseRevalidate},
		{name: "9111 5.2.1.2 any max-stale", fields: fresh, later: cc("max-stale"), after: 1e8, use: UseStale},
		{name: "9111 5.2.1.2 unreadable max-stale", fields: fresh, later: cc("max-stale=x"), after: 11, use: UseRevalidate},
		{name: "9111 5.2.1.2 max-stale and must-revalidate", fields: append(fresh, "Cache-Control: must-revalidate"), later: cc("max-stale"), after: 11, use: UseRevalidate},
		{name: "9111 5.2.1.2 max-stale and s-maxage", fields: append(fresh, "Cache-Control: s-maxage=10"), later: cc("max-stale"), after: 11, use: UseRevalidate},
		{name: "9111 5.2.1.2 max-stale and no-cache", fields: append(fresh, "Cache-Control: no-cache"), later: cc("max-stale"), after: 1, use: UseRevalidate},
		{name: "9111 5.2.1.3 min-fresh", fields: fresh, later: cc("min-fresh=5"), after: 5},
		{name: "9111 5.2.1.3 less than min-fresh", fields: fresh, later: cc("min-fresh=5"), after: 6, use: UseRevalidate},
		{name: "9111 5.2.1.4 no-cache", fields: fresh, later: cc("no-cache"), after: 1, use: UseRevalidate},
		{name: "9111 5.2.1.5 no-store", fields: fresh, later: cc("no-store"), after: 1, use: UseRevalidate},
		{name: "9111 5.2.1.6 no-transform changes nothing", fields: fresh, later: cc("no-transform"), after: 1},
		{name: "9111 5.2.1.7 only-if-cached serves what is fresh", fields: fresh, later: cc("only-if-cached"), after: 1},
		{name: "9111 5.4 Pragma", fields: fresh, later: []string{"Pragma: foo, No-Cache"}, after: 1, use: UseRevalidate},
		{name: "9111 5.4 Pragma beside Cache-Control", fields: fresh, later: []string{"Pragma: no-cache", "Cache-Control: x"}, after: 1},
		{name: "clients do not steer", rule: Rule{IgnoreClient: true}, fields: fresh, later: []string{"Pragma: no-cache", "Cache-Control: no-store, max-age=0"}, after: 1},
	})
}

func TestStaleIfError(t *testing.T) {
	rows := []struct {
		name   string
		rule   TTL
		cc     string
		client string
		after  int64
		want   bool
	}{
		{"5861 4 within", TTL{}, "max-age=10, stale-if-error=20", "", 29, true},
		{"5861 4 after", TTL{}, "max-age=10, stale-if-error=20", "", 30, false},
		{"9111 4.2.4 not without a word", TTL{}, "max-age=10", "", 10, false},
		{"5861 4 from the rule", TTL{StaleIfError: 20 * time.Second}, "max-age=10", "", 29, true},
		{"5861 4 the response before the rule", TTL{StaleIfError: time.Hour}, "max-age=10, stale-if-error=0", "", 11, false},
		{"5861 4 from the request", TTL{}, "max-age=10", "stale-if-error=20", 29, true},
		{"5861 4 from the request, after", TTL{}, "max-age=10", "stale-if-error=20", 30, false},
		{"9111 5.2.1.2 max-stale", TTL{}, "max-age=10", "max-stale=20", 30, true},
		{"9111 5.2.2.2 must-revalidate", TTL{StaleIfError: time.Hour}, "max-age=10, must-revalidate, stale-if-error=20", "stale-if-error=99", 11, false},
		{"9111 5.2.2.8 proxy-revalidate", TTL{}, "max-age=10, proxy-revalidate, stale-if-error=20", "", 11, false},
		{"5861 4 what the response states beside s-maxage", TTL{}, "s-maxage=10, stale-if-error=20", "", 29, true},
		{"5861 4 and not longer", TTL{}, "s-maxage=10, stale-if-error=20", "", 30, false},
		{"9111 5.2.2.10 s-maxage beats the rule", TTL{StaleIfError: time.Hour}, "s-maxage=10", "", 11, false},
		{"9111 5.2.2.10 s-maxage beats the request", TTL{}, "s-maxage=10", "stale-if-error=99", 11, false},
		{"the rule despite s-maxage", TTL{StaleIfError: time.Hour, StaleDespite: DespiteSMaxAge}, "s-maxage=10", "", 11, true},
		{"what was never fresh", TTL{StaleIfError: time.Hour}, "max-age=0, stale-if-error=99", "stale-if-error=99", 1, false},
		{"what states no lifetime", TTL{StaleIfError: time.Hour}, "x", "", 1, false},
		{"9111 5.2.2.4 no-cache", TTL{}, "max-age=10, no-cache, stale-if-error=20", "", 1, false},
		{"9111 4.2 fresh", TTL{}, "max-age=10, must-revalidate", "", 9, true},
		{"9111 5.2.1.4 the client asked for validation", TTL{}, "max-age=10, stale-if-error=20", "no-cache", 9, false},
		{"9111 5.2.1.1 the client wants it younger", TTL{}, "max-age=10, stale-if-error=20", "max-age=5", 9, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			rule := &Rule{TTL: row.rule}
			s := Decide(rule, get(), answer(200, "Cache-Control: "+row.cc, `ETag: "a"`))
			a := NewAsker(rule, get("Cache-Control: "+row.client))
			if got := s.Freshness.Reusable(&a, OnFailure, t0+row.after*second) != UseRevalidate; got != row.want {
				t.Errorf("%v, want %v (%+v)", got, row.want, s.Freshness)
			}
		})
	}
}

func TestStaleFrom(t *testing.T) {
	f := Decide(&Rule{}, get(), answer(200, "Cache-Control: max-age=100, stale-while-revalidate=10")).Freshness
	soft := f.StaleFrom(t0 + 5*second)
	d := NewAsker(&Rule{}, get())
	for after, want := range map[int64]Use{5: UseStaleRevalidating, 14: UseStaleRevalidating, 15: UseRevalidate} {
		if use := soft.Reusable(&d, OnRequest, t0+after*second); use != want {
			t.Errorf("after %d s: %v, want %v", after, use, want)
		}
	}
	if late := f.StaleFrom(t0 + 500*second); late != f {
		t.Error("a soft purge made a stale response fresher")
	}
	// The clock stood three seconds later when it came: it is stale all the same.
	back := f.StaleFrom(t0 - 3*second)
	if use := back.Reusable(&d, OnRequest, t0-3*second); use != UseStaleRevalidating {
		t.Errorf("on a clock that was set back: %v, want %v", use, UseStaleRevalidating)
	}
	if last := f.LastUse(); last != t0+110*second {
		t.Errorf("last use %d s after t0", (last-t0)/second)
	}
}

// What a damaged disk hands back must not make arithmetic wrap into "fresh".
func TestFreshnessSaturates(t *testing.T) {
	const least, most = -1 << 63, 1<<63 - 1
	values := []int64{least, least + 1, -1, 0, 1, t0, most - 1, most}
	d := NewAsker(&Rule{}, get())
	for _, born := range values {
		for _, lifetime := range values {
			for _, now := range values {
				f := Freshness{Born: born, Lifetime: lifetime, StaleWhileRevalidate: -1, StaleIfError: -1}
				if age := f.Age(now); age < 0 || age > maxDelta {
					t.Fatalf("age %d of %+v at %d", age, f, now)
				}
				if lifetime <= 0 && f.Reusable(&d, OnRequest, now) == UseFresh {
					t.Fatalf("%+v is fresh at %d", f, now)
				}
				if now > 0 && born < 0 && lifetime <= now && f.Reusable(&d, OnRequest, now) == UseFresh {
					t.Fatalf("%+v is fresh at %d", f, now)
				}
				f.LastUse()
				f.StaleFrom(now)
			}
		}
	}
}

func TestUseNames(t *testing.T) {
	seen := map[string]bool{}
	for u := range Uses {
		if name := u.String(); name == "" || name == "unknown" || seen[name] {
			t.Errorf("use %d is called %q", u, name)
		} else {
			seen[name] = true
		}
	}
	if Uses.String() != "unknown" {
		t.Error("a use out of range has a name")
	}
}

func TestAppendAge(t *testing.T) {
	for seconds, want := range map[int64]string{-1: "x0", 0: "x0", 35: "x35", 1 << 40: "x2147483648"} {
		if got := string(AppendAge([]byte("x"), seconds)); got != want {
			t.Errorf("%d: %q", seconds, got)
		}
	}
}

func TestOutcomeNames(t *testing.T) {
	for got, want := range map[string]string{
		PreconditionNone.String(): "none", NotModified.String(): "not-modified", PreconditionFailed.String(): "precondition-failed",
		RangeOK.String(): "ok", RangeUnsatisfiable.String(): "unsatisfiable", RangeNone.String() + "?": "none?",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestHitPathAllocatesNothing(t *testing.T) {
	q := get("Cache-Control: max-age=100, min-fresh=1, max-stale", `If-None-Match: "x", W/"y", "a"`, "Range: bytes=0-1, 5-9",
		"Accept-Encoding: gzip, br;q=0.9", "Accept-Language: de, en;q=0.5", "X-A: 1 , 2")
	s := Decide(&Rule{}, get(), answer(200, "Cache-Control: max-age=1000", `ETag: "a"`, "Last-Modified: @-9"))
	v := ValidatorsOf(s.Fields)
	spec := VarySpec{Names: []string{"Accept-Encoding", "Accept-Language", "X-A", "X-B"}}
	key, ranges := make([]byte, 0, 512), make([]ByteRange, 0, MaxRanges)
	rule := &Rule{}
	zeroAllocs(t, "Reusable", func() {
		a := NewAsker(rule, q)
		s.Freshness.Reusable(&a, OnRequest, t0+second)
	})
	zeroAllocs(t, "Evaluate", func() {
		if v.Evaluate(q, Lent{}) != NotModified {
			t.Fatal("not 304")
		}
	})
	zeroAllocs(t, "ParseRange", func() {
		if _, o := ParseRange(ranges, q.Range, 100); o != RangeOK {
			t.Fatal(o)
		}
	})
	zeroAllocs(t, "AppendVariant", func() { spec.AppendVariant(key, rule, q) })
	dated := get("If-Modified-Since: " + dateAt(0))
	zeroAllocs(t, "Evaluate with a date", func() {
		if v.Evaluate(dated, Lent{}) != NotModified {
			t.Fatal("not 304")
		}
	})
}

func BenchmarkParseClient(b *testing.B) {
	q, rule := get("Cache-Control: max-age=0, no-transform"), &Rule{}
	b.ReportAllocs()
	for b.Loop() {
		if d := ParseClient(rule, q); !d.HasMaxAge {
			b.Fatal(d)
		}
	}
}

func BenchmarkReusable(b *testing.B) {
	f := Decide(&Rule{}, get(), answer(200, "Cache-Control: max-age=1000")).Freshness
	a := NewAsker(&Rule{}, get())
	b.ReportAllocs()
	for b.Loop() {
		if f.Reusable(&a, OnRequest, t0) != UseFresh {
			b.Fatal()
		}
	}
}
