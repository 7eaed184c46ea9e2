package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/loadtest/load"
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

// stopped is a run that was told to stop and cannot end yet, since the origin does not say what it counted.
type stopped struct {
	*exec.Cmd
	out     bytes.Buffer
	release chan struct{} // to be closed, so that it can end
}

func stoppedRun(t *testing.T) *stopped {
	t.Helper()
	s := &stopped{release: make(chan struct{})}
	sending, asked := make(chan struct{}), make(chan struct{})
	var requests, stats atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != load.StatsPath {
			if requests.Add(1) == 100 {
				close(sending)
			}
			return
		}
		if stats.Add(1) == 2 { // the first is before the run
			close(asked)
			select {
			case <-s.release:
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(server.Close)
	s.Cmd = process(t, "run", server.URL+"/x", "-c", "2", "-d", "1h", "-q", "--no-verify", "--origin", server.URL, "--timeout", "1m")
	s.Stdout, s.Stderr = &s.out, io.Discard
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	<-sending
	s.signal(t)
	<-asked
	return s
}

func (s *stopped) signal(t *testing.T) {
	t.Helper()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// timeout(1) sends SIGTERM to the process and, at once, to its group. What was measured is written all the same.
func TestSignalAndItsEcho(t *testing.T) {
	s := stoppedRun(t)
	s.signal(t)
	close(s.release)
	_ = s.Wait()
	if code := s.ProcessState.ExitCode(); code != 1 || !strings.Contains(s.out.String(), "NOT COMPLETE") {
		t.Errorf("%v; it wrote:\n%s", s.ProcessState, &s.out)
	}
}

// Whoever repeats a signal later does not want to wait any more.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	s := stoppedRun(t)
	defer close(s.release)
	ended := make(chan struct{})
	go func() {
		_ = s.Wait()
		close(ended)
	}()
	again := time.NewTicker(signalEcho / 10)
	defer again.Stop()
	for {
		select {
		case <-ended:
			if status, ok := s.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
				t.Errorf("it ended by itself: %v", s.ProcessState)
			}
			return
		case <-again.C:
			_ = s.Process.Signal(syscall.SIGTERM) // it may have ended just now
		}
	}
}
