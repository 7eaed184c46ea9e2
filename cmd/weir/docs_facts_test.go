package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/policy"
	"weir/tiers"
)

// TestDocsPromiseNothing: the handbook describes what is there, and says of
// nothing that it comes later.
func TestDocsPromiseNothing(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(moduleRoot, "docs", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no handbook: %v", err)
	}
	for _, name := range pages {
		page := strings.Join(strings.Fields(handbook(t, filepath.Base(name))), " ")
		for _, promise := range []string{"later version", "future version"} {
			if strings.Contains(page, promise) {
				t.Errorf("%s speaks of a %s", filepath.Base(name), promise)
			}
		}
	}
}

// TestDocsSayWhatScopesOpen: the row of the scopes says of each what it is for.
func TestDocsSayWhatScopesOpen(t *testing.T) {
	cells := row(handbook(t, "configuration.md"), "admin.tokens[].scopes")
	if len(cells) != 4 {
		t.Fatalf("configuration.md has no row of four cells for the scopes: %q", cells)
	}
	for _, scope := range []string{"read", "purge", "purge:tag"} {
		if !strings.Contains(cells[0], "`"+scope+"`") || !strings.Contains(cells[3], "`"+scope+"`: ") {
			t.Errorf("configuration.md does not say what %s is for: %q", scope, cells)
		}
	}
}

// TestDocsAgreeOnGlobs: in patterns every character but the asterisk stands for
// itself, and configuration.md says so.
func TestDocsAgreeOnGlobs(t *testing.T) {
	page := strings.Join(strings.Fields(handbook(t, "configuration.md")), " ")
	t.Chdir(t.TempDir())
	const config = `listen: 127.0.0.1:8080
origins: {o: {servers: ["http://127.0.0.1:9000"]}}
policies:
  - {name: globbed, origin: o, match: {header: {X-A: 'a%sb'}}}
  - {name: rest, origin: o}
`
	for _, c := range []struct{ character, value, policy string }{
		{"?", "a?b", "globbed"},
		{"?", "axb", "rest"},
		{".", "a.b", "globbed"},
		{".", "axb", "rest"},
		{"*", "axb", "globbed"},
		{"*", "axxb", "globbed"},
		{"*", "ab", "globbed"},
	} {
		if err := os.WriteFile("weir.yaml", fmt.Appendf(nil, config, c.character), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := runCaptured("key", "-H", "X-A: "+c.value, "http://shop.example/")
		if code != 0 || !strings.Contains(stdout, "policy: "+c.policy+"\n") {
			t.Errorf("a%sb and %s: exit code %d, want the policy %s\n%s%s", c.character, c.value, code, c.policy, stdout, stderr)
		}
	}
	_, globs, _ := strings.Cut(page, "- **Globs**: ")
	if !strings.HasPrefix(globs, "`*` stands for any characters, none as well, `/` among them (`**` means the same). "+
		"Every other character, `?` and `.` among them, stands for itself.") {
		t.Errorf("configuration.md says of globs: %.300s", globs)
	}
}

// TestDocsNameVaryBounds: what vary-limit means is the same in all pages, with the
// bounds that hold. The number of variants is not among them.
func TestDocsNameVaryBounds(t *testing.T) {
	names, variants := fmt.Sprintf("more than %d ", policy.MaxVaryNames), fmt.Sprintf("%d", tiers.MaxVariants)
	meaning := row(section(t, handbook(t, "operations.md"), "### Reasons"), policy.ReasonVaryLimit.String())
	if len(meaning) != 1 || !strings.Contains(meaning[0], names) {
		t.Errorf("operations.md says of vary-limit: %q", meaning)
	}
	for _, name := range []string{"concepts.md", "http-caching.md"} {
		found := false
		for sentence := range strings.SplitSeq(strings.Join(strings.Fields(handbook(t, name)), " "), ". ") {
			if !strings.Contains(sentence, "`vary-limit`") {
				continue
			}
			found = true
			if !strings.Contains(sentence, names) {
				t.Errorf("%s says of vary-limit: %.200s", name, sentence)
			}
		}
		if !found || !strings.Contains(handbook(t, name), variants) {
			t.Errorf("%s says nothing of vary-limit, or nothing of the %s variants of a key", name, variants)
		}
	}
}

// TestReadmeTellsOfTheGuess: whoever tries weir on files without lifetimes learns
// that weir guesses one, for how long at most, and how to switch that off.
func TestReadmeTellsOfTheGuess(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(moduleRoot, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(b)), " ")
	for _, want := range []string{"Last-Modified", "weir guesses", "at most an hour", "`ttl: {heuristic: false}`"} {
		if !strings.Contains(text, want) {
			t.Errorf("README.md does not say %q", want)
		}
	}
}
