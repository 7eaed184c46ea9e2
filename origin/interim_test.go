package origin

import (
	"context"
	"errors"
	"net/textproto"
	"sync/atomic"
	"testing"
)

// TestInterimsEndWithDo: whoever called Do is handed nothing once it has returned, although net/http may still have the
// bytes of interim responses, and go on reading them.
func TestInterimsEndWithDo(t *testing.T) {
	const hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	gone := make(chan struct{})
	s := newScript(t, func(p *peer) {
		for p.head() != "" {
			p.say(hint + hint) // in one piece
			<-gone
		}
	})
	p := pool(t, Config{Servers: []string{s.url()}})
	ctx, cancel := context.WithCancel(t.Context())
	var inside, returned atomic.Bool
	r := get("/")
	r.Got1xx = func(int, textproto.MIMEHeader) error {
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
	in := &interims{x: &exchange{out: &outgoing{got1xx: func(int, textproto.MIMEHeader) error {
		called.Add(1)
		return nil
	}}}}
	if err := in.got(103, nil); err != nil || called.Load() != 1 {
		t.Errorf("%v, called %d times", err, called.Load())
	}
	in.end()
	if err := in.got(103, nil); !errors.Is(err, errOver) || called.Load() != 1 {
		t.Errorf("after the end: %v, called %d times", err, called.Load())
	}
}
