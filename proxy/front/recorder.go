package front

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"
)

// Recorder is a session without a connection: its request is given as text, and its
// answer stays in memory. Tests and benchmarks of the client machine use it.
type Recorder struct {
	http1
	context fasthttp.RequestCtx
}

// NewRecorder returns a session for a request with that head, with CRLF behind each
// line, that came from that address. The error is fasthttp's word on the head.
func NewRecorder(head string, from net.Addr) (*Recorder, error) {
	var req fasthttp.Request
	if err := req.Header.Read(bufio.NewReader(strings.NewReader(head))); err != nil {
		return nil, err
	}
	r := new(Recorder)
	r.o = new(Options)
	r.context.Init(&req, from, quietLogger{})
	r.Reset()
	return r, nil
}

// firstHeader is a response header as a server hands it to its handler.
var firstHeader = sync.OnceValue(func() *fasthttp.ResponseHeader {
	h := new(fasthttp.ResponseHeader)
	s := newHTTP1(new(Options), new(connections), new(farewell))
	s.Handler = func(ctx *fasthttp.RequestCtx) { ctx.Response.Header.CopyTo(h) }
	s.ExpectHandler, s.ConnState = nil, nil
	ours, theirs := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.ServeConn(theirs)
	}()
	go func() { _, _ = io.WriteString(ours, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") }()
	_, _ = io.Copy(io.Discard, ours)
	<-served
	return h
})

// Reset forgets the answer, so that the request can be handled again.
func (r *Recorder) Reset() {
	r.context.Response.Reset()
	firstHeader().CopyTo(&r.context.Response.Header)
	r.begin(&r.context)
}

// SetTarget changes the target of the request.
func (r *Recorder) SetTarget(target []byte) {
	r.context.Request.Header.SetRequestURIBytes(target)
	r.begin(&r.context)
}

// Code returns the status of the answer.
func (r *Recorder) Code() int { return r.context.Response.StatusCode() }

// Sent returns a field of the answer.
func (r *Recorder) Sent(name string) string { return string(r.context.Response.Header.Peek(name)) }

// Head returns the answer's status line and field lines as they leave, and the empty
// line behind them.
func (r *Recorder) Head() string { return string(r.context.Response.Header.Header()) }

// Streams reports whether the body is sent after the handler has returned.
func (r *Recorder) Streams() bool { return r.context.Response.IsBodyStream() }

// WriteBody writes the body to w, as the server does once the handler has returned,
// and ends the answer. It returns what ended a body that streams.
func (r *Recorder) WriteBody(w io.Writer) error {
	resp := &r.context.Response
	defer r.context.ResetUserValues()
	if !resp.IsBodyStream() {
		_, err := w.Write(resp.Body())
		return err
	}
	_, err := io.Copy(w, struct{ io.Reader }{resp.BodyStream()})
	if closed := resp.CloseBodyStream(); err == nil {
		err = closed
	}
	return err
}
