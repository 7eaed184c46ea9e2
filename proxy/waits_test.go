package proxy

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/origin"
	"weir/policy"
)

// hourOrigin answers with what is fresh for an hour, and says nothing of stale use.
type hourOrigin struct{ countingOrigin }

func (o *hourOrigin) Do(ctx context.Context, r *origin.Request) (*origin.Response, error) {
	resp, err := o.countingOrigin.Do(ctx, r)
	if err == nil {
		resp.Fields = policy.Fields{{Name: "Cache-Control", Value: "max-age=3600"}}
	}
	return resp, err
}

// TestOverloadTurnsAway: what would go to an origin is turned away, something stale
// stands in where it may, and what is stored is served as ever.
func TestOverloadTurnsAway(t *testing.T) {
	now := time.Now()
	o := &hourOrigin{}
	b := newBench(t, Options{Now: func() time.Time { return now }}, "", o)
	step := func(request string, status int, want string, asked int64) {
		t.Helper()
		r := b.request(request + "\nHost: h.example")
		got := b.do(r)
		b.p.fetch.Wait()
		code := r.Code()
		_, later, _ := strings.Cut(r.Head(), "Retry-After: ")
		later, _, _ = strings.Cut(later, "\r\n")
		if code != status || !strings.Contains(got, want) || o.asked.Load() != asked {
			t.Errorf("%s: %d, %q, the origin was asked %d times; want %d, %q, %d", request, code, got, o.asked.Load(), status, want, asked)
		}
		if (later != "") != (status == 503) || later != "" && !strings.Contains("123", later) {
			t.Errorf("%s: Retry-After is %q", request, later)
		}
	}
	step("GET /a HTTP/1.1", 200, "stored", 1)
	for range 64 * runtime.GOMAXPROCS(0) {
		b.p.room.Enter() // a crowd
	}
	b.p.overload.Set(1)
	step("GET /a HTTP/1.1", 200, "hit", 1)
	step("GET /b HTTP/1.1", 503, "detail=overloaded", 1)
	step("POST /a HTTP/1.1", 503, "detail=overloaded", 1)
	step("HEAD /b HTTP/1.1", 503, "detail=overloaded", 1)
	now = now.Add(3700 * time.Second)
	step("GET /a HTTP/1.1", 200, "fwd=stale; ttl=-100; detail=stale-if-error", 1)
	b.p.overload.Set(0)
	step("GET /b HTTP/1.1", 200, "stored", 2)
	var page strings.Builder
	if err := b.p.metrics.WriteMetrics(&page); err != nil {
		t.Fatal(err)
	}
	if want := `weir_shed_requests_total{reason="overloaded"} 4`; !strings.Contains(page.String(), want+"\n") {
		t.Errorf("the metrics do not hold %s", want)
	}
}
