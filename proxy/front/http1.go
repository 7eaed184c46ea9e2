package front

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"

	"weir/policy"
)

// newHTTP1 returns a server of HTTP/1.1 behind the listeners.
func newHTTP1(o *Options, conns *connections, bye *farewell) *fasthttp.Server {
	s := server1{o, bye}
	return &fasthttp.Server{
		Handler:      s.handle,
		ErrorHandler: s.malformed,
		// Refuses an upload before its body is sent, where the head says enough.
		ExpectHandler: s.expects,
		ConnState:     conns.state,
		// The header names of a response go out as stored; its Date, Server
		// and Content-Type are the origin's or nobody's.
		NoDefaultServerHeader: true,
		NoDefaultDate:         true,
		NoDefaultContentType:  true,

		// Never reached: connections are bounded as they are accepted, and the
		// worker of one that is closed is free again a moment later.
		Concurrency:     2 * o.MaxConnections,
		ReadBufferSize:  o.MaxHeader,
		WriteBufferSize: writeBuffer,
		// Nobody asks it for the time: the handler takes it itself.
		LazyRequestTime:    true,
		StreamRequestBody:  true,
		MaxRequestBodySize: -1,
		CloseOnShutdown:    true,
		Logger:             quietLogger{},

		DisablePreParseMultipartForm:  true,
		SecureErrorLogMessage:         true,
		DisableHeaderNamesNormalizing: false,
	}
}

// quietLogger drops what fasthttp would print about single connections: such
// lines are written by whoever connects.
type quietLogger struct{}

func (quietLogger) Printf(string, ...any) {}

// http1 is a Session of HTTP/1.1. A connection has one, which serves its requests
// one after the other.
type http1 struct {
	o    *Options
	ctx  *fasthttp.RequestCtx
	conn *clientConn // nil: there is no connection of a listener (Recorder)
	req  Request
	body *upload // nil: it was not asked for
	out  outgoing
	sent bool
}

var _ Session = (*http1)(nil)

// server1 makes sessions of what fasthttp has read.
type server1 struct {
	o   *Options
	bye *farewell
}

// handle is fasthttp's entry.
func (s server1) handle(ctx *fasthttp.RequestCtx) {
	h := s.session(ctx)
	s.o.Handle(h)
	s.bye.say(ctx)
	if h.conn.tcp != nil {
		h.conn.joined.take(ctx)
	}
}

// expects is fasthttp's entry for "Expect: 100-continue": a request that its head
// alone rules out gets its final answer at once, before the client sends the body
// (RFC 9110 section 10.1.1).
func (s server1) expects(ctx *fasthttp.RequestCtx) int {
	if s.o.Expects(s.session(ctx)) {
		return fasthttp.StatusContinue
	}
	return ctx.Response.StatusCode()
}

// malformed is fasthttp's entry for what is no request, for the connection's inbound
// or for itself.
func (s server1) malformed(ctx *fasthttp.RequestCtx, err error) {
	h := s.session(ctx)
	h.req.Fault = faultOf(err)
	if len(h.req.Section) == 0 {
		// There is no head, only fasthttp's defaults. (One that it could parse, and
		// whose Host it refused, is as it came.)
		h.req.Method, h.req.Target = dash, dash
		if h.conn != nil {
			h.req.Target = h.conn.in.requestLine()
		}
	}
	s.o.Handle(h)
}

var dash = []byte("-")

// faultOf is the fault that is behind an error of fasthttp's.
func faultOf(err error) *Fault {
	var f *Fault
	var small *fasthttp.ErrSmallBuffer
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &small):
		return &Fault{fasthttp.StatusRequestHeaderFieldsTooLarge, "the header section is larger than this cache accepts"}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &Fault{fasthttp.StatusRequestTimeout, "the request did not arrive in time"}
	}
	return bad("the request is malformed")
}

// session returns the session of the connection, for the request in ctx.
func (s server1) session(ctx *fasthttp.RequestCtx) *http1 {
	k := clientOf(ctx.Conn())
	if k == nil {
		panic("BUG: a connection that no listener of the server has accepted")
	}
	h, ok := k.session.(*http1)
	if !ok { // it is the connection's first request
		h = &http1{o: s.o, conn: k}
		k.session = h
	}
	h.begin(ctx)
	return h
}

// begin makes h the session of the request in ctx.
func (h *http1) begin(ctx *fasthttp.RequestCtx) {
	h.ctx, h.body, h.sent = ctx, nil, false
	q, r := &ctx.Request.Header, &h.req
	if r.Sender.Scheme == "" { // else it is known from the connection's first request
		r.Sender = senderOf(ctx)
	}
	r.Method, r.Target, r.Section = q.Method(), q.RequestURI(), q.RawHeaders()
	r.Shard, r.Fault, r.Version = uint32(ctx.ConnID()), nil, "1.1"
	// Fasthttp has -2 for a body that ends with the connection, which no request has.
	if r.Length = int64(q.ContentLength()); r.Length < -1 {
		r.Length = 0
	}
	switch proto := q.Protocol(); string(proto) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		r.Version = "1.0"
	default:
		r.Fault = otherVersion()
		return
	}
	if !h.framedAlike() {
		r.Fault = bad("the length of the request body is in doubt")
	}
}

// framedAlike reports whether fasthttp takes the request's body for as long as the
// connection's inbound does. It always should; a body that is read in two ways would
// be somebody's next request.
func (h *http1) framedAlike() bool { return h.conn == nil || h.conn.in.announced == h.req.Length }

// senderOf returns who sends on the connection: the TCP peer, or whom a trusted
// sender's PROXY header named.
func senderOf(ctx *fasthttp.RequestCtx) policy.Sender {
	s := policy.Sender{Scheme: "http"}
	if ctx.IsTLS() {
		s.Scheme = "https"
	}
	if a, ok := ctx.RemoteAddr().(*net.TCPAddr); ok {
		addr, _ := netip.AddrFromSlice(a.IP)
		s.Addr = addr.Unmap()
	}
	return s
}

// Request implements Session.
func (h *http1) Request() *Request { return &h.req }

// Field implements Session.
func (h *http1) Field(name string) []byte { return h.ctx.Request.Header.Peek(name) }

// Body implements Session.
func (h *http1) Body(limit int64) Body {
	h.body = &upload{
		ctx: h.ctx, r: h.ctx.RequestBodyStream(), conn: h.conn, length: h.req.Length, limit: limit, timeout: h.o.ProgressTimeout,
	}
	return h.body
}

// WhenGone implements Session.
func (h *http1) WhenGone(gone func()) {
	k := h.conn
	switch {
	case k == nil:
	case gone != nil:
		v := &vigil{conn: k.Conn, end: gone, pipelined: k.in.hasAhead(), looked: k.clock.now()}
		if _, v.secure = k.Conn.(secured); h.body != nil {
			v.up = h.body
		}
		k.vigil.Store(v)
	case k.vigil.Load() != nil:
		k.vigil.Store(nil)
	}
}

// Interims implements Session.
func (h *http1) Interims() Interims { return newInterims(h.ctx.Conn(), h.req.Version != "1.0") }

// Prepare implements Session.
func (h *http1) Prepare(code int, fields policy.Fields) *Header {
	p := new(Header)
	// Made elsewhere and copied: what fasthttp needs to make it is as much again.
	scratch := scratchHeaders.Get().(*fasthttp.ResponseHeader)
	defer scratchHeaders.Put(scratch)
	serverSettings(&h.ctx.Response.Header, scratch)
	setFolded(scratch, code, fields)
	scratch.CopyTo(&p.made)
	return p
}

// Names and texts of what differs from answer to answer.
var (
	nameAge          = []byte("Age")
	nameCacheStatus  = []byte("Cache-Status")
	nameContentRange = []byte("Content-Range")
	nameLocation     = []byte("Location")
	messagePartial   = []byte("Partial Content")
)

// Send implements Session.
func (h *http1) Send(a *Answer) {
	resp := &h.ctx.Response
	if h.sent {
		resp.Reset()
	}
	h.sent = true
	h.sendHeader(a)
	switch {
	case a.Stream != nil:
		h.stream(a.Stream, a.Length)
	case a.Body != nil:
		resp.SetBodyRaw(a.Body)
	default:
		resp.SkipBody = true
		switch {
		case Bodiless(resp.StatusCode()):
		case a.Length >= 0:
			resp.Header.SetContentLength(int(a.Length))
		default:
			noLength(&resp.Header)
		}
	}
	if a.Release != nil {
		closeWhenWritten(h.ctx, a.Release)
	}
}

func (h *http1) sendHeader(a *Answer) {
	hdr := &h.ctx.Response.Header
	switch {
	case a.Header == nil:
		setFolded(hdr, a.Code, a.Fields)
	default:
		a.Header.made.CopyTo(hdr)
		if a.Code != 0 {
			hdr.SetStatusCode(a.Code)
		}
	}
	if a.Code == fasthttp.StatusPartialContent {
		hdr.SetStatusMessage(messagePartial)
	}
	if a.Close {
		hdr.SetConnectionClose()
	}
	if a.Age != nil {
		hdr.SetCanonical(nameAge, a.Age)
	}
	if a.CacheStatus != nil {
		hdr.SetCanonical(nameCacheStatus, a.CacheStatus)
	}
	if a.Location != nil {
		hdr.SetCanonical(nameLocation, a.Location)
	}
	if a.ContentRange != nil {
		hdr.SetCanonical(nameContentRange, a.ContentRange)
	}
	if a.ContentType != nil {
		hdr.SetContentTypeBytes(a.ContentType)
	}
}

// stream sends n bytes piece by piece after the handler has returned.
func (h *http1) stream(src Stream, n int64) {
	h.out = outgoing{conn: h.ctx.Conn(), src: src, direct: n >= 0}
	if n < 0 && h.req.Version == "1.0" {
		h.sendUntilClose()
		return
	}
	resp := &h.ctx.Response
	flushedFirst(resp)
	resp.SetBodyStream(&h.out, int(n))
}

// sendUntilClose sends a body of unknown length to an HTTP/1.0 client, which
// reads until the connection closes: fasthttp would send chunks, which such a
// client does not understand.
func (h *http1) sendUntilClose() {
	hdr := &h.ctx.Response.Header
	hdr.SetConnectionClose()
	h.ctx.HijackSetNoResponse(true)
	h.ctx.Hijack(func(net.Conn) {})
	noLength(hdr)
	conn := h.out.conn
	_, err := conn.Write(hdr.Header())
	if err == nil {
		_, err = h.out.WriteTo(conn)
	}
	if err != nil {
		// An orderly close would look like the end of the body.
		if c, ok := conn.(interface{ SetLinger(int) error }); ok {
			_ = c.SetLinger(0)
		}
	}
	if err := h.out.Close(); err != nil {
		panic(fmt.Sprintf("BUG: closing a body stream: %v", err))
	}
}
