package policy

import (
	"fmt"
	"strings"
	"testing"
)

func TestPurgeScopes(t *testing.T) {
	set, err := NewSet([]Rule{
		{Origin: "o", Name: "beta", Match: Match{Hosts: []string{"shop.example"}, Headers: []HeaderMatch{{Name: "X-Beta"}}}},
		{Origin: "o", Name: "shop", Match: Match{Hosts: []string{"shop.example"}}, Key: KeySpec{QueryIgnore: []string{"utm_*"}, SortQuery: true}},
		{Origin: "o", Name: "bare", Match: Match{Hosts: []string{"bare.example"}}, Key: KeySpec{NoQuery: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ kind, in, want string }{
		{"url", "http://bare.example/p?x=1", "[http://bare.example/p]"},
		{"url", "//bare.example/p?x=1", "[http://bare.example/p https://bare.example/p]"},
		{"url", "HTTP://Bare.Example.:80/p", "[http://bare.example/p]"},
		{"url", "http://bare.example", "[http://bare.example/]"},
		{"url", "http://bare.example/%7euser/%2f", "[http://bare.example/~user/%2F]"},
		{"url", "http://shop.example/p?b=1&utm_source=x&a=2", "[http://shop.example/p?b=1&utm_source=x&a=2 http://shop.example/p?a=2&b=1]"},
		{"url", "http://nobody.example/p?b=1&a=2", "[http://nobody.example/p?b=1&a=2]"},
		{"url", "//bare.example:443/p", "[http://bare.example:443/p https://bare.example/p]"},
		{"url", "/p", "error"},
		{"url", "bare.example/p", "error"},
		{"url", "http:///p", "error"},
		{"url", "http://bare.example/p#f", "error"},
		{"url", "http://bare.example/a b", "error"},
		{"url", "", "error"},
		{"prefix", "/a/b%2", "[/a/b%2]"},
		{"prefix", "/", "[/]"},
		{"prefix", "/%7e", "[/~]"},
		{"prefix", "//bare.example/a", "[http://bare.example/a https://bare.example/a]"},
		{"prefix", "https://bare.example", "[https://bare.example/]"},
		{"prefix", "https://bare.example/p?a", "[https://bare.example/p?a]"},
		{"url", "http://bare.example/*", "error"},
		{"url", "http://bare.example/a*b", "error"},
		{"url", "//bare.example/.*", "error"},
		{"url", "http://bare.example/^a", "error"},
		{"url", `http://bare.example/a\.css`, "error"},
		{"url", "http://*.example/", "error"},
		{"url", "http://bare.example/(a|b)", "error"},
		{"url", "http://bare.example/a$", "error"},
		{"url", "http://bare.example/a/.+", "error"},
		{"url", "http://bare.example/p[0-9]", "error"},
		{"url", "http://bare.example/(?i)a", "error"},
		{"url", "http://nobody.example/a(b)?f[x]=1|2&q=a.+b", "[http://nobody.example/a(b)?f[x]=1|2&q=a.+b]"},
		{"prefix", "/news/(a|b)/", "error"},
		{"prefix", "/news/[a-z]", "error"},
		{"prefix", "/news$", "error"},
		{"prefix", "/*", "[/]"},
		{"prefix", "/a/.*", "[/a/]"},
		{"prefix", "/a*", "[/a]"},
		{"prefix", "//bare.example/*", "[http://bare.example/ https://bare.example/]"},
		{"prefix", "http://bare.example/a/*", "[http://bare.example/a/]"},
		{"prefix", "*", "error"},
		{"prefix", "http://bare.example*", "error"},
		{"prefix", "//*/a", "error"},
		{"prefix", "//*.example/*", "error"},
		{"prefix", "http://*", "error"},
		{"prefix", "/a/*/b", "error"},
		{"prefix", "/*.css", "error"},
		{"prefix", "^/a", "error"},
		{"prefix", "/a#f", "error"},
		{"host", "*.bare.example", "error"},
		{"host", "*", "error"},
		{"host", "^bare", "error"},
		{"prefix", "bare", "error"},
		{"prefix", "", "error"},
		{"host", "Bare.Example", "[bare.example]"},
		{"host", "bare.example:8080", "[bare.example:8080]"},
		{"host", "bare.example:80", "[bare.example bare.example:80]"},
		{"host", "http://bare.example", "error"},
		{"host", "", "error"},
	} {
		var got []string
		var err error
		switch c.kind {
		case "url":
			got, err = set.URLScopes(c.in)
		case "prefix":
			got, err = PrefixScopes(c.in)
		default:
			got, err = HostScopes(c.in)
		}
		if is := fmt.Sprint(got); err == nil && is != c.want || err != nil && c.want != "error" {
			t.Errorf("%s %q: %s, %v; want %s", c.kind, c.in, is, err, c.want)
		}
	}
	for _, bad := range []string{"", "a b", "a\n", strings.Repeat("x", MaxTagLength+1), "*", "cat_*", "cat_p_.*", "^a", "a$", `a\b`, "(^|,)cat_p_1(,|$)", "a|$"} {
		if got, err := TagScopes(bad); err == nil {
			t.Errorf("tag %.20q was taken: %q", bad, got)
		}
	}
	if got, err := TagScopes("p-17,blue"); err != nil || fmt.Sprint(got) != "[p-17,blue p-17 blue]" {
		t.Errorf("a tag with a comma: %q, %v", got, err)
	}
}

// FuzzURLScopes: what a request would be stored under is among the scopes of a purge of its URL.
func FuzzURLScopes(f *testing.F) {
	set, err := NewSet([]Rule{{Origin: "o", Name: "a", Match: Match{Paths: []string{"/a/*"}}, Key: KeySpec{SortQuery: true}}, {Origin: "o", Name: "all"}})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"http://h/a/b?c=d&a", "https://H:443/%7e/../x?", "//h/x", "http://[::1]:8/", "http://h?x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, url string) {
		scopes, err := set.URLScopes(url)
		if err != nil {
			return
		}
		q, err := purgeTarget(schemes(url)[0])
		if err != nil {
			t.Fatal(err)
		}
		rule := set.Match(&q)
		if rule == nil {
			return
		}
		text := string(rule.AppendKey(nil, &q))
		for _, s := range scopes {
			if text == "w1 "+s {
				return
			}
		}
		t.Errorf("%q is stored under %q, purged are %q", url, text, scopes)
	})
}

// TestPurgeFaults: what names nothing is answered with what would name something.
func TestPurgeFaults(t *testing.T) {
	set, err := NewSet([]Rule{{Name: "all", Origin: "o"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ kind, in, want string }{
		{"url", "page", "valid is http://host/path"},
		{"url", "shop.example/page", "valid is http://host/path"},
		{"prefix", "static", "or /path for every host"},
		{"prefix", "shop.example/static", "or /path for every host"},
		{"host", "http://shop.example/", "the name alone"},
		{"host", "shop.example/", "the name alone"},
	} {
		scopes := map[string]func(string) ([]string, error){"url": set.URLScopes, "prefix": PrefixScopes, "host": HostScopes}[c.kind]
		if got, err := scopes(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: got %q, error %v; want an error with %q", c.kind, c.in, got, err, c.want)
		}
	}
}
