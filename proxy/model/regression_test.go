package model

import (
	"testing"
	"time"
)

// TestFound replays, in their shortest form, the histories that the model once
// found an answer wrong in.
func TestFound(t *testing.T) {
	get := func(fields ...string) step { return step{Ask: &ask{Method: "GET", Path: "/a", Fields: fields}} }
	head := step{Ask: &ask{Method: "HEAD", Path: "/a"}}
	becomes := func(b behaviour) step { return step{Change: &change{Path: "/a", behaviour: b}} }
	wait := func(d time.Duration) step { return step{Wait: d} }
	burst := func(steps ...step) step {
		var acts []act
		for _, s := range steps {
			acts = append(acts, act{step: s})
		}
		return step{Burst: acts}
	}
	const visitor = "Cookie: s=1"
	for _, c := range []struct {
		name   string
		policy Policy
		is     behaviour
		steps  []step
	}{
		{
			"a 304 that may not be stored answers with the stored fields",
			Policy{},
			behaviour{Tag: "strong"},
			[]step{get(), get("Authorization: Basic YTpi"), get()},
		},
		{
			"so does a 304 that says no-store",
			Policy{},
			behaviour{Tag: "strong", Control: []string{"max-age=5"}},
			[]step{get(), becomes(behaviour{Tag: "strong", Control: []string{"no-store"}}), wait(time.Minute), get(), get()},
		},
		{
			"what stands in for a failing origin has the Age of now, also for a HEAD",
			Policy{},
			behaviour{Tag: "strong"},
			[]step{get(), wait(30 * time.Second), becomes(behaviour{Fault: "reset", Delay: 3}), head},
		},
		{
			"a part is completed also by a 206 that may not be stored",
			Policy{},
			behaviour{Tag: "strong", Control: []string{"max-age=60"}},
			[]step{get("Range: bytes=0-9"), becomes(behaviour{Tag: "strong", Control: []string{"private"}}), get()},
		},
		{
			"a language that a variant no longer has chooses nothing",
			Policy{},
			behaviour{Languages: true, Control: []string{"max-age=60"}, Vary: "Accept-Language"},
			[]step{
				get("Accept-Language: de;q=0.9, en;q=0.5", "Range: bytes=0-9"),
				becomes(behaviour{Modified: 100, Vary: "Accept-Language"}),
				get("Accept-Language: de;q=0.9, en;q=0.5"), get("Accept-Language: de"),
			},
		},
		{
			"a HEAD with 200 does not renew a stored 404",
			Policy{},
			behaviour{Status: 404, Control: []string{"max-age=5"}, Modified: 100},
			[]step{get(), wait(time.Minute), becomes(behaviour{Control: []string{"max-age=60"}, Modified: 100}), head, get()},
		},
		{
			"a HEAD that varies on something else does not renew what lies under the old key",
			Policy{},
			behaviour{Vary: "Accept-Language", Control: []string{"max-age=60"}},
			[]step{
				get("Accept-Language: de"),
				becomes(behaviour{Vary: "X-Foo", Chunked: true, Control: []string{"max-age=60"}}),
				{Ask: &ask{Method: "HEAD", Path: "/a", Fields: []string{"Accept-Language: de", "Cache-Control: no-cache"}}},
				get("Accept-Language: de", "X-Foo: 1"),
			},
		},
		{
			"followers are not given what has no lifetime",
			Policy{},
			behaviour{Tag: "strong", Personal: true},
			[]step{burst(get("Cookie: s=1"), get("Cookie: s=2"), get())},
		},
		{
			"an unsafe request invalidates its target whatever cookies of the key it has",
			Policy{KeyCookies: []string{"lang"}},
			behaviour{Control: []string{"max-age=60"}},
			[]step{get(), {Ask: &ask{Method: "DELETE", Path: "/a", Fields: []string{"Cookie: lang=de"}}}, get()},
		},
		{
			"what a visitor's 304 renews keeps the lifetime that guests had",
			Policy{Min: 10 * time.Second},
			behaviour{Tag: "strong", Control: []string{"max-age=3600", "max-age=60"}},
			[]step{get(), get(visitor), get()},
		},
		{
			"stripped cookies select no variant",
			Policy{Cookies: CookiesStrip},
			behaviour{Vary: "Cookie", Control: []string{"max-age=60"}},
			[]step{get(), get(visitor)},
		},
		{
			"an error that a client forced does not displace a fresh variant",
			Policy{},
			behaviour{Vary: "Accept-Language", Control: []string{"max-age=60"}},
			[]step{
				get(), wait(2 * time.Second), becomes(behaviour{Status: 500, Tag: "strong", Control: []string{"max-age=5"}}),
				get("Cache-Control: no-cache"), get(),
			},
		},
		{
			"who causes a 206 gets its Set-Cookie",
			Policy{Cookies: CookiesIgnore},
			behaviour{Cookie: true, Control: []string{"max-age=60"}},
			[]step{get("Range: bytes=5-")},
		},
		{
			"who causes an error page gets its Set-Cookie",
			Policy{},
			behaviour{Status: 503, Chunked: true, Cookie: true, Control: []string{"max-age=60"}},
			[]step{get()},
		},
		{
			"what was asked for with no-store is not for those who did not",
			Policy{},
			behaviour{Control: []string{"max-age=60"}},
			[]step{burst(get("Cache-Control: no-store"), get())},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := history{Policy: c.policy, Initial: []behaviour{c.is, {}}, Steps: c.steps}
			if f := h.run(t, &shim{}); f != nil {
				t.Errorf("%s\n%s", f.text, h)
			}
		})
	}
}
