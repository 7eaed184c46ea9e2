package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"weir/loadtest/report"
)

// asProcess makes the test binary be weirload.
const asProcess = "WEIRLOAD_TEST_AS_PROCESS"

// process is weirload as a process of its own, for what signals and open files do to it.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(context.Background(), self, args...)
	c.Env = append(os.Environ(), asProcess+"=1")
	c.Stderr = os.Stderr
	return c
}

// A file that a shell has opened for standard output is written to, not replaced, and holds the JSON alone.
func TestJSONToStandardOutputByItsName(t *testing.T) {
	url := origin(t)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := process(t, "run", url, "-n", "5", "-q", "--json", "/dev/stdout")
	c.Stdout = out
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	var r report.Report
	b := make([]byte, 1<<20)
	n, _ := out.ReadAt(b, 0)
	if err := json.Unmarshal(b[:n], &r); err != nil || r.Result.Answers != 5 {
		t.Errorf("%v in\n%s", err, b[:n])
	}
}
