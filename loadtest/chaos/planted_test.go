package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"go/parser"
	gotoken "go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

var runPlanted = flag.Bool("chaos.planted", false, "build weir with each planted fault, and want it found (takes minutes)")

const moduleRoot = "../.."

// plant is a fault that is planted into one file of weir: text that is replaced.
type plant struct {
	name, file, finds string
	faults            []string
	pairs             [][2]string
}

func readPlants(t *testing.T) []plant {
	t.Helper()
	paths, err := filepath.Glob("testdata/planted/*.txtar")
	if err != nil || len(paths) < 4 {
		t.Fatalf("%d planted faults, want at least 4: %v", len(paths), err)
	}
	var all []plant
	for _, path := range paths {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p := plant{name: strings.TrimSuffix(filepath.Base(path), ".txtar")}
		for line := range strings.Lines(string(a.Comment)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch key {
			case "file":
				p.file = value
			case "faults":
				p.faults = strings.Split(value, ", ")
			case "finds":
				p.finds = value
			}
		}
		for i := 0; i+1 < len(a.Files); i += 2 {
			if a.Files[i].Name != "old" || a.Files[i+1].Name != "new" {
				t.Fatalf("%s: the files must be old, new, old, new", path)
			}
			p.pairs = append(p.pairs, [2]string{strings.TrimSuffix(string(a.Files[i].Data), "\n"), strings.TrimSuffix(string(a.Files[i+1].Data), "\n")})
		}
		all = append(all, p)
	}
	return all
}

// apply returns the text of the file with the fault.
func (p *plant) apply(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(moduleRoot, p.file))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, pair := range p.pairs {
		if n := strings.Count(text, pair[0]); n != 1 {
			t.Fatalf("testdata/planted/%s.txtar: %s holds %d times, want once; plant the fault anew:\n%s", p.name, p.file, n, pair[0])
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	return text
}

// TestPlantsApply holds the planted faults to the code that they are planted into, without building weir.
func TestPlantsApply(t *testing.T) {
	for _, p := range readPlants(t) {
		if _, err := parser.ParseFile(gotoken.NewFileSet(), p.file, p.apply(t), parser.AllErrors); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		for _, name := range p.faults {
			if !slices.Contains(FaultNames(), name) {
				t.Errorf("%s: there is no fault %q", p.name, name)
			}
		}
		if kindOf(p.finds) == kinds {
			t.Errorf("%s: there are no findings of kind %q", p.name, p.finds)
		}
	}
}

func kindOf(name string) kind {
	for k := range kinds {
		if k.String() == name {
			return k
		}
	}
	return kinds
}

// build builds weir, with the fault where p is not nil.
func build(t *testing.T, p *plant) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"build", "-o", filepath.Join(dir, "weir")}
	if p != nil {
		faulty, overlay := filepath.Join(dir, "faulty.go"), filepath.Join(dir, "overlay.json")
		if err := os.WriteFile(faulty, []byte(p.apply(t)), 0o600); err != nil {
			t.Fatal(err)
		}
		root, err := filepath.Abs(moduleRoot)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, p.file): faulty}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(overlay, b, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./cmd/weir")...)
	cmd.Dir, cmd.Env = moduleRoot, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build weir: %v\n%s", err, out)
	}
	return filepath.Join(dir, "weir")
}

// isolated runs the test once more where it may mount, and returns true in that run, and where that is not possible.
func isolated(t *testing.T, flags ...string) bool {
	t.Helper()
	again, code := Isolate(t.Context(), append([]string{"-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=15m"}, flags...))
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	return !again
}

// TestPlanted builds weir with each planted fault and wants it found, by a finding of the right kind. With none of them
// the same faults find nothing.
func TestPlanted(t *testing.T) {
	if !*runPlanted {
		t.Skip("takes minutes; -chaos.planted, or make chaos-planted, runs it")
	}
	if !isolated(t, "-chaos.planted") {
		return
	}
	var all []string
	for _, p := range readPlants(t) {
		t.Run(p.name, func(t *testing.T) {
			all = append(all, p.faults...)
			if found := underFaults(t, build(t, &p), p.faults); found.count(kindOf(p.finds)) == 0 {
				t.Errorf("not found: want a finding of kind %s", p.finds)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		if n := underFaults(t, build(t, nil), all).total(); n > 0 {
			t.Errorf("found %d times where nothing is planted", n)
		}
	})
}

// underFaults has a short run with these faults.
func underFaults(t *testing.T, binary string, names []string) *findings {
	t.Helper()
	var out strings.Builder
	cfg := Config{Weir: binary, Seed: 1, For: 25 * time.Second, Rounds: 2, Hold: 6 * time.Second, Faults: names, Out: &out}
	found, err := run(context.WithoutCancel(t.Context()), cfg)
	if err != nil && !errors.Is(err, ErrFound) {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Logf("%s", &out)
	return found
}
