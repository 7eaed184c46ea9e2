package policy

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything/at/all", true},
		{"a", "a", true},
		{"a", "A", false},
		{"a", "ab", false},
		{"/static/*", "/static/a/b.css", true},
		{"/static/*", "/static/", true},
		{"/static/*", "/static", false},
		{"/static/*", "/staticx/", false},
		{"*.css", "/a/b.css", true},
		{"*.css", "/a/b.css/", false},
		{"/a/*/z", "/a/b/c/z", true},
		{"/a/*/z", "/a/z", false},
		{"utm_*", "utm_", true},
		{"a**b", "ab", true},
		{"*a*b*", "xxaxxbxx", true},
		{"*a*b*", "xxbxxaxx", false},
		{"a?c", "a?c", true},
		{"a?c", "abc", false},
		{"*?*", "/a?b", true},
		{"ab*ab", "ab", false},
		{"*aab", "aaab", true},
	} {
		if got := glob(c.pattern, []byte(c.text)); got != c.want {
			t.Errorf("glob(%q, %q) = %v", c.pattern, c.text, got)
		}
	}
}

// A regular expression says the same in another way.
func globModel(pattern string) *regexp.Regexp {
	quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`)
	return regexp.MustCompile(`(?s)^` + quoted + `$`)
}

func TestGlobAgreesWithRegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.RuneFrom([]rune("ab/*?")), 0, 8, -1).Draw(t, "pattern")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab/?")), 0, 12, -1).Draw(t, "text")
		if got, want := glob(pattern, []byte(text)), globModel(pattern).MatchString(text); got != want {
			t.Fatalf("glob(%q, %q) = %v, want %v", pattern, text, got, want)
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("/static/*", "/static/a")
	f.Add("*a*a*a*b", strings.Repeat("a", 100))
	f.Add("?*?", "?a?")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		got := glob(pattern, []byte(text))
		if glob("*"+pattern+"*", []byte("x"+text+"y")) != true && got {
			t.Fatalf("%q fits %q, but not with * around it", pattern, text)
		}
		if !strings.ContainsAny(pattern, "*") && got != (pattern == text) {
			t.Fatalf("glob(%q, %q) = %v", pattern, text, got)
		}
	})
}

func BenchmarkGlobWorst(b *testing.B) {
	pattern := strings.Repeat("*a", 32) + "b"
	text := bytes.Repeat([]byte("a"), 1000)
	for b.Loop() {
		glob(pattern, text)
	}
}
