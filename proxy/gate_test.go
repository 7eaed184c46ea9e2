package proxy

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/invalidation"
	"weir/origin"
	"weir/policy"
)

// countingOrigin answers with 304 where it is asked conditionally, counts what it is asked, and fails when told to.
type countingOrigin struct {
	asked, conditional atomic.Int64
	status             atomic.Int64 // 0: as it should
	// hold, when not nil, is waited for before the answer.
	hold atomic.Pointer[chan struct{}]
}

func (o *countingOrigin) Do(ctx context.Context, r *origin.Request) (*origin.Response, error) {
	o.asked.Add(1)
	if c := o.hold.Load(); c != nil {
		select {
		case <-*c:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	resp := &origin.Response{Status: 200, Fields: policy.Fields{
		{Name: "Cache-Control", Value: "max-age=3600, stale-if-error=3600, stale-while-revalidate=3600"}, {Name: "Etag", Value: `"1"`},
	}}
	body := "hello"
	switch {
	case o.status.Load() != 0:
		resp.Status, resp.Fields, body = int(o.status.Load()), nil, ""
	case r.Fields.Has("If-None-Match"):
		o.conditional.Add(1)
		resp.Status, body = 304, ""
	}
	resp.ContentLength = int64(len(body))
	resp.Body = io.NopCloser(bytes.NewReader([]byte(body)))
	return resp, nil
}

// TestClosedGate: what is stored is used only when the origin has confirmed it during the closure; no fetch from before
// it is joined, and nothing stands in for an origin that fails.
func TestClosedGate(t *testing.T) {
	for _, dir := range []string{"", "disk"} {
		t.Run("in "+dir, func(t *testing.T) {
			purges, err := invalidation.Open(invalidation.Options{Node: "n1"})
			if err != nil {
				t.Fatal(err)
			}
			defer purges.Close()
			if dir != "" {
				dir = t.TempDir()
			}
			o := &countingOrigin{}
			b := newBench(t, Options{Invalidation: purges}, dir, o)
			r := b.request("GET /a HTTP/1.1\nHost: h.example")
			step := func(what, want string, asked, conditional int64) {
				t.Helper()
				got := b.do(r)
				b.p.fetch.Wait()
				if !strings.Contains(got, want) || o.asked.Load() != asked || o.conditional.Load() != conditional {
					t.Errorf("%s: %q after %d requests, %d of them conditional; want %q, %d, %d",
						what, got, o.asked.Load(), o.conditional.Load(), want, asked, conditional)
				}
			}
			step("first", "stored", 1, 0)
			step("open", "; hit", 1, 0)
			purges.Gate().Close()
			step("closed", "fwd=stale; fwd-status=304; stored", 2, 1)
			step("confirmed in this closure", "; hit", 2, 1)
			purges.Gate().Close()
			o.status.Store(500)
			step("next closure, the origin fails", "fwd=stale; fwd-status=500; detail=unconfirmed", 3, 1)
			if r.Code() != 500 {
				t.Errorf("answered %d: something stood in", r.Code())
			}
			o.status.Store(0)
			step("the origin is back", "fwd-status=304", 4, 2)
			if got := b.do(b.request("GET /a HTTP/1.1\nHost: h.example\nCache-Control: only-if-cached")); !strings.Contains(got, "; hit") {
				t.Errorf("only-if-cached, confirmed: %q", got)
			}
			purges.Gate().Close()
			if got := b.do(b.request("GET /a HTTP/1.1\nHost: h.example\nCache-Control: only-if-cached")); strings.Contains(got, "; hit") {
				t.Errorf("only-if-cached, unconfirmed: %q", got)
			}
			purges.Gate().OpenUntil(time.Now().Add(time.Hour))
			step("open again", "; hit", 4, 2)
		})
	}
}

// TestClosedGateJoinsNothingOlder: the losing interleaving is a fetch that began before the process was stopped, and a
// request that comes after it.
func TestClosedGateJoinsNothingOlder(t *testing.T) {
	purges, err := invalidation.Open(invalidation.Options{Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	defer purges.Close()
	o := &countingOrigin{}
	b := newBench(t, Options{Invalidation: purges}, "", o)
	hold := make(chan struct{})
	o.hold.Store(&hold)
	answers := make(chan string, 2)
	ask := func() {
		r := b.request("GET /a HTTP/1.1\nHost: h.example")
		go func() { answers <- b.do(r) }()
	}
	wait := func(asked int64) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); o.asked.Load() < asked; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the origin was asked %d times, want %d", o.asked.Load(), asked)
			}
		}
	}
	ask()
	wait(1)
	purges.Gate().Close()
	ask()
	wait(2) // it did not join
	close(hold)
	for range 2 {
		if got := <-answers; strings.Contains(got, "collapsed") {
			t.Errorf("shared with a request from after the closure: %q", got)
		}
	}
	b.p.fetch.Wait()
}
