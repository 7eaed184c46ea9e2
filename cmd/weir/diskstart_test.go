package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// soon is how fast a start must answer. It is a second for weir; the rest is what a
// machine that is busy with other tests takes.
const soon = 5 * time.Second

// cache returns the Cache-Status of a GET. Its Host is the same after a restart, when
// the port is another one.
func (p *builtProcess) cache(t *testing.T, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "shop.example"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return resp.Header.Get("Cache-Status")
}

// startsSoon starts the process again and wants its first answer in time.
func (p *builtProcess) startsSoon(t *testing.T) *builtProcess {
	t.Helper()
	began := time.Now()
	next := p.again(t)
	status := next.cache(t, "/first")
	if took := time.Since(began); took > soon {
		t.Errorf("the first answer came %v after the start (%s)", took, status)
	}
	return next
}

// startSelf is startProcess with this very program, which need not be built.
func startSelf(t *testing.T, config string) *builtProcess {
	t.Helper()
	bin, err := exec.LookPath("weir")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return runProcess(t, bin, file)
}

func (p *builtProcess) kill() {
	_ = p.cmd.Process.Kill()
	_, _ = p.cmd.Process.Wait()
}

func (p *builtProcess) waitState(t *testing.T, want string) {
	t.Helper()
	waitFor(t, "disk state "+want, func() bool { return p.status(t).Tiers[1].State == want })
}

// TestStartOnAFullDisk: a start on a file system that is full to the last byte answers
// at once and makes the tier smaller instead of doing without it; purges are in effect
// throughout (FAULTS F1, F5).
func TestStartOnAFullDisk(t *testing.T) {
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
	p := startSelf(t, fmt.Sprintf(diskFullConfig, filepath.Join(mount, "cache"), origin.URL))
	for i := range 300 {
		if err := origin.fetch(p, fmt.Sprintf("/warm/%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "objects on disk", func() bool { return p.status(t).Tiers[1].Objects > 250 })
	for _, kill := range []bool{true, false} {
		if kill {
			p.kill()
		} else {
			p.stop(t)
		}
		fillOnce(t, mount)
		p = p.startsSoon(t)
		p.waitState(t, "open")
		if s := p.status(t); s.Tiers[1].Objects == 0 {
			t.Errorf("killed %v: nothing is left on disk: %+v", kill, s.Tiers[1])
		}
		origin.wantDiskHits(t, p, fmt.Sprintf("full-%v", kill))
		p.purge(t, `{"tags": ["x"]}`)
		waitFor(t, "purges in the log", func() bool { return p.status(t).Purges.Log == "written" })
		if err := os.Remove(filepath.Join(mount, "foreign")); err != nil {
			t.Fatal(err)
		}
	}
	// What was removed beneath it is made again.
	if err := os.RemoveAll(filepath.Join(mount, "cache", "segments")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "segments", func() bool { _, err := os.Stat(filepath.Join(mount, "cache", "segments")); return err == nil })
	p.waitState(t, "open")
	origin.wantDiskHits(t, p, "segments")
	p.stop(t)
}

// fillOnce takes every byte that is free.
func fillOnce(t *testing.T, mount string) {
	t.Helper()
	f, err := os.Create(filepath.Join(mount, "foreign"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 4096); err == nil; {
		_, err = f.Write(b)
	}
}

// TestStartOnAFrozenDisk: a start on a file system that is frozen answers at once, and
// from the disk soon after it thaws; a purge that was made meanwhile binds what the
// disk holds (FAULTS F1). It needs root and a loop device.
func TestStartOnAFrozenDisk(t *testing.T) {
	mount, thaw := frozenMount(t)
	if mount == "" {
		return
	}
	origin := newCountingOrigin()
	defer origin.Close()
	p := startSelf(t, fmt.Sprintf(diskFullConfig, filepath.Join(mount, "cache"), origin.URL))
	for _, path := range []string{"/first", "/kept", "/gone"} {
		p.cache(t, path)
	}
	waitFor(t, "objects on disk", func() bool { return p.status(t).Tiers[1].Objects >= 3 })
	p.stop(t)
	runTool(t, "fsfreeze", "--freeze", mount)
	p = p.startsSoon(t)
	if s := p.status(t); s.Tiers[1].State != "opening" || s.Ready {
		t.Errorf("%+v, ready %v", s.Tiers[1], s.Ready)
	}
	if result := p.purge(t, `{"prefixes": ["/gone"]}`); result.Warning == "" {
		t.Errorf("%+v does not say that it is not in the log", result)
	}
	thaw()
	thawed := time.Now()
	p.waitState(t, "open")
	if took := time.Since(thawed); took > 5*time.Second {
		t.Errorf("from the disk %v after it thawed", took)
	}
	if got := p.cache(t, "/kept"); !strings.Contains(got, "hit") || !strings.Contains(got, "detail=disk") {
		t.Errorf("what was on disk: %s", got)
	}
	if got := p.cache(t, "/gone"); strings.Contains(got, "hit") {
		t.Errorf("what was purged while the disk was frozen: %s", got)
	}
	if s := p.status(t); s.Purges.Log != "written" || !s.Ready {
		t.Errorf("%+v, ready %v", s.Purges, s.Ready)
	}
	p.stop(t)
}

func runTool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// frozenMount mounts a file system that can be frozen, and returns what thaws it.
// Where this machine lets nobody do that it says so, and the name is empty.
func frozenMount(t *testing.T) (mount string, thaw func()) {
	for _, tool := range []string{"mkfs.ext4", "fsfreeze", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Logf("not run: %v", err)
			return "", nil
		}
	}
	if os.Geteuid() != 0 || !inMountNamespace(t) {
		t.Log("run in a mount namespace of its own, or not at all without root")
		return "", nil
	}
	image, mount := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 128<<20); err != nil {
		t.Fatal(err)
	}
	runTool(t, "mkfs.ext4", "-q", "-F", image)
	if out, err := exec.Command("mount", "-o", "loop", image, mount).CombinedOutput(); err != nil {
		t.Logf("not run: no loop device can be mounted here: %v\n%s", err, out)
		return "", nil
	}
	thaw = func() { _ = exec.Command("fsfreeze", "--unfreeze", mount).Run() }
	t.Cleanup(func() {
		thaw()
		_ = unix.Unmount(mount, unix.MNT_DETACH)
	})
	return mount, thaw
}

// TestStartOnAReadOnlyDisk: what a read-only file system holds is served, purges bind
// it, and it is written again soon after it can be (FAULTS F15).
func TestStartOnAReadOnlyDisk(t *testing.T) {
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
	p := startSelf(t, fmt.Sprintf(diskFullConfig, filepath.Join(mount, "cache"), origin.URL))
	for _, kill := range []bool{false, true} {
		kept, gone, later := fmt.Sprintf("/kept/%v", kill), fmt.Sprintf("/gone/%v", kill), fmt.Sprintf("/later/%v", kill)
		p.cache(t, "/first")
		p.cache(t, kept)
		p.cache(t, gone)
		waitFor(t, "objects on disk", func() bool { return p.status(t).Tiers[1].Objects >= 3 })
		if kill {
			p.kill()
		} else {
			p.stop(t)
		}
		if err := unix.Mount("", mount, "", unix.MS_REMOUNT|unix.MS_RDONLY, "size=64m"); err != nil {
			t.Fatal(err)
		}
		p = p.startsSoon(t)
		p.waitState(t, "read-only")
		if got := p.cache(t, kept); !strings.Contains(got, "hit") || !strings.Contains(got, "detail=disk") {
			t.Errorf("killed %v: what a read-only disk holds: %s", kill, got)
		}
		if got := p.cache(t, later); strings.Contains(got, "hit") {
			t.Error(got)
		}
		if got := p.purge(t, fmt.Sprintf(`{"prefixes": [%q]}`, gone)); got.Warning == "" {
			t.Errorf("%+v does not say that it is not in the log", got)
		}
		if got := p.cache(t, gone); strings.Contains(got, "hit") {
			t.Errorf("killed %v: what was purged: %s", kill, got)
		}
		if err := unix.Mount("", mount, "", unix.MS_REMOUNT, "size=64m"); err != nil {
			t.Fatal(err)
		}
		writable := time.Now()
		p.waitState(t, "open")
		if took := time.Since(writable); took > 5*time.Second {
			t.Errorf("written again %v after it could be", took)
		}
		waitFor(t, "purges in the log", func() bool { return p.status(t).Purges.Log == "written" })
		origin.wantDiskHits(t, p, fmt.Sprintf("writable-%v", kill))
	}
	p.stop(t)
}

// purge purges what the body says.
func (p *builtProcess) purge(t *testing.T, body string) (result struct{ ID, Warning string }) {
	t.Helper()
	resp, err := http.Post(p.admin+"/v1/purge", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&result); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s %+v %v", body, resp.Status, result, err)
	}
	return result
}
