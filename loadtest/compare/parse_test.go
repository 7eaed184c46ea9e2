package compare

import (
	"strings"
	"testing"
	"time"
)

const wrkOutput = `Running 2s test @ http://127.0.0.1:40111
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.50ms    9.71ms 133.94ms   97.03%
    Req/Sec    18.91k     5.55k   29.02k    70.00%
  37731 requests in 2.00s, 46.70MB read
Requests/sec:  18850.21
Transfer/sec:     23.33MB

{"requests":37731,"duration_us":2001621,"bytes":48974838,"connect":0,"read":0,"write":0,"status":0,"timeout":0,"p50_us":2503,"p99_us":133941,"p999_us":160025,"max_us":161000}
`

func TestParseWrk(t *testing.T) {
	w, err := parseWrk([]byte(wrkOutput))
	if err != nil {
		t.Fatal(err)
	}
	if w.Requests != 37731 || w.P50 != 2503 || w.P99 != 133941 || w.P999 != 160025 || w.Bytes != 48974838 {
		t.Errorf("read %+v", w)
	}
	if got := w.perSecond(); got < 18850 || got > 18851 {
		t.Errorf("%.1f a second, 18850.2 was expected", got)
	}
	if f := w.faults(); f != "" {
		t.Errorf("faults without a reason: %s", f)
	}
}

func TestParseWrkRefuses(t *testing.T) {
	for name, out := range map[string]string{
		"nothing":       "",
		"no result":     "unable to connect to 127.0.0.1:1 Connection refused\n",
		"cut off":       wrkOutput[:strings.Index(wrkOutput, `"bytes"`)],
		"no answer":     strings.Replace(wrkOutput, `"requests":37731`, `"requests":0`, 1),
		"no time":       strings.Replace(wrkOutput, `"duration_us":2001621`, `"duration_us":0`, 1),
		"not a number":  strings.Replace(wrkOutput, `"p50_us":2503`, `"p50_us":nan`, 1),
		"a Lua failure": "load.lua:30: attempt to call a nil value\n",
	} {
		if w, err := parseWrk([]byte(out)); err == nil {
			t.Errorf("%s: read %+v", name, w)
		}
	}
}

func TestWrkFaultsAreNamed(t *testing.T) {
	w := wrkResult{Connect: 1, Read: 2, Status: 3, Timeout: 4}
	const want = "1 connects failed, 2 reads failed, 3 answers of 400 and above, 4 answers too late"
	if got := w.faults(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseStat(t *testing.T) {
	// The name holds what would end it.
	s, err := parseStat("42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 150 50 20 5 20 0 9 0 1000 1 2")
	if err != nil {
		t.Fatal(err)
	}
	if want := (procStat{pid: 42, parent: 7, cpu: 2250 * time.Millisecond}); s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	for _, bad := range []string{"", "42 a S 7", "x (a) S 7 42 42 0 -1 0 0 0 0 0 1 1 1 1", "42 (a) S 7", "42 (a) S 7 1 1 1 1 1 1 1 1 1 x 1 1 1"} {
		if s, err := parseStat(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, s)
		}
	}
}

func TestParseBusy(t *testing.T) {
	const text = "cpu  100 0 100 9999 5 0 0 0 0 0\ncpu0 10 1 20 5000 7 2 3 4 99 0\ncpu1 1 0 1 4999 0 0 0 0 0 0\ncpu10 7 0 0 0 0 0 0 0 0 0\nintr 5\n"
	for want, cores := range map[time.Duration][]int{
		400 * time.Millisecond: {0}, // user nice system irq softirq steal: neither idle, iowait nor guest
		20 * time.Millisecond:  {1},
		420 * time.Millisecond: {0, 1},
	} {
		if got, err := parseBusy(text, cores); err != nil || got != want {
			t.Errorf("cores %v: %s (%v), want %s", cores, got, err, want)
		}
	}
	if _, err := parseBusy(text, []int{2}); err == nil {
		t.Error("a core that is not there was read")
	}
}

func TestParseMachine(t *testing.T) {
	model, virtual := parseCPU("processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu vme hypervisor\n\n")
	if model != "AMD EPYC" || !virtual {
		t.Errorf("model %q, virtual %t", model, virtual)
	}
	if model, virtual := parseCPU("flags: fpu\n"); model != "unknown" || virtual {
		t.Errorf("model %q, virtual %t", model, virtual)
	}
	if got := parseRelease("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"); got != "Debian GNU/Linux 12 (bookworm)" {
		t.Errorf("system %q", got)
	}
}

func TestParseWeirload(t *testing.T) {
	w, err := parseWeirload([]byte(`{"result": {"complete": true, "rate": 1000.5, "hit_ratio": 0.8, "faults": {"total": 2}, "tiers": [
		{"tier": "miss", "answers": 5, "latency": {"p999_us": 9}},
		{"tier": "ram", "answers": 20, "latency": {"p50_us": 1, "p99_us": 2, "p999_us": 3}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if h := w.hits(); h.Answers != 20 || h.Latency.P999 != 3 || w.Rate != 1000.5 || w.Faults.Total != 2 {
		t.Errorf("read %+v", w)
	}
	for _, bad := range []string{"", "{}", `{"result": {"complete": false, "ended": "gave up"}}`} {
		if w, err := parseWeirload([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, w)
		}
	}
}
