package load_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"weir/loadtest/load"
	"weir/loadtest/loadorigin"
	"weir/loadtest/workload"
)

// The origin's counts are of the time that the answers are of.
func TestOriginIsCountedAfterTheWarmup(t *testing.T) {
	origin, _ := startOrigin(t, loadorigin.Options{})
	res := run(t, load.Options{
		Target: origin, Path: "/x;size=64", Connections: 4, Origin: origin, Warmup: time.Second,
		Schedule: workload.Constant{PerSecond: 200, For: 1500 * time.Millisecond},
	})
	// What is late at the end of the warm-up may be counted on either side; all of the warm-up are 200 more.
	if res.Answers != 100 || res.Origin == nil || res.Origin.Requests == 0 || res.Origin.Requests > 200 {
		t.Errorf("%d answers, the origin %+v, %s", res.Answers, res.Origin, res.OriginError)
	}
	res = run(t, load.Options{Target: origin, Path: "/x;size=64", Connections: 1, Origin: origin, Warmup: time.Hour, Requests: 10})
	if res.Answers != 0 || res.Origin != nil || !strings.Contains(res.OriginError, "warm-up") {
		t.Errorf("nothing but a warm-up: %d answers, the origin %+v, %q", res.Answers, res.Origin, res.OriginError)
	}
}

// An origin that does not say what it was asked is named, not passed over.
func TestOriginThatDoesNotSay(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	origin, _ := startOrigin(t, loadorigin.Options{})
	res := run(t, load.Options{Target: origin, Path: "/x;size=64", Connections: 1, Origin: "http://" + ln.Addr().String(), Requests: 10})
	if res.Answers != 10 || res.Origin != nil || !strings.Contains(res.OriginError, "refused") {
		t.Errorf("%d answers, the origin %+v, %q", res.Answers, res.Origin, res.OriginError)
	}
}
