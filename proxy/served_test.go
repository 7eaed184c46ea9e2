package proxy

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkServed is BenchmarkHit with the whole server, from the bytes of a
// request to those of the answer, on a connection without a kernel.
func BenchmarkServed(b *testing.B) {
	for _, c := range []struct{ name, raw string }{
		{"browser", strings.ReplaceAll(browserRequest, "\n", "\r\n") + "\r\n\r\n"},
		{"bare", "GET /o/1;size=1024 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := newBench(b, Options{}, "", staticOrigin{hitHeader, make([]byte, 1<<10)})
			h.hitUntil(h.request(strings.TrimSuffix(strings.ReplaceAll(c.raw, "\r\n", "\n"), "\n\n")), "hit")
			conn := &memoryConn{request: []byte(c.raw), left: b.N, closed: make(chan struct{})}
			ln := &memoryListener{conns: make(chan net.Conn, 1)}
			h.serve(ln)
			b.ReportAllocs()
			b.ResetTimer()
			ln.conns <- conn
			<-conn.closed
			b.StopTimer()
			if conn.hits != b.N {
				b.Errorf("%d of %d answers are hits", conn.hits, b.N)
			}
		})
	}
}

var memoryAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711}

// memoryConn gives the same request again and again, and looks at the answers.
type memoryConn struct {
	net.Conn
	request    []byte
	left, hits int
	closed     chan struct{}
	once       sync.Once
}

func (c *memoryConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	c.left--
	return copy(p, c.request), nil
}

func (c *memoryConn) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("HTTP/1.1 200 OK\r\n")) {
		c.hits++
	}
	return len(p), nil
}

func (c *memoryConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (*memoryConn) RemoteAddr() net.Addr             { return memoryAddr }
func (*memoryConn) LocalAddr() net.Addr              { return memoryAddr }
func (*memoryConn) SetDeadline(time.Time) error      { return nil }
func (*memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (*memoryConn) SetWriteDeadline(time.Time) error { return nil }

// memoryListener accepts what is put into conns.
type memoryListener struct {
	conns chan net.Conn
	once  sync.Once
}

func (l *memoryListener) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.conns) })
	return nil
}

func (*memoryListener) Addr() net.Addr { return memoryAddr }
