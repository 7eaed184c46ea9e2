package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const moduleRoot = "../.."

func lookPath(name string) error {
	_, err := exec.LookPath(name)
	return err
}

// installSuite installs what package-lock.json pins and returns the suite's
// folder. What is installed from the same lock file is left alone, so that a run
// needs the registry only once.
func installSuite(t *testing.T) string {
	t.Helper()
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	want := hex.EncodeToString(sum[:])
	// Beside node_modules' own files, so that removing the folder removes it too.
	stamp := filepath.Join("node_modules", ".installed-from")
	suite := filepath.Join("node_modules", "http-cache-tests")
	if have, err := os.ReadFile(stamp); err == nil && string(have) == want {
		return suite
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	if out, err := npm.CombinedOutput(); err != nil {
		unavailable(t, "npm ci cannot install the suite: %v\n%s", err, out)
	}
	if err := os.WriteFile(stamp, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	return suite
}

// buildWeir builds the program.
func buildWeir(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "weir")
	build := exec.Command("go", "build", "-o", binary, "./cmd/weir")
	build.Dir = moduleRoot
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build weir: %v\n%s", err, out)
	}
	return binary
}

// readSources lists the folders that weir is built from. The go command notes
// what a test looks at, and would otherwise show a cached pass of this test, which
// imports nothing of weir, after weir has changed.
func readSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(moduleRoot, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != moduleRoot && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "bin") {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
