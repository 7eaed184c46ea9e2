package origin

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
)

// answering10KiB is a server that answers every request with 10 KiB, in one write.
func answering10KiB(tb testing.TB) string {
	answer := []byte(ok + "Content-Length: 10240\r\nContent-Type: text/html\r\nCache-Control: max-age=60\r\n\r\n" + strings.Repeat("x", 10240))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 4096)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
						_, _ = c.Write(answer)
					}
				}
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

func pool10KiB(tb testing.TB) *Pool {
	p, err := New(Config{Servers: urls(answering10KiB(tb))})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

func fetch10KiB(tb testing.TB, ctx context.Context, p *Pool, r *Request, buf []byte) {
	resp, err := p.Do(ctx, r)
	if err != nil {
		tb.Fatal(err)
	}
	n := 0
	for err == nil {
		var more int
		more, err = resp.Body.Read(buf)
		n += more
	}
	if err != io.EOF || n != 10240 {
		tb.Fatal(n, err)
	}
	resp.Body.Close()
}

// TestExchangeAllocates holds what an exchange costs: the request made ready with the
// response, one string for the header, and its fields.
func TestExchangeAllocates(t *testing.T) {
	p, r, buf := pool10KiB(t), get("/"), make([]byte, 32<<10)
	ctx := context.Background()
	if n := testing.AllocsPerRun(200, func() { fetch10KiB(t, ctx, p, r, buf) }); n > 5 {
		t.Errorf("an exchange allocates %v times", n)
	}
	immediate := 0
	n := testing.AllocsPerRun(200, func() {
		resp, err := p.Do(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if body, ok := resp.Immediate(1 << 20); ok && len(body) == 10240 {
			immediate++
		} else if _, err := io.CopyBuffer(io.Discard, resp.Body, buf); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	})
	if n > 6 || immediate == 0 {
		t.Errorf("with its body an exchange allocates %v times; %d bodies were there at once", n, immediate)
	}
}

func BenchmarkExchange(b *testing.B) {
	p, r, buf := pool10KiB(b), get("/"), make([]byte, 32<<10)
	for name, ctx := range map[string]context.Context{"uncancellable": context.Background(), "cancellable": b.Context()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(10240)
			b.ReportAllocs()
			for b.Loop() {
				fetch10KiB(b, ctx, p, r, buf)
			}
		})
	}
}
