package model

import "testing"

func TestSurvey(t *testing.T) {
	seen := map[Rule]int{}
	for i := range 100000 {
		h := histories.Example(100000 + i)
		if f := h.run(t, &shim{}); f != nil {
			seen[f.rule]++
			if seen[f.rule] <= 2 {
				t.Logf("%d: %s\n%s", i, f.text, h)
			}
		}
	}
	t.Log(seen)
}
