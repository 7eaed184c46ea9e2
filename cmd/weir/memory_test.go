package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"weir/configs"
	"weir/loadtest/selfcheck"
)

const largeConfig = `listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
tiers:
  ram:  {size: 32MiB, max_object: 1MiB}
  disk: {path: %q, size: %dB, max_object: %dB}
origins:
  files: {servers: [%q]}
policies:
  - name: files
    origin: files
timeouts: {lame_duck: 0s}
`

var largeSize = flag.String("large", "1GiB", "size of the object of BenchmarkLargeObject")

// BenchmarkLargeObject sends one large object through a process of its own: as
// a miss with four clients, as a disk hit, in 50 random ranges, and out again
// while others push it from the disk; every byte is checked. It reports by how
// many MiB the process grew above its idle RSS at most; 64 are allowed.
func BenchmarkLargeObject(b *testing.B) {
	size, err := configs.ParseSize(*largeSize)
	if err != nil {
		b.Fatal(err)
	}
	diskSize := 2*size + max(size/8, 64<<20)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		_, _ = io.Copy(w, selfcheck.NewReader(selfcheck.SeedOf(r.URL.Path, 0), size))
	}))
	defer origin.Close()
	p := startProcess(b, fmt.Sprintf(largeConfig, b.TempDir(), diskSize, size, origin.URL))
	defer p.stop(b)
	fetch := func(path, rng string, off, n int64) error {
		return fetchVerified(p.url+path, rng, selfcheck.SeedOf(path, 0), off, n)
	}
	whole := func() error { return fetch("/large", "", 0, size) }

	for range b.N {
		idle := p.rss(b)
		for _, step := range []struct {
			name    string
			clients int
			do      func() error
		}{
			{"miss", 4, whole},
			{"disk", 1, whole},
			{"ranges", 1, func() error {
				for range 50 {
					n := 1 + rand.Int64N(min(size, 8<<20))
					off := rand.Int64N(size - n + 1)
					if err := fetch("/large", fmt.Sprintf("bytes=%d-%d", off, off+n-1), off, n); err != nil {
						return err
					}
				}
				return nil
			}},
			{"eviction", 1, func() error {
				for i := int64(0); i <= diskSize/size; i++ {
					if err := fetch(fmt.Sprintf("/other/%d", i), "", 0, size); err != nil {
						return err
					}
				}
				return nil
			}},
		} {
			p.resetPeak(b)
			errs := make(chan error, step.clients)
			for range step.clients {
				go func() { errs <- step.do() }()
			}
			for range step.clients {
				if err := <-errs; err != nil {
					b.Errorf("%s: %v", step.name, err)
				}
			}
			b.ReportMetric(float64(p.peak(b)-idle)/(1<<20), step.name+"-MiB-above-idle")
		}
		if p.status(b).Tiers[1].Policies[0].EvictedFresh == 0 {
			b.Error("nothing was evicted")
		}
		b.ReportMetric(float64(idle)/(1<<20), "idle-MiB")
	}
}

func fetchVerified(url, rng string, seed selfcheck.Seed, off, n int64) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if rng != "" {
		req.Header.Set("Range", rng)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := selfcheck.Verify(resp.Body, seed, off, n, nil); err != nil {
		return fmt.Errorf("%s, %s: %w", resp.Status, resp.Header.Get("Cache-Status"), err)
	}
	return nil
}

// builtProcess is the real program, built as it is shipped.
type builtProcess struct {
	cmd        *exec.Cmd
	url, admin string
	bin, file  string
}

// buildWeir builds the program, once for all tests, and returns its path. TestMain
// removes the directory.
var buildWeir = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "weir-built")
	if err != nil {
		return "", err
	}
	builtDir = dir
	bin := filepath.Join(dir, "weir")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build weir: %w\n%s", err, out)
	}
	return bin, nil
})

var builtDir string

// skipUnderRace skips what runs the program as it is shipped: the race detector
// would watch the test alone.
func skipUnderRace(t *testing.T) {
	if raceEnabled {
		t.Skip("it runs a program without the race detector; make test runs this test without it as well")
	}
}

func startProcess(b testing.TB, config string) *builtProcess {
	b.Helper()
	bin, err := buildWeir()
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "weir.yaml")
	if _, faults := configs.Parse(file, []byte(config)); len(faults) > 0 {
		b.Fatal(faults)
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	return runProcess(b, bin, file)
}

// again starts a process of the same program with the same configuration.
func (p *builtProcess) again(b testing.TB) *builtProcess {
	b.Helper()
	return runProcess(b, p.bin, p.file)
}

func runProcess(b testing.TB, bin, file string) *builtProcess {
	b.Helper()
	cmd := exec.CommandContext(context.Background(), bin, "serve", "-c", file)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	p := &builtProcess{cmd: cmd, bin: bin, file: file}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatalf("weir did not get ready: %v", err)
	}
	urls := regexp.MustCompile(`http://[^ ,\n]+`).FindAllString(line, -1)
	if len(urls) != 2 {
		b.Fatalf("weir said %q", line)
	}
	p.url, p.admin = urls[0], urls[1]
	return p
}

func (p *builtProcess) stop(b testing.TB) {
	http.DefaultClient.CloseIdleConnections()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Error(err)
	}
	if err := p.cmd.Wait(); err != nil {
		b.Error(err)
	}
}

// resetPeak makes the kernel count the peak from now on (proc(5), clear_refs).
func (p *builtProcess) resetPeak(b testing.TB) {
	b.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
}

func (p *builtProcess) rss(b testing.TB) int64  { return p.procStatus(b, "VmRSS:") }
func (p *builtProcess) peak(b testing.TB) int64 { return p.procStatus(b, "VmHWM:") }

func (p *builtProcess) procStatus(b testing.TB, field string) int64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib << 10
		}
	}
	b.Fatalf("no %s in /proc", field)
	return 0
}
