package origin

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestProven: the end of a connection proves a body complete only when it comes
// at the time that the server announced.
func TestProven(t *testing.T) {
	const (
		head    = "HTTP/1.1 200 OK\r\n"
		promise = "Keep-Alive: timeout=5\r\n"
		length  = "Content-Length: 4\r\n"
		chunks  = "Transfer-Encoding: chunked\r\n"
		odd     = "Transfer-Encoding: odd\r\n"
		s       = time.Second
	)
	tests := []struct {
		name, raw        string
		silence          time.Duration
		provable, proven bool
	}{
		{"no promise", head + "\r\nbody", 5 * s, false, false},
		{"at once", head + promise + "\r\nbody", 0, true, false},
		{"too early", head + promise + "\r\nbody", 3 * s, true, false},
		{"on time", head + promise + "\r\nbody", 5 * s, true, true},
		{"on time, unknown coding", head + odd + promise + "\r\nbody", 5 * s, true, true},
		{"a second late, as node.js is", head + promise + "\r\nbody", 6 * s, true, true},
		{"too late", head + promise + "\r\nbody", 20 * s, true, false},
		{"length", head + length + "\r\nbody", 0, true, true},
		{"chunks", head + chunks + "\r\n4\r\nbody\r\n0\r\n\r\n", 0, true, true},
		{"a promise too short to tell", head + "Keep-Alive: timeout=1\r\n\r\nbody", 1 * s, true, false},
		{"the promise of an interim response", "HTTP/1.1 103 E\r\n" + promise + "\r\n" + head + "\r\nbody", 5 * s, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				resp, body := ends(t, tt.raw, tt.silence, 0)
				if resp.Provable() != tt.provable || resp.CloseDelimited && resp.Proven() {
					t.Errorf("before the end: provable %v, proven %v", resp.Provable(), resp.Proven())
				}
				if b, err := io.ReadAll(body); string(b) != "body" || err != nil {
					t.Errorf("body %q, %v", b, err)
				}
				if resp.Proven() != tt.proven {
					t.Errorf("after the end: proven %v", resp.Proven())
				}
			})
		})
	}
}

// TestOurPauseIsNotTheServers: the server closes at once, and it is the reader
// that takes five seconds to see it.
func TestOurPauseIsNotTheServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resp, body := ends(t, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\n\r\nbody", 0, 5*time.Second)
		if b, err := io.ReadAll(body); string(b) != "body" || err != nil {
			t.Errorf("body %q, %v", b, err)
		}
		if resp.Proven() {
			t.Error("called proven")
		}
	})
}

// ends asks a server that says raw, is silent and closes; whoever reads takes a
// pause before every read.
func ends(t *testing.T, raw string, silence, pause time.Duration) (*Response, io.Reader) {
	t.Helper()
	p := piped(t, with(Config{}, "http://a"), func(_ int, _ string, far net.Conn) {
		_, _ = readHead(far)
		_, _ = io.WriteString(far, raw)
		time.Sleep(silence)
	})
	t.Cleanup(p.Close)
	resp, err := p.Do(context.Background(), get("/"))
	if err != nil {
		t.Fatal(err)
	}
	return resp, pausing{resp.Body, pause}
}

type pausing struct {
	r     io.Reader
	pause time.Duration
}

func (p pausing) Read(b []byte) (int, error) {
	time.Sleep(p.pause)
	return p.r.Read(b)
}

// TestTrustClose: a pool that trusts the end of a connection takes an orderly one
// behind at least one byte for the end of the body, and nothing else.
func TestTrustClose(t *testing.T) {
	for _, tt := range []struct {
		name, raw, body string
		proven          bool
	}{
		{"an orderly end", "HTTP/1.1 200 OK\r\n\r\nbody", "body", true},
		{"an orderly end, HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nbody", "body", true},
		{"no byte", "HTTP/1.1 200 OK\r\n\r\n", "", false},
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", "body", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := piped(t, with(Config{TrustClose: true}, "http://a"), func(_ int, _ string, far net.Conn) {
					_, _ = readHead(far)
					_, _ = io.WriteString(far, tt.raw)
				})
				resp, err := p.Do(t.Context(), get("/"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(p.Close)
				defer resp.Body.Close()
				if !resp.Provable() || resp.CloseDelimited && resp.Proven() {
					t.Errorf("before the end: provable %v, proven %v", resp.Provable(), resp.Proven())
				}
				if b, err := io.ReadAll(resp.Body); string(b) != tt.body || err != nil {
					t.Errorf("body %q, %v", b, err)
				}
				if resp.Proven() != tt.proven {
					t.Errorf("after the end: proven %v", resp.Proven())
				}
			})
		})
	}
}
