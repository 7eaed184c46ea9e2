package policy

import (
	"fmt"
	"strings"
	"testing"
)

func TestAppendCookie(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"id=1"}, "\n c:id=1"},
		{[]string{"a=b; id=1; c=d"}, "\n c:id=1"},
		{[]string{"a=b;id=1;c=d"}, "\n c:id=1"},
		{[]string{" \tid\t=\t1 \t; "}, "\n c:id=1"},
		{[]string{"id="}, "\n c:id="},
		{[]string{"id"}, "\n c:id"},
		{[]string{"id;id="}, "\n c:id\n c:id="},
		{[]string{"id=2; id=1"}, "\n c:id=2\n c:id=1"},
		{[]string{"id=1", "x=y; id=2"}, "\n c:id=1\n c:id=2"},
		{[]string{"id=a=b"}, "\n c:id=a=b"},
		{[]string{`id="a b"`}, "\n c:id=\"a b\""},
		{[]string{"ID=1; idx=2; xid=3; =id; =;;;"}, ""},
		{[]string{"x=id=1"}, ""},
		{[]string{"id=a%\xffb\nc:id=2"}, "\n c:id=a%25%FFb%0Ac:id=2"},
	} {
		h := keyHeader{}
		for _, l := range c.lines {
			h = h.add("Cookie", l)
		}
		if got := appendCookie([]byte("dst"), Fields(h), "id"); string(got) != "dst"+c.want {
			t.Errorf("%q gives %q, want %q", c.lines, got[3:], c.want)
		}
	}
}

func TestCookieFree(t *testing.T) {
	keyed := KeySpec{Cookies: []string{"currency", "theme"}}
	for _, c := range []struct {
		name   string
		rule   Rule
		method string
		lines  []string
		free   bool
		sent   string // with strip
	}{
		{"no cookie", Rule{}, "GET", nil, true, ""},
		{"an empty field", Rule{}, "GET", []string{"Cookie: ;; "}, true, ""},
		{"one that the key lacks", Rule{}, "GET", []string{"Cookie: s=1"}, false, ""},
		{"a value without a name", Rule{}, "GET", []string{"Cookie: =1"}, false, ""},
		{"a name without a value", Rule{}, "GET", []string{"Cookie: s"}, false, ""},
		{"in the key", Rule{Key: keyed}, "GET", []string{"Cookie: theme=dark; currency=EUR"}, true, "currency=EUR; theme=dark"},
		{"one of several lines", Rule{Key: keyed}, "GET", []string{"Cookie: theme=dark", "Cookie: s=1"}, false, "theme=dark"},
		{"another case of a name", Rule{Key: keyed}, "GET", []string{"Cookie: Theme=dark"}, false, ""},
		{"twice", Rule{Key: keyed}, "GET", []string{"Cookie: theme=a; theme; theme=b"}, true, "theme=a; theme; theme=b"},
		{"the whole field in the key", Rule{Key: KeySpec{Headers: []string{"Cookie"}}}, "GET", []string{"Cookie: s=1"}, true, ""},
		{"stripped", Rule{Cookies: CookiesStrip}, "GET", []string{"Cookie: s=1"}, true, ""},
		{"stripped for HEAD", Rule{Cookies: CookiesStrip}, "HEAD", []string{"Cookie: s=1"}, true, ""},
		{"not stripped for POST", Rule{Cookies: CookiesStrip}, "POST", []string{"Cookie: s=1"}, false, ""},
		{"ignored and sent", Rule{Cookies: CookiesIgnore}, "GET", []string{"Cookie: s=1"}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := get(c.lines...)
			q.Method = c.method
			if got := c.rule.CookieFree(q); got != c.free {
				t.Errorf("cookie-free: %t, want %t", got, c.free)
			}
			if got := string(c.rule.AppendCookies(nil, q)); got != c.sent {
				t.Errorf("what strip leaves: %q, want %q", got, c.sent)
			}
			zeroAllocs(t, "CookieFree", func() { c.rule.CookieFree(q) })
		})
	}
}

// TestCookiesSent: what of Cookie reaches the origin is in the spelling of the key.
func TestCookiesSent(t *testing.T) {
	keyed := KeySpec{Cookies: []string{"currency", "theme"}}
	for _, c := range []struct {
		name   string
		rule   Rule
		method string
		lines  []string
		want   string
	}{
		{"none in the key", Rule{}, "GET", []string{"Cookie: a =1"}, "[a =1]"},
		{"a space before the sign", Rule{Key: keyed}, "GET", []string{"Cookie: theme =dark"}, "[theme=dark]"},
		{"a tab behind it", Rule{Key: keyed}, "GET", []string{"Cookie: theme=\tdark ;"}, "[theme=dark]"},
		{"another order", Rule{Key: keyed}, "GET", []string{"Cookie: theme=dark; currency=EUR"}, "[currency=EUR; theme=dark]"},
		{"two lines", Rule{Key: keyed}, "GET", []string{"Cookie: theme=dark", "Cookie: theme=light"}, "[theme=dark; theme=light]"},
		{"beside others", Rule{Key: keyed}, "HEAD", []string{"Cookie: s=1; theme= dark; =v; t"}, "[theme=dark; s=1; =v; t]"},
		{"ignored ones", Rule{Key: keyed, Cookies: CookiesIgnore}, "GET", []string{"Cookie: s=1; theme =dark"}, "[theme=dark; s=1]"},
		{"stripped ones", Rule{Key: keyed, Cookies: CookiesStrip}, "GET", []string{"Cookie: s=1; theme =dark"}, "[theme=dark]"},
		{"nothing left", Rule{Key: keyed}, "GET", []string{"Cookie: ;; "}, "[]"},
		{"of a POST", Rule{Key: keyed}, "POST", []string{"Cookie: theme =dark"}, "[theme =dark]"},
		{"of a pass", Rule{Key: keyed, Pass: true}, "GET", []string{"Cookie: theme =dark"}, "[theme =dark]"},
		{"the whole field in the key", Rule{Key: KeySpec{Cookies: []string{"theme"}, Headers: []string{"Cookie"}}}, "GET", []string{"Cookie: theme =dark"}, "[theme =dark]"},
	} {
		q := get(c.lines...)
		q.Method = c.method
		if got := fmt.Sprint(c.rule.Sent(q).Values("Cookie")); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func FuzzNextCookie(f *testing.F) {
	for _, s := range []string{"a=b; c=d", ";;", "=", "a", " \t=\t "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		pairs := 0
		for rest := line; len(rest) > 0; pairs++ {
			before := len(rest)
			var c cookie
			c, rest = nextCookie(rest)
			if len(c.name)+len(c.value)+len(rest) > before || len(rest) == before {
				t.Fatalf("%q: %+v, %q left of %d", line, c, rest, before)
			}
			if strings.ContainsAny(c.name, ";=") || strings.ContainsAny(c.value, ";") {
				t.Fatalf("%q: %+v", line, c)
			}
		}
		if pairs > strings.Count(line, ";")+1 {
			t.Fatalf("%q: %d pairs", line, pairs)
		}
	})
}
