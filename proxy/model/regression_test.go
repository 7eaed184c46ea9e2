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
	for _, c := range []struct {
		name  string
		is    behaviour
		steps []step
	}{
		{
			"a 304 that may not be stored answers with the stored fields",
			behaviour{Tag: "strong"},
			[]step{get(), get("Authorization: Basic YTpi"), get()},
		},
		{
			"so does a 304 that says no-store",
			behaviour{Tag: "strong", Control: []string{"max-age=5"}},
			[]step{get(), becomes(behaviour{Tag: "strong", Control: []string{"no-store"}}), wait(time.Minute), get(), get()},
		},
		{
			"what stands in for a failing origin has the Age of now, also for a HEAD",
			behaviour{Tag: "strong"},
			[]step{get(), wait(30 * time.Second), becomes(behaviour{Fault: "reset", Delay: 3}), head},
		},
		{
			"a part is completed also by a 206 that may not be stored",
			behaviour{Tag: "strong", Control: []string{"max-age=60"}},
			[]step{get("Range: bytes=0-9"), becomes(behaviour{Tag: "strong", Control: []string{"private"}}), get()},
		},
		{
			"a language that a variant no longer has chooses nothing",
			behaviour{Languages: true, Control: []string{"max-age=60"}, Vary: "Accept-Language"},
			[]step{
				get("Accept-Language: de;q=0.9, en;q=0.5", "Range: bytes=0-9"),
				becomes(behaviour{Modified: 100, Vary: "Accept-Language"}),
				get("Accept-Language: de;q=0.9, en;q=0.5"), get("Accept-Language: de"),
			},
		},
		{
			"a HEAD with 200 does not renew a stored 404",
			behaviour{Status: 404, Control: []string{"max-age=5"}, Modified: 100},
			[]step{get(), wait(time.Minute), becomes(behaviour{Control: []string{"max-age=60"}, Modified: 100}), head, get()},
		},
		{
			"a HEAD that varies on something else does not renew what lies under the old key",
			behaviour{Vary: "Accept-Language", Control: []string{"max-age=60"}},
			[]step{
				get("Accept-Language: de"),
				becomes(behaviour{Vary: "X-Foo", Chunked: true, Control: []string{"max-age=60"}}),
				{Ask: &ask{Method: "HEAD", Path: "/a", Fields: []string{"Accept-Language: de", "Cache-Control: no-cache"}}},
				get("Accept-Language: de", "X-Foo: 1"),
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := history{Initial: []behaviour{c.is, {}}, Steps: c.steps}
			if f := h.run(t, &shim{}); f != nil {
				t.Errorf("%s\n%s", f.text, h)
			}
		})
	}
}
