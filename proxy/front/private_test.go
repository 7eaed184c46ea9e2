package front

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"weir/policy"
)

// The tests of this file hold what private.go relies on, and TestFolded what it says of headers.

// served is a client's connection to a server whose requests handle answers. The connection has no buffers.
func served(t *testing.T, handle func(Session)) (c net.Conn, r *bufio.Reader) {
	t.Helper()
	s := New(Options{
		Handle: handle, Expects: func(Session) bool { return true }, Log: slog.New(slog.DiscardHandler), Limits: Limits{MaxHeader: 4 << 10},
	})
	ours, theirs := net.Pipe()
	var clock coarseClock
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.plain.ServeConn(newClientConn(theirs, netip.Addr{}, &clock, 0)) // whatever it says of a client that leaves
	}()
	t.Cleanup(func() {
		_ = ours.Close()
		<-done
	})
	_ = ours.SetDeadline(time.Now().Add(30 * time.Second)) // a test that hangs says where
	return ours, bufio.NewReader(ours)
}

// ask sends a request and reads the head of its answer.
func ask(t *testing.T, c net.Conn, r *bufio.Reader, raw string) *http.Response {
	t.Helper()
	go func() { _, _ = io.WriteString(c, raw) }()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

const get = "GET / HTTP/1.1\r\nHost: h.example\r\n\r\n"

// TestPreparedHasNoDate: a copy of a response's header takes the server's settings along, so that what is prepared from
// it has no field that nobody set.
func TestPreparedHasNoDate(t *testing.T) {
	c, r := served(t, func(s Session) {
		s.Send(&Answer{Header: s.Prepare(200, policy.Fields{{Name: "X-Own", Value: "1"}}), Age: []byte("7"), Body: []byte("ok")})
	})
	resp := ask(t, c, r, get)
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "ok" || len(resp.Header) != 3 || resp.Header.Get("X-Own") != "1" || resp.Header.Get("Age") != "7" {
		t.Errorf("%v, %q, %v; want X-Own, Age and Content-Length", resp.Header, body, err)
	}
}

// words is a stream of some pieces, which waits before each.
type words struct {
	pieces []string
	next   chan struct{}
	done   func(n int64, gone bool)
}

func (w *words) Next() ([]byte, error) {
	if len(w.pieces) == 0 {
		return nil, io.EOF
	}
	<-w.next
	p := w.pieces[0]
	w.pieces = w.pieces[1:]
	return []byte(p), nil
}

func (w *words) Done(n int64, gone bool) { w.done(n, gone) }

// TestStreamOvertakesNothing: the header of a stream has left before its first piece is there, and each piece leaves when
// it is; and what the client took is told when it is over.
func TestStreamOvertakesNothing(t *testing.T) {
	for _, length := range []int64{10, -1} {
		next, told := make(chan struct{}), make(chan int64, 1)
		c, r := served(t, func(s Session) {
			s.Send(&Answer{Code: 200, Length: length, Stream: &words{[]string{"hello", "world"}, next, func(n int64, gone bool) {
				if gone {
					n = -n
				}
				told <- n
			}}})
		})
		resp := ask(t, c, r, get) // which no piece has to come for
		piece := make([]byte, 5)
		for _, want := range []string{"hello", "world"} {
			next <- struct{}{}
			if _, err := io.ReadFull(resp.Body, piece); err != nil || string(piece) != want {
				t.Fatalf("length %d: %q, %v, want %q", length, piece, err, want)
			}
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != 0 || err != nil || resp.ContentLength != length {
			t.Errorf("length %d: %d bytes more, %v, length %d", length, n, err, resp.ContentLength)
		}
		if n := <-told; n != 10 {
			t.Errorf("length %d: told of %d bytes", length, n)
		}
	}
}

// TestStreamUntilClose: HTTP/1.0 gets a body of unknown length behind a header without framing, and its end is that of
// the connection.
func TestStreamUntilClose(t *testing.T) {
	next := make(chan struct{}, 2)
	next <- struct{}{}
	next <- struct{}{}
	told := make(chan int64, 1)
	c, _ := served(t, func(s Session) {
		s.Send(&Answer{Code: 200, Length: -1, Stream: &words{[]string{"hello", "world"}, next, func(n int64, _ bool) { told <- n }}})
	})
	go func() { _, _ = io.WriteString(c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") }()
	all, err := io.ReadAll(c)
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	if err != nil || body != "helloworld" || strings.Contains(head, "Transfer-Encoding") || strings.Contains(head, "Content-Length") {
		t.Errorf("%q, %v", all, err)
	}
	if n := <-told; n != 10 {
		t.Errorf("told of %d bytes", n)
	}
}

// onceClosed says when it is closed.
type onceClosed struct{ closed chan struct{} }

func (o onceClosed) Close() error {
	close(o.closed) // twice would panic
	return nil
}

// TestReleasedWhenWritten: what an answer borrowed is given back behind its last byte, once, before the connection's next
// request; and where its client has gone.
func TestReleasedWhenWritten(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		var last onceClosed
		c, r := served(t, func(s Session) {
			if last.closed != nil {
				select {
				case <-last.closed:
				default:
					t.Error("the next request comes, and the last answer's memory is still lent")
				}
			}
			last = onceClosed{make(chan struct{})}
			s.Send(&Answer{Code: 200, Body: bytes.Repeat([]byte("x"), 100<<10), Release: last})
		})
		for range 2 {
			resp := ask(t, c, r, get)
			now := last.closed // the handler has returned
			select {
			case <-now:
				t.Error("it was given back before it was read")
			default:
			}
			if leaves {
				_ = c.Close()
				<-now
				break
			}
			if n, err := io.Copy(io.Discard, resp.Body); n != 100<<10 || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		}
	}
}

// TestFaultIsAnswered: fasthttp has what is no request at all answered too, and then ends the connection.
func TestFaultIsAnswered(t *testing.T) {
	for raw, want := range map[string]string{
		"\x16\x03\x01\x00\xa5\r\n": "- \x16\x03\x01\x00\xa5 400", "GET / HTTP/1.1\r\nX-A : 1\r\n": "- GET / HTTP/1.1 400", "PRI * HTTP/2.0\r\n": "- PRI * HTTP/2.0 505",
		"GET / HTTP/1.1\r\nX-A: " + strings.Repeat("x", 5<<10): "- GET / HTTP/1.1 431",
	} {
		got := ""
		c, r := served(t, func(s Session) {
			q := s.Request()
			if q.Fault == nil {
				t.Fatalf("%.50q is taken for a request", raw)
			}
			got = string(q.Method) + " " + string(q.Target)
			s.Send(&Answer{Code: q.Fault.Status, Body: []byte(q.Fault.Text), Close: true})
		})
		resp := ask(t, c, r, raw)
		if got = fmt.Sprint(got, " ", resp.StatusCode); got != want {
			t.Errorf("%.50q: %q, want %q", raw, got, want)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
		if rest, _ := io.ReadAll(r); len(rest) > 0 {
			t.Errorf("%.50q: behind the answer comes %q", raw, rest)
		}
	}
}

// writesConn counts the writes that do not go to the TCP connection beneath directly.
type writesConn struct {
	net.Conn
	mu     sync.Mutex
	writes int
}

func (c *writesConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes++
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// TestBodyLeavesWithItsHeader: fasthttp writes a large body as joinBody expects it to, so that it leaves in one system
// call with its header; and a body that is left ends the connection.
func TestBodyLeavesWithItsHeader(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var clock coarseClock
	for _, size := range []int{writeBuffer, 10 << 10, 100 << 10} {
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		accepted, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		plain := &writesConn{Conn: accepted}
		k := newClientConn(plain, netip.Addr{}, &clock, 0)
		k.tcp = accepted.(*net.TCPConn)
		body := bytes.Repeat([]byte("0123456789"), size/10)
		s := New(Options{Handle: func(s Session) { s.Send(&Answer{Code: 200, Body: body, Close: true}) }})
		if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: h.example\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		served := make(chan error)
		go func() { served <- s.plain.ServeConn(k) }()
		all, err := io.ReadAll(client)
		if err != nil || !bytes.HasSuffix(all, append([]byte("\r\n\r\n"), body...)) {
			t.Errorf("a body of %d bytes: the client got %d bytes that do not end in it, %v", len(body), len(all), err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if plain.writes > 0 || k.joined.body != nil {
			t.Errorf("a body of %d bytes left in %d writes of its own", len(body), plain.writes)
		}
	}
	// What ends no header brings no body, and a body that is left ends the connection.
	ours, theirs := net.Pipe()
	read := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(theirs)
		read <- string(all)
	}()
	left := &writesConn{Conn: ours}
	k := newClientConn(left, netip.Addr{}, &clock, 0)
	k.joined.body = []byte("abc")
	if _, err := k.Write([]byte("HTTP/1.1 200 OK\r\nA: b")); err != nil || left.writes != 1 || k.joined.body == nil {
		t.Errorf("half a header: %v, %d writes, body %q", err, left.writes, k.joined.body)
	}
	k.idle()
	if all := <-read; k.joined.body != nil || all != "HTTP/1.1 200 OK\r\nA: b" { // it ends only when the connection does
		t.Errorf("the client got %q, and %q is left", all, k.joined.body)
	}
}

// TestFasthttpReadsWhatIsHandedOn: fasthttp's server takes the last chunk that is made here for the end of a body, and
// an error in its place for none. Otherwise each chunked upload would count as cut.
func TestFasthttpReadsWhatIsHandedOn(t *testing.T) {
	boom := errors.New("boom")
	for tail, want := range map[string]error{lastChunk: nil, "": boom, "0\r\n": nil} {
		raw := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + tail
		var req fasthttp.Request
		r := bufio.NewReader(io.MultiReader(strings.NewReader(raw), failing{boom}))
		if err := req.Header.Read(r); err != nil {
			t.Fatal(err)
		}
		if err := req.ContinueReadBodyStream(r, 1<<20); err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(req.BodyStream())
		if string(body) != "hello" || (err == nil) != (want == nil) {
			t.Errorf("with %q at the end: %q, %v", tail, body, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
