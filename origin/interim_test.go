package origin

import (
	"context"
	"sync/atomic"
	"testing"

	"weir/policy"
)

// TestInterimsEndWithDo: the caller of Do is handed nothing once it has returned, although more interim responses may have
// come, and with HTTP/2 are still read.
func TestInterimsEndWithDo(t *testing.T) {
	const hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	gone := make(chan struct{})
	s := newScript(t, func(p *peer) {
		for p.head() != "" {
			p.say(hint + hint) // in one piece
			<-gone
		}
	})
	p := pool(t, Config{Servers: urls(s.url())})
	ctx, cancel := context.WithCancel(t.Context())
	var inside, returned atomic.Bool
	r := get("/")
	r.Interim = func(int, policy.Fields) error {
		if returned.Load() {
			t.Error("called after Do had returned")
		}
		inside.Store(true)
		cancel()
		<-ctx.Done()
		inside.Store(false)
		return nil
	}
	_, err := p.Do(ctx, r)
	returned.Store(true)
	if inside.Load() {
		t.Error("Do returned during a call")
	}
	close(gone)
	wantKind(t, err, Canceled)

	var called atomic.Int64
	over := &stream{x: &exchange{pool: p, out: &outgoing{interim: func(int, policy.Fields) error {
		called.Add(1)
		return nil
	}}}}
	if err := over.got1xx(103, nil); err != nil || called.Load() != 1 {
		t.Errorf("%v, called %d times", err, called.Load())
	}
	over.over = true
	if err := over.got1xx(103, nil); err == nil || called.Load() != 1 {
		t.Errorf("after the end: %v, called %d times", err, called.Load())
	}
}
