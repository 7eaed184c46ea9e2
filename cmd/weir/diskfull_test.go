package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/loadtest/selfcheck"
)

const diskFullConfig = `listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
tiers:
  ram:  {size: 1MiB, max_object: 64KiB}
  disk: {path: %q, size: 40MiB, max_object: 4MiB}
origins:
  o: {servers: [%q]}
policies:
  - {name: all, origin: o}
`

// inMountNamespace runs the test again in a process that can mount what only it sees, and returns true in that process.
// It needs root, or a kernel that lets users make namespaces.
func inMountNamespace(t *testing.T) bool {
	const mark = "WEIR_MOUNT_NAMESPACE"
	if os.Getenv(mark) != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), mark+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		t.Logf("%s", out)
	case errors.As(err, &exit):
		t.Fatalf("%v\n%s", err, out)
	default:
		t.Skipf("this machine lets nobody here make a mount namespace: %v", err)
	}
	return false
}

// TestDiskFull: a small file system is filled by somebody else, to the last byte and for as long as it lasts; then its
// directory is removed. Every answer throughout is right, and weir caches on disk again when it can.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	skipUnderRace(t)
	if !inMountNamespace(t) {
		return
	}
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(mount, unix.MNT_DETACH) }()
	origin := newCountingOrigin()
	defer origin.Close()
	dir := filepath.Join(mount, "cache")
	p := startProcess(t, fmt.Sprintf(diskFullConfig, dir, origin.URL))
	defer p.stop(t)
	stop := origin.traffic(t, p)
	defer stop()

	origin.wantDiskHits(t, p, "before")
	for round := range 3 {
		free := fillDisk(t, mount)
		p.waitDisk(t, false)
		during := origin.answers.Load()
		waitFor(t, "answers without a disk", func() bool { return origin.answers.Load() > during+500 })
		free()
		p.waitDisk(t, true)
		origin.wantDiskHits(t, p, fmt.Sprintf("full%d", round))
	}
	if err := os.RemoveAll(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
		t.Fatal(err)
	}
	waitFor(t, "a new directory", func() bool { _, err := os.Stat(filepath.Join(dir, "STORE")); return err == nil })
	p.waitDisk(t, true)
	origin.wantDiskHits(t, p, "vanished")
	t.Logf("%d right answers", origin.answers.Load())
}

// TestDiskReadOnly: a file system that is read-only at the start is one that weir does without until it is writable.
func TestDiskReadOnly(t *testing.T) {
	t.Parallel()
	skipUnderRace(t)
	if !inMountNamespace(t) {
		return
	}
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", unix.MS_RDONLY, "size=64m"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(mount, unix.MNT_DETACH) }()
	origin := newCountingOrigin()
	defer origin.Close()
	p := startProcess(t, fmt.Sprintf(diskFullConfig, filepath.Join(mount, "cache"), origin.URL))
	defer p.stop(t)
	stop := origin.traffic(t, p)
	defer stop()
	waitFor(t, "answers without a disk", func() bool { return origin.answers.Load() > 500 })
	p.waitDisk(t, false)
	if err := unix.Mount("", mount, "", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	p.waitDisk(t, true)
	origin.wantDiskHits(t, p, "writable")
}

// countingOrigin answers with bodies that say what they are.
type countingOrigin struct {
	*httptest.Server
	mu      sync.Mutex
	asked   map[string]int
	answers atomic.Int64 // right ones that clients got
}

// countingSize: some are large enough to be written to disk while they arrive.
func countingSize(path string) int64 { return 20_000 + int64(len(path)%7)*20_000 }

func newCountingOrigin() *countingOrigin {
	o := &countingOrigin{asked: map[string]int{}}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.asked[r.URL.Path]++
		o.mu.Unlock()
		n := countingSize(r.URL.Path)
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		_, _ = io.Copy(w, selfcheck.NewReader(selfcheck.SeedOf(r.URL.Path, 0), n))
	}))
	return o
}

func (o *countingOrigin) fetch(p *builtProcess, path string) error {
	err := fetchVerified(p.url+path, "", selfcheck.SeedOf(path, 0), 0, countingSize(path))
	if err == nil {
		o.answers.Add(1)
	}
	return err
}

// traffic asks for more than RAM and disk hold until the returned function is called.
func (o *countingOrigin) traffic(t *testing.T, p *builtProcess) (stop func()) {
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				path := "/traffic/" + strconv.Itoa(rand.IntN(100_000))
				if err := o.fetch(p, path); err != nil {
					t.Errorf("%s: %v", path, err)
					return
				}
			}
		})
	}
	return func() { close(done); wg.Wait() }
}

// wantDiskHits wants that what is fetched now is found on disk, from where RAM does not have it.
func (o *countingOrigin) wantDiskHits(t *testing.T, p *builtProcess, name string) {
	t.Helper()
	try := 0
	// The first ones may still meet an index that is being replaced.
	waitFor(t, "disk hits "+name, func() bool {
		try++
		const n = 60
		paths := make([]string, n)
		for i := range paths {
			paths[i] = fmt.Sprintf("/%s/%d/%d", name, try, i)
		}
		for range 2 {
			for _, path := range paths {
				if err := o.fetch(p, path); err != nil {
					t.Fatalf("%s: %v", path, err)
				}
			}
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		fetched := 0
		for _, path := range paths {
			fetched += o.asked[path]
		}
		return fetched == n
	})
}

// fillDisk takes every byte that is or becomes free, until the returned function is called.
func fillDisk(t *testing.T, mount string) (free func()) {
	t.Helper()
	path := filepath.Join(mount, "foreign")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	done, full := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer f.Close()
		b := make([]byte, 4096)
		var once sync.Once
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := f.Write(b); err != nil {
				once.Do(func() { close(full) })
				time.Sleep(time.Millisecond)
			}
		}
	})
	<-full
	return func() {
		close(done)
		wg.Wait()
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

func (p *builtProcess) waitDisk(t *testing.T, up bool) {
	t.Helper()
	waitFor(t, fmt.Sprintf("disk up %v", up), func() bool { return p.status(t).Tiers[1].Up == up })
}

// waitFor asks until it is so; a minute is far more than any of these things take.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never happened: " + what)
		}
	}
}
