package admin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func TestServerAnswersAndStops(t *testing.T) {
	ln := listen(t)
	s := Start(ln, newHandler(t, goodParts()), quiet())
	base := "http://" + ln.Addr().String()
	client := &http.Client{Transport: &http.Transport{}}
	for _, method := range []string{"GET", "HEAD"} {
		for path, size := range map[string]int64{"/healthz": 3, "/metrics": 29} {
			req, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || resp.ContentLength != size || (method == "GET") != (int64(len(body)) == size) {
				t.Errorf("%s %s: %d, length %d, %d bytes, %v", method, path, resp.StatusCode, resp.ContentLength, len(body), err)
			}
		}
	}
	client.CloseIdleConnections()
	if err := s.Err(); err != nil {
		t.Errorf("a running server has error %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-s.Done()
	if err := s.Err(); err != nil {
		t.Errorf("after Shutdown: %v", err)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("the listener is still open")
	}
}

func TestServerReportsItsEnd(t *testing.T) {
	ln := listen(t)
	s := Start(ln, http.NotFoundHandler(), quiet())
	ln.Close()
	<-s.Done()
	if err := s.Err(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v, want that of the listener", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHeaderTooLarge(t *testing.T) {
	ln := listen(t)
	s := Start(ln, newHandler(t, goodParts()), quiet())
	defer s.Shutdown(t.Context())
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", maxHeaderBytes+8192)+"\r\n\r\n")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, " 431 ") {
		t.Errorf("%q, %v, want 431", line, err)
	}
}

func TestShutdownCutsWhatTakesTooLong(t *testing.T) {
	ln := listen(t)
	entered, release := make(chan struct{}), make(chan struct{})
	p := goodParts()
	p.metrics = func(io.Writer) error { close(entered); <-release; return nil }
	s := Start(ln, newHandler(t, p), quiet())
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v, want the context's error", err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes on a connection that was given up", n)
	}
	close(release)
}

func TestAPanicInAPartEndsOnlyItsRequest(t *testing.T) {
	ln := listen(t)
	var mu sync.Mutex
	var faults bytes.Buffer
	p := goodParts()
	p.status = func() any { panic("BUG: status") }
	s := Start(ln, newHandler(t, p), log.New(writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return faults.Write(b)
	}), "", 0))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if resp, err := client.Get("http://" + ln.Addr().String() + "/v1/status"); err == nil {
		resp.Body.Close()
		t.Errorf("status %d from a part that panics", resp.StatusCode)
	}
	resp, err := client.Get("http://" + ln.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if resp.StatusCode != 200 || !strings.Contains(faults.String(), "BUG: status") {
		t.Errorf("health %d, log %q", resp.StatusCode, faults.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// pipeListener hands out in-memory connections, whose deadlines follow the
// test's clock.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func TestASlowSenderIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		s := Start(ln, newHandler(t, goodParts()), quiet())
		near, far := net.Pipe()
		ln.conns <- far
		start := time.Now()
		if _, err := io.WriteString(near, "GET /healthz HTTP/1.1\r\nHost: "); err != nil {
			t.Fatal(err)
		}
		// Whatever the server says to it, the connection must end.
		if _, err := io.ReadAll(near); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != headerTimeout {
			t.Errorf("cut off after %v, want %v", took, headerTimeout)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
