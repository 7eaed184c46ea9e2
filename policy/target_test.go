package policy

import (
	"bytes"
	"strings"
	"testing"
)

func TestSplitTarget(t *testing.T) {
	const none = "\x00none"
	for _, c := range []struct {
		raw                     string
		form                    TargetForm
		scheme, authority, path string
		query                   string
		noPath                  bool
	}{
		{raw: "/", path: "/", query: none},
		{raw: "/a/b", path: "/a/b", query: none},
		{raw: "/a?", path: "/a", query: ""},
		{raw: "/a?b=c", path: "/a", query: "b=c"},
		{raw: "/a?b?c", path: "/a", query: "b?c"},
		{raw: "//evil.example/x", path: "//evil.example/x", query: none},
		{raw: "/http://a/b", path: "/http://a/b", query: none},
		{raw: "/%2F/../%zz", path: "/%2F/../%zz", query: none},
		{raw: "/caf\xc3\xa9?\xff", path: "/caf\xc3\xa9", query: "\xff"},
		{raw: "*", form: AsteriskForm, path: "*", query: none},
		{raw: "http://a.example/b?c", form: AbsoluteForm, scheme: "http", authority: "a.example", path: "/b", query: "c"},
		{raw: "HTTPS://A.example:443/", form: AbsoluteForm, scheme: "https", authority: "A.example:443", path: "/", query: none},
		{raw: "http://a.example", form: AbsoluteForm, scheme: "http", authority: "a.example", path: "/", query: none, noPath: true},
		{raw: "http://a.example?q", form: AbsoluteForm, scheme: "http", authority: "a.example", path: "/", query: "q", noPath: true},
		{raw: "http://u@a/b", form: AbsoluteForm, scheme: "http", authority: "u@a", path: "/b", query: none},
	} {
		got, err := SplitTarget([]byte(c.raw))
		if err != nil {
			t.Errorf("SplitTarget(%q): %v", c.raw, err)
			continue
		}
		query := none
		if got.Query != nil {
			query = string(got.Query)
		}
		if got.Form != c.form || got.Scheme != c.scheme || string(got.Authority) != c.authority ||
			string(got.Path) != c.path || query != c.query || got.NoPath != c.noPath {
			t.Errorf("SplitTarget(%q) = %+v", c.raw, got)
		}
	}
}

func TestSplitTargetRefuses(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want TargetFault
	}{
		{"", TargetEmpty},
		{"/a b", TargetBytes},
		{"/a\tb", TargetBytes},
		{"/a\x00", TargetBytes},
		{"/a\r\nHost: b", TargetBytes},
		{"/\x7f", TargetBytes},
		{"/a#b", TargetFragment},
		{"/a?b#c", TargetFragment},
		{"http://a/#", TargetFragment},
		{"ftp://a/b", TargetScheme},
		{"httpx://a/b", TargetScheme},
		{"http:///b", TargetNoHost},
		{"http://?b", TargetNoHost},
		{"http://", TargetNoHost},
		{"a.example:443", TargetAuthority},
		{"[::1]:443", TargetAuthority},
		{"a.example", TargetMalformed},
		{"a.example:", TargetMalformed},
		{":443", TargetMalformed},
		{"http:/a", TargetMalformed},
		{"mailto:a@b", TargetMalformed},
		{"?a", TargetMalformed},
		{"**", TargetMalformed},
		{"://a", TargetMalformed},
		{"1http://a/", TargetMalformed},
		{"\xc3\xa9://a", TargetMalformed},
	} {
		got, err := SplitTarget([]byte(c.raw))
		if err != c.want || got.Path != nil {
			t.Errorf("SplitTarget(%q) = %+v, %v; want %v", c.raw, got, err, c.want)
		}
	}
}

func TestTargetNamesAreTold(t *testing.T) {
	seen := map[string]bool{}
	for f := TargetEmpty; f <= TargetMalformed; f++ {
		if text := f.Error(); seen[text] || !strings.HasPrefix(text, "cannot parse request-target: ") {
			t.Errorf("fault %d: %q", f, text)
		}
		seen[f.Error()] = true
	}
	for f := OriginForm; f <= AsteriskForm; f++ {
		if text := f.String(); seen[text] || !strings.HasSuffix(text, "-form") {
			t.Errorf("form %d: %q", f, text)
		}
		seen[f.String()] = true
	}
}

func FuzzSplitTarget(f *testing.F) {
	for _, s := range []string{"/", "*", "/a?b", "http://a:80/b?c", "https://a", "a:443", "/a#b", "//x", "http://?"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := SplitTarget(raw)
		if err != nil {
			if _, ok := err.(TargetFault); !ok {
				t.Fatalf("%q: %T", raw, err)
			}
			return
		}
		// Put together again the parts are what was taken apart.
		var whole []byte
		if got.Form == AbsoluteForm {
			whole = append(append(whole, raw[:len(got.Scheme)]...), "://"...)
			whole = append(whole, got.Authority...)
		}
		if !got.NoPath {
			whole = append(whole, got.Path...)
		}
		if got.Query != nil {
			whole = append(append(whole, '?'), got.Query...)
		}
		if !bytes.Equal(whole, raw) {
			t.Fatalf("%q gives %+v", raw, got)
		}
		if got.Path[0] != '/' && string(got.Path) != "*" || bytes.IndexByte(got.Path, '?') >= 0 {
			t.Fatalf("%q gives path %q", raw, got.Path)
		}
	})
}

func TestSplitTargetAllocatesNothing(t *testing.T) {
	for _, s := range []string{"/a/b?c=d", "http://a.example/b", "*", "a:443", "/a#b"} {
		raw := []byte(s)
		if n := testing.AllocsPerRun(100, func() { _, _ = SplitTarget(raw) }); n != 0 {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
}

func BenchmarkSplitTarget(b *testing.B) {
	for name, s := range map[string]string{
		"origin":   "/products/4711/images/front.jpg?w=640&h=480",
		"absolute": "http://www.example.com/products/4711/images/front.jpg?w=640&h=480",
	} {
		raw := []byte(s)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = SplitTarget(raw)
			}
		})
	}
}
