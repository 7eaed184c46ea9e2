package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const metricsConfig = `listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
tiers:
  ram:  {size: 16MiB, max_object: 64KiB}
  disk: {path: %q, size: 256MiB, max_object: 64MiB}
origins:
  shop: {servers: [%q]}
  gone: {servers: [%q], retries: 0}
policies:
  - {name: gone, match: {path: "/gone/*"}, origin: gone}
  - {name: live, match: {path: "/live/*"}, origin: shop, pass: true}
  - {name: shop, origin: shop}
`

// promised are the metrics of the contract that a single node has: the type, the
// labels, and values that each label must have by the end of the test.
var promised = []struct {
	name, kind string
	labels     []string
	series     []string
}{
	{"weir_requests_total", "counter", []string{"result", "tier"}, []string{
		`result="miss",tier="origin"`, `result="hit",tier="ram"`, `result="hit",tier="disk"`, `result="pass",tier="origin"`, `result="failed",tier="none"`,
	}},
	{"weir_request_duration_seconds", "histogram", []string{"tier"}, []string{`tier="ram"`, `tier="disk"`, `tier="origin"`, `tier="none"`}},
	{"weir_time_to_first_byte_seconds", "histogram", []string{"tier"}, []string{`tier="ram"`, `tier="disk"`, `tier="origin"`, `tier="none"`}},
	{"weir_response_bytes_total", "counter", []string{"tier"}, []string{`tier="ram"`, `tier="disk"`, `tier="origin"`}},
	{"weir_responses_total", "counter", []string{"policy", "status"}, []string{
		`policy="shop",status="2xx"`, `policy="live",status="2xx"`, `policy="gone",status="5xx"`,
	}},
	{"weir_policy_requests_total", "counter", []string{"policy", "result"}, []string{
		`policy="shop",result="hit"`, `policy="live",result="pass"`, `policy="gone",result="failed"`,
	}},
	{"weir_policy_response_bytes_total", "counter", []string{"policy", "tier"}, []string{
		`policy="shop",tier="ram"`, `policy="shop",tier="disk"`, `policy="live",tier="origin"`, `policy="gone",tier="none"`,
	}},
	{"weir_origin_requests_total", "counter", []string{"origin", "outcome"}, []string{`origin="shop",outcome="ok"`, `origin="gone",outcome="refused"`}},
	{"weir_origin_duration_seconds", "histogram", []string{"origin"}, []string{`origin="shop"`, `origin="gone"`}},
	{"weir_origin_offload_ratio", "gauge", nil, []string{""}},
	{"weir_origin_byte_offload_ratio", "gauge", nil, []string{""}},
	{"weir_coalesced_requests_total", "counter", nil, nil},
	{"weir_tier_bytes", "gauge", []string{"tier"}, []string{`tier="ram"`, `tier="disk"`}},
	{"weir_tier_objects", "gauge", []string{"tier"}, []string{`tier="ram"`, `tier="disk"`}},
	{"weir_evictions_total", "counter", []string{"tier", "reason"}, nil},
	{"weir_not_cached_total", "counter", []string{"reason"}, []string{`reason="no-store"`}},
	// Not of the contract, but what the disk tier's health is read from.
	{"weir_corrupt_records_total", "counter", []string{"tier"}, nil},
	{"weir_disk_rebuilds_total", "counter", nil, nil},
	{"weir_disk_full_total", "counter", nil, nil},
	{"weir_disk_errors_total", "counter", []string{"op"}, nil},
	{"weir_disk_written_bytes_total", "counter", []string{"kind"}, []string{`kind="object"`, `kind="meta"`}},
}

// TestMetricsOfTheContract sends some of each kind of traffic, and finds every
// metric that is promised on the admin plane, in a page that promtool accepts.
func TestMetricsOfTheContract(t *testing.T) {
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		size := 1000
		switch r.URL.Path {
		case "/private":
			w.Header().Set("Cache-Control", "no-store")
		case "/film":
			size = 1 << 20
		}
		_, _ = w.Write(make([]byte, size))
	}))
	defer shop.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close() // nobody listens there any more
	n := startNode(t, fmt.Sprintf(metricsConfig, t.TempDir(), shop.URL, gone.URL))
	defer stopNode(t, n)
	data, admin := n.addresses()
	for _, step := range []struct {
		path   string
		status int
		says   string
	}{
		{"/page", 200, "fwd=uri-miss"},
		{"/page", 200, "hit"},
		{"/film", 200, "fwd=uri-miss"},
		{"/film", 200, "detail=disk"},
		{"/live/a", 200, "fwd="},
		{"/private", 200, "fwd=uri-miss"},
		{"/gone/a", 502, "detail="},
	} {
		resp, _ := fetchAll(t, data[0]+step.path)
		if says := resp.Header.Get("Cache-Status"); resp.StatusCode != step.status || !strings.Contains(says, step.says) {
			t.Errorf("%s: %s, %s; want %d, %s", step.path, resp.Status, says, step.status, step.says)
		}
	}
	var page string
	// A request is counted after its last byte has gone out.
	if !poll(func() bool {
		_, page = fetchAll(t, admin+"/metrics")
		return strings.Contains(page, "\nweir_requests_in_flight 0\n") && strings.Contains(page, "\nweir_flights 0\n")
	}) {
		t.Fatalf("the requests do not end:\n%s", page)
	}
	for _, m := range promised {
		checkFamily(t, page, m.name, m.kind, m.labels, m.series)
	}
	checkBuckets(t, page)
	promtoolAccepts(t, page)
}

func fetchAll(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

var labelName = regexp.MustCompile(`([a-z_]+)="`)

// checkFamily looks for a family's type, for its labels on every sample, and for
// the series that must not be zero.
func checkFamily(t *testing.T, page, name, kind string, labels, series []string) {
	t.Helper()
	if !strings.Contains(page, "\n# TYPE "+name+" "+kind+"\n") && !strings.HasPrefix(page, "# TYPE "+name+" "+kind+"\n") {
		t.Errorf("%s is not there as a %s", name, kind)
		return
	}
	sample := regexp.MustCompile(`(?m)^` + name + `(?:_bucket|_sum|_count)?(?:\{(.*)\})? (\S+)$`)
	nonZero := make(map[string]bool)
	found := 0
	for _, m := range sample.FindAllStringSubmatch(page, -1) {
		found++
		var got []string
		for _, l := range labelName.FindAllStringSubmatch(m[1], -1) {
			if l[1] != "le" {
				got = append(got, l[1])
			}
		}
		if !slices.Equal(got, labels) {
			t.Errorf("%s has labels %q, want %q", m[0], got, labels)
		}
		if m[2] != "0" {
			nonZero[m[1]] = true
		}
	}
	if found == 0 {
		t.Errorf("%s has no sample", name)
	}
	for _, s := range series {
		if !nonZero[s] {
			t.Errorf("%s{%s} is absent or zero; not so are %q", name, s, slices.Sorted(maps.Keys(nonZero)))
		}
	}
}

// checkBuckets: from 50 us to 60 s, as the contract says.
func checkBuckets(t *testing.T, page string) {
	t.Helper()
	for _, le := range []string{"5e-05", "0.01", "60", "+Inf"} {
		if want := `weir_request_duration_seconds_bucket{tier="ram",le="` + le + `"} `; !strings.Contains(page, want) {
			t.Errorf("there is no %s", want)
		}
	}
}

// promtoolAccepts has Prometheus's own linter read the page.
func promtoolAccepts(t *testing.T, page string) {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		const how = "cannot find promtool (Debian: apt-get install prometheus): %v"
		if os.Getenv("WEIR_REQUIRE_TOOLS") == "1" {
			t.Fatalf(how, err)
		}
		t.Skipf(how, err)
	}
	cmd := exec.CommandContext(context.Background(), tool, "check", "metrics")
	cmd.Stdin = strings.NewReader(page)
	// It exits 0 on some of its complaints, so silence is asked for too.
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestFailingDiskIsNotCorrupt: a disk tier that cannot be used is down; nothing
// stored failed its check.
func TestFailingDiskIsNotCorrupt(t *testing.T) {
	shop := httptest.NewServer(http.NotFoundHandler())
	defer shop.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, fmt.Sprintf(metricsConfig, filepath.Join(file, "cache"), shop.URL, shop.URL))
	defer stopNode(t, n)
	var page bytes.Buffer
	if err := n.metrics.WriteMetrics(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"weir_disk_up 0\n", `weir_corrupt_records_total{tier="disk"} 0` + "\n"} {
		if !strings.Contains(page.String(), "\n"+want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}
