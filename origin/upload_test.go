package origin

import (
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

var errClient = errors.New("client went away")

func TestClientThatFailsMidUpload(t *testing.T) {
	tests := []struct {
		name   string
		body   io.Reader
		length int64
		cause  error
	}{
		{"error, length", io.MultiReader(strings.NewReader("abc"), failing{}), 9, errClient},
		{"error, chunked", io.MultiReader(strings.NewReader("abc"), failing{}), -1, errClient},
		{"clean end before the length", strings.NewReader("abc"), 9, io.ErrUnexpectedEOF},
		{"error at once", failing{}, 9, errClient},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ended := make(chan string, 1)
			s := newScript(t, func(p *peer) {
				p.head()
				b, _ := io.ReadAll(p.br)
				ended <- string(b)
			})
			p := pool(t, Config{Servers: urls(s.url()), Retries: 3})
			_, err := p.Do(t.Context(), &Request{Method: "PUT", Host: "a.test", Target: "/", Body: tt.body, ContentLength: tt.length})
			if e := wantKind(t, err, RequestBody); !errors.Is(err, tt.cause) || e.Status() != 400 {
				t.Errorf("error is %v", err)
			}
			if b := <-ended; strings.HasSuffix(b, "0\r\n\r\n") {
				t.Errorf("the origin was told that the upload is complete: %q", b)
			}
			if s.conns() != 1 {
				t.Errorf("%d connections", s.conns())
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errClient }

// client is a request body that blocks until it is closed, and notes when it is
// touched after it was given back.
type client struct {
	reading  chan struct{} // closed when the blocking Read has begun
	closed   chan struct{}
	n        int
	returned atomic.Bool
	misused  atomic.Bool
}

func newClient() *client { return &client{reading: make(chan struct{}), closed: make(chan struct{})} }

func (c *client) Read(p []byte) (int, error) {
	if c.returned.Load() {
		c.misused.Store(true)
	}
	if c.n++; c.n == 1 {
		return copy(p, "abc"), nil
	}
	close(c.reading)
	<-c.closed
	return 0, errClient
}

func (c *client) Close() error {
	close(c.closed)
	return nil
}

// TestUploadIsGivenBack: however the exchange ends while the client is being
// waited for, the Read is ended and the body not touched again.
func TestUploadIsGivenBack(t *testing.T) {
	upload := func(c *client) *Request {
		return &Request{Method: "POST", Host: "a.test", Target: "/", Body: c, ContentLength: 9}
	}
	t.Run("the origin resets", func(t *testing.T) {
		c := newClient()
		s := newScript(t, func(p *peer) {
			p.head()
			_, _ = io.ReadFull(p.br, make([]byte, 3))
			<-c.reading
			p.reset()
		})
		p := pool(t, Config{Servers: urls(s.url())})
		_, err := p.Do(t.Context(), upload(c))
		c.returned.Store(true)
		wantKind(t, err, Reset)
		if c.misused.Load() {
			t.Error("the body was read after Do had failed")
		}
	})
	t.Run("the origin answers early", func(t *testing.T) {
		c := newClient()
		s := newScript(t, func(p *peer) {
			p.head()
			<-c.reading
			p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nhello")
			_, _ = io.Copy(io.Discard, p.br)
		})
		p := pool(t, Config{Servers: urls(s.url())})
		resp, err := p.Do(t.Context(), upload(c))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "hello" || resp.Status != 413 {
			t.Errorf("%d %q, %v", resp.Status, b, err)
		}
		resp.Body.Close()
		c.returned.Store(true)
		if <-c.closed; c.misused.Load() {
			t.Error("the body was read after Close")
		}
	})
	t.Run("the caller gives up", func(t *testing.T) {
		c := newClient()
		s := newScript(t, func(p *peer) {
			p.head()
			p.say(ok + "Content-Length: 5\r\n\r\n")
			_, _ = io.Copy(io.Discard, p.br)
		})
		p := pool(t, Config{Servers: urls(s.url())})
		resp, err := p.Do(t.Context(), upload(c))
		if err != nil {
			t.Fatal(err)
		}
		<-c.reading
		resp.Body.Close()
		c.returned.Store(true)
		if <-c.closed; c.misused.Load() {
			t.Error("the body was read after Close")
		}
	})
}

// slowToClose is a request body whose Read ends when it is told to, and whose Close
// takes as long as it is told to.
type slowToClose struct {
	read, close chan struct{}
	closes      atomic.Int32
}

func newSlowToClose() *slowToClose {
	return &slowToClose{read: make(chan struct{}), close: make(chan struct{})}
}

func (b *slowToClose) Read(p []byte) (int, error) {
	<-b.read
	return copy(p, "abc"), nil
}

func (b *slowToClose) Close() error {
	b.closes.Add(1)
	<-b.close
	return nil
}

// sending is the upload of such a body, at its first attempt.
func (b *slowToClose) sending(t *testing.T) (*upload, *part) {
	t.Helper()
	u, err := newUpload(&Request{Body: b, ContentLength: 9}, "POST")
	if err != nil {
		t.Fatal(err)
	}
	return u, b.attempt(t, u)
}

func (b *slowToClose) attempt(t *testing.T, u *upload) *part {
	t.Helper()
	p, err := u.part(nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestReleaseWaitsForClose: the connection closes the body to end a Read, which ends
// by itself meanwhile. The Close is a use of the caller's body as any other: release
// does not return while it lasts.
func TestReleaseWaitsForClose(t *testing.T) {
	for _, again := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newSlowToClose()
			u, p := b.sending(t)
			var n int
			var released atomic.Bool
			go func() {
				n, _ = p.Read(make([]byte, 10))
				u.release()
				released.Store(true)
			}()
			synctest.Wait() // in Read
			go p.abandon()
			synctest.Wait() // in Close
			if again {
				p.abandon() // the second does not wait, and takes nothing away from the first
			}
			close(b.read)
			synctest.Wait()
			if b.closes.Load() != 1 || released.Load() {
				t.Errorf("closed %d times, released %v while Close is under way", b.closes.Load(), released.Load())
			}
			close(b.close)
			synctest.Wait()
			if n != 3 || !released.Load() {
				t.Errorf("%d bytes read, released %v", n, released.Load())
			}
		})
	}
}

// TestCloseOnlyDuringRead: the body is closed for the sake of a Read of that attempt,
// and for nothing else.
func TestCloseOnlyDuringRead(t *testing.T) {
	b := newSlowToClose()
	close(b.read)
	close(b.close)
	u, first := b.sending(t)
	first.abandon() // before it is read
	if n, err := first.Read(make([]byte, 10)); n != 0 || err != errReleased {
		t.Errorf("abandoned: %d, %v", n, err)
	}
	second := b.attempt(t, u)
	if n, err := second.Read(make([]byte, 10)); n != 3 || err != nil {
		t.Errorf("the next attempt: %d, %v", n, err)
	}
	second.abandon() // behind a Read
	u.release()
	second.abandon() // as late as it may be
	if b.closes.Load() != 0 || u.err() != nil {
		t.Errorf("closed %d times, %v", b.closes.Load(), u.err())
	}

	synctest.Test(t, func(t *testing.T) {
		b := newSlowToClose()
		close(b.close)
		u, first := b.sending(t)
		second := b.attempt(t, u)
		go func() { _, _ = second.Read(make([]byte, 10)) }()
		synctest.Wait()
		first.abandon()
		if b.closes.Load() != 0 {
			t.Error("the end of one attempt ended the Read of another")
		}
		close(b.read)
	})
}

// TestUploadsAreNotTouchedWhenNobodyIsReached: a body that was not begun can go to
// the next server, whatever the method.
func TestUploadGoesToTheServerThatIsThere(t *testing.T) {
	s := newScript(t, func(p *peer) {
		p.head()
		b := make([]byte, 9)
		_, _ = io.ReadFull(p.br, b)
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + string(b))
	})
	p := pool(t, Config{Servers: urls(refusing(t), s.url()), Retries: 1})
	closes := &countingCloser{Reader: strings.NewReader("abcdefghi")}
	resp, body := fetch(t, p, &Request{Method: "POST", Host: "a.test", Target: "/", Body: closes, ContentLength: 9})
	if body != "abcdefghi" || resp.Attempts != 2 || closes.n.Load() != 0 {
		t.Errorf("%q after %d attempts, closed %d times", body, resp.Attempts, closes.n.Load())
	}
}

type countingCloser struct {
	io.Reader
	n atomic.Int32
}

func (c *countingCloser) Close() error { c.n.Add(1); return nil }

// TestExpectContinue: the body waits for the origin's word, which is not passed
// on as an interim response.
func TestExpectContinue(t *testing.T) {
	s := newScript(t, func(p *peer) {
		if h := p.head(); !strings.Contains(h, "\r\nExpect: 100-continue\r\n") {
			p.t.Errorf("head is %q", h)
		}
		if p.br.Buffered() > 0 {
			p.t.Error("the body did not wait")
		}
		p.say("HTTP/1.1 100 Continue\r\n\r\n")
		b := make([]byte, 3)
		_, _ = io.ReadFull(p.br, b)
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + string(b))
	})
	p := pool(t, Config{Servers: urls(s.url())})
	r := &Request{Method: "POST", Host: "a.test", Target: "/", Body: strings.NewReader("abc"), ContentLength: 3, Fields: header("Expect", "100-continue")}
	if _, body := fetch(t, p, r); body != "abc" {
		t.Errorf("body is %q", body)
	}
}
