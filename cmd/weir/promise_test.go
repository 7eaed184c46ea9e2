package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"weir/loadtest/selfcheck"
	"weir/proxy/admin"
)

const promiseConfig = `listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
tiers:
  ram:  {size: 1MiB, max_object: 64KiB}
  disk: {path: %q, size: 16MiB, max_object: 4MiB}
origins:
  o: {servers: [%q]}
policies:
  - {name: pinned, match: {path: "/pinned/*"}, origin: o, reserve: 30%%, pin: true}
  - {name: reserved, match: {path: "/reserved/*"}, origin: o, reserve: 2MiB}
  - {name: second, match: {path: "/second/*"}, origin: o, admit: second-hit}
  - {name: rest, origin: o}
`

// TestPromisesHoldUnderAScan: while ten times the disk goes through another policy, what is pinned or reserved stays,
// all of it, and the status says whose objects went before their time.
func TestPromisesHoldUnderAScan(t *testing.T) {
	t.Parallel()
	skipUnderRace(t)
	const scanned, objects = 160 << 20, 40
	size := func(path string) int64 {
		// Every fourth is a large object, in chunks.
		if strings.HasSuffix(path, "3") {
			return 300_000
		}
		return 20_000
	}
	asked := map[string]int{}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++ // one client, one request at a time
		n := size(r.URL.Path)
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		_, _ = io.Copy(w, selfcheck.NewReader(selfcheck.SeedOf(r.URL.Path, 0), n))
	}))
	defer origin.Close()
	p := startProcess(t, fmt.Sprintf(promiseConfig, t.TempDir(), origin.URL))
	defer p.stop(t)
	get := func(path string) {
		t.Helper()
		if err := fetchVerified(p.url+path, "", selfcheck.SeedOf(path, 0), 0, size(path)); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	promised := make([]string, 0, 2*objects)
	for i := range objects {
		promised = append(promised, fmt.Sprintf("/pinned/%d", i), fmt.Sprintf("/reserved/%d", 10*i))
	}
	for _, path := range promised {
		get(path)
	}
	for n, i := int64(0), 0; n < scanned; i++ {
		path := fmt.Sprintf("/scan/%d", i)
		get(path)
		n += size(path)
	}
	for _, path := range promised {
		get(path)
		if asked[path] != 1 {
			t.Errorf("%s: the origin was asked %d times", path, asked[path])
		}
	}
	// The first fetch of what is let in at the second leaves nothing on disk: a few others push it out of RAM.
	for _, want := range []int{1, 2, 2} {
		get("/second/1")
		if asked["/second/1"] != want {
			t.Errorf("/second/1: the origin was asked %d times, want %d", asked["/second/1"], want)
		}
		for i := range 400 {
			get(fmt.Sprintf("/push/%d/%d0", want, i))
		}
	}
	status := p.status(t)
	disk := status.Tiers[1]
	if disk.MissingBytes < 100<<20 || disk.MissingBytes > scanned+(8<<20) {
		t.Errorf("%d bytes are said to be missing, %d were scanned through 16 MiB", disk.MissingBytes, scanned)
	}
	for _, q := range disk.Policies {
		if promised := q.Policy == "pinned" || q.Policy == "reserved"; (q.EvictedFresh == 0) != (promised || q.Policy == "second") {
			t.Errorf("%+v", q)
		}
	}
}

// status reads the admin plane's status.
func (p *builtProcess) status(t testing.TB) admin.Status {
	t.Helper()
	resp, err := http.Get(p.admin + "/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var s admin.Status
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}
