package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPurgeOnAFullDisk: a node whose log of purges is on a disk that is full, and that
// can make no room, takes the purges of its peers and its own; its gate stays open, and
// its log is whole again when there is room (FAULTS F5).
func TestPurgeOnAFullDisk(t *testing.T) {
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
	var routes [2]string
	for i := range routes {
		var err error
		if routes[i], err = freeRoute(); err != nil {
			t.Fatal(err)
		}
	}
	start := func(i int, dir string) *builtProcess {
		return startSelf(t, fmt.Sprintf(diskFullConfig, dir, origin.URL)+
			fmt.Sprintf("cluster: {node: n%d, listen: %q, peers: [%q]}\n", i, routes[i], routes[1-i]))
	}
	other, full := start(0, filepath.Join(t.TempDir(), "cache")), start(1, filepath.Join(mount, "cache"))
	defer other.stop(t)
	defer full.stop(t)
	gate := func() string { return full.status(t).Cluster.Gate }
	waitFor(t, "the peers know each other", func() bool {
		return gate() == "open" && other.status(t).Cluster.Gate == "open" && len(full.status(t).Peers) == 1
	})
	full.cache(t, "/page")
	full.cache(t, "/own")
	free := fillDisk(t, mount)
	// Every byte is taken, also what the tier gives up for the log.
	waitFor(t, "a purge that cannot be logged", func() bool { return full.purge(t, `{"tags": ["x"]}`).Warning != "" })
	full.cache(t, "/own")
	full.purge(t, `{"prefixes": ["/own"]}`)
	other.purge(t, `{"prefixes": ["/page"], "wait": "all", "timeout": "30s"}`)
	for _, path := range []string{"/page", "/own"} {
		if got := full.cache(t, path); strings.Contains(got, "hit") {
			t.Errorf("%s was purged: %s", path, got)
		}
	}
	if g := gate(); g != "open" {
		t.Errorf("the gate is %s", g)
	}
	free()
	waitFor(t, "the log is whole", func() bool { s := full.status(t).Purges; return s.Log == "written" && s.Unlogged == 0 })
}

// TestPurgeQuota: a million tags from one token raise no floor; past its bound it gets
// 429, with what to do, and everything can always be purged (FAULTS F16).
func TestPurgeQuota(t *testing.T) {
	origin := newCountingOrigin()
	defer origin.Close()
	p := startSelf(t, fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\ntiers: {ram: {size: 16MiB, max_object: 256KiB}}\n"+
		"origins: {o: {servers: [%q]}}\npolicies: [{name: all, origin: o}]\n", origin.URL))
	defer p.stop(t)
	p.cache(t, "/page")
	const each = 1000
	refused, last := 0, ""
	for n := range 1_000_000 / each {
		var body strings.Builder
		for i := range each {
			fmt.Fprintf(&body, `,"tag-%d"`, n*each+i)
		}
		resp, err := http.Post(p.admin+"/v1/purge", "application/json", strings.NewReader(`{"tags": [`+body.String()[1:]+`]}`))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("%s %s %v", resp.Status, b, err)
		}
		if resp.StatusCode == http.StatusTooManyRequests {
			refused, last = refused+1, string(b)
			if resp.Header.Get("Retry-After") == "" || refused > 20 {
				break
			}
		}
	}
	if refused == 0 || !strings.Contains(last, "purge by host or everything (all)") {
		t.Errorf("%d refused: %s", refused, last)
	}
	if s := p.status(t).Purges; s.Floor != 0 || s.Scopes > 786_432/4+100 {
		t.Errorf("%+v", s)
	}
	if got := p.cache(t, "/page"); !strings.Contains(got, "hit") {
		t.Errorf("what was not purged: %s", got)
	}
	p.purge(t, `{"hosts": ["shop.example"]}`)
	p.purge(t, `{"all": true}`)
	if got := p.cache(t, "/page"); strings.Contains(got, "hit") {
		t.Errorf("behind a purge of everything: %s", got)
	}
}
