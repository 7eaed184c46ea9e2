package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// The judgement is the suite's; what is tried here is that ours are its inputs
// and that every outcome is told from the others.
func TestJudge(t *testing.T) {
	suite := prepareSuite(t)
	ask := func(change map[string]any) map[string]result {
		t.Helper()
		results := map[string]any{}
		for _, r := range judge(t.Context(), t, suite, write(t, results)) {
			results[r.ID] = true
		}
		for id, v := range change {
			if v == nil {
				delete(results, id)
			} else {
				results[id] = v
			}
		}
		byID := map[string]result{}
		for _, r := range judge(t.Context(), t, suite, write(t, results)) {
			byID[r.ID] = r
		}
		return byID
	}

	for id, r := range ask(nil) {
		if r.Kind == "check" && r.Verdict != "yes" || r.Kind != "check" && r.Verdict != "pass" {
			t.Errorf("%s (%s): %s, though all passed", id, r.Kind, r.Verdict)
		}
	}
	got := ask(map[string]any{
		"freshness-max-age":                      []string{"Assertion", "Response 2 does not come from cache"},
		"status-200-fresh":                       []string{"Setup", "Response 1 status is 502, not 200"},
		"vary-match":                             []string{"Setup", "retry"},
		"conditional-etag-vary-headers-mismatch": []string{"Assertion", "no"},
		"heuristic-200-cached":                   nil,
	})
	for id, want := range map[string]string{
		"freshness-max-age":                      "fail",
		"freshness-max-age-age":                  "dependency",
		"age-parse-suffix":                       "dependency",
		"status-200-fresh":                       "setup",
		"vary-match":                             "retry",
		"conditional-etag-vary-headers-mismatch": "no",
		"heuristic-200-cached":                   "untested",
		"freshness-none":                         "yes",
	} {
		if got[id].Verdict != want {
			t.Errorf("%s: %q, want %s", id, got[id].Verdict, want)
		}
	}
	if m := got["status-200-fresh"].Message; m != "Setup: Response 1 status is 502, not 200" {
		t.Errorf("message: %q", m)
	}
}

func write(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "results")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestResultsIn(t *testing.T) {
	for in, want := range map[string]string{
		"{\n\"a\": true\n}":           "{\n\"a\": true\n}",
		"ERROR: x\n{\n\"a\": true\n}": "{\n\"a\": true\n}",
		"ERROR: x\n{\n\"a\": tr":      "",
		"ERROR: {\"a\": true}":        "",
		"":                            "",
	} {
		got, err := resultsIn([]byte(in))
		if string(got) != want && err == nil || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}
