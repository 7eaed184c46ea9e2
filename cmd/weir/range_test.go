package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"weir/loadtest/selfcheck"
)

// TestRangeReadsItsChunks: of a stored object of 1 GiB, a range costs no more reading than the chunks that it touches
// (256 KiB each), the record that lists them, and small change. What the process reads is what the kernel says
// (proc(5), io, rchar), sockets included.
func TestRangeReadsItsChunks(t *testing.T) {
	t.Parallel()
	skipUnderRace(t)
	const (
		size      = int64(1 << 30)
		chunk     = int64(256 << 10)
		extentLen = 24 // of the list of chunks, see docs/disk-format.md
		slack     = 64 << 10
	)
	seed := selfcheck.SeedOf("large", 0)
	requests := 0
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		_, _ = io.Copy(w, selfcheck.NewReader(seed, size))
	}))
	defer origin.Close()
	p := startProcess(t, fmt.Sprintf(largeConfig, t.TempDir(), int64(4<<30), int64(2<<30), origin.URL))
	defer p.stop(t)
	if err := fetchVerified(p.url+"/large", "", seed, 0, size); err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct{ off, n int64 }{
		{0, 1}, {chunk - 1, 2}, {size/2 + 12345, 100}, {size / 3, 3 << 20}, {size - 10, 10}, {7 * chunk, chunk},
	} {
		before := p.read(t)
		if err := fetchVerified(p.url+"/large", fmt.Sprintf("bytes=%d-%d", r.off, r.off+r.n-1), seed, r.off, r.n); err != nil {
			t.Fatal(err)
		}
		got := p.read(t) - before
		chunks := (r.off+r.n-1)/chunk - r.off/chunk + 1
		if most := chunks*chunk + size/chunk*extentLen + slack; got > most || got < r.n {
			t.Errorf("%d bytes at %d: %d bytes read, at most %d are allowed (%d chunks)", r.n, r.off, got, most, chunks)
		}
	}
	if requests != 1 {
		t.Errorf("%d requests to the origin, 1 is enough", requests)
	}
}

// read is how many bytes the process has read so far, from whatever.
func (p *builtProcess) read(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	rest, _, ok := strings.Cut(strings.TrimPrefix(string(text), "rchar: "), "\n")
	n, err := strconv.ParseInt(rest, 10, 64)
	if !ok || err != nil {
		t.Fatalf("cannot read rchar from %q", text)
	}
	return n
}
