package policy

import "testing"

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
		got := s.Match(&Request{Method: "GET", Scheme: "http", Host: []byte("a"), Path: []byte("/"), Fields: Fields(h)}) != nil
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
