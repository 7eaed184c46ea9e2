package load_test

import (
	"net/http"
	"strings"
	"testing"

	"weir/loadtest/load"
	"weir/loadtest/loadorigin"
)

func TestSizeOf(t *testing.T) {
	for target, want := range map[string]int64{
		"/o/1":                       -1,
		"/o/1;size=1024":             1024,
		"/o/1;max-age=5;size=64;x":   64,
		"/o/1?size=1024":             1024,
		"/o/1?a=b&size=1024&c":       1024,
		"/o/1;size=64?size=128":      128,
		"/o/1;size=64;size=128":      128,
		"/o/1?a;size=64":             -1,
		"/o/1&size=64":               -1,
		"/o/1;size=-5":               -1,
		"/o/1;size=64?size=much":     64,
		"/o/1;size=9999999999999999": -1,
	} {
		if got := load.SizeOf(target); got != want {
			t.Errorf("%s: %d, want %d", target, got, want)
		}
	}
}

// A cut body with the right framing shows whichever way the URL says its size; and when nothing says it, the result says so.
func TestLengthOfOneObject(t *testing.T) {
	origin, _ := startOrigin(t, loadorigin.Options{})
	target := startCache(t, &cache{origin: origin, bad: every(10), wrong: func(_ *cache, w http.ResponseWriter, e *entry) {
		w.Write(e.body[:len(e.body)/2])
	}})
	for _, path := range []string{"/x;size=1024", "/x?size=1024"} {
		res := run(t, load.Options{Target: target, Path: path, Connections: 1, Requests: 100})
		wantOnly(t, res, load.FaultSize, 10)
		if !res.Lengths {
			t.Errorf("%s: lengths not compared", path)
		}
	}
	if res := run(t, load.Options{Target: target, Path: "/x", Connections: 1, Requests: 100}); res.Lengths || !res.Verified || res.Faults.Total != 0 {
		t.Errorf("without a size: lengths %v, verified %v, faults %+v", res.Lengths, res.Verified, res.Faults)
	}
}

// Below 64 bytes bodies cannot be told apart, wherever the size stands.
func TestSmallSizeInTheURL(t *testing.T) {
	for _, path := range []string{"/x;size=10", "/x?size=10"} {
		o := load.Options{Target: "http://127.0.0.1:1", Path: path, Requests: 1}
		if _, err := load.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "size 10 B: with verification 64 B") {
			t.Errorf("%s: %v", path, err)
		}
		o = o.WithDefaults()
		if o.NoVerify = true; o.Check() != nil {
			t.Errorf("%s, not verified: %v", path, o.Check())
		}
	}
}
