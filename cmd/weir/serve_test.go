package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/configs"
)

// startFailing starts a node that cannot start and returns why.
func startFailing(t *testing.T, config string) string {
	t.Helper()
	cfg, faults := configs.Parse("test", []byte(config))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	n, err := start(context.Background(), "test", cfg, &bytes.Buffer{})
	if err == nil {
		stopNode(t, n)
		t.Fatal("it started")
	}
	return err.Error()
}

// TestStartFaults: what a start fails on is named with its key, and everything
// opened until then is given back: the same directory and the same other port
// serve the next start. TestMain looks for goroutines that were left.
func TestStartFaults(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const format = "listen: [127.0.0.1:0, %q]\nadmin: {listen: %q}\ntiers: {ram: {size: 16MiB}, disk: {path: %q, size: 16MiB}}\n" +
		"origins: {o: {servers: [\"http://127.0.0.1:9000\"]}}\npolicies: [{name: all, origin: o}]\n"
	cache, free, used := filepath.Join(dir, "cache"), "127.0.0.1:0", taken.Addr().String()
	good := fmt.Sprintf(format, free, free, cache)
	for _, tt := range []struct {
		name, config string
		want         []string
	}{
		{"data port", fmt.Sprintf(format, used, free, cache), []string{used, "in use", "key listen;"}},
		{"admin port", fmt.Sprintf(format, free, used, cache), []string{used, "in use", "key admin.listen;"}},
		{"no such address", fmt.Sprintf(format, "192.0.2.1:1", free, cache), []string{"192.0.2.1:1", "key listen; this machine has no such address"}},
		{"access log", good + "access_log: {file: " + file + "/none/log}\n", []string{"access log", file}},
		{"origin's roots", strings.Replace(good, "{servers: [\"http:", "{tls: {ca: "+file+"}, servers: [\"https:", 1), []string{file}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := startFailing(t, tt.config)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q does not hold %q", got, want)
				}
			}
			stopNode(t, startNode(t, good))
		})
	}

	t.Run("locked directory", func(t *testing.T) {
		n := startNode(t, good)
		defer stopNode(t, n)
		if got := startFailing(t, good); !strings.Contains(got, cache) || !strings.Contains(got, "tiers.disk.path") {
			t.Errorf("%q names neither directory nor key", got)
		}
	})
}

// drainTest runs finish with a drain that ends when told.
type drainTest struct {
	signals chan os.Signal
	log     bytes.Buffer // read once result came, as reopened is
	// reopened counts how often the access log was opened again.
	reopened int
	end      chan error
	result   chan error
}

func startDrain(since func(signal int) time.Duration) *drainTest {
	d := &drainTest{signals: make(chan os.Signal), end: make(chan error, 1), result: make(chan error, 1)}
	began, calls := time.Unix(0, 0), 0
	now := func() time.Time {
		calls++
		if calls == 1 {
			return began
		}
		return began.Add(since(calls - 1))
	}
	log := slog.New(slog.NewTextHandler(&d.log, nil))
	go func() {
		d.result <- finish(func() error { return <-d.end }, func() { d.reopened++ }, log, d.signals, now)
	}()
	return d
}

func TestFinishWaitsForTheDrain(t *testing.T) {
	d := startDrain(func(int) time.Duration { return time.Hour })
	d.signals <- syscall.SIGHUP
	d.end <- errors.New("as it ended")
	if err := <-d.result; err == nil || err.Error() != "as it ended" {
		t.Errorf("finish returned %v", err)
	}
	if !strings.Contains(d.log.String(), "no reload while draining") {
		t.Errorf("SIGHUP left no trace: %s", &d.log)
	}
	if d.reopened != 1 {
		t.Errorf("SIGHUP opened the access log again %d times, want once", d.reopened)
	}
}

func TestFinishEndsAtTheSecondSignal(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		// The first two are echoes of the one that began the drain.
		d := startDrain(func(n int) time.Duration { return time.Duration(n) * signalEcho / 3 })
		d.signals <- s
		d.signals <- s
		d.signals <- s
		if err := <-d.result; err == nil || !strings.Contains(err.Error(), s.String()) {
			t.Errorf("%v: finish returned %v", s, err)
		}
		d.end <- nil // lets the drain end too
	}
}

// TestLameDuck: it lasts until its time is over, until a second signal that is no
// echo of the first, or until a listener fails.
func TestLameDuck(t *testing.T) {
	began := time.Unix(0, 0)
	var log bytes.Buffer
	run := func(over <-chan time.Time, failed <-chan error, signals ...os.Signal) (left int, reopened int, err error) {
		c := make(chan os.Signal, len(signals))
		for _, s := range signals {
			c <- s
		}
		calls := 0
		now := func() time.Time {
			calls++
			return began.Add(time.Duration(calls-1) * signalEcho / 2)
		}
		_, err = waitAsLameDuck(over, nil, failed, func() { reopened++ }, slog.New(slog.NewTextHandler(&log, nil)), c, now)
		return len(c), reopened, err
	}
	// The first is an echo, the last would come too late.
	if left, reopened, err := run(nil, nil, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM); left != 1 || reopened != 1 || err != nil {
		t.Errorf("signals: %d are left, %d reopened, %v", left, reopened, err)
	}
	if !strings.Contains(log.String(), "no reload while stopping") {
		t.Errorf("SIGHUP left no trace: %s", &log)
	}
	over := make(chan time.Time, 1)
	over <- began
	if _, _, err := run(over, nil); err != nil {
		t.Errorf("over: %v", err)
	}
	failed := make(chan error, 1)
	failed <- errors.New("no listener")
	if _, _, err := run(nil, failed); err == nil || err.Error() != "no listener" {
		t.Errorf("failed: %v", err)
	}
}
