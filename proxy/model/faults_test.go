package model

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/origin"
	"weir/policy"
	"weir/proxy/fetch"
)

// shim stands around the real parts and spoils something; the zero value spoils
// nothing. The model goes on believing what the scripted origin said.
type shim struct {
	// forgets: what proved to be for its asker alone is forgotten at once.
	forgets bool
	// send changes what the proxy gets from a client, arrive what the origin gets
	// from the proxy, respond what the proxy gets from the origin, and deliver
	// what a client gets from the proxy.
	send    func(q Request) Request
	arrive  func(h http.Header)
	respond func(q *asked, r *reply)
	deliver func(h http.Header)
	// clock changes what the proxy takes for the time since the start.
	clock func(since time.Duration) time.Duration
	// around sends the requests it is true for past the proxy.
	around func(q Request) bool
}

// spoilt is the origin as the proxy sees it.
type spoilt struct {
	*scriptedOrigin
	*shim
}

// asked and reply are what the proxy asks and gets, with headers that can be changed.
type asked struct {
	Method string
	Header http.Header
}

type reply struct {
	*origin.Response
	Header http.Header
}

func headerOf(fields policy.Fields) http.Header {
	h := http.Header{}
	for _, f := range fields {
		h[f.Name] = append(h[f.Name], f.Value)
	}
	return h
}

func sortedFields(h http.Header) (fields policy.Fields) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			fields = append(fields, policy.Field{Name: name, Value: value})
		}
	}
	return fields
}

// Do implements fetch.Origin.
func (s spoilt) Do(ctx context.Context, q *origin.Request) (*origin.Response, error) {
	a := &asked{q.Method, headerOf(q.Fields)}
	if s.arrive != nil {
		s.arrive(a.Header)
		q.Fields = sortedFields(a.Header)
	}
	r, err := s.scriptedOrigin.Do(ctx, q)
	if err == nil && s.respond != nil {
		changed := &reply{r, headerOf(r.Fields)}
		s.respond(a, changed)
		r.Fields = sortedFields(changed.Header)
	}
	return r, err
}

// behind is the origin as seen through the shim.
func (s *shim) behind(o *scriptedOrigin) fetch.Origin {
	if s.respond == nil && s.arrive == nil {
		return o
	}
	return spoilt{o, s}
}

// sent is the request as the proxy sees it.
func (s *shim) sent(q Request) Request {
	if s.send == nil {
		return q
	}
	return s.send(q)
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
	r, err := o.Do(context.Background(), &origin.Request{Method: q.Method, Target: q.Path, Fields: sortedFields(q.Fields)})
	if err != nil {
		return answer{status: http.StatusBadGateway, fields: http.Header{}}
	}
	a := answer{status: r.Status, fields: headerOf(r.Fields)}
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

// with adds to the members of Cache-Control.
func with(member string) func([]string) []string {
	return func(m []string) []string { return append(m, member) }
}

// silent reports whether the response says nothing about its lifetime, and gives
// nothing to guess it from.
func silent(h http.Header) bool {
	c, _ := Governing(h)
	return len(c) == 0 && h["Expires"] == nil && h["Last-Modified"] == nil
}

// renamed moves a field to another name.
func renamed(h http.Header, from, to string) {
	if v := h[from]; v != nil {
		delete(h, from)
		h[to] = v
	}
}

// hidingCookies lets the proxy see requests without their cookies, and the
// origin with them.
var hidingCookies = shim{
	send: func(q Request) Request {
		q.Fields = q.Fields.Clone()
		renamed(q.Fields, "Cookie", "X-Hidden")
		return q
	},
	arrive: func(h http.Header) { renamed(h, "X-Hidden", "Cookie") },
}

// plant is a fault that the model must find, by the rule that it breaks. Says is
// part of what it says then, and under holds of the policy.
type plant struct {
	name  string
	shim  shim
	rule  Rule
	says  string
	under func(p *Policy) bool
}

var planted = []plant{
	{name: "Vary gets lost", shim: shim{respond: func(_ *asked, r *reply) {
		r.Header.Del("Vary")
	}}, rule: RuleVary},
	{name: "unsafe requests do not invalidate", shim: shim{around: func(q Request) bool {
		return q.Method != "GET" && q.Method != "HEAD"
	}}, rule: RuleInvalidated},
	{name: "the clock runs at half speed", shim: shim{clock: func(since time.Duration) time.Duration {
		return since / 2
	}}, rule: RuleStale},
	{name: "must-revalidate gets lost", shim: shim{respond: func(_ *asked, r *reply) {
		control(r.Header, without("must-revalidate"))
	}}, rule: RuleStale},
	{name: "answers to credentials are shared", shim: shim{respond: func(q *asked, r *reply) {
		if q.Header.Get("Authorization") != "" {
			control(r.Header, func(m []string) []string { return append(m, "public") })
		}
	}}, rule: RuleAuthorization},
	{name: "private gets lost", shim: shim{respond: func(_ *asked, r *reply) {
		control(r.Header, without("private"))
	}}, rule: RulePrivate},
	{name: "no-cache gets lost", shim: shim{respond: func(_ *asked, r *reply) {
		control(r.Header, without("no-cache"))
	}}, rule: RuleNoCache},
	{name: "every condition is met", shim: shim{respond: func(q *asked, r *reply) {
		if q.Method == "GET" && q.Header.Get("If-None-Match") != "" && r.Status == http.StatusOK {
			r.Status, r.ContentLength, r.Body = http.StatusNotModified, 0, http.NoBody
			r.Header.Del("X-Serial")
		}
	}}, rule: RuleStale},
	{name: "lifetimes get lost", shim: shim{respond: func(_ *asked, r *reply) {
		control(r.Header, without("max-age=60"))
	}}, rule: RuleNeedless},
	{name: "Age gets lost", shim: shim{respond: func(_ *asked, r *reply) {
		r.Header.Del("Age")
	}}, rule: RuleAge},
	{name: "a follower gets what may not be reused", shim: shim{respond: func(_ *asked, r *reply) {
		if silent(r.Header) {
			control(r.Header, with("max-age=1"))
		}
	}}, rule: RuleStale, says: "collapsed"},
	{name: "Set-Cookie reaches a second client", shim: shim{
		respond: func(_ *asked, r *reply) { renamed(r.Header, "Set-Cookie", "X-Hidden") },
		deliver: func(h http.Header) { renamed(h, "X-Hidden", "Set-Cookie") },
	}, rule: RuleSetCookie},
	{name: "Cookie gets lost on its way", shim: hidingCookies, rule: RuleCookie},
	{name: "one visitor uncaches the page", shim: hidingCookies, rule: RuleNeedless},
	{name: "an answer to a request with cookies is stored by a guess", shim: shim{respond: func(q *asked, r *reply) {
		if q.Header["Cookie"] != nil && r.Header["Cache-Control"] == nil && r.Header["Last-Modified"] != nil {
			control(r.Header, with("max-age=60"))
		}
	}}, rule: RuleCookie, under: func(p *Policy) bool { return p.Cookies == CookiesAuto && p.Default == 0 && p.Override == 0 }},
	{name: "a private error page is shared", shim: shim{respond: func(_ *asked, r *reply) {
		if r.Status >= 500 {
			control(r.Header, without("private"))
			control(r.Header, without("no-store"))
		}
	}}, rule: RuleErrorPage},
	{name: "min gives a lifetime to silent responses", shim: shim{respond: func(_ *asked, r *reply) {
		if silent(r.Header) {
			control(r.Header, with("max-age=0"))
		}
	}}, rule: RuleStale, under: func(p *Policy) bool { return p.Min > 0 && p.Default == 0 }},
	{name: "nobody waits for another's fetch", shim: shim{
		send: func(q Request) Request {
			if q.Fields["Authorization"] == nil {
				q.Fields = q.Fields.Clone()
				q.Fields.Set("Authorization", "Hidden")
			}
			return q
		},
		arrive: func(h http.Header) {
			if h.Get("Authorization") == "Hidden" {
				h.Del("Authorization")
			}
		},
	}, rule: RuleCrowd},
	{name: "reloads go to the origin one by one", shim: shim{send: func(q Request) Request {
		if Reloads(q) != NoReload {
			q.Fields = q.Fields.Clone()
			q.Fields.Set("Cache-Control", "min-fresh=1000000")
		}
		return q
	}}, rule: RuleReload},
	{name: "what is not for others is soon forgotten", shim: shim{forgets: true}, rule: RuleQueue},
	{name: "stale-while-revalidate gets lost", shim: shim{respond: func(_ *asked, r *reply) {
		control(r.Header, without("stale-while-revalidate=3600"))
	}}, rule: RuleNeedless, says: "stale"},
}

// TestPlantedFaults holds the model to finding what it is there for, within as
// many histories as TestModel tries.
func TestPlantedFaults(t *testing.T) {
	if raceEnabled {
		t.Skip("it is about what the model finds, not about races, and takes minutes then; make test runs it without the race detector as well")
	}
	for _, p := range planted {
		t.Run(p.name, func(t *testing.T) {
			for seed := range 10000 {
				h := histories.Example(seed)
				if p.under != nil && !p.under(&h.Policy) {
					continue
				}
				if f := h.run(t, &p.shim); f != nil && f.rule == p.rule && strings.Contains(f.text, p.says) {
					t.Logf("found after %d histories: %s", seed+1, f.text)
					return
				}
			}
			t.Errorf("no history of 10000 broke the rule %q", p.rule)
		})
	}
}
