package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"weir/configs"
	"weir/loadtest/accesslog"
	"weir/loadtest/replay"
)

var replayFull = flag.Bool("replay.full", false, "replay bodies at the sizes the log names, not cut to 256 KiB")

const replayConfig = `listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
tiers:
  ram:  {size: 64MiB, max_object: 1MiB}
  disk: {path: %q, size: 2GiB, max_object: 256MiB}
origins:
  site: {servers: [%q]}
policies:
  - name: site
    origin: site
`

// TestReplay sends the requests of a real access log through weir, twice: into
// an empty cache, and after a restart on the same disk. Every body is compared
// byte for byte with what the origin holds.
func TestReplay(t *testing.T) {
	t.Parallel()
	log, source, err := accesslog.Load(".", accesslog.GenerateOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	opts := replay.CatalogueOptions{MaxSize: 256 << 10}
	if *replayFull {
		opts.MaxSize = 0
	}
	catalogue := replay.NewCatalogue(log.Entries, opts)
	site := replay.NewOrigin(catalogue, replay.OriginOptions{MaxAge: 24 * time.Hour})
	origin := httptest.NewServer(site)
	defer origin.Close()
	dir := t.TempDir()

	pass := func(label string) replay.Pass {
		n := startNode(t, fmt.Sprintf(replayConfig, dir, origin.URL))
		defer stopNode(t, n)
		data, _ := n.addresses()
		r, err := replay.Run(t.Context(), replay.Options{
			Target: data[0], Host: "site.example", Entries: log.Entries, Catalogue: catalogue, Origin: site,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Err(); err != nil {
			t.Errorf("%s: %v", label, err)
		}
		return replay.Pass{Label: label, Result: r}
	}
	cold, warm := pass("cold"), pass("after a restart")
	t.Logf("%s, %d requests\n\n%s", source, len(log.Entries), replay.Tables(cold, warm))

	if ram := cold.Result.Count(replay.TierRAM); ram < cold.Result.Requests/2 {
		t.Errorf("%d of %d requests were RAM hits: the log repeats itself more than that", ram, cold.Result.Requests)
	}
	if warm.Result.Count(replay.TierDisk) == 0 {
		t.Error("nothing came from disk after the restart")
	}
	// What the origin let store is there after a restart: only what it did not
	// (answers to HEAD, POST and ranges) may ask it again.
	if got, limit := warm.Result.Origin.Requests, cold.Result.Requests/100; got > limit {
		t.Errorf("%d requests reached the origin after the restart, want at most %d", got, limit)
	}
}

func startNode(t testing.TB, config string) *node {
	t.Helper()
	cfg, faults := configs.Parse("test", []byte(config))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	var stderr bytes.Buffer
	n, err := start(context.Background(), "test", cfg, &stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	return n
}

func stopNode(t testing.TB, n *node) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	if err := n.drain(0); err != nil {
		t.Error(err)
	}
}
