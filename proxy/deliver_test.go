package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/invalidation"
	"weir/policy"
	"weir/proxy/front"
	"weir/tiers"
)

// lendBench is a proxy over a disk, and tells of the bodies that it lends.
type lendBench struct {
	*bench
	n *invalidation.Node
	// lent gets the object that an answer borrowed, nil for one that borrowed none.
	lent chan *tiers.Object
}

func newLendBench(t *testing.T) *lendBench {
	b, n := diskBench(t, t.TempDir(), &countingOrigin{}, func() {})
	return &lendBench{bench: b, n: n, lent: make(chan *tiers.Object, 64)}
}

// lendSession tells of what its answer borrows.
type lendSession struct {
	front.Session
	lent chan *tiers.Object
}

func (s lendSession) Send(a *front.Answer) {
	v, _ := a.Release.(lent)
	s.Session.Send(a)
	s.lent <- v.o
}

// lentSize is above what RAM keeps and within one record on disk, chunkedSize is of several chunks.
const (
	lentSize    = 60_000
	chunkedSize = 300_000
)

func bodyOf(seed uint64, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 7}).Read(b)
	return b
}

// toldPipe says when it is closed.
type toldPipe struct {
	pipe
	once   sync.Once
	closed chan struct{}
}

func (p *toldPipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.pipe.Close()
}

// client opens a connection whose every byte waits for its reader; served is closed when the proxy is done with it. Before
// each request look is called, where it is not nil.
func (l *lendBench) client(look func()) (c net.Conn, served chan struct{}) {
	srv := front.New(front.Options{Log: slog.New(slog.DiscardHandler), Stepped: l.p.stepped, Now: time.Now, Handle: func(s front.Session) {
		if look != nil {
			look()
		}
		l.p.handle(lendSession{s, l.lent})
	}})
	ln, done := newPipes(), make(chan error, 1)
	go func() { done <- srv.Serve(ln, false) }()
	c, theirs := net.Pipe()
	at := &toldPipe{pipe: pipe{theirs}, closed: make(chan struct{})}
	ln.conns <- at
	l.t.Cleanup(func() {
		_ = c.Close()
		if err := srv.Shutdown(context.Background()); err != nil {
			l.t.Error(err)
		}
		srv.Close()
		if err := <-done; err != nil {
			l.t.Error(err)
		}
	})
	return c, at.closed
}

// closed tells whether the object's memory was given back. The caller knows that nobody gives it back now.
func closed(o *tiers.Object) bool {
	_, err := o.NewReader(0, 1).Read(make([]byte, 1))
	return err != nil
}

func get(path string, extra ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: h.example\r\n" + strings.Join(extra, "") + "\r\n"
}

// readAnswer reads one answer and holds its body against want; nil: any.
func readAnswer(t *testing.T, r *bufio.Reader, method string, code int, want []byte) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if right := want == nil || bytes.Equal(body, want); err != nil || resp.StatusCode != code || !right {
		t.Errorf("status %d, %d bytes, right ones: %v (%v); want %d and %d bytes", resp.StatusCode, len(body), right, err, code, len(want))
	}
	if s := resp.Header.Get("Cache-Status"); !strings.Contains(s, "; hit") {
		t.Errorf("Cache-Status %q: that was no hit", s)
	}
}

// TestLentBodyWhileOthersRead: a client that takes a body from disk slowly gets it whole, although what lies in the same
// class of memory is read again and again meanwhile.
func TestLentBodyWhileOthersRead(t *testing.T) {
	l := newLendBench(t)
	const others = 4
	for i := range others + 1 {
		l.kept(l.n, fmt.Sprint("/", i), bodyOf(uint64(i), lentSize))
	}
	c, served := l.client(nil)
	r := bufio.NewReaderSize(c, 16)
	for range 2 { // found by the index, and through the head
		if _, err := io.WriteString(c, get("/0")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o := <-l.lent; o == nil {
			t.Fatal("the body was not lent: nothing is tested")
		}
		var body []byte
		for piece := make([]byte, 10_000); len(body) < lentSize; {
			n, err := io.ReadFull(resp.Body, piece)
			if err != nil {
				t.Fatal(err)
			}
			body = append(body, piece[:n]...)
			for i := range 3 * others {
				path := fmt.Sprint("/", 1+i%others)
				var other bytes.Buffer
				if s, _ := l.get(l.request("GET "+path+" HTTP/1.1\nHost: h.example"), &other); !strings.Contains(s, "; hit") {
					t.Fatalf("%s: %q", path, s)
				}
				if !bytes.Equal(other.Bytes(), bodyOf(uint64(1+i%others), lentSize)) {
					t.Fatalf("%s: wrong bytes", path)
				}
			}
		}
		if !bytes.Equal(body, bodyOf(0, lentSize)) {
			t.Error("bytes of another body were sent")
		}
	}
	_ = c.Close()
	<-served
}

// TestLentBodyIsGivenBack: however an answer ends, what it borrowed is given back, and not before.
func TestLentBodyIsGivenBack(t *testing.T) {
	body := bodyOf(0, lentSize)
	for _, c := range []struct {
		name, requests string
		answers        func(t *testing.T, r *bufio.Reader)
		lent           int
	}{
		{"an answer", get("/0"), func(t *testing.T, r *bufio.Reader) { readAnswer(t, r, "GET", 200, body) }, 1},
		{"two in turn", get("/0") + get("/0"), func(t *testing.T, r *bufio.Reader) {
			readAnswer(t, r, "GET", 200, body)
			readAnswer(t, r, "GET", 200, body)
		}, 2},
		{"a range", get("/0", "Range: bytes=5000-5999\r\n"), func(t *testing.T, r *bufio.Reader) {
			readAnswer(t, r, "GET", 206, body[5000:6000])
		}, 1},
		{"the end", get("/0", "Range: bytes=-10\r\n"), func(t *testing.T, r *bufio.Reader) {
			readAnswer(t, r, "GET", 206, body[lentSize-10:])
		}, 1},
		{"the last of a connection", get("/0", "Connection: close\r\n"), func(t *testing.T, r *bufio.Reader) {
			readAnswer(t, r, "GET", 200, body)
		}, 1},
		{"cut before the header", get("/0"), func(*testing.T, *bufio.Reader) {}, 1},
		{"cut in the body", get("/0"), func(t *testing.T, r *bufio.Reader) {
			if _, err := io.CopyN(io.Discard, r, lentSize/2); err != nil {
				t.Fatal(err)
			}
		}, 1},
		{"cut in the second of two", get("/0") + get("/0"), func(t *testing.T, r *bufio.Reader) {
			readAnswer(t, r, "GET", 200, body)
			if _, err := io.CopyN(io.Discard, r, lentSize/2); err != nil {
				t.Fatal(err)
			}
		}, 2},
		{"HEAD", strings.Replace(get("/0"), "GET", "HEAD", 1), func(t *testing.T, r *bufio.Reader) {
			readAnswer(t, r, "HEAD", 200, []byte{})
		}, 0},
		{"not modified", get("/0", "If-Modified-Since: Sun, 06 Nov 2044 08:49:37 GMT\r\n"), func(t *testing.T, r *bufio.Reader) {
			readAnswer(t, r, "GET", 304, []byte{})
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLendBench(t)
			l.kept(l.n, "/0", body)
			conn, served := l.client(nil)
			if _, err := io.WriteString(conn, c.requests); err != nil {
				t.Fatal(err)
			}
			// The answer waits for its reader.
			first := <-l.lent
			if (first != nil) != (c.lent > 0) {
				t.Fatalf("lent: %v, want %d", first, c.lent)
			}
			if first != nil && closed(first) {
				t.Error("it was given back before it was sent")
			}
			c.answers(t, bufio.NewReaderSize(conn, 16))
			_ = conn.Close()
			<-served
			close(l.lent)
			var lent []*tiers.Object
			for o := first; o != nil; o = <-l.lent {
				lent = append(lent, o)
			}
			if len(lent) != c.lent {
				t.Errorf("%d were lent, want %d", len(lent), c.lent)
			}
			for i, o := range lent {
				if !closed(o) {
					t.Errorf("object %d of %d was not given back", i+1, c.lent)
				}
			}
		})
	}
}

// TestNextRequestFindsNothingLent: on a connection that stays, a body is given back before the next request is handled.
func TestNextRequestFindsNothingLent(t *testing.T) {
	l := newLendBench(t)
	l.kept(l.n, "/0", bodyOf(0, lentSize))
	var before []*tiers.Object // of the connection's goroutine
	c, served := l.client(func() {
		select {
		case o := <-l.lent:
			before = append(before, o)
		default: // it is the first request
		}
		for _, o := range before {
			if o == nil {
				t.Error("the body was not lent: nothing is tested")
			} else if !closed(o) {
				t.Error("the last answer's body is still lent")
			}
		}
	})
	r := bufio.NewReader(c)
	for range 3 {
		if _, err := io.WriteString(c, get("/0")); err != nil {
			t.Fatal(err)
		}
		readAnswer(t, r, "GET", 200, bodyOf(0, lentSize))
	}
	_ = c.Close()
	<-served
}

// TestNoSegmentStaysHeld: however a body in several chunks is asked for, no segment of it is held when that is over.
func TestNoSegmentStaysHeld(t *testing.T) {
	l := newLendBench(t)
	body := bodyOf(0, chunkedSize)
	ask := func(method, request string, code int, want []byte) {
		t.Helper()
		c, served := l.client(nil)
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReaderSize(c, 16)
		if code == 0 { // cut in the body
			if _, err := io.CopyN(io.Discard, r, chunkedSize/2); err != nil {
				t.Fatal(err)
			}
		} else {
			readAnswer(t, r, method, code, want)
		}
		_ = c.Close()
		<-served
	}
	l.kept(l.n, "/0", body)
	for range 2 { // found by the index, and through the head
		ask("GET", get("/0"), 200, body)
		ask("GET", get("/0", "Range: bytes=200000-290000\r\n"), 206, body[200000:290001])
		ask("GET", get("/0", "Range: bytes=999999-\r\n"), 416, nil)
		ask("HEAD", strings.Replace(get("/0"), "GET", "HEAD", 1), 200, []byte{})
		ask("GET", get("/0", "If-Modified-Since: Sun, 06 Nov 2044 08:49:37 GMT\r\n"), 304, []byte{})
		ask("GET", get("/0"), 0, nil)
		ask("GET", get("/0")+get("/0"), 0, nil)
	}
	text := []byte("w1 http://h.example/0")
	hash := policy.HashKey(text)
	for i := 0; ; i++ {
		o := l.p.store.Lookup(&hash, text)
		if o == nil {
			break
		}
		if o.Close(); i > 10_000 {
			t.Fatal("it was not evicted")
		}
		l.kept(l.n, fmt.Sprint("/filler/", i), make([]byte, 60_000))
	}
	// Eviction itself holds what it works on for a moment.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		st, _ := l.p.store.DiskStats()
		if st.SegmentsEvicted > 0 && st.ZombieBytes == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d segments are evicted, %d bytes of them still held", st.SegmentsEvicted, st.ZombieBytes)
		}
	}
}
