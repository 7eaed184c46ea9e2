package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/origin"
	"weir/policy"
	"weir/proxy"
	"weir/proxy/metrics"
)

// moduleRoot is the top of the module, from this package's directory.
const moduleRoot = "../.."

func handbook(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(moduleRoot, "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// section is the part of a page under a heading, up to the next one.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("operations.md has no heading %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n#")
	return rest
}

// row finds a table row whose first cell is the name, and returns the others.
func row(page, name string) []string {
	re := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(name) + "` \\|(.*)\\|$")
	m := re.FindStringSubmatch(page)
	if m == nil {
		return nil
	}
	cells := strings.Split(m[1], "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

func TestDocsNameEveryOutcome(t *testing.T) {
	page := handbook(t, "operations.md")
	results := section(t, page, "### Results")
	for v := policy.VerdictNone + 1; v < policy.Verdicts; v++ {
		cells := row(results, v.String())
		if cells == nil {
			t.Errorf("operations.md has no row for the result %q", v)
			continue
		}
		if fwd := v.Fwd(); fwd != "" && !strings.Contains(cells[0], "fwd="+fwd) {
			t.Errorf("operations.md: the row of %q does not say fwd=%s", v, fwd)
		}
	}
	reasons := section(t, page, "### Reasons")
	for r := policy.ReasonNone + 1; r < policy.Reasons; r++ {
		if row(reasons, r.String()) == nil {
			t.Errorf("operations.md has no row for the reason %q", r)
		}
	}
	outcomes := section(t, page, "### Origin outcomes")
	for _, o := range origin.Outcomes() {
		if row(outcomes, o) == nil {
			t.Errorf("operations.md has no row for the origin outcome %q", o)
		}
	}
}

// fullPage is a metrics page on which every part has registered.
func fullPage(t *testing.T) string {
	t.Helper()
	m := proxy.NewMetrics("test", time.Now)
	m.SetOrigins([]string{"shop"})
	zero := func() float64 { return 0 }
	for s := metrics.SourceClientConnections; s <= metrics.SourceAccessLogErrors; s++ {
		m.SetSource(s, zero)
	}
	for _, tier := range []policy.Tier{policy.TierRAM, policy.TierDisk} {
		m.SetTier(uint8(tier), metrics.TierFuncs{Bytes: zero, Objects: zero, Capacity: zero, Corrupt: zero})
	}
	var page bytes.Buffer
	if err := m.WriteMetrics(&page); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

func TestDocsNameEveryMetric(t *testing.T) {
	page := handbook(t, "operations.md")
	declared := familyNames(t)
	if len(declared) < 40 {
		t.Fatalf("found %d metric names in the source; the search is broken", len(declared))
	}
	for name := range declared {
		if row(page, name) == nil {
			t.Errorf("operations.md has no row for the metric %s", name)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:weir|go|process)_[a-z0-9_]+)` \\|").FindAllStringSubmatch(page, -1) {
		if !declared[m[1]] {
			t.Errorf("operations.md documents %s, which does not exist", m[1])
		}
	}
	types := regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(fullPage(t), -1)
	for _, m := range types {
		if cells := row(page, m[1]); cells != nil && cells[0] != m[2] {
			t.Errorf("operations.md says %s is a %s; it is a %s", m[1], cells[0], m[2])
		}
	}
}

// familyNames are the metric names that stand in the source of proxy/metrics:
// a page has those only whose part is in use, on a kernel that knows them.
func familyNames(t *testing.T) map[string]bool {
	t.Helper()
	metric := regexp.MustCompile(`^(weir|go|process)_[a-z0-9_]+$`)
	names := make(map[string]bool)
	for _, file := range []string{"families.go", "gauges.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(moduleRoot, "proxy", "metrics", file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && metric.MatchString(s) {
					names[s] = true
				}
			}
			return true
		})
	}
	return names
}

// The drawings of the two machines are the same in the code and in the handbook.
func TestDocsDrawTheMachines(t *testing.T) {
	page := handbook(t, "concepts.md")
	for _, dir := range []string{"proxy", filepath.Join("proxy", "fetch")} {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(moduleRoot, dir, "doc.go"), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		var drawing []string
		for line := range strings.Lines(f.Doc.Text()) {
			if strings.HasPrefix(line, "\t") {
				drawing = append(drawing, strings.TrimSpace(line))
			}
		}
		if len(drawing) < 5 {
			t.Fatalf("found no drawing in %s/doc.go: %q", dir, drawing)
		}
		for _, line := range drawing {
			if !strings.Contains(page, line) {
				t.Errorf("concepts.md lacks this line of the drawing in %s/doc.go:\n%s", dir, line)
			}
		}
	}
}
