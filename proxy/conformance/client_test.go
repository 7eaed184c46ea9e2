package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// answer is what the suite's client got for one request.
type answer struct {
	Test        string
	Number      int // of the request within its test, from 1
	Method      string
	Status      int
	CacheStatus string
	Age         string
}

// result is one test as the suite judges it.
type result struct {
	ID, List, Name string
	Kind           string // required, optimal or check
	Verdict        string // pass, yes, no, fail, dependency, setup, harness, retry, untested
	Message        string // the suite's, for what did not pass
	DependsOn      []string
}

// runClient runs the suite's command line client against target and returns the
// file of its results, and every answer that it got.
func runClient(ctx context.Context, t *testing.T, suite, target string) (string, []answer) {
	t.Helper()
	dir := t.TempDir()
	answersFile := filepath.Join(dir, "answers")
	cmd := exec.CommandContext(ctx, "node", "--no-warnings", "--import", preload(t, "watch.mjs"),
		firstFile(t, suite, "test-engine/cli.mjs", "cli.mjs"))
	cmd.Env = append(os.Environ(), "npm_config_base="+target,
		// Empty, not absent: the client then runs every test.
		"npm_config_id=", "npm_package_config_id=", "WEIR_ANSWERS="+answersFile)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		t.Fatalf("the suite's client failed: %v (%v)\n%s%s", err, ctx.Err(), tail(out.Bytes()), tail(messages.Bytes()))
	}
	results := filepath.Join(dir, "results")
	text, err := resultsIn(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(results, text, 0o600); err != nil {
		t.Fatal(err)
	}
	answers, err := decodeFile[answer](answersFile)
	if err != nil {
		t.Fatal(err)
	}
	return results, answers
}

// resultsIn finds the results in what the client wrote: one JSON object, after
// any messages. It starts on a line of its own.
func resultsIn(out []byte) ([]byte, error) {
	if !bytes.HasPrefix(out, []byte("{\n")) {
		at := bytes.Index(out, []byte("\n{\n"))
		if at < 0 {
			return nil, fmt.Errorf("the suite's client printed no results:\n%s", tail(out))
		}
		out = out[at+1:]
	}
	if !json.Valid(out) {
		return nil, fmt.Errorf("the suite's client printed broken results:\n%s", tail(out))
	}
	return out, nil
}

// tail is the end of a long output.
func tail(out []byte) []byte { return out[max(0, len(out)-2000):] }

// judge has the suite judge the results.
func judge(ctx context.Context, t *testing.T, suite, results string) []result {
	t.Helper()
	cmd := exec.CommandContext(ctx, "node", "--no-warnings", filepath.Join("harness", "judge.mjs"), suite, results)
	var messages bytes.Buffer
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot judge the results: %v\n%s", err, messages.Bytes())
	}
	tests, err := decodeAll[result](bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

func decodeFile[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return decodeAll[T](f)
}

// decodeAll reads JSON values up to the end.
func decodeAll[T any](r io.Reader) ([]T, error) {
	var all []T
	for dec := json.NewDecoder(r); ; {
		var v T
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("cannot read what the harness wrote: %w", err)
		}
		all = append(all, v)
	}
}
