package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"weir/loadtest/load"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func sample() *Report {
	l := load.Latency{Count: 990, MeanUS: 120.5, P50US: 100, P90US: 200, P99US: 1500, P999US: 1_000_000, P9999: 1_010_000, MaxUS: 1_020_000}
	curve := []load.CurvePoint{{Percent: 0, US: 50}, {Percent: 50, US: 100}, {Percent: 99, US: 1500}, {Percent: 100, US: 1_020_000}}
	return &Report{
		Tool: "weirload", Version: "v1", Started: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Command: []string{"run", "http://127.0.0.1:80", "--rate", "100"},
		Settings: []Setting{{"load", "100 requests a second"}},
		Result: &load.Result{
			Target: "http://127.0.0.1:80", Loop: "open", Engine: "loop", DurationS: 10, MeasuredS: 9, Ended: "gave up", Verified: true, Lengths: true,
			Requests: 1000, Answers: 990, Unsent: 3, InFlight: 2, LongestUS: 2_500_000, Rate: 110, Bytes: 1_000_000, ByteRate: 111_111, Opened: 64, Reopened: 2, CPUSeconds: 0.5,
			Latency: l, Service: l, Lag: l, Curve: curve, HitRatio: 0.9,
			Tiers: []load.TierResult{
				{Tier: "ram", Answers: 900, Bytes: 900_000, Latency: l, FirstByte: l, Curve: curve},
				{Tier: "miss", Answers: 90, Bytes: 100_000, Latency: l, FirstByte: l, Curve: curve},
			},
			Statuses:  map[string]int64{"200": 990},
			Faults:    load.Faults{Total: 12, Stale: 2, Broken: 10, Kinds: map[string]int64{"stale": 2, "cut": 10}},
			Examples:  []load.Example{{AtS: 1.5, Request: "GET /<script>", Kind: "stale", Fault: "version 1"}},
			IntervalS: 0.1, Timeline: []load.Slot{{Answers: 10, Rate: 100, P50US: 100, P99US: 200, P999US: 300, MaxUS: 400}, {AtS: 0.1, Answers: 12, Rate: 120, Faults: 1, Purges: 1, P50US: 110, P99US: 220, P999US: 330, MaxUS: 440}},
			Purges: &load.PurgeResult{Asked: 1, Done: 1, Ack: l}, Origin: &load.OriginResult{Requests: 99, NotModified: 1, Bytes: 1000},
		},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if *rewrite {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-rewrite writes it anew):\n%s", path, got)
	}
}

// The names in the JSON are a promise: other programs read them.
func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", b.Bytes())
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back.Result.Latency.P999US != 1_000_000 {
		t.Errorf("it does not read back: %v, %+v", err, back)
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.txt", b.Bytes())
}

// The page works without a network, and shows what a URL holds as text.
func TestHTML(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	s := b.String()
	if n := strings.Count(s, "<svg"); n != 3 {
		t.Errorf("%d charts, want 3", n)
	}
	for _, bad := range []string{"<script", "src=", "@import", "<link", "<style>@"} {
		if strings.Contains(s, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, want := range []string{"Not complete: gave up", "p999", "Latency by percentile", "Throughput", "GET /&lt;script&gt;"} {
		if !strings.Contains(s, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// A run that measured nothing has a page all the same.
func TestHTMLOfNothing(t *testing.T) {
	r := &Report{Result: &load.Result{Target: "http://127.0.0.1:1", Ended: "gave up"}}
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil || strings.Contains(b.String(), "<svg") {
		t.Errorf("%v, %s", err, &b)
	}
}

// The page says what the exit status says.
func TestHeadline(t *testing.T) {
	right := func() *load.Result {
		return &load.Result{Complete: true, Verified: true, DurationS: 2, MeasuredS: 2, Requests: 40, Answers: 40}
	}
	for _, tc := range []struct {
		want string
		bad  bool
		with func(*load.Result)
	}{
		{"Every one of 40 answers was right", false, func(*load.Result) {}},
		{"No faults by status and framing; bodies were not compared", false, func(r *load.Result) { r.Verified = false }},
		{"1 of 40 answers were faulty: 1 stale, 0 wrong, 0 broken", true, func(r *load.Result) { r.Faults.Total, r.Faults.Stale = 1, 1 }},
		{"7 of 9 purges failed; the first: 403 for /a", true, func(r *load.Result) {
			r.Purges = &load.PurgeResult{Asked: 9, Done: 2, Failed: 7, First: []string{"403 for /a", "503 for /b"}}
		}},
		{"Nothing was answered", true, func(r *load.Result) { r.Answers = 0 }},
		{"Nothing was measured: the warm-up covers all requests", true, func(r *load.Result) { r.Answers, r.Requests, r.MeasuredS = 0, 0, 0 }},
		{"Not complete: gave up", true, func(r *load.Result) { r.Complete, r.Ended, r.Answers = false, "gave up", 0 }},
	} {
		r := &Report{Result: right()}
		tc.with(r.Result)
		var b bytes.Buffer
		if err := r.WriteHTML(&b); err != nil {
			t.Fatal(err)
		}
		class := map[bool]string{true: "verdict bad", false: "verdict"}[tc.bad]
		if !strings.Contains(b.String(), `<p class="`+class+`">`+tc.want+"</p>") {
			t.Errorf("no %s %q", class, tc.want)
		}
		if p := r.Result.Purges; p != nil && !strings.Contains(b.String(), "<td>503 for /b</td>") {
			t.Error("the page does not say why the second purge failed")
		}
	}
}

func TestUnits(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{Micros(1.2), "1.2 µs"},
		{Micros(999), "999 µs"},
		{Micros(1234), "1.23 ms"},
		{Micros(250_000), "250 ms"},
		{Micros(1_500_000), "1.5 s"},
		{Thousands(-1234567), "-1,234,567"},
		{Thousands(999), "999"},
		{Bytes(1536), "1.5 KiB"},
		{Bytes(5), "5 B"},
		{Percent(0.99999), "> 99.9 %"},
		{Percent(1), "100.0 %"},
	} {
		if tc.got != tc.want {
			t.Errorf("%q, want %q", tc.got, tc.want)
		}
	}
}
