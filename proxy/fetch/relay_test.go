package fetch

import "testing"

// TestHoldsSurviveAReload: transfers that wait are counted for the origin, whichever
// configuration of it they began with, and nothing is kept for each configuration.
func TestHoldsSurviveAReload(t *testing.T) {
	m := newRig(t).m
	type pool struct{ fakeOrigin }
	first := m.holdsOf(Upstream{Origin: &pool{}, Index: 1})
	for range 3 {
		if m.holdsOf(Upstream{Origin: &pool{}, Index: 1}) != first {
			t.Error("an origin that was changed by a reload has other transfers")
		}
	}
	if m.holdsOf(Upstream{Origin: &pool{}, Index: 2}) == first {
		t.Error("two origins share their transfers")
	}
	kept := 0
	m.holds.Range(func(any, any) bool { kept++; return true })
	if kept != 2 {
		t.Errorf("%d are kept for two origins", kept)
	}
}
