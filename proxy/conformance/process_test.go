package conformance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTimeout bounds the wait for a process that says neither that it is ready
// nor that it cannot be.
const startTimeout = 30 * time.Second

// process is one program in the background, and what it wrote.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
	err    error         // of Wait; valid once exited is closed

	mu    sync.Mutex
	text  bytes.Buffer
	match *regexp.Regexp
	found chan []string // gets the first match
}

// Write implements io.Writer for standard output and error.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	if p.match != nil {
		// Whole lines only: an address must not be cut short.
		whole := p.text.Bytes()[:bytes.LastIndexByte(p.text.Bytes(), '\n')+1]
		if m := p.match.FindSubmatch(whole); m != nil {
			p.match = nil
			var groups []string
			for _, g := range m {
				groups = append(groups, string(g))
			}
			p.found <- groups
		}
	}
	return len(b), nil
}

func (p *process) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// start runs cmd until the test ends and returns what the first match of ready
// captured in its output.
func start(t *testing.T, cmd *exec.Cmd, ready string) (*process, []string) {
	t.Helper()
	p := &process{
		cmd: cmd, exited: make(chan struct{}),
		match: regexp.MustCompile(ready), found: make(chan []string, 1),
	}
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start %s: %v", cmd.Path, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		// Without effect on what has ended by itself.
		_ = cmd.Process.Kill()
		<-p.exited
	})
	select {
	case groups := <-p.found:
		return p, groups
	case <-p.exited:
		t.Fatalf("%s ended: %v\n%s", cmd.Path, p.err, p)
	case <-time.After(startTimeout):
		t.Fatalf("%s does not get ready:\n%s", cmd.Path, p)
	}
	return nil, nil
}

// startOrigin starts the suite's server and returns its host:port.
func startOrigin(t *testing.T, suite string) string {
	t.Helper()
	file := firstFile(t, suite, "test-engine/server/server.mjs", "server/server.mjs")
	cmd := exec.Command("node", "--import", preload(t, "origin.mjs"), file)
	cmd.Env = append(os.Environ(), "npm_config_protocol=http", "npm_config_port=0",
		"npm_config_pidfile="+filepath.Join(t.TempDir(), "pid"))
	_, m := start(t, cmd, `origin listens on (\S+)`)
	return m[1]
}

// startWeir starts weir in front of origin and returns the host:port where
// clients connect. When the test ends weir must drain and exit with 0.
func startWeir(t *testing.T, binary, origin string) string {
	t.Helper()
	text, err := os.ReadFile("weir.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	filled := strings.NewReplacer("$ORIGIN", origin, "$DISK", filepath.Join(dir, "disk")).Replace(string(text))
	config := filepath.Join(dir, "weir.yaml")
	if err := os.WriteFile(config, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	p, m := start(t, exec.Command(binary, "serve", "-c", config), `weir ready: data (?:http://)?([^\s,]+)`)
	t.Cleanup(func() { stopWeir(t, p) })
	return m[1]
}

func stopWeir(t *testing.T, p *process) {
	t.Helper()
	select {
	case <-p.exited:
		t.Errorf("weir ended during the suite: %v", p.err)
	default:
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
			if p.err != nil {
				t.Errorf("weir did not exit cleanly: %v", p.err)
			}
		case <-time.After(startTimeout):
			t.Error("weir does not end on SIGTERM")
		}
	}
	log := p.String()
	if strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic") {
		t.Errorf("weir wrote:\n%s", log)
	}
}

// preload returns the absolute path of one of our modules for node --import.
func preload(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("harness", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// firstFile returns the first of names that the suite has: its editions are laid
// out differently.
func firstFile(t *testing.T, suite string, names ...string) string {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(suite, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatalf("%s has none of %v", suite, names)
	return ""
}
