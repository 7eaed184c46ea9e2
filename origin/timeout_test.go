package origin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// testTimeout is a timeout that a test with real sockets waits out.
const testTimeout = 100 * time.Millisecond

// piped builds a pool whose connections are pipes inside a synctest bubble: each
// dial calls serve with the number of the dial and the far end.
func piped(t *testing.T, c Config, serve func(n int, addr string, far net.Conn)) *Pool {
	t.Helper()
	var dials atomic.Int32
	p, err := namedPool(c, func(ctx context.Context, addr string) (net.Conn, error) {
		n := int(dials.Add(1))
		if strings.HasPrefix(addr, "hole") {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			serve(n, addr, far)
		}()
		return near, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func readHead(c net.Conn) (*bufio.Reader, error) {
	br := bufio.NewReader(c)
	for {
		line, err := br.ReadString('\n')
		if err != nil || line == "\r\n" {
			return br, err
		}
	}
}

var second = Config{
	ConnectTimeout: time.Second, FirstByteTimeout: 2 * time.Second, BetweenBytesTimeout: 3 * time.Second, WaitTimeout: 4 * time.Second,
}

func with(c Config, servers ...string) Config {
	c.Servers = urls(servers...)
	return c
}

func TestConnectAndFirstByteTimeouts(t *testing.T) {
	tests := []struct {
		name    string
		servers []string
		retries int
		kind    Kind
		took    time.Duration
	}{
		{"connect", []string{"http://hole"}, 0, ConnectTimeout, time.Second},
		{"first byte", []string{"http://mute"}, 0, FirstByteTimeout, 2 * time.Second},
		{"another server gets what is left after a first byte timeout", []string{"http://mute", "http://mute2"}, 5, FirstByteTimeout, 3 * time.Second},
		{"retries share one bound", []string{"http://hole1", "http://hole2", "http://hole3", "http://hole4", "http://hole5"}, 9, ConnectTimeout, 3 * time.Second},
		{"first byte gets what connecting left", []string{"http://hole1", "http://hole2", "http://mute"}, 9, FirstByteTimeout, 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := with(second, tt.servers...)
				c.Retries = tt.retries
				p := piped(t, c, func(_ int, _ string, far net.Conn) { _, _ = io.Copy(io.Discard, far) })
				defer p.Close()
				begin := time.Now()
				_, err := p.Do(t.Context(), get("/"))
				if e := wantKind(t, err, tt.kind); e.Status() != 504 {
					t.Errorf("status is %d", e.Status())
				}
				if took := time.Since(begin); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

// TestSlowButProgressing: every wait stays just below its bound, the whole takes
// many times as long.
func TestSlowButProgressing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := piped(t, with(second, "http://slow"), func(_ int, _ string, far net.Conn) {
			_, _ = readHead(far)
			time.Sleep(1999 * time.Millisecond)
			_, _ = io.WriteString(far, ok+"Content-Length: 20\r\n\r\n")
			for range 20 {
				time.Sleep(2999 * time.Millisecond)
				_, _ = io.WriteString(far, "x")
			}
		})
		defer p.Close()
		resp, body, err := readAll(p, get("/"))
		if err != nil || body != strings.Repeat("x", 20) {
			t.Errorf("%q, %v", body, err)
		}
		if resp.HeaderTime != 1999*time.Millisecond {
			t.Errorf("header time is %v", resp.HeaderTime)
		}
	})
}

func TestStalledBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := piped(t, with(second, "http://stall"), func(_ int, _ string, far net.Conn) {
			_, _ = readHead(far)
			_, _ = io.WriteString(far, ok+"Content-Length: 9\r\n\r\nhello")
			_, _ = io.Copy(io.Discard, far) // until the pool closes the connection
		})
		defer p.Close()
		resp, err := p.Do(t.Context(), get("/"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		// A reader that takes its time is not a server that stalls.
		time.Sleep(time.Hour)
		begin := time.Now()
		_, err = resp.Body.Read(make([]byte, 5))
		wantKind(t, err, Stalled)
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// slowReader hands out one byte per read, each after a pause.
type slowReader struct {
	n     int
	pause time.Duration
}

func (s *slowReader) Read(p []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.pause)
	s.n--
	p[0] = 'x'
	return 1, nil
}

// TestSlowUploadIsTheClientsTime: the client is slower than every timeout; none
// of them is the server's fault, before the header and after it.
func TestSlowUploadIsTheClientsTime(t *testing.T) {
	for _, early := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := piped(t, with(second, "http://taker"), func(_ int, _ string, far net.Conn) {
				br, _ := readHead(far)
				if early {
					_, _ = io.WriteString(far, ok+"Content-Length: 5\r\n\r\n")
				}
				_, _ = io.ReadFull(br, make([]byte, 10))
				time.Sleep(1900 * time.Millisecond)
				if !early {
					_, _ = io.WriteString(far, ok+"Content-Length: 5\r\n\r\n")
				}
				_, _ = io.WriteString(far, "hello")
				_, _ = io.Copy(io.Discard, far)
			})
			defer p.Close()
			r := &Request{Method: "POST", Host: "a.test", Target: "/", Body: &slowReader{n: 10, pause: time.Minute}, ContentLength: 10}
			if _, body, err := readAll(p, r); err != nil || body != "hello" {
				t.Errorf("early %v: %q, %v", early, body, err)
			}
		})
	}
}

func TestServerThatTakesNoUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		p := piped(t, with(second, "http://deaf"), func(_ int, _ string, far net.Conn) {
			_, _ = readHead(far)
			<-block
		})
		defer p.Close()
		defer close(block)
		begin := time.Now()
		r := &Request{Method: "PUT", Host: "a.test", Target: "/", Body: io.LimitReader(zeros{}, 1<<20), ContentLength: 1 << 20}
		_, err := p.Do(t.Context(), r)
		wantKind(t, err, Stalled)
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := with(second, "http://one")
		c.MaxConnsPerServer = 1
		seen := &outcomes{}
		c.Observer = seen
		dials := 0
		p := piped(t, c, func(n int, _ string, far net.Conn) {
			dials = n
			for {
				if _, err := readHead(far); err != nil {
					return
				}
				_, _ = io.WriteString(far, hello)
			}
		})
		defer p.Close()
		first, err := p.Do(t.Context(), get("/"))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		_, err = p.Do(t.Context(), get("/"))
		if e := wantKind(t, err, Busy); e.Status() != 503 || time.Since(begin) != 4*time.Second {
			t.Errorf("status %d after %v", e.Status(), time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = p.Do(ctx, get("/"))
		if e := wantKind(t, err, Canceled); e.Status() != 504 {
			t.Errorf("status is %d", e.Status())
		}
		// The next in line gets the connection as soon as the body is read.
		got := make(chan error)
		go func() {
			_, _, err := readAll(p, get("/"))
			got <- err
		}()
		synctest.Wait()
		if _, err := io.ReadAll(first.Body); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
		first.Body.Close()
		if seen.String() != "busy canceled ok ok" || dials != 1 {
			t.Errorf("observed %q with %d connections", seen, dials)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := piped(t, with(second, "http://mute"), func(_ int, _ string, far net.Conn) {
			_, _ = readHead(far)
			_, _ = io.WriteString(far, ok+"Content-Length: 9\r\n\r\n")
			_, _ = io.Copy(io.Discard, far)
		})
		defer p.Close()
		why := errors.New("client left")
		ctx, cancel := context.WithCancelCause(t.Context())
		resp, err := p.Do(ctx, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { cancel(why) })
		_, err = resp.Body.Read(make([]byte, 1))
		if wantKind(t, err, Canceled); !errors.Is(err, why) {
			t.Errorf("error is %v", err)
		}
		resp.Body.Close()
		_, err = p.Do(ctx, get("/"))
		wantKind(t, err, Canceled)
		// Close from another goroutine ends a read.
		resp, err = p.Do(t.Context(), get("/"))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { resp.Body.Close() })
		_, err = resp.Body.Read(make([]byte, 1))
		if wantKind(t, err, Canceled); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("error is %v", err)
		}
	})
}

// TestOverlongHandshake holds the TLS part of ConnectTimeout against a server that
// accepts and says nothing.
func TestOverlongHandshake(t *testing.T) {
	s := newScript(t, func(p *peer) { _, _ = io.Copy(io.Discard, p.Conn) })
	p := pool(t, Config{Servers: urls("https://" + s.ln.Addr().String()), ConnectTimeout: testTimeout})
	_, err := p.Do(t.Context(), get("/"))
	wantKind(t, err, ConnectTimeout)
}
