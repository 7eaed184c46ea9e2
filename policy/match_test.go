package policy

import (
	"testing"

	"pgregory.net/rapid"
)

func TestMatchPath(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/static/*", "/static/a/b.css", true},
		{"/static/*", "/static", false},
		{"/static/*", "/%73tatic/a", true},
		{"/static/*", "/%53tatic/a", false},
		{"/%73tatic/*", "/static/a", true},
		{"/a b", "/a%20b", true},
		{"/caf\u00e9/*", "/caf%c3%a9/x", true},
		{"/caf\u00e9/*", "/caf\xc3\xa9/x", true},
		{"/a%2fb", "/a%2Fb", true},
		{"/a%2fb", "/a/b", false},
		{"/a/*", "/a//b", true},
		{"/a/b", "/a//b", false},
		{"*.css", "/x/y.css", true},
		{"*", "*", true},
		{"/*", "*", false},
		{"/%2A", "/*", false},
	} {
		s := mustSet(t, Rule{Match: Match{Paths: []string{c.pattern}}})
		if got := matched(s, "http", "a", c.path) != ""; got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.path, got)
		}
	}
}

// What an origin may read as the account page is neither kept as a static file
// nor kept from the rule that passes it.
func TestMatchDotSegments(t *testing.T) {
	s := mustSet(t,
		Rule{Name: "account", Pass: true, Match: Match{Paths: []string{"/account", "/account/*"}}},
		Rule{Name: "static", Match: Match{Paths: []string{"/static/*"}}},
		Rule{Name: "rest"},
	)
	for _, c := range []struct{ path, want string }{
		{"/static/a.css", "static"},
		{"/static/./a.css", "static"},
		{"/static/x/../a.css", "static"},
		{"/static/..a", "static"},
		{"/static/a..", "static"},
		{"/static/...", "static"},
		{"/static/../account", "account"},
		{"/static/%2e%2E/account/x", "account"},
		{"/static/..%2faccount", "account"},
		{"/static%2F../account", "account"},
		{"/static/..\\account", "account"},
		{"/static%5c..%5caccount/x", "account"},
		{"/account/../static/a.css", "account"},
		{"/static/../index", "rest"},
		{"/static/..", "rest"},
		{"/x/../static/a.css", "rest"},
		{"/../../account", "account"},
	} {
		if got := matched(s, "http", "a", c.path); got != c.want {
			t.Errorf("%q: %q, want %q", c.path, got, c.want)
		}
	}
}

func TestAppendWithoutDots(t *testing.T) {
	// The first two are the examples of RFC 3986 section 5.2.4.
	for _, c := range []struct{ path, want string }{
		{"/a/b/c/./../../g", "/a/g"},
		{"mid/content=5/../6", "/mid/6"},
		{"/", "/"},
		{"/.", "/"},
		{"/..", "/"},
		{"/a/..", "/"},
		{"/a/.", "/a/"},
		{"/a/b/..", "/a/"},
		{"/a//../b", "/a/b"},
		{"//..", "/"},
		{"/a%2F..\\b%5C.", "/b/"},
		{"/a/...", "/a/..."},
		{"/%2Fa", "//a"},
	} {
		if got := appendWithoutDots([]byte("dst"), []byte(c.path)); string(got) != "dst"+c.want {
			t.Errorf("%q gives %q, want %q", c.path, got[3:], c.want)
		}
	}
}

func TestDotSegmentsAreAllRemoved(t *testing.T) {
	pieces := []string{"/", ".", "..", "a", "%2F", "%5C", "\\", "%2E"}
	rapid.Check(t, func(t *rapid.T) {
		path := "/"
		for _, p := range rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 10).Draw(t, "pieces") {
			path += p
		}
		normal := appendURI(nil, []byte(path), &pathClasses)
		plain := appendWithoutDots(nil, normal)
		if dotSegments(plain) || len(plain) == 0 || plain[0] != '/' {
			t.Fatalf("%q gives %q", path, plain)
		}
		if again := appendWithoutDots(nil, plain); string(again) != string(plain) {
			t.Fatalf("%q gives %q and then %q", path, plain, again)
		}
	})
}

func TestMatchMethodAndHeaders(t *testing.T) {
	h := keyHeader{}.add("Accept", "text/html").add("X-A", "").add("X-B", "one").add("X-B", "two")
	for _, c := range []struct {
		match Match
		want  bool
	}{
		{Match{Methods: []string{"GET"}}, true},
		{Match{Methods: []string{"POST", "HEAD"}}, false},
		{Match{Headers: []HeaderMatch{{Name: "accept"}}}, true},
		{Match{Headers: []HeaderMatch{{Name: "ACCEPT", Value: "text/*"}}}, true},
		{Match{Headers: []HeaderMatch{{Name: "accept", Value: "image/*"}}}, false},
		{Match{Headers: []HeaderMatch{{Name: "x-a"}}}, true},
		{Match{Headers: []HeaderMatch{{Name: "x-none"}}}, false},
		{Match{Headers: []HeaderMatch{{Name: "x-none", Not: true}}}, true},
		{Match{Headers: []HeaderMatch{{Name: "x-a", Not: true}}}, false},
		{Match{Headers: []HeaderMatch{{Name: "x-b", Value: "two"}}}, true},
		{Match{Headers: []HeaderMatch{{Name: "x-b", Value: "two", Not: true}}}, false},
		{Match{Headers: []HeaderMatch{{Name: "x-b", Value: "three", Not: true}}}, true},
		{Match{Headers: []HeaderMatch{{Name: "accept"}, {Name: "x-none"}}}, false},
	} {
		s := mustSet(t, Rule{Match: c.match})
		got := s.Match(&Request{Method: "GET", Scheme: "http", Host: []byte("a"), Path: []byte("/"), Header: h}) != nil
		if got != c.want {
			t.Errorf("%+v: %v", c.match, got)
		}
	}
	// A request without any header.
	s := mustSet(t, Rule{Match: Match{Headers: []HeaderMatch{{Name: "x", Not: true}}}}, Rule{Name: "rest"})
	if got := matched(s, "http", "a", "/"); got != "rule0" {
		t.Errorf("without a header: %q", got)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("/static/*", "a.example", "/static/../x")
	f.Add("*%2f*", "*.b", "/%2F%")
	f.Fuzz(func(t *testing.T, pattern, host, path string) {
		rules := []Rule{{Name: "a", Origin: "o", Match: Match{Paths: []string{pattern}, Hosts: []string{host}}}, {Name: "b", Origin: "o"}}
		s, err := NewSet(rules)
		if err != nil {
			return
		}
		// Two spellings of one path fall under one rule.
		normal := string(appendURI(nil, []byte(path), &pathClasses))
		if got, want := matched(s, "http", host, path), matched(s, "http", host, normal); got != want || got == "" {
			t.Fatalf("%q is under %q, %q under %q", path, got, normal, want)
		}
	})
}
