package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"weir/configs"
)

var exampleBlock = regexp.MustCompile("(?s)<!-- example: (\\S+) -->\n```yaml\n(.*?)```\n<!-- example end -->")

// TestExamples holds the recipes of configs/examples to what `weir check` accepts and nothing warns of, and what
// the handbook shows of them to the text of the files.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(moduleRoot, "configs", "examples", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	shown := make(map[string]string)
	for _, m := range exampleBlock.FindAllStringSubmatch(handbook(t, "cookies.md"), -1) {
		shown[m[1]] = m[2]
	}
	if len(shown) != len(files) {
		t.Errorf("cookies.md shows %d examples, and there are %d", len(shown), len(files))
	}
	for _, file := range files {
		name := filepath.Base(file)
		var said bytes.Buffer
		if _, err := load(file, &said); err != nil {
			t.Errorf("%s: %v\n%s", name, err, said.String())
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// What load says beyond this is about the machine that runs the test.
		if cfg, _ := configs.Parse(name, text); cfg != nil && len(cfg.Warnings) > 0 {
			t.Errorf("%s: warnings: %v", name, cfg.Warnings)
		}
		if shown[name] != string(text) {
			t.Errorf("cookies.md shows another %s than the file", name)
		}
	}
}
