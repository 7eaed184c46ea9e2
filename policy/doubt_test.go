package policy

import "testing"

// doubtRules are a pass, a site's static files, files by suffix, a pattern that
// spells its encodings out, and the rest.
func doubtRules(t testing.TB) *Set {
	return mustSet(t,
		Rule{Name: "account", Pass: true, Match: Match{Paths: []string{"/account", "/account/*"}}},
		Rule{Name: "static", Match: Match{Paths: []string{"/static/*"}}},
		Rule{Name: "css", Match: Match{Paths: []string{"*.css", "*.JS"}}},
		Rule{Name: "npm", Match: Match{Paths: []string{"/npm/@*%2F*", "/npm/@*;*", "/npm//*"}}},
		Rule{Name: "rest"},
	)
}

func TestInDoubt(t *testing.T) {
	s := doubtRules(t)
	for _, c := range []struct {
		path  string
		rule  string
		doubt bool
	}{
		// Dot segments, in every spelling.
		{"/static/../account", "static", true},
		{"/static/..", "static", true},
		{"/static/./a", "static", true},
		{"/static/..;/account", "static", true},
		{"/static/..;a=b/account", "static", true},
		{"/static/..%3b/account", "static", true},
		{"/static/..%3Bx/account", "static", true},
		{"/static/.;/a", "static", true},
		{"/static/%2e%2e/account", "static", true},
		{"/static/%2e%2e%2faccount", "static", true},
		{"/static/%252e%252e/account", "static", true},
		{"/static/%25252e%25252e/account", "static", true},
		{"/static/%2525252525252e%2e/account", "static", true},
		{"/static/..%2faccount", "static", true},
		{"/static%2f..%2faccount", "rest", true},
		{"/static/..%252faccount", "static", true},
		{"/static/..%00/account", "static", true},
		{"/static/..%09/account", "static", true},
		{"/static/..%20/account", "static", true},
		{"/static/%20../account", "static", true},
		{"/static/.../account", "static", true},
		{"/static/..%23/account", "static", true},
		{"/static/..%3f/account", "static", true},
		{"/static/..\\account", "static", true},
		{"/static/..%5caccount", "static", true},
		{"/static/a%5cb", "static", true},
		{"/static/a%255cb", "static", true},
		{"/static/a%0ab", "static", true},
		{"/static/a%7fb", "static", true},
		{"/static/a%250db", "static", true},
		{"/static/%c0%ae%c0%ae/account", "static", true},
		{"/static/..%c0%afaccount", "static", true},
		{"/static/%e0%80%ae%e0%80%ae/account", "static", true},
		{"/static/%f0%80%80%ae/a", "static", true},
		{"/static/%fc%80%80%80%80%ae/a", "static", true},
		{"/static/\xc0\xae\xc0\xae/account", "static", true},
		{"/static/%ef%bc%8e%ef%bc%8e/account", "static", true},
		{"/static/..%ef%bc%8faccount", "static", true},
		{"/static/%ef%bc%852e%ef%bc%852e/account", "static", true},

		// Another rule in another reading.
		{"//account/x", "rest", true},
		{"/account;x", "rest", true},
		{"/account%2Fx", "rest", true},
		{"/account%252Fx", "rest", true},
		{"/x%2F..%2Fy", "rest", true},
		{"/page%3Fx.css", "css", true},
		{"/page%23x.css", "css", true},
		{"/page;x.css", "css", true},
		{"/static;x/a", "rest", true},
		{"/static%2Fa", "rest", true},
		{"//static/a", "rest", true},

		// Ordinary ones.
		{"/static/a.css", "static", false},
		{"/account/x;.css", "account", false},
		{"/static/..a/b..", "static", false},
		{"/static/.well-known", "static", false},
		{"/static/a;v=1/b;c", "static", false},
		{"/static//a//b", "static", false},
		{"/static/a%20b", "static", false},
		{"/static/a%2Fb", "static", false},
		{"/static/caf%C3%A9/caf\xc3\xa9", "static", false},
		{"/static/caf%E9/M%FCnchen", "static", false},
		{"/static/%E2%80%A6", "static", false},
		{"/static/100%25", "static", false},
		{"/a;b//c%2Fd%20e", "rest", false},
		{"/@scope%2Fpackage", "rest", false},
		{"/npm/@scope%2Fpackage", "npm", false},
		{"/npm/@a;b", "npm", false},
		{"/npm//a", "npm", false},
		{"/", "rest", false},
	} {
		q := &Request{Method: "GET", Scheme: "http", Host: []byte("a"), Path: []byte(c.path)}
		r := s.Match(q)
		if r.Name != c.rule || s.InDoubt(r, q) != c.doubt {
			t.Errorf("%q: rule %s, in doubt %t; want %s, %t", c.path, r.Name, s.InDoubt(r, q), c.rule, c.doubt)
		}
		zeroAllocs(t, c.path, func() { s.InDoubt(r, q) })
	}
	// With one rule for all paths only what may be another path at all counts.
	all := mustSet(t, Rule{Name: "all"})
	for path, doubt := range map[string]bool{"//account": false, "/a%2Fb;c": false, "/..;/a": true, "/a%5Cb": true} {
		q := &Request{Method: "GET", Scheme: "http", Host: []byte("a"), Path: []byte(path)}
		if got := all.InDoubt(all.Match(q), q); got != doubt {
			t.Errorf("%q under one rule: in doubt %t", path, got)
		}
	}
}

// Whatever is not in doubt has no dot segment for an origin that decodes once or
// twice and takes a backslash for a slash.
func FuzzInDoubt(f *testing.F) {
	for _, p := range []string{"/static/..;/a", "/a%2e%2e/b", "/%252e%252e/", "/a\\..", "/a/%c0%ae"} {
		f.Add(p)
	}
	s := doubtRules(f)
	f.Fuzz(func(t *testing.T, path string) {
		q := &Request{Method: "GET", Scheme: "http", Host: []byte("a"), Path: []byte("/" + path)}
		if s.InDoubt(s.Match(q), q) {
			return
		}
		read := []byte("/" + path)
		for range 3 {
			if dotSegment(read) {
				t.Fatalf("%q is read as %q and is not in doubt", path, read)
			}
			read = percentDecoded(read)
		}
	})
}

func TestTypeFits(t *testing.T) {
	s := mustSet(t, Rule{Match: Match{Paths: []string{"/static/*", "*.css", "*.js", "*.png", "*.woff2", "*.json", "*.html", "*.data", "/one.css"}}})
	r := s.Rules()[0]
	for _, c := range []struct {
		path, contentType string
		status            int
		want              Reason
	}{
		{"/account/x.css", "text/html; charset=utf-8", 200, ReasonContentType},
		{"/account/x.css", "application/json", 200, ReasonContentType},
		{"/account/x.css", "", 200, ReasonContentType},
		{"/account/x.css", "text/plain", 200, ReasonContentType},
		{"/account/x.css", "text/html", 500, ReasonContentType},
		{"/a/x.css", "Text/CSS; charset=utf-8", 200, ReasonNone},
		{"/a/x.css", "text/html", 404, ReasonNone},
		{"/a/x.css", "text/html", 301, ReasonNone},
		{"/a/x.css", "", 204, ReasonNone},
		{"/a/x.js", "text/javascript", 200, ReasonNone},
		{"/a/x.js", "application/javascript; charset=utf-8", 200, ReasonNone},
		{"/a/x.js", "application/json", 200, ReasonContentType},
		{"/a/x.png", "image/webp", 200, ReasonNone},
		{"/a/x.png", "text/html", 200, ReasonContentType},
		{"/a/x.woff2", "application/font-woff2", 200, ReasonNone},
		{"/a/x.woff2", "application/octet-stream", 200, ReasonNone},
		{"/a/x.woff2", "application/json", 200, ReasonContentType},
		{"/a/x.json", "application/problem+json", 200, ReasonNone},
		{"/a/x.html", "text/html", 200, ReasonNone},
		{"/a/x.data", "application/x-data", 200, ReasonNone},
		{"/a/x.data", "text/html", 200, ReasonContentType},
		{"/a/x.data", "", 200, ReasonContentType},
		{"/static/x.css", "text/html", 200, ReasonNone},
		{"/one.css", "text/html", 200, ReasonNone},
	} {
		q := get()
		q.Path = []byte(c.path)
		resp := answer(c.status, "Cache-Control: max-age=60", "Content-Type: "+c.contentType)
		if c.contentType == "" {
			resp = answer(c.status, "Cache-Control: max-age=60")
		}
		if got := doubtful(r, q, resp); got != c.want {
			t.Errorf("%s %d %q: %s, want %s", c.path, c.status, c.contentType, got, c.want)
		}
	}
}

func TestReflects(t *testing.T) {
	r := mustSet(t, Rule{Key: KeySpec{QueryIgnore: []string{"utm_*", "gclid"}, ForwardQuery: true}}).Rules()[0]
	for _, c := range []struct {
		query, field string
		want         bool
	}{
		{"gclid=abc&id=7", "Location: /x?gclid=abc", true},
		{"gclid=a%20b", "Location: /x/a+b", true},
		{"gclid=a+b", "Location: /x?g=a%2520b", true},
		{"gclid=a", "Location: /landing", true},
		{"gclid=abc", "Content-Location: /abc", true},
		{"gclid=abc", "Link: </x?abc>; rel=preload", true},
		{"gclid=abc", "Refresh: 0; url=/?abc", true},
		{"gclid=abcd", "Set-Cookie: g=abcd", true},
		{"gclid=abcd", "X-Debug: abcd", true},
		{"gclid", "Location: /x?gclid", true},
		{"gclid=abc", "Set-Cookie: g=abc", false}, // too short to tell from chance
		{"gclid=html", "Content-Type: text/html", false},
		{"id=abc", "Location: /x?abc", false},
		{"gclid=abc", "Location: /x", false},
		{"gclid=", "Location: /x", false},
	} {
		q := get()
		q.Query = []byte(c.query)
		if got := reflects(r, q, answer(302, c.field).Fields); got != c.want {
			t.Errorf("%s with %s: %t", c.query, c.field, got)
		}
	}
}

func TestGiveBack(t *testing.T) {
	ignore := KeySpec{QueryIgnore: []string{"utm_*", "gclid"}}
	for _, c := range []struct {
		name            string
		key             KeySpec
		query, location string
		want            string // "" for as it is
	}{
		{"relative", ignore, "gclid=1&id=2&utm_x=%7e", "/b", "/b?gclid=1&utm_x=~"},
		{"behind a query", ignore, "gclid=1", "/b?c=d", "/b?c=d&gclid=1"},
		{"behind an empty query", ignore, "gclid=1", "/b?", "/b?gclid=1"},
		{"before a fragment", ignore, "gclid=1", "/b?c#top", "/b?c&gclid=1#top"},
		{"a relative path", ignore, "gclid=1", "b", "b?gclid=1"},
		{"the same origin", ignore, "gclid=1", "http://a.example/b", "http://a.example/b?gclid=1"},
		{"the same host, default port", ignore, "gclid=1", "http://A.example:80/b", "http://A.example:80/b?gclid=1"},
		{"https", ignore, "gclid=1", "https://a.example/b", "https://a.example/b?gclid=1"},
		{"a network path", ignore, "gclid=1", "//a.example/b", "//a.example/b?gclid=1"},
		{"it is there already", ignore, "gclid=1&utm_x=2", "/b?gclid=0", "/b?gclid=0&utm_x=2"},
		{"a whole query left out", KeySpec{NoQuery: true}, "a=1&b=2", "/b", "/b?a=1&b=2"},
		{"all but some", KeySpec{QueryOnly: []string{"id"}}, "a=1&id=2", "/b", "/b?a=1"},
		{"nothing ignored", ignore, "id=2", "/b", ""},
		{"another host", ignore, "gclid=1", "http://evil.example/b", ""},
		{"another port", ignore, "gclid=1", "http://a.example:81/b", ""},
		{"another scheme", ignore, "gclid=1", "ftp://a.example/b", ""},
		{"a network path to another host", ignore, "gclid=1", "//evil.example/b", ""},
		{"a backslash", ignore, "gclid=1", "/\\evil.example/b", ""},
		{"no URL", ignore, "gclid=1", "javascript:x", ""},
		{"userinfo", ignore, "gclid=1", "http://a.example@evil.example/", ""},
		{"forwarded anyway", KeySpec{QueryIgnore: []string{"gclid"}, ForwardQuery: true}, "gclid=1", "/b", ""},
		{"all there already", ignore, "gclid=1", "/b?gclid=0", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := mustSet(t, Rule{Key: c.key}).Rules()[0]
			q := get()
			q.Query = []byte(c.query)
			got, ok := r.GiveBack(nil, q, c.location)
			if string(got) != c.want || ok != (c.want != "") {
				t.Errorf("%q, %t, want %q", got, ok, c.want)
			}
			room := make([]byte, 0, 200)
			zeroAllocs(t, "GiveBack", func() { r.GiveBack(room, q, c.location) })
		})
	}
}

// What a query filter leaves out of the key does not reach the origin, and what
// reaches it has the spelling of the key.
func TestAppendTarget(t *testing.T) {
	for _, c := range []struct {
		key          KeySpec
		path, query  string
		want, ignore string
	}{
		{KeySpec{}, "/%69ndex", "a=%7e&&b", "/index?a=~&&b", ""},
		{KeySpec{}, "/caf\xc3\xa9", "\xff", "/caf%C3%A9?%FF", ""},
		{KeySpec{}, "/a%2fb;c//d", "", "/a%2Fb;c//d?", ""},
		{KeySpec{QueryIgnore: []string{"utm_*"}}, "/p", "b=1&utm_x=%31&a", "/p?b=1&a", "utm_x=%31"},
		{KeySpec{QueryIgnore: []string{"utm_*"}, SortQuery: true}, "/p", "b=1&utm_x=1&a", "/p?a&b=1", "utm_x=1"},
		{KeySpec{QueryIgnore: []string{"utm_*"}, ForwardQuery: true}, "/p", "b=1&utm_x=%41&a", "/p?b=1&utm_x=A&a", "utm_x=%41"},
		{KeySpec{NoQuery: true}, "/p", "b=1", "/p", "b=1"},
		{KeySpec{QueryIgnore: []string{"x"}}, "/p", "x=1", "/p", "x=1"},
	} {
		r := mustSet(t, Rule{Key: c.key}).Rules()[0]
		q := get()
		q.Path, q.Query = []byte(c.path), []byte(c.query)
		if got := string(r.AppendTarget(nil, q)); got != c.want {
			t.Errorf("%s?%s: %q, want %q", c.path, c.query, got, c.want)
		}
		if got := string(r.AppendIgnored(nil, q)); got != c.ignore {
			t.Errorf("%s?%s: %q left out, want %q", c.path, c.query, got, c.ignore)
		}
	}
}
