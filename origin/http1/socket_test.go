package http1

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// peer is the server's end of a connection.
type peer struct {
	net.Conn
	br *bufio.Reader
}

// request reads a request's head.
func (p *peer) request() string {
	var b strings.Builder
	for {
		line, err := p.br.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String()
		}
	}
}

func (p *peer) say(s string) { _, _ = io.WriteString(p.Conn, s) }

// connected is a connection over TCP, with TLS or without, to what play does.
func connected(t *testing.T, secure bool, conf *Config, play func(p *peer)) *Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	serverTLS, clientTLS := certificates(t)
	wg.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if secure {
			c = tls.Server(c, serverTLS)
		}
		play(&peer{c, bufio.NewReader(c)})
	})
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	sock := NewSocket(raw)
	var stream net.Conn = sock
	if secure {
		c := tls.Client(sock, clientTLS)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		stream = c
	}
	c := NewConn(stream, sock, conf)
	t.Cleanup(func() {
		c.Close()
		ln.Close()
		wg.Wait()
	})
	return c
}

func certificates(t *testing.T) (server, client *tls.Config) {
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS()
	defer srv.Close()
	return &tls.Config{Certificates: srv.TLS.Certificates}, &tls.Config{InsecureSkipVerify: true}
}

// arrived waits until something has come that nobody has read.
func arrived(c *Conn) {
	for seen := false; !seen; runtime.Gosched() {
		_ = c.sock.raw.Control(func(fd uintptr) {
			_, err := peekFD(fd)
			seen = err != os.ErrDeadlineExceeded
		})
	}
}

var bounded = &Config{MaxHeader: 64 << 10, Between: 10 * time.Second, Now: testConfig.Now}

func patient(method string) *Request {
	r := get(method)
	r.Within = 10 * time.Second
	return r
}

// TestIdleConnection: what a server does with a connection that nobody uses is seen
// before anything of a request is written.
func TestIdleConnection(t *testing.T) {
	const hello = ok + "Content-Length: 5\r\n\r\nhello"
	for _, secure := range []bool{false, true} {
		for _, tt := range []struct {
			name string
			then func(p *peer)
			want error
		}{
			{"nothing", nil, nil},
			{"an answer to nothing", func(p *peer) { p.say(hello) }, ErrEarly},
			{"a byte", func(p *peer) { p.say("\n") }, ErrEarly},
			{"the end", func(p *peer) { p.Close() }, ErrEnded},
			{"the end of what it sends", func(p *peer) {
				if c, ok := p.Conn.(*net.TCPConn); ok {
					_ = c.CloseWrite()
				} else {
					_ = p.Conn.(*tls.Conn).CloseWrite()
				}
			}, ErrEnded},
		} {
			then := make(chan struct{})
			second := make(chan string, 1)
			c := connected(t, secure, bounded, func(p *peer) {
				p.request()
				p.say(hello)
				<-then
				if tt.then != nil {
					tt.then(p)
				}
				r := p.request()
				second <- r
				if r != "" {
					p.say(hello)
				}
			})
			if body, err := roundTrip(c, patient("GET")); err != nil || body != "hello" || !c.Reusable() {
				t.Fatalf("%s: %q, %v", tt.name, body, err)
			}
			close(then)
			if tt.then != nil {
				arrived(c)
			}
			_, err := roundTrip(c, patient("GET"))
			if !errors.Is(err, tt.want) || tt.want != nil && !c.Untouched() {
				t.Errorf("%s, TLS %v: %v, untouched %v", tt.name, secure, err, c.Untouched())
			}
			c.Close()
			if r := <-second; (r == "") != (tt.want != nil) {
				t.Errorf("%s, TLS %v: the server got %q", tt.name, secure, r)
			}
		}
	}
}

func roundTrip(c *Conn, r *Request) (string, error) {
	if err := c.RoundTrip(r, &Response{}); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// TestManyExchanges: one connection serves many requests, with bodies and without, large
// and small, at hand and not.
func TestManyExchanges(t *testing.T) {
	large := strings.Repeat("x", 300<<10)
	for _, secure := range []bool{false, true} {
		c := connected(t, secure, bounded, func(p *peer) {
			for {
				head := p.request()
				if head == "" {
					return
				}
				n := int64(0)
				for line := range strings.SplitSeq(head, "\r\n") {
					if v, ok := strings.CutPrefix(line, "Content-Length: "); ok {
						n, _ = parseLength(v)
					}
				}
				_, _ = io.CopyN(io.Discard, p.br, n)
				p.say(ok + "Content-Length: 307200\r\n\r\n" + large)
			}
		})
		for i := range 200 {
			r := patient("POST")
			switch i % 4 {
			case 0:
				r.Body, r.Length = strings.NewReader("abc"), 3
			case 1:
				r.Body, r.Length, r.AtHand = strings.NewReader("abc"), 3, true
			case 2:
				r.Body, r.Length, r.AtHand = strings.NewReader(large), int64(len(large)), true
			}
			if body, err := roundTrip(c, r); err != nil || body != large || !c.Reusable() {
				t.Fatalf("exchange %d, TLS %v: %d bytes, %v, reusable %v", i, secure, len(body), err, c.Reusable())
			}
		}
	}
}

// TestOneWrite: a head, and a small body that is at hand, leave in one write.
func TestOneWrite(t *testing.T) {
	server := &writes{canned: canned{rest: []byte(ok + "Content-Length: 0\r\n\r\n"), piece: 1 << 20}}
	r := get("POST")
	r.Body, r.Length, r.AtHand = strings.NewReader("abc"), 3, true
	if _, err := roundTrip(newConn(server, testConfig), r); err != nil || server.n != 1 {
		t.Errorf("%d writes, %v", server.n, err)
	}
	want := "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc"
	if got := server.wrote.String(); got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

type writes struct {
	canned
	n int
}

func (w *writes) Write(p []byte) (int, error) { w.n++; return w.canned.Write(p) }

// TestImmediate: a body is there at once when it has come, and else can be read whole.
func TestImmediate(t *testing.T) {
	body := strings.Repeat("x", 40<<10)
	for _, secure := range []bool{false, true} {
		rest := make(chan struct{})
		c := connected(t, secure, bounded, func(p *peer) {
			for _, first := range []int{len(body), 0, 100, bufferSize + 100} {
				if p.request() == "" {
					return
				}
				p.say(ok + "Content-Length: 40960\r\n\r\n" + body[:first])
				<-rest
				p.say(body[first:])
			}
		})
		for i := range 4 {
			if err := c.RoundTrip(patient("GET"), &Response{}); err != nil {
				t.Fatal(err)
			}
			if _, ok := c.Immediate(len(body) - 1); ok {
				t.Error("a body beyond the limit")
			}
			got, ok := c.Immediate(len(body))
			if i > 0 && ok {
				t.Errorf("exchange %d: %d bytes that were not sent", i, len(got))
			}
			rest <- struct{}{}
			if !ok {
				got, _ = io.ReadAll(c)
			}
			if string(got) != body || !c.Reusable() || cap(got) > 2*len(body) {
				t.Errorf("exchange %d: %d bytes of %d, reusable %v", i, len(got), len(body), c.Reusable())
			}
		}
	}
	c := newConn(&canned{rest: []byte(ok + "Content-Length: 5\r\n\r\nhello"), piece: 1 << 20}, testConfig)
	if err := c.RoundTrip(get("GET"), &Response{}); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.Immediate(5); !ok || string(got) != "hello" || cap(got) > 8 || !c.Reusable() {
		t.Errorf("%q, %v", got, ok)
	}
}

// TestAbort: whatever the exchange waits for, it ends at once with what it is told.
func TestAbort(t *testing.T) {
	cause := &Error{Kind: Canceled, Err: errors.New("nobody wants it")}
	for _, raw := range []string{"", "HTTP/1.1 200", ok + "Content-Length: 5\r\n\r\nhel", ok + "Transfer-Encoding: chunked\r\n\r\n5"} {
		for _, secure := range []bool{false, true} {
			asked := make(chan struct{})
			c := connected(t, secure, bounded, func(p *peer) {
				p.request()
				p.say(raw)
				close(asked)
				p.request()
			})
			go func() {
				<-asked
				c.Abort(cause)
			}()
			if _, err := roundTrip(c, patient("GET")); err != cause || c.Reusable() {
				t.Errorf("%q, TLS %v: %v", raw, secure, err)
			}
		}
	}
}

// TestLongRequest: a request that the socket does not take at once arrives whole.
func TestLongRequest(t *testing.T) {
	long := strings.Repeat("x", 8<<20)
	c := connected(t, false, bounded, func(p *peer) {
		if head := p.request(); len(head) < len(long) || !strings.HasSuffix(head, "\r\n\r\n") {
			t.Errorf("the server got %d bytes", len(head))
		}
		p.say(ok + "Content-Length: 5\r\n\r\nhello")
	})
	r := patient("GET")
	r.Target = "/" + long
	if body, err := roundTrip(c, r); err != nil || body != "hello" {
		t.Errorf("%q, %v", body, err)
	}
}

// blocking is a body that sends some bytes and then waits until it is closed.
type blocking struct {
	first  io.Reader
	closed chan struct{}
	once   sync.Once
}

func (b *blocking) Read(p []byte) (int, error) {
	if n, err := b.first.Read(p); n > 0 {
		return n, err
	}
	<-b.closed
	return 0, errors.New("closed")
}

func (b *blocking) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// TestEarlyAnswer: a server that refuses an upload before it has all of it ends it; its
// answer is read whole, and the connection is not used again. One that begins a
// successful answer gets the rest.
func TestEarlyAnswer(t *testing.T) {
	for _, secure := range []bool{false, true} {
		body := &blocking{first: strings.NewReader("abc"), closed: make(chan struct{})}
		c := connected(t, secure, bounded, func(p *peer) {
			p.request()
			_, _ = io.ReadFull(p.br, make([]byte, 3))
			p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\n")
			<-body.closed // with the header
			p.say("hello")
			_, _ = io.Copy(io.Discard, p.br)
		})
		r := patient("POST")
		r.Body, r.Length = body, 9
		if got, err := roundTrip(c, r); err != nil || got != "hello" || c.Reusable() {
			t.Errorf("TLS %v: %q, %v, reusable %v", secure, got, err, c.Reusable())
		}
		c.Close()

		send := make(chan struct{})
		c = connected(t, secure, bounded, func(p *peer) {
			p.request()
			p.say(ok + "Content-Length: 6\r\n\r\n")
			close(send)
			b := make([]byte, 6)
			_, _ = io.ReadFull(p.br, b)
			p.say(string(b))
			p.request()
		})
		r = patient("POST")
		r.Body, r.Length = io.MultiReader(strings.NewReader("abc"), &gate{send}, strings.NewReader("def")), 6
		if got, err := roundTrip(c, r); err != nil || got != "abcdef" || !c.Reusable() {
			t.Errorf("TLS %v: %q, %v, reusable %v", secure, got, err, c.Reusable())
		}
	}
}

// gate is an empty reader that ends when it is opened.
type gate struct{ open chan struct{} }

func (g *gate) Read([]byte) (int, error) { <-g.open; return 0, io.EOF }

// TestChunkedUpload: a body without a length is sent in chunks.
func TestChunkedUpload(t *testing.T) {
	sizes := []int{0, 1, pieceSize - 1, pieceSize, pieceSize + 1, 3 * pieceSize}
	c := connected(t, false, bounded, func(p *peer) {
		for _, size := range sizes {
			r, err := http.ReadRequest(p.br)
			if err != nil {
				t.Error(err)
				return
			}
			b, err := io.ReadAll(r.Body)
			if err != nil || r.ContentLength != -1 || !bytes.Equal(b, bytes.Repeat([]byte("x"), size)) {
				t.Errorf("%d bytes of %d, length %d, %v", len(b), size, r.ContentLength, err)
			}
			p.say(ok + "Content-Length: 0\r\n\r\n")
		}
	})
	for _, size := range sizes {
		r := patient("POST")
		r.Body, r.Length = bytes.NewReader(bytes.Repeat([]byte("x"), size)), -1
		if _, err := roundTrip(c, r); err != nil || !c.Reusable() {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
}
