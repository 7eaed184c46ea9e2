package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// keyHeader is a request's fields for the tests of matching and keys.
type keyHeader Fields

// add returns h with one more line.
func (h keyHeader) add(name, value string) keyHeader {
	return append(h, Field{CanonicalName(name), value})
}

func mustSet(t testing.TB, rules ...Rule) *Set {
	t.Helper()
	for i := range rules {
		if rules[i].Name == "" {
			rules[i].Name = fmt.Sprintf("rule%d", i)
		}
		if rules[i].Origin == "" {
			rules[i].Origin = "shop"
		}
	}
	s, err := NewSet(rules)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// matched names the rule that a GET for the host and the path falls under.
func matched(s *Set, scheme, host, path string) string {
	r := s.Match(&Request{Method: "GET", Scheme: scheme, Host: []byte(host), Path: []byte(path)})
	if r == nil {
		return ""
	}
	return r.Name
}

func TestSetMatchHost(t *testing.T) {
	for _, c := range []struct {
		patterns     []string
		scheme, host string
		want         bool
	}{
		{nil, "http", "a.example", true},
		{[]string{"*"}, "http", "a.example", true},
		{[]string{"a.example"}, "http", "a.example", true},
		{[]string{"A.Example."}, "http", "a.example", true},
		{[]string{"a.example"}, "http", "a.example:8080", true},
		{[]string{"a.example"}, "http", "b.example", false},
		{[]string{"a.example"}, "http", "x.a.example", false},
		{[]string{"*.a.example"}, "http", "x.a.example", true},
		{[]string{"*.a.example"}, "http", "x.y.a.example:81", true},
		{[]string{"*.a.example"}, "http", "a.example", false},
		{[]string{"*.a.example"}, "http", "xa.example", false},
		{[]string{"*.a.example"}, "http", "a.example.org", false},
		{[]string{"*.example"}, "http", "a.b.c.d.e.f.example", true},
		{[]string{"a.example:8080"}, "http", "a.example:8080", true},
		{[]string{"a.example:8080"}, "http", "a.example", false},
		{[]string{"a.example:80"}, "http", "a.example", true},
		{[]string{"a.example:80"}, "https", "a.example", false},
		{[]string{"a.example:443"}, "https", "a.example", true},
		{[]string{"*:8080"}, "http", "a.example:8080", true},
		{[]string{"*:8080"}, "http", "a.example", false},
		{[]string{"*.a.example:8080"}, "http", "x.a.example:8080", true},
		{[]string{"*.a.example:8080"}, "http", "x.a.example:8081", false},
		{[]string{"[::1]"}, "http", "[::1]:8080", true},
		{[]string{"[0::1]:8080"}, "http", "[::1]:8080", true},
		{[]string{"[::1]:8080"}, "http", "[::1]", false},
		{[]string{"bücher.example"}, "http", "xn--bcher-kva.example", true},
		{[]string{"*.bücher.example"}, "http", "www.xn--bcher-kva.example", true},
		{[]string{"b.example", "a.example"}, "http", "a.example", true},
		{[]string{"a.example:1", "a.example:2"}, "http", "a.example:2", true},
	} {
		s := mustSet(t, Rule{Match: Match{Hosts: c.patterns}})
		if got := matched(s, c.scheme, c.host, "/"); (got != "") != c.want {
			t.Errorf("%q on %s://%s: %q", c.patterns, c.scheme, c.host, got)
		}
	}
}

func TestSetFirstMatchDecides(t *testing.T) {
	s := mustSet(t,
		Rule{Name: "admin", Match: Match{Paths: []string{"/admin/*"}}, Pass: true},
		Rule{Name: "shop", Match: Match{Hosts: []string{"shop.example"}, Paths: []string{"/static/*"}}},
		Rule{Name: "sub", Match: Match{Hosts: []string{"*.example"}}},
		Rule{Name: "shop late", Match: Match{Hosts: []string{"shop.example"}}},
		Rule{Name: "deep", Match: Match{Hosts: []string{"*.shop.example", "x.other"}}},
		Rule{Name: "rest"},
	)
	for _, c := range []struct{ host, path, want string }{
		{"shop.example", "/admin/x", "admin"},
		{"shop.example", "/static/x", "shop"},
		{"shop.example", "/", "sub"},
		{"x.shop.example", "/", "sub"},
		{"x.other", "/", "deep"},
		{"example", "/", "rest"},
		{"other", "/", "rest"},
	} {
		if got := matched(s, "http", c.host, c.path); got != c.want {
			t.Errorf("%s%s: %q, want %q", c.host, c.path, got, c.want)
		}
	}
	for i, r := range s.Rules() {
		if r.Index != i {
			t.Errorf("rule %q has index %d, not %d", r.Name, r.Index, i)
		}
	}
}

// The index by host must answer as a scan of all rules would.
func TestSetAgreesWithScan(t *testing.T) {
	names := []string{"a", "b", "a.b", "b.a", "a.a.b", "c.a.b", "a.b:81", "b:80"}
	patterns := append([]string{"*", "*:81", "*.a", "*.b", "*.a.b", "*.b:81", "*.a.a.b"}, names...)
	rapid.Check(t, func(t *rapid.T) {
		var rules []Rule
		for i := range rapid.IntRange(0, 8).Draw(t, "rules") {
			hosts := rapid.SliceOfN(rapid.SampledFrom(patterns), 0, 3).Draw(t, "hosts")
			paths := rapid.SliceOfN(rapid.SampledFrom([]string{"/x", "/*"}), 0, 1).Draw(t, "paths")
			rules = append(rules, Rule{Name: fmt.Sprint(i), Origin: "o", Match: Match{Hosts: hosts, Paths: paths}})
		}
		s, err := NewSet(rules)
		if err != nil {
			t.Fatal(err)
		}
		host := rapid.SampledFrom([]string{"a", "b", "a.b", "b.a", "a.a.b", "x.a.a.b", "c.a.b", "a.b:81", "c", "x.y.z.a.b"}).Draw(t, "host")
		path := rapid.SampledFrom([]string{"/", "/x"}).Draw(t, "path")
		want := ""
		for _, r := range rules {
			if (len(r.Match.Hosts) == 0 || slices.ContainsFunc(r.Match.Hosts, func(p string) bool { return hostModel(p, host) })) &&
				(len(r.Match.Paths) == 0 || slices.ContainsFunc(r.Match.Paths, func(p string) bool { return globModel(p).MatchString(path) })) {
				want = r.Name
				break
			}
		}
		if got := matched(s, "http", host, path); got != want {
			t.Fatalf("%s%s: rule %q, want %q", host, path, got, want)
		}
	})
}

func hostModel(pattern, host string) bool {
	name, port, _ := strings.Cut(host, ":")
	if port == "" {
		port = "80"
	}
	wantName, wantPort, _ := strings.Cut(pattern, ":")
	if wantPort != "" && wantPort != port {
		return false
	}
	if suffix, ok := strings.CutPrefix(wantName, "*"); ok {
		return strings.HasSuffix(name, suffix)
	}
	return name == wantName
}

func TestNewSetReportsEveryFault(t *testing.T) {
	long := strings.Repeat("a", maxPattern+1)
	rules := []Rule{
		{Name: "ok", Origin: "o"},
		{Name: "", Origin: ""},
		{Name: "ok", Origin: "o"},
		{Name: "a\nb", Origin: "o"},
		{
			Name: "match", Origin: "o",
			Match: Match{
				Hosts:   []string{"", "a*b", "*.*.a", "*.[::1]", "u@h", "a:0", "*:x", "good.example"},
				Paths:   []string{"", "static/*", "/a?b", "/a#b", "/a/../b", "/%2e/x", "/" + long, "/good"},
				Methods: []string{"", "get", "G T", "GET"},
				Headers: []HeaderMatch{{Name: ""}, {Name: "a b"}, {Name: "X", Value: long}, {Name: "X-Good", Value: "*"}},
			},
		},
		{
			Name: "key", Origin: "o",
			Key: KeySpec{
				QueryOnly: []string{"", long, "a%41"}, QueryIgnore: []string{"", "utm_*"}, NoQuery: true,
				Headers: []string{"", "a:b", "accept"}, Cookies: []string{"", "a=b", "a;b", "session"},
			},
		},
		{
			Name: "ttl", Origin: "o", TagFields: []string{"bad name"},
			TTL: TTL{
				Default: -1, Override: -1, Min: -1, Max: -1, StaleWhileRevalidate: -1, StaleIfError: -1, HitForMiss: -1,
				HeuristicMax: -1, HeuristicFraction: math.NaN(), Negative: map[int]time.Duration{200: 1, 404: -1, 600: 1},
				Targets: []string{""},
			},
		},
		{Name: "bounds", Origin: "o", TTL: TTL{Min: 2, Max: 1, HeuristicFraction: 1.5}},
	}
	s, err := NewSet(rules)
	if s != nil || err == nil {
		t.Fatalf("%v, %v", s, err)
	}
	want := []string{
		"1 name", "1 origin", "2 name", "3 name",
		"4 match.path[0]", "4 match.path[1]", "4 match.path[2]", "4 match.path[3]", "4 match.path[4]", "4 match.path[5]",
		"4 match.path[6]", "4 match.method[0]", "4 match.method[1]", "4 match.method[2]", "4 match.header[0]",
		"4 match.header[1]", "4 match.header[2]", "4 match.host[0]", "4 match.host[1]", "4 match.host[2]", "4 match.host[3]",
		"4 match.host[4]", "4 match.host[5]", "4 match.host[6]",
		"5 key.query", "5 key.query.only[0]", "5 key.query.only[1]", "5 key.query.only[2]", "5 key.query.ignore[0]",
		"5 key.headers[0]", "5 key.headers[1]", "5 key.cookies[0]", "5 key.cookies[1]", "5 key.cookies[2]",
		"6 tags[0]", "6 ttl.targets[0]", "6 ttl.default", "6 ttl.override", "6 ttl.min", "6 ttl.max",
		"6 ttl.stale_while_revalidate", "6 ttl.stale_if_error", "6 ttl.hit_for_miss", "6 ttl.heuristic_max",
		"6 ttl.negative.200", "6 ttl.negative.404", "6 ttl.negative.600", "6 ttl.heuristic_fraction",
		"7 ttl.min", "7 ttl.heuristic_fraction",
	}
	var got []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var fault *RuleFault
		if !errors.As(e, &fault) {
			t.Fatalf("%T: %v", e, e)
		}
		got = append(got, fmt.Sprintf("%d %s", fault.Index, fault.Field))
		if len(fault.Error()) > 300 || fault.Reason == "" || strings.Contains(fault.Error(), "\n") {
			t.Errorf("the fault reads %q", fault.Error())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("faults\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestNewSetCopiesRules(t *testing.T) {
	rules := []Rule{{
		Name: "a", Origin: "o", TagFields: []string{"cache-tag"},
		Match: Match{Hosts: []string{"A.example"}, Paths: []string{"/%61"}, Methods: []string{"GET"}, Headers: []HeaderMatch{{Name: "x-a"}}},
		Key:   KeySpec{QueryIgnore: []string{"x"}, Headers: []string{"x-b", "accept", "Accept"}, Cookies: []string{"b", "a", "b"}},
		TTL:   TTL{Targets: []string{}, Negative: map[int]time.Duration{404: 1}},
	}}
	s, err := NewSet(rules)
	if err != nil {
		t.Fatal(err)
	}
	in, out := &rules[0], s.Rules()[0]
	in.TagFields[0], in.Match.Hosts[0], in.Match.Paths[0], in.Match.Methods[0] = "!", "!", "!", "!"
	in.Match.Headers[0].Name, in.Key.QueryIgnore[0], in.TTL.Negative[404] = "!", "!", 2
	if got := fmt.Sprint(in.Key.Headers, in.Key.Cookies); got != "[x-b accept Accept] [b a b]" {
		t.Errorf("the caller's names became %s", got)
	}
	want := "[Cache-Tag] [a.example] [/a] [GET] [{X-A  false}] [x] [Accept X-B] [a b] map[404:1ns]"
	if got := fmt.Sprint(out.TagFields, out.Match.Hosts, out.Match.Paths, out.Match.Methods, out.Match.Headers,
		out.Key.QueryIgnore, out.Key.Headers, out.Key.Cookies, out.TTL.Negative); got != want {
		t.Errorf("the Set holds %s\nwant %s", got, want)
	}
	if out.TTL.Targets == nil {
		t.Error("empty targets, which switch them off, became nil, the default")
	}
	s.Rules()[0] = nil
	if s.Rules()[0] != out {
		t.Error("the Set's list can be changed from outside")
	}
}

func TestEmptySetMatchesNothing(t *testing.T) {
	s, err := NewSet(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := matched(s, "http", "a", "/"); got != "" || len(s.Rules()) != 0 {
		t.Errorf("matched %q", got)
	}
}

// manyHosts is a Set of 500 sites with two rules each, and a last one for all.
func manyHosts(t testing.TB) *Set {
	var rules []Rule
	for i := range 500 {
		host := fmt.Sprintf("www.site%d.example", i)
		rules = append(rules,
			Rule{Match: Match{Hosts: []string{host}, Paths: []string{"/static/*", "*.css"}, Methods: []string{"GET", "HEAD"}}},
			Rule{Match: Match{Hosts: []string{host, "*.site.example"}}})
	}
	return mustSet(t, append(rules, Rule{Name: "rest"})...)
}

var matchCases = map[string]Request{
	"static":  {Method: "GET", Scheme: "http", Host: []byte("www.site400.example"), Path: []byte("/static/img/logo.png")},
	"second":  {Method: "GET", Scheme: "http", Host: []byte("www.site400.example:8080"), Path: []byte("/products/4711")},
	"rest":    {Method: "GET", Scheme: "http", Host: []byte("elsewhere.example"), Path: []byte("/products/4711")},
	"encoded": {Method: "GET", Scheme: "http", Host: []byte("www.site400.example"), Path: []byte("/%73tatic/../a%2fb")},
}

func TestMatchAllocatesNothing(t *testing.T) {
	s := manyHosts(t)
	for name, q := range matchCases {
		if s.Match(&q) == nil {
			t.Errorf("%s: no rule", name)
		}
		if n := testing.AllocsPerRun(100, func() { s.Match(&q) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	h := keyHeader{}.add("X-Test", "b").add("X-Test", "abc")
	q := Request{Method: "GET", Scheme: "http", Host: []byte("a"), Path: []byte("/"), Fields: Fields(h)}
	s = mustSet(t, Rule{Match: Match{Headers: []HeaderMatch{{Name: "x-test", Value: "a*c"}, {Name: "x-none", Not: true}}}})
	if n := testing.AllocsPerRun(100, func() {
		if s.Match(&q) == nil {
			t.Fatal("no rule")
		}
	}); n != 0 {
		t.Errorf("header: %v allocations", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	s := manyHosts(b)
	for name, q := range matchCases {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Match(&q)
			}
		})
	}
}
