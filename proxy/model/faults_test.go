package model

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/origin"
	"weir/proxy"
)

// shim stands around the real parts and spoils something; the zero value spoils
// nothing. The model goes on believing what the scripted origin said.
type shim struct {
	// respond changes what the proxy gets from the origin.
	respond func(q *origin.Request, r *origin.Response)
	// clock changes what the proxy takes for the time since the start.
	clock func(since time.Duration) time.Duration
	// around sends the requests it is true for past the proxy.
	around func(q Request) bool
}

// spoilt is the origin as the proxy sees it.
type spoilt struct {
	*scriptedOrigin
	respond func(q *origin.Request, r *origin.Response)
}

// Do implements proxy.Origin.
func (s spoilt) Do(ctx context.Context, q *origin.Request) (*origin.Response, error) {
	r, err := s.scriptedOrigin.Do(ctx, q)
	if err == nil {
		s.respond(q, r)
	}
	return r, err
}

// behind is the origin as seen through the shim.
func (s *shim) behind(o *scriptedOrigin) proxy.Origin {
	if s.respond == nil {
		return o
	}
	return spoilt{o, s.respond}
}

// now is the clock as seen through the shim.
func (s *shim) now(c *clock) func() time.Time {
	if s.clock == nil {
		return c.now
	}
	began := c.now()
	return func() time.Time { return began.Add(s.clock(c.now().Sub(began))) }
}

// direct asks the origin without the proxy.
func direct(tb testing.TB, o *scriptedOrigin, q Request) answer {
	r, err := o.Do(context.Background(), &origin.Request{Method: q.Method, Target: q.Path, Header: q.Fields.Clone()})
	if err != nil {
		return answer{status: http.StatusBadGateway, fields: http.Header{}}
	}
	a := answer{status: r.Status, fields: r.Header}
	var body bytes.Buffer
	if _, err := io.Copy(&body, r.Body); err != nil {
		a.cut = true
	}
	if err := r.Body.Close(); err != nil {
		tb.Error(err)
	}
	a.body = body.Bytes()
	return a
}

// control changes the members of Cache-Control.
func control(h http.Header, f func(members []string) []string) {
	if m := f(members(strings.Join(h["Cache-Control"], ","))); len(m) > 0 {
		h.Set("Cache-Control", strings.Join(m, ", "))
	} else {
		h.Del("Cache-Control")
	}
}

func without(name string) func([]string) []string {
	return func(m []string) []string {
		return slices.DeleteFunc(m, func(d string) bool { return d == name })
	}
}

// planted are faults that the model must find, each by the rule that it breaks.
var planted = []struct {
	name string
	shim shim
	rule Rule
}{
	{"Vary gets lost", shim{respond: func(_ *origin.Request, r *origin.Response) {
		r.Header.Del("Vary")
	}}, RuleVary},
	{"unsafe requests do not invalidate", shim{around: func(q Request) bool {
		return q.Method != "GET" && q.Method != "HEAD"
	}}, RuleInvalidated},
	{"the clock runs at half speed", shim{clock: func(since time.Duration) time.Duration {
		return since / 2
	}}, RuleStale},
	{"must-revalidate gets lost", shim{respond: func(_ *origin.Request, r *origin.Response) {
		control(r.Header, without("must-revalidate"))
	}}, RuleStale},
	{"answers to credentials are shared", shim{respond: func(q *origin.Request, r *origin.Response) {
		if q.Header.Get("Authorization") != "" {
			control(r.Header, func(m []string) []string { return append(m, "public") })
		}
	}}, RuleAuthorization},
	{"private gets lost", shim{respond: func(_ *origin.Request, r *origin.Response) {
		control(r.Header, without("private"))
	}}, RulePrivate},
	{"no-cache gets lost", shim{respond: func(_ *origin.Request, r *origin.Response) {
		control(r.Header, without("no-cache"))
	}}, RuleNoCache},
	{"every condition is met", shim{respond: func(q *origin.Request, r *origin.Response) {
		if q.Method == "GET" && q.Header.Get("If-None-Match") != "" && r.Status == http.StatusOK {
			r.Status, r.ContentLength, r.Body = http.StatusNotModified, 0, http.NoBody
			r.Header.Del("X-Serial")
		}
	}}, RuleSuperseded},
	{"lifetimes get lost", shim{respond: func(_ *origin.Request, r *origin.Response) {
		control(r.Header, without("max-age=60"))
	}}, RuleNeedless},
	{"Age gets lost", shim{respond: func(_ *origin.Request, r *origin.Response) {
		r.Header.Del("Age")
	}}, RuleAge},
}

// TestPlantedFaults holds the model to finding what it is there for, within as
// many histories as TestModel tries.
func TestPlantedFaults(t *testing.T) {
	for _, p := range planted {
		t.Run(p.name, func(t *testing.T) {
			for seed := range 10000 {
				h := histories.Example(seed)
				if f := h.run(t, &p.shim); f != nil && f.rule == p.rule {
					t.Logf("found after %d histories: %s", seed+1, f.text)
					return
				}
			}
			t.Errorf("no history of 10000 broke the rule %q", p.rule)
		})
	}
}
