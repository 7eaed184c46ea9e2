package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/origin"
	"weir/policy"
	"weir/tiers"
)

// pipes is a listener whose connections have no buffers: whoever writes waits until the other side reads.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, io.EOF
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// pipe is one end of a connection, which has an address to tell.
type pipe struct{ net.Conn }

func (pipe) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// dial returns a new connection's end and a reader of it.
func (l *pipes) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	ours, theirs := net.Pipe()
	l.conns <- pipe{theirs}
	t.Cleanup(func() { ours.Close() })
	_ = ours.SetDeadline(time.Now().Add(30 * time.Second)) // a test that hangs says where
	return ours, bufio.NewReader(ours)
}

// servePipes serves the bench on connections without buffers until the test ends.
func (b *bench) servePipes() *pipes {
	l := newPipes()
	b.serve(l)
	return l
}

// say sends requests, in one piece, without waiting until they are read.
func say(c net.Conn, requests ...string) {
	go func() { _, _ = io.WriteString(c, strings.Join(requests, "")) }()
}

// hintingOrigin sends interim responses before its answers, which may have to wait for gate. It keeps what it was given
// to send them with.
type hintingOrigin struct {
	hints int
	gate  chan struct{} // nil: nothing is waited for
	err   error         // in the answer's place

	asked chan struct{} // gets one for each request that has had its hints
	mu    sync.Mutex
	kept  func(int, policy.Fields) error
}

func (o *hintingOrigin) Do(_ context.Context, r *origin.Request) (*origin.Response, error) {
	if strings.HasPrefix(r.Target, "/plain") {
		return o.answer(r)
	}
	for i := range o.hints {
		if err := r.Interim(103, policy.Fields{
			{Name: "Link", Value: fmt.Sprintf("<%s?%d>", r.Target, i)},
			{Name: "Connection", Value: "X-Hop"},
			{Name: "X-Hop", Value: "1"},
			{Name: "Proxy-Connection", Value: "keep-alive"},
			{Name: "Transfer-Encoding", Value: "chunked"},
			{Name: "Content-Length", Value: "5"},
		}); err != nil {
			return nil, err
		}
	}
	o.mu.Lock()
	o.kept = r.Interim
	o.mu.Unlock()
	o.asked <- struct{}{}
	if o.gate != nil {
		<-o.gate
	}
	if o.err != nil {
		return nil, o.err
	}
	return o.answer(r)
}

func (*hintingOrigin) answer(r *origin.Request) (*origin.Response, error) {
	body := "body of " + r.Target
	resp := &origin.Response{
		Status: 200, Fields: policy.Fields{{Name: "Cache-Control", Value: "max-age=3600"}},
		ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}
	if strings.HasSuffix(r.Target, "/chunked") {
		resp.ContentLength, resp.Fields = -1, policy.Fields{{Name: "Cache-Control", Value: "no-store"}}
	}
	return resp, nil
}

// wantAnswer reads the final response and checks its body.
func wantAnswer(t *testing.T, r *bufio.Reader, body string) {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || string(got) != body {
		t.Fatalf("%d, %q, %v; want %q", resp.StatusCode, got, err, body)
	}
}

// wantHints reads so many interim responses.
func wantHints(t *testing.T, r *bufio.Reader, path string, n int) {
	t.Helper()
	for i := range n {
		tr := textproto.NewReader(r)
		line, err := tr.ReadLine()
		if err != nil {
			t.Fatal(err)
		}
		h, err := tr.ReadMIMEHeader()
		if want := fmt.Sprintf("<%s?%d>", path, i); err != nil || !strings.HasPrefix(line, "HTTP/1.1 103 ") || h.Get("Link") != want || len(h) != 1 {
			t.Fatalf("%q, %v, %v; want 103 with %s and nothing of the connection", line, h, err, want)
		}
	}
}

const getHinted = "GET /hinted HTTP/1.1\r\nHost: h.example\r\n\r\n"

// TestInterimsHoldUpNobody: a client that takes no interim response holds up neither the origin's connection nor those
// who follow its fetch. When it reads, it gets all of them, in order, and then its answer.
func TestInterimsHoldUpNobody(t *testing.T) {
	o := &hintingOrigin{hints: 8, asked: make(chan struct{}, 1)}
	b := newBenchOver(t, Options{}, tiers.Options{RAMSize: 1 << 20, RAMMaxObject: 64 << 10}, o)
	l := b.servePipes()
	lead, lr := l.dial(t)
	say(lead, getHinted)
	<-o.asked // all hints were handed over, and the client has read nothing
	other, or := l.dial(t)
	say(other, getHinted)
	wantAnswer(t, or, "body of /hinted")
	wantHints(t, lr, "/hinted", 8)
	wantAnswer(t, lr, "body of /hinted")
}

// TestInterimAfterTheExchange: what an origin sends after its exchange was given up reaches neither the client nor the
// request that uses the memory by then.
func TestInterimAfterTheExchange(t *testing.T) {
	for _, method := range []string{"GET", "OPTIONS"} { // through a fetch and passed on
		t.Run(method, func(t *testing.T) {
			o := &hintingOrigin{hints: 1, asked: make(chan struct{}, 1), err: errors.New("given up")}
			b := newBenchOver(t, Options{}, tiers.Options{RAMSize: 1 << 20, RAMMaxObject: 64 << 10}, o)
			l := b.servePipes()
			c, r := l.dial(t)
			say(c, strings.Replace(getHinted, "GET", method, 1))
			wantHints(t, r, "/hinted", 1)
			<-o.asked
			resp, err := http.ReadResponse(r, nil)
			if err != nil || resp.StatusCode != 502 {
				t.Fatalf("%v, %v", resp, err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
			o.mu.Lock()
			late := o.kept
			o.mu.Unlock()
			if err := late(103, policy.Fields{{Name: "Link", Value: "</late>"}}); err != nil {
				t.Error(err)
			}
			say(c, "GET /plain HTTP/1.1\r\nHost: h.example\r\n\r\n")
			wantAnswer(t, r, "body of /plain")
		})
	}
}

// TestPipelineKeepsItsOrder: an answer does not wait for the one behind it, and nothing overtakes it.
func TestPipelineKeepsItsOrder(t *testing.T) {
	const hit = "GET /plain HTTP/1.1\r\nHost: h.example\r\n\r\n"
	o := &hintingOrigin{hints: 2, gate: make(chan struct{}), asked: make(chan struct{}, 1)}
	b := newBenchOver(t, Options{}, tiers.Options{RAMSize: 1 << 20, RAMMaxObject: 64 << 10}, o)
	b.do(b.request(strings.TrimSuffix(strings.ReplaceAll(hit, "\r\n", "\n"), "\n\n")))
	b.p.fetch.Wait()
	l := b.servePipes()
	t.Run("slow answer with interim responses behind it", func(t *testing.T) {
		c, r := l.dial(t)
		say(c, hit, hit, getHinted, hit)
		wantAnswer(t, r, "body of /plain")
		wantAnswer(t, r, "body of /plain") // while the third is under way
		wantHints(t, r, "/hinted", 2)
		<-o.asked
		o.gate <- struct{}{}
		wantAnswer(t, r, "body of /hinted")
		wantAnswer(t, r, "body of /plain")
	})
	t.Run("body of unknown length for HTTP/1.0 behind it", func(t *testing.T) {
		c, r := l.dial(t)
		say(c, hit, "GET /plain/chunked HTTP/1.0\r\nHost: h.example\r\n\r\n")
		wantAnswer(t, r, "body of /plain")
		rest, err := io.ReadAll(r)
		if err != nil || !bytes.HasSuffix(rest, []byte("\r\n\r\nbody of /plain/chunked")) || bytes.Count(rest, []byte("HTTP/1.")) != 1 {
			t.Fatalf("%q, %v", rest, err)
		}
	})
}
