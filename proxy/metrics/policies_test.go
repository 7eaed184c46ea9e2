package metrics

import (
	"fmt"
	"strings"
	"testing"
)

func TestPoliciesAreCounted(t *testing.T) {
	r := New(testOptions())
	p := r.SetPolicies([]string{"static", "other", "re\"st"})
	for shard := range uint32(5) {
		r.Request(&Served{Policy: p[0], Result: resultHit, Tier: tierRAM, Status: 200, Bytes: 10, Shard: shard})
	}
	r.Request(&Served{Policy: p[0], Result: resultMiss, Tier: tierOrigin, Status: 503, Bytes: 7})
	r.Request(&Served{Policy: p[0], Result: resultHit, Tier: tierDisk, Status: 304, Bytes: -1})
	r.Request(&Served{Policy: p[1], Result: resultPass, Tier: tierOrigin, Status: 101})
	r.Request(&Served{Policy: p[2], Result: 99, Tier: 99, Status: 600, Bytes: 3})
	r.Request(&Served{Result: resultPass, Tier: tierNone, Status: 400, Bytes: 20})
	got := page(t, r)
	expect(t, got, map[string]float64{
		`weir_policy_requests_total{policy="static",result="hit"}`:        6,
		`weir_policy_requests_total{policy="static",result="miss"}`:       1,
		`weir_policy_requests_total{policy="static",result="pass"}`:       0,
		`weir_policy_response_bytes_total{policy="static",tier="ram"}`:    50,
		`weir_policy_response_bytes_total{policy="static",tier="disk"}`:   0,
		`weir_policy_response_bytes_total{policy="static",tier="origin"}`: 7,
		`weir_responses_total{policy="static",status="1xx"}`:              0,
		`weir_responses_total{policy="static",status="2xx"}`:              5,
		`weir_responses_total{policy="static",status="3xx"}`:              1,
		`weir_responses_total{policy="static",status="4xx"}`:              0,
		`weir_responses_total{policy="static",status="5xx"}`:              1,
		`weir_responses_total{policy="other",status="1xx"}`:               1,
		`weir_responses_total{policy="re\"st",status="other"}`:            1,
		`weir_policy_requests_total{policy="re\"st",result="other"}`:      1,
		`weir_policy_response_bytes_total{policy="re\"st",tier="other"}`:  3,
		`weir_policy_requests_total{policy="(none)",result="pass"}`:       1,
		`weir_policy_response_bytes_total{policy="(none)",tier="none"}`:   20,
		`weir_responses_total{policy="(none)",status="4xx"}`:              1,
		`weir_requests_total{result="hit",tier="ram"}`:                    5,
		`weir_response_bytes_total{tier="ram"}`:                           50,
	})
	if _, ok := got[`weir_responses_total{policy="static",status="other"}`]; ok {
		t.Error("nothing had a status without a class, and there is a line for it")
	}
}

func TestPoliciesAcrossReloads(t *testing.T) {
	r := New(testOptions())
	before := r.SetPolicies([]string{"a", "b"})
	count := func(p *Policy) { r.Request(&Served{Policy: p, Result: resultHit, Tier: tierRAM, Status: 200}) }
	count(before[0])
	count(before[1])
	after := r.SetPolicies([]string{"c", "b"})
	if after[1] != before[1] {
		t.Error("a policy that stays has lost its counts")
	}
	count(before[0]) // it began before the reload
	count(before[1])
	got := page(t, r)
	expect(t, got, map[string]float64{
		`weir_responses_total{policy="b",status="2xx"}`: 2, `weir_responses_total{policy="c",status="2xx"}`: 0,
	})
	for name := range got {
		if strings.Contains(name, `policy="a"`) {
			t.Errorf("a policy that is no longer configured is on the page: %s", name)
		}
	}
	r.SetPolicies([]string{"a"})
	expect(t, page(t, r), map[string]float64{`weir_responses_total{policy="a",status="2xx"}`: 2})
}

// TestPoliciesAreBounded: whoever writes a new name into each configuration does
// not fill the memory, and the page shows those of the last one only.
func TestPoliciesAreBounded(t *testing.T) {
	r := New(testOptions())
	kept := r.SetPolicies([]string{"kept", "n0"})[0]
	for i := range 3 * maxDeparted {
		if p := r.SetPolicies([]string{fmt.Sprint("n", i+1), "kept"}); p[1] != kept {
			t.Fatal("a policy that stays has lost its counts")
		}
	}
	if n := len(r.policies.departed); n != maxDeparted {
		t.Errorf("%d departed policies are kept, want %d", n, maxDeparted)
	}
	last := fmt.Sprint("n", 3*maxDeparted-1)
	if !strings.Contains(fmt.Sprint(r.policies.departed[maxDeparted-1].name), last) {
		t.Error("the one that left last is not kept")
	}
	names := map[string]bool{}
	for name := range page(t, r) {
		if strings.HasPrefix(name, nameResponses) {
			names[name] = true
		}
	}
	if len(names) != 3*(len(statusClasses)-1) {
		t.Errorf("the page has %d lines of %s, want those of two policies and %s", len(names), nameResponses, noPolicy)
	}
}
