package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/loadtest/selfcheck"
)

var inFlightFull = flag.Bool("inflight.full", false, "load weir with as many transfers as docs/operations.md plans for, and not a small share of them")

// inFlightLoad is one kind of load that used to take memory without bound.
type inFlightLoad struct {
	name    string
	clients int // of the full size
	few     int // in CI
	size    int64
	private bool
	// read is how much each client takes before all are there; -1 is everything.
	read int64
}

// inFlightLoads are FAULTS F6, E2 and F2.
var inFlightLoads = []inFlightLoad{
	{"parallel misses", 500, 150, 4 << 20, false, -1},
	{"slow downloads", 2000, 200, 5_000_000, false, 40_000},
	{"readers that take nothing", 300, 150, 3 << 20, false, 0},
	{"slow readers of passed bodies", 1024, 100, 8 << 20, true, 40_000},
}

// TestMemoryInFlight loads a process of its own with many large transfers at a time,
// and holds what it takes to what docs/operations.md plans. In CI there are few of
// them, for a small RAM tier; -inflight.full has all. It prints the figures.
func TestMemoryInFlight(t *testing.T) {
	for _, disk := range []bool{false, true} {
		if disk && !*inFlightFull {
			continue // package tiers tries it with a disk, too
		}
		var sent atomic.Int64
		origin := newInFlightOrigin(t, &sent)
		p := startProcess(t, inFlightConfig(t, origin.URL, disk))
		for _, l := range inFlightLoads {
			t.Run(fmt.Sprintf("%s disk=%v", l.name, disk), func(t *testing.T) { l.run(t, p, &sent) })
		}
		p.stop(t)
	}
}

func inFlightConfig(t *testing.T, origin string, disk bool) string {
	_, ram, inFlight, _ := (&inFlightLoads[0]).bounds()
	config := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\ntiers:\n  ram: {size: %dB}\n", ram)
	if disk {
		config += fmt.Sprintf("  disk: {path: %q, size: 2GiB}\n", t.TempDir())
	}
	return config + fmt.Sprintf(
		"timeouts: {lame_duck: 0s}\nlimits: {memory_in_flight: %dB, spool: {path: %q}}\norigins: {o: {servers: [%q]}}\npolicies: [{name: all, origin: o}]\n",
		inFlight, t.TempDir(), origin)
}

// bounds returns the number of clients, the RAM tier's size, and what is planned for.
func (l *inFlightLoad) bounds() (clients int, ram, inFlight, plan int64) {
	clients, ram, inFlight = l.clients, 64<<20, 64<<20
	if !*inFlightFull {
		clients, ram, inFlight = l.few, 16<<20, 8<<20
	}
	return clients, ram, inFlight, ram*135/100 + inFlight*125/100 + 150<<20 + int64(clients)*100<<10
}

func (l *inFlightLoad) run(t *testing.T, p *builtProcess, sent *atomic.Int64) {
	clients, _, _, plan := l.bounds()
	p.resetPeak(t)
	var there, done sync.WaitGroup
	resume := make(chan struct{})
	var broken atomic.Int64
	var first atomic.Pointer[error]
	there.Add(clients)
	for i := range clients {
		done.Go(func() {
			var once sync.Once
			arrived := func() { once.Do(there.Done) }
			defer arrived()
			err := l.client(p.url, fmt.Sprintf("/%s/%d/%d", l.kind(), l.size, i), func() { arrived(); <-resume })
			if err != nil {
				broken.Add(1)
				first.CompareAndSwap(nil, &err)
			}
		})
	}
	there.Wait()
	// What the origin can send without its readers is underway.
	for was := int64(-1); was != sent.Load(); {
		was = sent.Load()
		time.Sleep(300 * time.Millisecond)
	}
	held := p.rss(t)
	small := time.Now()
	path := fmt.Sprintf("/shared/1000/%d", small.UnixNano())
	if err := fetchVerified(p.url+path, "", selfcheck.SeedOf(path, 0), 0, 1000); err != nil {
		t.Errorf("a small miss beside them: %v", err)
	}
	took := time.Since(small)
	close(resume)
	done.Wait()
	peak := p.peak(t)
	t.Logf("%d clients: RSS %d MiB while they wait, %d MiB at most; planned %d MiB; a small miss meanwhile took %v; %d were cut",
		clients, held>>20, peak>>20, plan>>20, took.Round(time.Millisecond), broken.Load())
	if peak > plan {
		t.Errorf("RSS was %d MiB, and %d are planned", peak>>20, plan>>20)
	}
	if err := first.Load(); err != nil && !l.mayBeCut() {
		t.Errorf("%d transfers broke: %v", broken.Load(), *err)
	}
}

// mayBeCut reports whether the load is more than memory and spool hold.
func (l *inFlightLoad) mayBeCut() bool { return *inFlightFull && l.clients >= 1000 }

// kind is the first part of a path that the origin knows.
func (l *inFlightLoad) kind() string {
	if l.private {
		return "private"
	}
	return "shared"
}

// newInFlightOrigin answers /KIND/SIZE/NUMBER, and counts the bytes that it has sent.
func newInFlightOrigin(t *testing.T, sent *atomic.Int64) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.URL.Path, "/")
		size, err := strconv.ParseInt(parts[2], 10, 64)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Cache-Control", "max-age=3600")
		if parts[1] == "private" {
			w.Header().Set("Cache-Control", "private")
		}
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		body := selfcheck.NewReader(selfcheck.SeedOf(r.URL.Path, 0), size)
		buf := make([]byte, 64<<10)
		for {
			n, err := body.Read(buf)
			if n > 0 {
				if _, err := w.Write(buf[:n]); err != nil {
					return
				}
				sent.Add(int64(n))
			}
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// client asks for a body of its own and reads a part of it; pause then returns when it
// is to read the rest. Its receive buffer is small, so that what it does not read is
// weir's to hold.
func (l *inFlightLoad) client(base, path string, pause func()) error {
	d := net.Dialer{}
	conn, err := d.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n", path); err != nil {
		return err
	}
	if l.read == 0 {
		pause()
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 4<<10), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength != l.size {
		return fmt.Errorf("status %d, %d bytes", resp.StatusCode, resp.ContentLength)
	}
	want := selfcheck.NewReader(selfcheck.SeedOf(path, 0), l.size)
	if l.read > 0 {
		if err := sameBytes(io.LimitReader(resp.Body, l.read), io.LimitReader(want, l.read)); err != nil {
			return err
		}
		pause()
	}
	return sameBytes(resp.Body, want)
}

// sameBytes compares two streams to their ends.
func sameBytes(got, want io.Reader) error {
	a, b := make([]byte, 16<<10), make([]byte, 16<<10)
	for at := 0; ; {
		n, err := io.ReadFull(got, a)
		m, _ := io.ReadFull(want, b[:n])
		if m != n || string(a[:n]) != string(b[:n]) {
			return fmt.Errorf("wrong bytes at %d", at)
		}
		at += n
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			if n, _ := want.Read(b[:1]); n > 0 {
				return fmt.Errorf("the body ends after %d bytes: %w", at, io.ErrUnexpectedEOF)
			}
			return nil
		case err != nil:
			return err
		}
	}
}
