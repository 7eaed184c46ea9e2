package tiers

import (
	"testing"
	"time"

	"weir/policy"
	"weir/tiers/disk"
)

func TestAdmission(t *testing.T) {
	var a admission
	h := policy.HashKey([]byte("one"))
	if !a.admits("any", &h) {
		t.Error("without policies something is kept out")
	}
	a.setPolicies([]PolicyStorage{{Name: "second", SecondHit: true}, {Name: "always"}})
	for i, want := range []bool{false, true, true} {
		if got := a.admits("second", &h); got != want {
			t.Errorf("fetch %d: admitted %v", i+1, got)
		}
	}
	if !a.admits("always", &h) || !a.admits("unknown", &h) {
		t.Error("other policies are kept out")
	}
	// What is remembered is bounded, and what is forgotten costs one more fetch.
	for i := range 20 * admissionPlaces {
		k, _ := keyOf(i)
		a.admits("second", &k)
	}
	if a.admits("second", &h) {
		t.Error("remembered after twenty times as many others")
	}
	a.setPolicies(nil)
	if !a.admits("second", &h) {
		t.Error("a policy that has changed its mind is kept out")
	}
}

func TestShortage(t *testing.T) {
	var s shortage
	now := birth
	if _, _, due := s.due(now); due || s.bytes(now) != 0 {
		t.Error("nothing is missing yet")
	}
	for _, life := range []time.Duration{10 * time.Minute, 3 * time.Hour, 40 * time.Hour, 300 * 24 * time.Hour} {
		s.add(disk.Evicted{Class: "b", Size: 1000, Expires: now.Add(life)}, now)
	}
	s.add(disk.Evicted{Class: "a", Size: 1, Expires: now.Add(2 * time.Minute)}, now)
	missing, policies, due := s.due(now)
	if missing != 4001 || len(policies) != 2 || policies[0] != "a" || !due {
		t.Errorf("%d missing of %v, due %v", missing, policies, due)
	}
	for _, step := range []struct {
		after   time.Duration
		missing int64
		due     bool
	}{
		{30 * time.Second, 4001, false},
		{time.Minute, 4001, true},
		{9 * time.Minute, 4000, false},
		{11 * time.Minute, 3000, true},
		{4 * time.Hour, 2000, true},
		{48 * time.Hour, 1000, true},
		{301 * 24 * time.Hour, 0, true},
	} {
		at := now.Add(step.after)
		if _, _, due := s.due(at); due != step.due || s.bytes(at) != step.missing {
			t.Errorf("after %v: %d missing, due %v", step.after, s.bytes(at), due)
		}
	}
	// Many different ends of life cost few entries.
	for i := range 100_000 {
		s.add(disk.Evicted{Size: 1, Expires: now.Add(time.Duration(i) * 5 * time.Minute)}, now)
	}
	if n := len(s.missing); n > 24*60+30*24+365+10 {
		t.Errorf("%d entries", n)
	}
}
