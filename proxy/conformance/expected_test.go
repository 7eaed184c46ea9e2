package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// expected is the list of tests that are known to fail, with the reason for each.
type expected map[string]string

func readExpected(path string) (expected, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var e expected
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return e, nil
}

// fault is one way in which results differ from the list.
type fault struct{ id, text string }

func (f fault) String() string { return f.id + ": " + f.text }

// inBoth returns those of a whose test has a fault in b too.
func inBoth(a, b []fault) []fault {
	return slices.DeleteFunc(a, func(f fault) bool {
		return !slices.ContainsFunc(b, func(g fault) bool { return g.id == f.id })
	})
}

// compare reports whatever differs from the list: a required or optimal test
// that fails and is not listed, a listed one that passes, one without a reason,
// one that the suite does not have.
func (e expected) compare(tests []result) []fault {
	var faults []fault
	byID := make(map[string]result, len(tests))
	for _, t := range tests {
		byID[t.ID] = t
	}
	for _, t := range tests {
		if t.List == apart || t.Kind == "check" {
			continue
		}
		_, listed := e[t.ID]
		switch {
		case t.Verdict == "pass" && listed:
			faults = append(faults, fault{t.ID, "passes: take it off expected-failures.json"})
		case t.Verdict == "pass" || listed:
		case t.Verdict == "dependency" && e.explains(t, byID):
		default:
			faults = append(faults, fault{t.ID, fmt.Sprintf("%s, %s: %s", t.Kind, t.Verdict, t.Message)})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e)) {
		if t, ok := byID[id]; !ok || t.Kind == "check" || t.List == apart {
			faults = append(faults, fault{id, "is no test that can be expected to fail"})
		}
		if strings.TrimSpace(e[id]) == "" {
			faults = append(faults, fault{id, "is listed without a reason"})
		}
	}
	return faults
}

// explains tells whether t depends on a listed failure. One that depends on a
// check that weir answers with no is listed itself, or it would go unseen.
func (e expected) explains(t result, byID map[string]result) bool {
	return slices.ContainsFunc(t.DependsOn, func(id string) bool {
		_, listed := e[id]
		return listed || e.explains(byID[id], byID)
	})
}

func TestCompare(t *testing.T) {
	list := expected{"known": "RFC 9110 says so"}
	for _, c := range []struct {
		name  string
		list  expected
		tests []result
		fault string // "" for none
	}{
		{"as listed", list, []result{{ID: "known", Kind: "required", Verdict: "fail"}}, ""},
		{"listed passes", list, []result{{ID: "known", Kind: "required", Verdict: "pass"}}, "known: passes: take it off"},
		{"unlisted optimal fails", nil, []result{{ID: "new", Kind: "optimal", Verdict: "fail", Message: "why"}}, "new: optimal, fail: why"},
		{"not run", nil, []result{{ID: "new", Kind: "required", Verdict: "untested"}}, "new: required, untested"},
		{"retried", nil, []result{{ID: "new", Kind: "required", Verdict: "retry"}}, "new: required, retry"},
		{"checks are free", nil, []result{{ID: "c", Kind: "check", Verdict: "no"}}, ""},
		{"apart is free", nil, []result{{ID: "s", List: apart, Kind: "required", Verdict: "fail"}}, ""},
		{"follows a listed one", list, []result{
			{ID: "known", Kind: "required", Verdict: "fail"},
			{ID: "mid", Kind: "required", Verdict: "dependency", DependsOn: []string{"known"}},
			{ID: "far", Kind: "optimal", Verdict: "dependency", DependsOn: []string{"mid"}},
		}, ""},
		{"follows a check", nil, []result{
			{ID: "c", Kind: "check", Verdict: "no"},
			{ID: "far", Kind: "optimal", Verdict: "dependency", DependsOn: []string{"c"}},
		}, "far: optimal, dependency"},
		{"no such test", list, nil, "known: is no test"},
		{"a check listed", list, []result{{ID: "known", Kind: "check", Verdict: "no"}}, "known: is no test"},
		{"no reason", expected{"known": " "}, []result{{ID: "known", Kind: "required", Verdict: "fail"}}, "known: is listed without a reason"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.list.compare(c.tests)
			switch {
			case c.fault == "" && len(got) > 0:
				t.Errorf("faults: %q", got)
			case c.fault != "" && (len(got) != 1 || !strings.HasPrefix(got[0].String(), c.fault)):
				t.Errorf("faults: %q, want one: %q", got, c.fault)
			}
		})
	}
}

func TestInBoth(t *testing.T) {
	first := []fault{{"steady", "fail: slow"}, {"once", "fail"}}
	second := []fault{{"steady", "fail: late"}, {"new", "fail"}}
	if got := inBoth(second, first); len(got) != 1 || got[0] != (fault{"steady", "fail: late"}) {
		t.Errorf("got %v", got)
	}
}

// The checked-in list names each test that differs and quotes a reason for it.
func TestExpectedListIsReadable(t *testing.T) {
	e, err := readExpected("expected-failures.json")
	if err != nil {
		t.Fatal(err)
	}
	for id, reason := range e {
		if !strings.Contains(reason, "RFC 91") && !strings.HasPrefix(reason, "issue ") {
			t.Errorf("%s: the reason names neither an RFC nor an issue: %s", id, reason)
		}
	}
}
