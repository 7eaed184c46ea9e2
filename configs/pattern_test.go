package configs

import (
	"strings"
	"testing"
)

type checkCase struct{ in, want string }

// runChecks takes want "" for what must be refused.
func runChecks(t *testing.T, check checker, cases []checkCase) {
	t.Helper()
	for _, c := range cases {
		got, problem := check(c.in)
		switch {
		case c.want == "" && problem == "":
			t.Errorf("%q: accepted as %q", c.in, got)
		case c.want != "" && (problem != "" || got != c.want):
			t.Errorf("%q: got %q, problem %q; want %q", c.in, got, problem, c.want)
		}
	}
}

func TestCheckHostPattern(t *testing.T) {
	runChecks(t, checkHostPattern, []checkCase{
		{"*", "*"},
		{"WWW.Example.COM", "www.example.com"},
		{"example.com.", "example.com"},
		{"*.Example.com", "*.example.com"},
		{"*.example.com:8080", "*.example.com:8080"},
		{"münchen.de", "xn--mnchen-3ya.de"},
		{"*.münchen.de", "*.xn--mnchen-3ya.de"},
		{"a_b.example", "a_b.example"},
		{"127.0.0.1", "127.0.0.1"},
		{"[::1]", "[::1]"},
		{"[0:0::1]:8080", "[::1]:8080"},
		{"::1", ""},
		{"[::1", ""},
		{"[::1%eth0]", ""},
		{"[127.0.0.1]", ""},
		{"*example.com", ""},
		{"a.*.com", ""},
		{"*.", ""},
		{"a..b", ""},
		{".a", ""},
		{"a:0", ""},
		{"a:", ""},
		{"a:65536", ""},
		{"http://a", ""},
		{"a/b", ""},
		{"u@a", ""},
		{"a,b", ""},
		{"a b", ""},
		{"-\x00", ""},
	})
}

func TestCheckPath(t *testing.T) {
	runChecks(t, checkPath, []checkCase{
		{"/", "/"},
		{"*", "*"},
		{"**", "**"},
		{"*.css", "*.css"},
		{"/static/*", "/static/*"},
		{"/a%2Fb/**/c", "/a%2Fb/**/c"},
		{"/$price;v=1,2(x)'!~", "/$price;v=1,2(x)'!~"},
		{"static", ""},
		{"/a?b", ""},
		{"/a#b", ""},
		{"/[a-z]", ""},
		{"/a\\b", ""},
		{"/%7e", ""},
		{"/%2f", ""},
		{"/%", ""},
		{"/%4", ""},
		{"/%+1", ""},
		{"/ü", ""},
		{"/a\tb", ""},
	})
}

func TestCheckServer(t *testing.T) {
	runChecks(t, checkServer, []checkCase{
		{"http://127.0.0.1:9000", "http://127.0.0.1:9000"},
		{"HTTP://Example.COM/", "http://example.com"},
		{"https://[::1]:8443", "https://[::1]:8443"},
		{"https://münchen.de", "https://xn--mnchen-3ya.de"},
		{"127.0.0.1:9000", ""},
		{"unix:///run/app.sock", ""},
		{"http://a/b", ""},
		{"http://a?", ""},
		{"http://a#", ""},
		{"http://u@a", ""},
		{"http://", ""},
		{"http://:80", ""},
		{"http://a:x", ""},
		{"http://a:0", ""},
		{"http://a%20b", ""},
	})
}

func TestCheckNetwork(t *testing.T) {
	runChecks(t, checkNetwork, []checkCase{
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"10.0.0.1", "10.0.0.1/32"},
		{"::ffff:10.0.0.1", "10.0.0.1/32"},
		{"fd00::/8", "fd00::/8"},
		{"::1", "::1/128"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"10.0.0.1/8", ""},
		{"10.0.0.0/33", ""},
		{"10.0.0.0/08", ""},
		{"::ffff:10.0.0.0/104", ""},
		{"fe80::1%eth0", ""},
		{"localhost", ""},
	})
}

func TestCheckAddress(t *testing.T) {
	runChecks(t, checkAddress, []checkCase{
		{"127.0.0.1:8080", "127.0.0.1:8080"},
		{":8080", ":8080"},
		{"[::1]:0", "[::1]:0"},
		{"LocalHost:080", "localhost:80"},
		{"8080", ""},
		{"127.0.0.1", ""},
		{"127.0.0.1:http", ""},
		{"127.0.0.1:65536", ""},
		{"127.0.0.1:-1", ""},
		{"::1:80", ""},
		{"http://a:80", ""},
		{"a b:80", ""},
	})
}

func TestClash(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "127.0.0.1:81", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{"127.0.0.1:80", "127.0.0.2:80", false},
		{"localhost:80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "[::1]:80", false},
		{"0.0.0.0:80", "some.name:80", true},
		{"[::]:80", "127.0.0.1:80", true},
		{":80", "[::1]:80", true},
		{":80", "0.0.0.0:80", true},
		{"a.name:80", "other.name:80", false},
		{"a.name:80", "a.name:80", true},
	} {
		if clash(c.a, c.b) != c.want || clash(c.b, c.a) != c.want {
			t.Errorf("%s and %s: got %v and %v, want %v", c.a, c.b, clash(c.a, c.b), clash(c.b, c.a), c.want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "127.9.9.9:80": true, "[::1]:80": true, "localhost:80": true, "[::ffff:127.0.0.1]:80": true,
		":80": false, "0.0.0.0:80": false, "[::]:80": false, "10.0.0.1:80": false, "localhost.evil.example:80": false,
	} {
		if loopback(address) != want {
			t.Errorf("%s: got %v", address, !want)
		}
	}
}

func TestCovers(t *testing.T) {
	match := func(hosts, paths, methods []string, headers ...HeaderMatch) Match {
		return Match{Hosts: hosts, Paths: paths, Methods: methods, Headers: headers}
	}
	l := func(s ...string) []string { return s }
	absent := HeaderMatch{Name: "X-A", Want: HeaderAbsent}
	for name, c := range map[string]struct {
		a, b Match
		want bool
	}{
		"everything":               {match(nil, nil, nil), match(l("a"), l("/b"), l("GET"), absent), true},
		"star host":                {match(l("*"), nil, nil), match(nil, nil, nil), true},
		"all paths":                {match(nil, l("/*"), nil), match(nil, nil, nil), true},
		"one host of all":          {match(l("a"), nil, nil), match(nil, nil, nil), false},
		"subdomain":                {match(l("*.a"), nil, nil), match(l("b.a", "*.c.a"), nil, nil), true},
		"the domain itself":        {match(l("*.a"), nil, nil), match(l("a"), nil, nil), false},
		"likely suffix":            {match(l("*.a"), nil, nil), match(l("ba"), nil, nil), false},
		"deeper path":              {match(nil, l("/a/*"), nil), match(nil, l("/a/b/*", "/a/c"), nil), true},
		"path beside":              {match(nil, l("/a/*"), nil), match(nil, l("/ab"), nil), false},
		"path in the middle":       {match(nil, l("/a/*/c"), nil), match(nil, l("/a/b/c"), nil), false},
		"one of two paths":         {match(nil, l("/a/*"), nil), match(nil, l("/a/b", "/c"), nil), false},
		"fewer methods":            {match(nil, nil, l("GET", "HEAD")), match(nil, nil, l("GET")), true},
		"more methods":             {match(nil, nil, l("GET")), match(nil, nil, l("GET", "HEAD")), false},
		"any method":               {match(nil, nil, l("GET")), match(nil, nil, nil), false},
		"same header":              {match(nil, nil, nil, absent), match(nil, nil, nil, absent), true},
		"header the later has not": {match(nil, nil, nil, absent), match(nil, nil, nil), false},
	} {
		if got := covers(c.a, c.b); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"size", "size", 0},
		{"szie", "size", 1},
		{"sizes", "size", 1},
		{"siz", "size", 1},
		{"kitten", "sitting", 3},
		{"orgins", "origins", 1},
		{"listen", "tokens", 5},
	} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("%s, %s: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestGlobsOf: a simple regular expression is written out as globs that fit at
// least what it matches; what cannot be written out gets no suggestion.
func TestGlobsOf(t *testing.T) {
	for _, tt := range []struct {
		expression string
		wrap       func(string, bool, bool) string
		want       string
	}{
		{`/(a|b)/.*`, wrapPath, "/a/* /b/*"},
		{`^/x\.css$`, wrapPath, "/x.css"},
		{`^/static/`, wrapPath, "/static/*"},
		{`\.(?:png|jpe?g)$`, wrapPath, "*.png *.jpeg *.jpg"},
		{`/user/\d+/edit`, wrapPath, "/user/*/edit"},
		{`/[a-z]{2}/.+`, wrapPath, "/*/*"},
		{`/a/(b|c(d|e))`, wrapPath, "/a/b /a/cd /a/ce"},
		{`/static/.*`, wrapPath, "/static/*"},
		{`.*\.example\.com`, wrapHost, "*.example.com"},
		{`^utm_`, wrapName, "utm_*"},
		{`utm_(source|medium)`, wrapName, "utm_source utm_medium"},
		{`Chrome`, wrapValue, "*Chrome*"},
		{`(a`, wrapPath, ""},
		{`a)`, wrapPath, ""},
		{`[a`, wrapPath, ""},
		{`\`, wrapPath, ""},
		{`(a|b)(a|b)(a|b)(a|b)`, wrapPath, ""},
		{strings.Repeat("(", 60), wrapPath, ""},
	} {
		if got := strings.Join(globsOf(tt.expression, tt.wrap), " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.expression, got, tt.want)
		}
	}
}

func FuzzGlobsOf(f *testing.F) {
	for _, s := range []string{`/(a|b)/.*`, `^/x\.(css|js)$`, `[a-z]{2}`, `((a|b)?|c)*`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if globs := globsOf(s, wrapPath); len(globs) > maxGlobs {
			t.Errorf("%q: %d globs", s, len(globs))
		}
	})
}
