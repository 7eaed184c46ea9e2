package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
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

// truth is what the tests of a cluster know that the nodes do not: which version
// of each page is the present one, and which version each node owes to whoever
// asks it from now on. A body tells its version by its bytes.
type truth struct {
	t     *testing.T
	pages []page
	// owed is, by node and page, the version below which an answer is stale. It
	// only grows.
	owed [][]atomic.Uint64
	// lease is after what time all nodes owe what a majority has acknowledged; 0
	// where nothing is promised for those that have not.
	lease time.Duration

	// mu orders acknowledgements and the coming back of nodes.
	mu sync.Mutex
	// away are nodes that cannot answer now: whatever is acknowledged by anybody
	// meanwhile, they owe when they are back.
	away []bool

	fetched                 atomic.Int64 // by the nodes from the origin
	answers, hits, restarts []atomic.Int64
	stale, faults           atomic.Int64
}

// page is one page of the origin. version counts up right before each purge.
type page struct {
	path    string
	version atomic.Uint64
}

const clusterPages = 24

func newTruth(t *testing.T, nodes int) *truth {
	tr := &truth{
		t: t, pages: make([]page, clusterPages), owed: make([][]atomic.Uint64, nodes), away: make([]bool, nodes),
		answers: make([]atomic.Int64, nodes), hits: make([]atomic.Int64, nodes), restarts: make([]atomic.Int64, nodes),
	}
	for i := range tr.pages {
		tr.pages[i].path = "/page/" + strconv.Itoa(i)
	}
	for i := range tr.owed {
		tr.owed[i] = make([]atomic.Uint64, clusterPages)
	}
	return tr
}

// size: some pages go to the disk tier while they arrive.
func (p *page) size() int64 { return 2_000 + int64(len(p.path)%4)*30_000 }

// ServeHTTP is the origin. Every third page is stale after a second, so that 304s
// are among the answers.
func (tr *truth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tr.fetched.Add(1)
	n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/page/"))
	if err != nil || n < 0 || n >= len(tr.pages) {
		http.NotFound(w, r)
		return
	}
	p := &tr.pages[n]
	v := p.version.Load()
	// The answer is on its way while purges come.
	select {
	case <-time.After(rand.N(4 * time.Millisecond)):
	case <-r.Context().Done():
		return
	}
	etag := fmt.Sprintf("%q", strconv.FormatUint(v, 10))
	age := 3600
	if n%3 == 0 {
		age = 1
	}
	w.Header().Set("Cache-Control", "max-age="+strconv.Itoa(age))
	w.Header().Set("Surrogate-Key", "pages page-"+strconv.Itoa(n))
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(p.size(), 10))
	_, _ = io.Copy(w, selfcheck.NewReader(selfcheck.SeedOf(p.path, v), p.size()))
}

// origin serves the pages, and returns its URL.
func (tr *truth) origin(at []net.Listener) string {
	s := httptest.NewUnstartedServer(tr)
	_ = s.Listener.Close()
	s.Listener = at[0]
	s.Start()
	var wg sync.WaitGroup
	for _, ln := range at[1:] {
		wg.Go(func() { _ = s.Config.Serve(ln) })
	}
	tr.t.Cleanup(func() {
		for _, ln := range at[1:] {
			_ = ln.Close()
		}
		s.Close()
		wg.Wait()
	})
	return s.URL
}

// acknowledged: the nodes have said that version of the page is the oldest that
// they serve.
func (tr *truth) acknowledged(n int, version uint64, nodes ...int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for i := range tr.owed {
		if tr.away[i] {
			tr.owe(i, n, version)
		}
	}
	for _, i := range nodes {
		tr.owe(i, n, version)
	}
	if tr.lease > 0 && 2*len(nodes) > len(tr.owed) {
		time.AfterFunc(tr.lease, func() {
			for i := range tr.owed {
				tr.owe(i, n, version)
			}
		})
	}
}

// owedByAny is, by page, the newest version that any node has acknowledged.
func (tr *truth) owedByAny() []uint64 {
	owed := make([]uint64, len(tr.pages))
	for i := range tr.owed {
		for n := range owed {
			owed[n] = max(owed[n], tr.owed[i][n].Load())
		}
	}
	return owed
}

func (tr *truth) owe(node, n int, version uint64) {
	for o := &tr.owed[node][n]; ; {
		old := o.Load()
		if old >= version || o.CompareAndSwap(old, version) {
			return
		}
	}
}

func (tr *truth) setAway(node int, away bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.away[node] = away
	tr.restarts[node].Add(1)
}

// get asks a node for a page, and judges the answer. An error is one only when
// the node was there all the time.
func (tr *truth) get(ctx context.Context, c *http.Client, node int, url string, n int) {
	p := &tr.pages[n]
	owed, times := tr.owed[node][n].Load(), tr.restarts[node].Load()
	body, status, err := fetchPage(ctx, c, url+p.path)
	if err != nil {
		if ctx.Err() == nil && times%2 == 0 && tr.restarts[node].Load() == times {
			tr.fault("node %d: %s: %v", node, p.path, err)
		}
		return
	}
	version, ok := selfcheck.VersionOf(body, p.path, p.version.Load())
	switch {
	case !ok || int64(len(body)) != p.size() || selfcheck.Mismatch(body, selfcheck.SeedOf(p.path, version), 0) >= 0:
		tr.fault("node %d: %s: a body of %d bytes that nobody sent (%s)", node, p.path, len(body), status)
	case version < owed:
		tr.stale.Add(1)
		tr.t.Errorf("STALE: node %d: %s: version %d where %d was acknowledged before the request (%s)", node, p.path, version, owed, status)
	}
	tr.answers[node].Add(1)
	if strings.HasPrefix(status, "weir; hit") {
		tr.hits[node].Add(1)
	}
}

// fault is anything wrong besides staleness; only the first few are told.
func (tr *truth) fault(format string, v ...any) {
	if tr.faults.Add(1) < 10 {
		tr.t.Errorf(format, v...)
	}
}

func fetchPage(ctx context.Context, c *http.Client, url string) (body []byte, status string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	req.Host = "pages.example"
	resp, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %.200s", resp.StatusCode, body)
	}
	return body, resp.Header.Get("Cache-Status"), err
}
