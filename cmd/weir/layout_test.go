package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// layer says what one part of the module may import of the others. Every
// entry covers the packages below it, and a part may always import itself.
type layer struct {
	part string
	may  []string
}

// layers is the table of docs/concepts.md. tiers/disk and tiers/spool stand before
// tiers: the first entry that covers a package counts.
var layers = []layer{
	{"policy", nil},
	{"configs", nil},
	{"tiers/disk", nil},
	{"tiers/spool", nil},
	{"tiers", []string{"policy"}},
	{"invalidation", []string{"policy"}},
	{"origin", []string{"policy"}},
	{"proxy", []string{"policy", "tiers", "invalidation", "origin"}},
	{"cmd/weir", []string{"policy", "configs", "tiers", "invalidation", "origin", "proxy", "loadtest/storefront"}},
	{"cmd", []string{"policy", "loadtest"}},
	{"loadtest", []string{"policy"}},
}

// owners says which parts may import a library. Libraries that are not named
// here may be imported by any.
var owners = []layer{
	// The comparison's yardstick is a bare fasthttp handler: what the library alone costs.
	{"github.com/valyala/fasthttp", []string{"proxy/front", "loadtest/compare/bare"}},
	{"github.com/dgraph-io/ristretto", []string{"tiers"}},
	// The comparison computes what LRU would have made of a stream.
	{"github.com/hashicorp/golang-lru", []string{"tiers", "loadtest/compare"}},
	{"github.com/cockroachdb/pebble", []string{"tiers", "invalidation"}},
}

const module = "weir"

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// within tells whether p is part or lies below it.
func within(p, part string) bool { return p == part || strings.HasPrefix(p, part+"/") }

func withinAny(p string, parts []string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return within(p, part) })
}

// violations names every import of p that the tables forbid. Test files are
// held to the same rules, with one exception: they may use loadtest, whose
// scripted origins and self-checking bodies exist for them.
func violations(p goPackage) []string {
	var out []string
	own, _ := strings.CutPrefix(p.ImportPath, module+"/")
	at := slices.IndexFunc(layers, func(l layer) bool { return within(own, l.part) })
	if at < 0 {
		return []string{fmt.Sprintf("%s belongs to no part of the layout", p.ImportPath)}
	}
	check := func(imported, where string, extra ...string) {
		if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
			if !within(ours, layers[at].part) && !withinAny(ours, layers[at].may) && !withinAny(ours, extra) {
				out = append(out, fmt.Sprintf("%s%s imports %s; it may import %v", p.ImportPath, where, imported, layers[at].may))
			}
			return
		}
		for _, o := range owners {
			if within(imported, o.part) && !withinAny(own, o.may) {
				out = append(out, fmt.Sprintf("%s%s imports %s, which only %v may", p.ImportPath, where, imported, o.may))
			}
		}
	}
	for _, i := range p.Imports {
		check(i, "")
	}
	for _, i := range append(slices.Clone(p.TestImports), p.XTestImports...) {
		check(i, " (test)", "loadtest")
	}
	return out
}

func TestImportRules(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = moduleRoot
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; seen++ {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, v := range violations(p) {
			t.Error(v)
		}
	}
	if seen < len(layers) {
		t.Errorf("go list showed %d packages; the rules were hardly tried", seen)
	}
}

// The rules themselves: what they must report, and what they must let through.
func TestImportRulesFindViolations(t *testing.T) {
	one := func(p, imported string) goPackage {
		return goPackage{ImportPath: module + "/" + p, Imports: []string{imported}}
	}
	test := func(p, imported string) goPackage {
		return goPackage{ImportPath: module + "/" + p, TestImports: []string{imported}}
	}
	xtest := func(p, imported string) goPackage {
		return goPackage{ImportPath: module + "/" + p, XTestImports: []string{imported}}
	}
	for _, p := range []goPackage{
		one("policy", "weir/tiers"), one("configs", "weir/policy"), one("tiers", "weir/origin"),
		one("tiers/disk", "weir/policy"), one("tiers/disk", "weir/tiers"), one("origin", "weir/tiers"),
		one("invalidation/bus", "weir/tiers"), one("proxy/admin", "weir/configs"), one("proxy", "weir/loadtest/script"),
		one("cmd/weir", "weir/loadtest/replay"), one("loadtest/replay", "weir/proxy"), one("cmd/weirload", "weir/proxy"),
		one("policy", "github.com/valyala/fasthttp"), one("cmd/weir", "github.com/valyala/fasthttp/fasthttputil"),
		one("proxy", "github.com/dgraph-io/ristretto/v2"), one("proxy", "github.com/hashicorp/golang-lru/v2/simplelru"),
		one("origin", "github.com/cockroachdb/pebble/v2/vfs"), one("util", "fmt"), one("policyx", "fmt"),
		test("policy", "weir/tiers"), xtest("tiers", "weir/proxy"), test("origin", "github.com/valyala/fasthttp"),
		one("proxy", "github.com/valyala/fasthttp"), one("proxy/fetch", "github.com/valyala/fasthttp"), test("proxy/model", "github.com/valyala/fasthttp/fasthttputil"),
	} {
		if len(violations(p)) == 0 {
			t.Errorf("not reported: %+v", p)
		}
	}
	for _, p := range []goPackage{
		one("policy", "golang.org/x/net/idna"), one("tiers", "weir/tiers/disk"), one("proxy/listen", "weir/policy"),
		one("cmd/weir", "weir/loadtest/storefront"), one("cmd/weir", "weir/proxy/admin"), one("loadtest/replay", "weir/loadtest/accesslog"),
		one("tiers/disk", "github.com/cockroachdb/pebble/v2"), one("invalidation", "github.com/cockroachdb/pebble/v2"),
		one("proxy/metrics", "github.com/VictoriaMetrics/metrics"), one("proxy/front", "github.com/valyala/fasthttp"), test("origin", "weir/loadtest/script"),
		xtest("cmd/weir", "weir/loadtest/replay"),
	} {
		if v := violations(p); len(v) > 0 {
			t.Errorf("reported without a reason: %v", v)
		}
	}
}

// The top level is fixed. What stands in optional may be missing.
var (
	topLevel = []string{
		"cmd", "proxy", "tiers", "origin", "policy", "configs", "loadtest", "docs", "go.mod", "go.sum", "Makefile",
		"README*", "LICENSE", "CHANGELOG*",
	}
	optional = []string{"invalidation", ".*"}
)

// topLevelFaults compares the names at the top of the repository with the list.
func topLevelFaults(names []string) []string {
	var out []string
	has := func(patterns []string, name string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, name); return ok })
	}
	for _, n := range names {
		if !has(topLevel, n) && !has(optional, n) {
			out = append(out, n+" does not belong at the top level")
		}
	}
	for _, p := range topLevel {
		if !slices.ContainsFunc(names, func(n string) bool { return has([]string{p}, n) }) {
			out = append(out, p+" is missing at the top level")
		}
	}
	return out
}

func TestTopLevel(t *testing.T) {
	// Git is asked, and not the directory: what is ignored may lie about.
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files")
	cmd.Dir = moduleRoot
	out, err := cmd.Output()
	if err != nil {
		if os.Getenv("WEIR_REQUIRE_TOOLS") == "1" {
			t.Fatalf("git ls-files: %v", err)
		}
		t.Skipf("not a git clone, or no git: %v", err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), "/")
		names = append(names, name)
	}
	slices.Sort(names)
	for _, f := range topLevelFaults(slices.Compact(names)) {
		t.Error(f)
	}
}

func TestTopLevelFindsFaults(t *testing.T) {
	good := []string{
		"cmd", "proxy", "tiers", "origin", "policy", "configs", "loadtest", "docs", "go.mod", "go.sum", "Makefile",
		"README.md", "LICENSE", "CHANGELOG.md", ".ci", ".gitignore",
	}
	if f := topLevelFaults(good); len(f) > 0 {
		t.Errorf("faults without a reason: %v", f)
	}
	if f := topLevelFaults(append(slices.Clone(good), "util")); len(f) != 1 {
		t.Errorf("a directory too many: %v", f)
	}
	if f := topLevelFaults(good[1:]); len(f) != 1 {
		t.Errorf("a directory missing: %v", f)
	}
}
