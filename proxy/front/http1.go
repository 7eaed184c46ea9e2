package front

import (
	"errors"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"

	"weir/policy"
)

// newHTTP1 returns the server of HTTP/1.1 behind the listeners.
func (s *Server) newHTTP1() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:      s.handle,
		ErrorHandler: s.malformed,
		// Refuses an upload before its body is sent, where the head says enough.
		ExpectHandler: s.expects,
		ConnState:     s.conns.state,
		// The header names of a response go out as stored; its Date, Server
		// and Content-Type are the origin's or nobody's.
		NoDefaultServerHeader: true,
		NoDefaultDate:         true,
		NoDefaultContentType:  true,

		// Never reached: connections are bounded as they are accepted, and the
		// worker of one that is closed is free again a moment later.
		Concurrency:     2 * s.o.MaxConnections,
		ReadBufferSize:  s.o.MaxHeader,
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

// writeBuffer holds a response header and the small bodies that are worth one
// write; larger bodies go out with the header in one writev.
const writeBuffer = 4 << 10

// quietLogger drops what fasthttp would print about single connections: such
// lines are written by whoever connects.
type quietLogger struct{}

func (quietLogger) Printf(string, ...any) {}

// http1 is a Session of HTTP/1.1. A connection has one, which serves its requests
// one after the other.
type http1 struct {
	s    *Server
	ctx  *fasthttp.RequestCtx
	conn *clientConn // nil: there is no connection of a listener (Recorder)
	req  Request
	body *upload // nil: it was not asked for
	out  outgoing
	sent bool
}

var _ Session = (*http1)(nil)

// handle is fasthttp's entry.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	h := s.session(ctx)
	h.handle()
}

func (h *http1) handle() {
	h.s.o.Handle(h)
	h.s.farewell.say(h.ctx)
	h.joinBody()
}

// expects is fasthttp's entry for "Expect: 100-continue": a request that its head
// alone rules out gets its final answer at once, before the client sends the body
// (RFC 9110 section 10.1.1).
func (s *Server) expects(ctx *fasthttp.RequestCtx) int {
	if s.o.Expects(s.session(ctx)) {
		return fasthttp.StatusContinue
	}
	return ctx.Response.StatusCode()
}

// malformed is fasthttp's entry for what is no request, for the connection's inbound
// or for itself.
func (s *Server) malformed(ctx *fasthttp.RequestCtx, err error) {
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
func (s *Server) session(ctx *fasthttp.RequestCtx) *http1 {
	k := clientOf(ctx.Conn())
	if k == nil {
		panic("BUG: a connection that no listener of the server has accepted")
	}
	h := &k.session
	h.s, h.conn = s, k
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

// Cut implements Session. A reset, and not an orderly end, which could look like that
// of the body.
func (h *http1) Cut() {
	if k := h.conn; k != nil {
		_ = k.SetLinger(0)
		_ = k.Conn.Close()
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
	scratch.CopyTo(&p.http1)
	return p
}
