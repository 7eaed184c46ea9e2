package model

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// step is one thing that happens: time passes, an origin changes, a client asks,
// or many do while the origin holds its answers.
type step struct {
	Wait   time.Duration
	Change *change
	Ask    *ask
	Burst  []act
}

// act is one thing that happens in a burst. Without Wait, Change and Ask the
// origin lets go of one of the answers that it holds: its header, or its body.
type act struct {
	step
	Release int
}

type change struct {
	Path string
	behaviour
	// Version: the content changes as well.
	Version bool
}

// ask is a request. What its conditions hold is known only when it is made.
type ask struct {
	Method, Path string
	// Fields are "Name: value".
	Fields []string
	// IfNoneMatch, IfModifiedSince and IfRange are "" for none, or what the
	// value is made from: "last" is what the last answer for the path said.
	IfNoneMatch, IfModifiedSince, IfRange string
}

// history is a whole run.
type history struct {
	Policy  Policy
	Initial []behaviour
	Steps   []step
}

func sampled[T any](t *rapid.T, label string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, label)
}

// rarely is true once in n times and shrinks to false.
func rarely(t *rapid.T, label string, n int) bool {
	return rapid.IntRange(0, n-1).Draw(t, label) == n-1
}

var controls = []string{
	"max-age=60", "max-age=5", "max-age=3600", "max-age=60", "max-age=100000", "max-age=0", "s-maxage=10", "s-maxage=600",
	"public", "public", "must-revalidate", "must-revalidate", "proxy-revalidate", "no-cache", "no-store", "private",
	"must-understand", "stale-while-revalidate=30", "stale-while-revalidate=3600", "stale-if-error=60",
	"stale-if-error=100000", "immutable", `private="X-Secret"`, `no-cache="x-secret"`, `MAX-AGE="60"`, "max-age=abc",
	"max-age=99999999999",
}

var behaviours = rapid.Custom(func(t *rapid.T) behaviour {
	b := behaviour{
		Control: rapid.SliceOfN(rapid.SampledFrom(controls), 0, 3).Draw(t, "control"),
		Tag:     sampled(t, "tag", "", "strong", "strong", "weak"),
	}
	if rarely(t, "a lifetime", 2) {
		b.Control = append(b.Control, sampled(t, "lifetime", "max-age=60", "max-age=5", "max-age=3600"))
	}
	if rarely(t, "modified", 3) {
		b.Modified = sampled(t, "last-modified", 100, 1, 36, 86400, 10000000)
	}
	if rarely(t, "varies", 3) {
		b.Vary = sampled(t, "vary", "X-Foo", "Accept-Encoding", "Accept-Language", "x-foo, ACCEPT-LANGUAGE", "Cookie", "*")
		b.Languages = rarely(t, "languages", 2)
	}
	if rarely(t, "dates", 4) {
		b.Expires = sampled(t, "expires", 0, 60, 3600, -1)
		b.Age = sampled(t, "age", "", "10", "0", "50, 1", "x", "-1", "3590")
		b.Skew = sampled(t, "skew", 0, -1, -30, -3600, 5)
		b.NoDate = rarely(t, "no date", 4)
	}
	if rarely(t, "targeted field", 8) {
		b.Targeted = sampled(t, "targeted", "CDN-Cache-Control: max-age=60", "CDN-Cache-Control: no-store",
			"CDN-Cache-Control: max-age=600, stale-while-revalidate=60", "Weir-Cache-Control: max-age=10, must-revalidate",
			"CDN-Cache-Control: max-age=60,, &", "Weir-Cache-Control: private", "CDN-Cache-Control: no-cache, max-age=60")
	}
	if rarely(t, "status", 6) {
		b.Status = sampled(t, "code", 404, 203, 204, 301, 302, 307, 410, 500, 503)
	}
	if rarely(t, "fault", 8) {
		b.Fault = sampled(t, "kind", "refused", "timeout", "reset", "cut")
	}
	if rarely(t, "personal", 4) {
		b.Personal = true
		b.Visitors = sampled(t, "visitors", "", "", "private", "no-store", "no-cache", "max-age=0", "public", "max-age=60")
	}
	if rarely(t, "odd", 4) {
		b.Reflect, b.HeadBare = rarely(t, "reflect", 2), rarely(t, "head bare", 3)
		b.Secret, b.Cookie = rarely(t, "secret", 2), rarely(t, "cookie", 4)
		b.Bare, b.Chunked = rarely(t, "bare", 2), rarely(t, "chunked", 3)
		b.Delay = sampled(t, "delay", 0, 1, 3)
	}
	if rarely(t, "writes", 4) {
		b.Unsafe = sampled(t, "unsafe", 0, 201, 204, 303, 404, 500)
		b.Location = sampled(t, "location", append([]string{""}, paths...)...)
		b.ContentLocation = sampled(t, "content-location", append([]string{""}, paths...)...)
	}
	return b
})

var asks = rapid.Custom(func(t *rapid.T) ask {
	a := ask{Method: "GET", Path: sampled(t, "path", "/a", "/a", "/a", "/b")}
	if rarely(t, "method", 4) {
		a.Method = sampled(t, "which", "HEAD", "HEAD", "POST", "POST", "PUT", "DELETE")
	}
	add := func(n int, lines ...string) {
		if rarely(t, "has "+lines[0], n) {
			a.Fields = append(a.Fields, sampled(t, "field", lines...))
		}
	}
	add(4, "Cache-Control: max-age=10", "Cache-Control: max-age=0", "Cache-Control: no-cache", "Cache-Control: no-store",
		"Cache-Control: max-stale", "Cache-Control: max-stale=30", "Cache-Control: min-fresh=30", "Cache-Control: only-if-cached",
		"Cache-Control: max-age=3600, max-stale=10", "Cache-Control: only-if-cached, max-stale", "Pragma: no-cache",
		"Cache-Control: stale-if-error=30")
	add(6, "Authorization: Basic YTpi")
	add(4, "Cookie: s=1", "Cookie: s=2", "Cookie: lang=de", "Cookie: lang=de; s=1")
	add(3, "X-Foo: 1", "X-Foo: 2", "X-Foo: 1, 2", "X-Foo: 1,2")
	add(4, "Accept-Encoding: gzip, br", "Accept-Encoding: br,gzip", "Accept-Encoding: gzip;q=0.5", "Accept-Encoding: identity")
	add(4, "Accept-Language: en", "Accept-Language: de", "Accept-Language: de;q=0.9, en;q=0.5", "Accept-Language: en-GB, en;q=0.8",
		"Accept-Language: DE, en;q=0.5")
	if rarely(t, "conditional", 6) && a.Method != "DELETE" {
		a.IfNoneMatch = sampled(t, "if-none-match", "", "last", "list", "other", "*")
		a.IfModifiedSince = sampled(t, "if-modified-since", "", "last", "date", "old")
	}
	if rarely(t, "ranged", 6) {
		add(1, "Range: bytes=0-9", "Range: bytes=5-", "Range: bytes=-7", "Range: bytes=0-", "Range: bytes=10-19", "Range: bytes=900-")
		a.IfRange = sampled(t, "if-range", "", "", "last", "other", "date")
	}
	return a
})

var steps = rapid.Custom(func(t *rapid.T) step {
	switch n := rapid.IntRange(0, 9).Draw(t, "step"); {
	case n < 4:
		a := asks.Draw(t, "ask")
		return step{Ask: &a}
	case n < 6:
		return step{Burst: bursts.Draw(t, "burst")}
	case n < 8:
		return step{Wait: sampled(t, "wait", time.Second, 4*time.Second, 5*time.Second, 500*time.Millisecond, 10*time.Second,
			30*time.Second, time.Minute, 61*time.Second, 10*time.Minute, time.Hour, 23*time.Hour, 48*time.Hour)}
	}
	return step{Change: changes.Draw(t, "change")}
})

var changes = rapid.Custom(func(t *rapid.T) *change {
	return &change{Path: sampled(t, "path", paths...), behaviour: behaviours.Draw(t, "behaviour"), Version: rarely(t, "version", 2)}
})

// bursts are two to six clients that mostly want the same, and what happens
// while they wait.
var bursts = rapid.Custom(func(t *rapid.T) []act {
	var acts []act
	some := func() {
		for rarely(t, "meanwhile", 3) {
			switch n := rapid.IntRange(0, 9).Draw(t, "act"); {
			case n < 6:
				acts = append(acts, act{Release: rapid.IntRange(0, 3).Draw(t, "which")})
			case n < 9:
				acts = append(acts, act{step: step{Wait: sampled(t, "wait", 500*time.Millisecond, time.Second, 4*time.Second, 61*time.Second)}})
			default:
				acts = append(acts, act{step: step{Change: changes.Draw(t, "change")}})
			}
		}
	}
	path := sampled(t, "path", paths...)
	for range rapid.IntRange(2, 6).Draw(t, "clients") {
		a := ask{Method: "GET", Path: path}
		switch n := rapid.IntRange(0, 9).Draw(t, "kind"); {
		case n < 3:
		case n < 6:
			a.Fields = []string{sampled(t, "cookie", "Cookie: s=1", "Cookie: s=2", "Cookie: lang=de; s=1")}
		case n < 7:
			a.Fields = []string{sampled(t, "reload", "Cache-Control: no-cache", "Cache-Control: no-store")}
		case n < 8:
			a.Fields = []string{sampled(t, "field", "X-Foo: 1", "Cache-Control: max-stale", "Accept-Language: de")}
		default:
			a = asks.Draw(t, "ask")
		}
		acts = append(acts, act{step: step{Ask: &a}})
		some()
	}
	some()
	return acts
})

// policies are what operators write; most write nothing.
var policies = []Policy{
	{},
	{},
	{},
	{},
	{},
	{},
	{KeyCookies: []string{"lang"}},
	{Cookies: CookiesStrip},
	{Cookies: CookiesStrip, KeyCookies: []string{"lang"}},
	{Cookies: CookiesIgnore},
	{Default: time.Minute},
	{Min: 10 * time.Second},
	{Override: 30 * time.Second},
	{Default: time.Minute, Min: 10 * time.Second, Cookies: CookiesStrip},
	{StoreCookies: true},
	{Negative: map[int]time.Duration{404: 5 * time.Second, 503: 5 * time.Second}},
	{StaleWhileRevalidate: time.Minute, StaleIfError: time.Hour},
	{StaleWhileRevalidate: time.Minute, StaleIfError: time.Hour, StaleDespite: []string{"s-maxage", "must-revalidate"}},
}

var histories = rapid.Custom(func(t *rapid.T) history {
	return history{
		Policy:  sampled(t, "policy", policies...),
		Initial: rapid.SliceOfN(behaviours, len(paths), len(paths)).Draw(t, "initial"),
		Steps:   rapid.SliceOfN(steps, 2, 12).Draw(t, "steps"),
	}
})

// String writes the history so that it can be followed by hand.
func (h history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the policy is %+v\n", h.Policy)
	for i, initial := range h.Initial {
		fmt.Fprintf(&b, "%s is %s\n", paths[i], initial)
	}
	for i, s := range h.Steps {
		fmt.Fprintf(&b, "%d. %s\n", i+1, s)
	}
	return b.String()
}

func (s step) String() string {
	switch {
	case s.Change != nil:
		return fmt.Sprintf("%s becomes %s, new version: %v", s.Change.Path, s.Change.behaviour, s.Change.Version)
	case s.Ask != nil:
		return s.Ask.String()
	case s.Burst != nil:
		out := "at once, while the origin holds its answers:"
		for _, a := range s.Burst {
			out += "\n   - " + a.String()
		}
		return out
	}
	return "wait " + s.Wait.String()
}

func (a act) String() string {
	if a.Wait == 0 && a.Change == nil && a.Ask == nil {
		return fmt.Sprintf("the origin lets go of answer %d of those that wait (in a circle)", a.Release)
	}
	return a.step.String()
}

func (a *ask) String() string {
	s := fmt.Sprintf("%s %s %q", a.Method, a.Path, a.Fields)
	for _, c := range []string{"if-none-match: " + a.IfNoneMatch, "if-modified-since: " + a.IfModifiedSince, "if-range: " + a.IfRange} {
		if !strings.HasSuffix(c, ": ") {
			s += " " + c
		}
	}
	return s
}

// request makes the request, given the fields of the last answer for its path.
func (a *ask) request(last http.Header) Request {
	q := Request{Method: a.Method, Path: a.Path, Fields: http.Header{}}
	for _, line := range a.Fields {
		name, value, _ := strings.Cut(line, ": ")
		q.Fields.Set(name, value)
	}
	set := func(name, value string) {
		if value != "" {
			q.Fields.Set(name, value)
		}
	}
	tag := last.Get("Etag")
	switch a.IfNoneMatch {
	case "last":
		set("If-None-Match", tag)
	case "list":
		set("If-None-Match", strings.TrimSuffix(`"x", `+tag, ", "))
	case "other":
		set("If-None-Match", `"other"`)
	case "*":
		set("If-None-Match", "*")
	}
	switch a.IfModifiedSince {
	case "last":
		set("If-Modified-Since", last.Get("Last-Modified"))
	case "date":
		set("If-Modified-Since", last.Get("Date"))
	case "old":
		set("If-Modified-Since", "Mon, 01 Jan 2001 00:00:00 GMT")
	}
	switch a.IfRange {
	case "last":
		set("If-Range", tag)
	case "other":
		set("If-Range", `"other"`)
	case "date":
		set("If-Range", last.Get("Last-Modified"))
	}
	return q
}
