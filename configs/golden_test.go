package configs

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestFaults holds the whole output for each file of testdata/faults: every
// fault, in file order, word for word; and every warning.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d files in testdata/faults, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg, faults := parse("weir.yaml", data)
			faults = append(faults, CheckFiles(cfg)...).Sorted()
			var out strings.Builder
			for _, f := range faults {
				out.WriteString(f.String() + "\n")
			}
			for _, w := range cfg.Warnings {
				out.WriteString("warning: " + w.String() + "\n")
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("got\n%swant\n%s", out.String(), want)
			}
		})
	}
}
