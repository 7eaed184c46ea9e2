package origin

// The library's successor to ClientConn, http.ClientConn, opens its connection by
// itself: it cannot be given one that is there, whose handshake has chosen HTTP/2.
//
//lint:file-ignore SA1019 there is no successor that takes an open connection

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"

	"weir/origin/http1"
	"weir/policy"
)

// maxInterim bounds the 1xx responses of one exchange over HTTP/2.
const maxInterim = 8

// sessions are the HTTP/2 connections of a server. The library does the rest.
type sessions struct {
	transport *http2.Transport // nil without TLS

	mu    sync.Mutex // protects the fields below
	conns []*session // in the order in which they were opened
}

// h2Conn is a connection with HTTP/2.
type h2Conn = http2.ClientConn

type session struct {
	*h2Conn
	name     string
	stranger bool
	remote   netip.AddrPort
	opened   time.Duration
}

func newHTTP2(conf *Config) *http2.Transport {
	return &http2.Transport{
		DisableCompression: true,
		IdleConnTimeout:    idleTimeout,
		// What exceeds the bound by less than this is seen by us, and has a name.
		MaxHeaderListSize: uint32(min(4*conf.MaxHeaderBytes, 1<<30)),
		// A connection that died in silence is found by pings; each request on it
		// has its own bounds.
		ReadIdleTimeout: 10 * time.Second,
		PingTimeout:     5 * time.Second,
	}
}

// reserve takes a place for one request on a connection for name, or returns nil.
// Connections that take no more, or may not be used any more, are forgotten.
func (h *sessions) reserve(name string, usable func(netip.AddrPort, time.Duration) bool) *http2.ClientConn {
	if h.transport == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = slices.DeleteFunc(h.conns, func(s *session) bool {
		if !usable(s.remote, s.opened) {
			s.giveUp()
			return true
		}
		return s.State().Closed || s.State().Closing
	})
	for _, s := range h.conns {
		if s.name == name && s.ReserveNewRequest() {
			return s.h2Conn
		}
	}
	return nil
}

// open begins HTTP/2 on c, with a place for one request. When another connection has
// come into being meanwhile, that is used.
func (h *sessions) open(c *tls.Conn, s *session, usable func(netip.AddrPort, time.Duration) bool) (*http2.ClientConn, *Error) {
	if cc := h.reserve(s.name, usable); cc != nil {
		_ = c.Close()
		return cc, nil
	}
	cc, err := h.transport.NewClientConn(c)
	if err != nil || !cc.ReserveNewRequest() {
		_ = c.Close()
		return nil, &Error{Kind: Reset, Err: errors.Join(err, errors.New("the HTTP/2 connection takes no request"))}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.h2Conn = cc
	h.conns = append(h.conns, s)
	n := 0
	for i, s := range slices.Backward(h.conns) {
		if !s.stranger {
			continue
		}
		if n++; n > strangersIdle {
			s.giveUp()
			h.conns = slices.Delete(h.conns, i, i+1)
		}
	}
	return cc, nil
}

// giveUp closes the connection when nothing is on it any more.
func (s *session) giveUp() {
	s.SetDoNotReuse()
	if st := s.State(); st.StreamsActive+st.StreamsReserved+st.StreamsPending == 0 {
		_ = s.h2Conn.Close()
	}
}

func (h *sessions) closeIdle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.conns {
		s.giveUp()
	}
	h.conns = nil
}

// stream is an exchange over HTTP/2.
type stream struct {
	x      *exchange
	cancel context.CancelCauseFunc
	pace   pace
	raw    *http.Response

	mu      sync.Mutex // protects the fields below, and is held while an interim response is handed on
	over    bool       // RoundTrip has returned
	interim int
}

// sendHTTP2 makes one attempt over a connection with HTTP/2.
func (x *exchange) sendHTTP2(cc *http2.ClientConn) *Error {
	ctx, cancel := context.WithCancelCause(x.parent)
	s := &stream{x: x, cancel: cancel}
	s.pace = pace{cancel: cancel, firstByte: min(x.pool.conf.FirstByteTimeout, x.left), between: x.pool.conf.BetweenBytesTimeout}
	x.setStream(s)
	req, err := s.request(ctx)
	if err != nil {
		cancel(nil)
		return &Error{Kind: RequestBody, Err: err}
	}
	begin := time.Now()
	s.pace.enter(FirstByteTimeout)
	s.raw, err = cc.RoundTrip(req)
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.pace.gotHeader()
	if err == nil {
		err = s.inspect()
		if err != nil {
			_ = s.raw.Body.Close()
		}
	}
	if err != nil {
		x.left -= time.Since(begin)
		x.broke = true
		x.resent = true // which is the library's business
		e := x.classifyHTTP2(err, false)
		cancel(nil)
		return e
	}
	x.resp.Status, x.resp.ContentLength = s.raw.StatusCode, s.raw.ContentLength
	x.bare = s.raw.Body == http.NoBody
	return nil
}

// request makes the request so that the library sends the target as it stands. One that
// begins with "//" would be taken for an authority; the library takes scheme and host
// of an absolute URI away again.
func (s *stream) request(ctx context.Context) (*http.Request, error) {
	o, host := s.x.out, s.x.host()
	u := &url.URL{Scheme: "https", Host: host, Opaque: o.target}
	if strings.HasPrefix(o.target, "//") {
		u.Opaque = "//" + host + o.target
	}
	h := http.Header{"User-Agent": nil} // keeps the library from inventing one
	err := http1.Sendable(o.fields, func(f *policy.Field) {
		// The library may still write the header when RoundTrip has returned.
		name := strings.Clone(f.Name)
		h[name] = append(h[name], strings.Clone(f.Value))
	})
	if err != nil {
		return nil, err
	}
	req := &http.Request{Method: o.method, URL: u, Host: host, Header: h, Proto: "HTTP/2.0", ProtoMajor: 2}
	part, err := o.up.part(&s.pace)
	switch {
	case err != nil:
		return nil, err
	case part != nil:
		req.Body, req.ContentLength = part, o.up.size
	case o.zero:
		req.Body = http.NoBody
	}
	return req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: s.got1xx})), nil
}

// got1xx runs in the goroutine that reads the connection, which is that of many
// exchanges.
//
// Losing interleaving without over: an exchange is given up while more interim responses
// are being read; RoundTrip returns, its caller goes on to something else, and is handed
// what belonged to the exchange before.
func (s *stream) got1xx(code int, h textproto.MIMEHeader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return errors.New("the exchange is over")
	}
	if s.interim++; s.interim > maxInterim {
		return &Error{Kind: Malformed, Err: fmt.Errorf("there are more than %d interim responses", maxInterim)}
	}
	fields, err := s.fields(http.Header(h))
	if err != nil {
		return err
	}
	if code == http.StatusContinue || s.x.out.interim == nil {
		return nil
	}
	if err := s.x.out.interim(code, fields); err != nil {
		return &Error{Kind: Canceled, Err: err}
	}
	return nil
}

// inspect takes the header of the response, or refuses what must not be passed on.
func (s *stream) inspect() (err error) {
	if s.raw.StatusCode < 200 {
		return &Error{Kind: Malformed, Err: fmt.Errorf("unexpected status %d", s.raw.StatusCode)}
	}
	s.x.resp.Fields, err = s.fields(s.raw.Header)
	return err
}

// fields checks a header and puts it in order.
func (s *stream) fields(h http.Header) (policy.Fields, error) {
	fields, size := make(policy.Fields, 0, len(h)), int64(0)
	for name, values := range h {
		for _, v := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(v) {
				return nil, &Error{Kind: Malformed, Err: fmt.Errorf("the field %.80q is not valid", name)}
			}
			fields = append(fields, policy.Field{Name: name, Value: v})
			size += int64(len(name) + len(v) + 32) // RFC 9113 section 6.5.2
		}
	}
	if limit := s.x.pool.conf.MaxHeaderBytes; size > limit {
		return nil, &Error{Kind: HeaderTooLarge, Err: fmt.Errorf("the response header exceeds %d bytes", limit)}
	}
	slices.SortStableFunc(fields, func(a, b policy.Field) int { return strings.Compare(a.Name, b.Name) })
	return fields, nil
}

func (s *stream) read(p []byte) (int, error) {
	s.pace.enter(Stalled)
	defer s.pace.enter(Other)
	return s.raw.Body.Read(p)
}

func (s *stream) close() { _ = s.raw.Body.Close() } // says only what became of the rest

func (s *stream) trailer() policy.Fields {
	fields, err := s.fields(s.raw.Trailer)
	if err != nil || len(fields) == 0 {
		return nil
	}
	return fields
}

func (s *stream) end() {
	s.pace.enter(Other)
	s.cancel(nil)
}

// classifyHTTP2 names the failure of an exchange over HTTP/2: our own timeout, what the
// caller did, and only then what the library saw of it.
func (x *exchange) classifyHTTP2(err error, inBody bool) *Error {
	e := x.stream.pace.cause()
	switch {
	case e != nil:
	case errors.As(err, &e):
	default:
		e = &Error{Kind: kindOfHTTP2(err, inBody), Err: err}
	}
	e.Origin, e.Server = x.pool.conf.Name, x.server.addr
	return x.firstCause(e)
}

func kindOfHTTP2(err error, inBody bool) Kind {
	var (
		streamErr http2.StreamError
		connErr   http2.ConnectionError
		goAway    http2.GoAwayError
		netErr    net.Error
	)
	switch {
	case errors.As(err, &streamErr) && streamErr.Code == http2.ErrCodeProtocol, errors.As(err, &connErr):
		return Malformed
	case errors.As(err, &streamErr), errors.As(err, &goAway), errors.As(err, &netErr):
		return Reset
	case inBody && !errors.Is(err, errReleased):
		return Truncated // whatever stopped it, the body is not complete
	}
	return Reset
}

// pace bounds the waits of an exchange over HTTP/2 with one timer; when it runs out, the
// exchange is cancelled. While the request body is being read from the caller, who has
// bounds of its own, the server owes nothing.
type pace struct {
	cancel             context.CancelCauseFunc
	firstByte, between time.Duration

	mu       sync.Mutex // protects the fields below
	timer    *time.Timer
	kind     Kind // what it means when the wait lasts too long; Other: nothing is waited for
	since    time.Time
	answered bool
	holding  bool
	fired    *Error
}

// enter begins a wait for what fails as kind. Once there is a header, only waits for
// the body count.
func (w *pace) enter(kind Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enterLocked(kind)
}

func (w *pace) enterLocked(kind Kind) {
	w.kind, w.since = kind, time.Now()
	switch {
	case kind == Other || w.holding:
		if w.timer != nil {
			w.timer.Stop()
		}
	case w.timer == nil:
		w.timer = time.AfterFunc(w.boundLocked(), w.expire)
	default:
		w.timer.Reset(w.boundLocked())
	}
}

func (w *pace) boundLocked() time.Duration {
	if w.kind == FirstByteTimeout {
		return w.firstByte
	}
	return w.between
}

// expire runs when the timer does. Between the timer's decision and here the wait may
// have ended or begun again.
func (w *pace) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kind == Other || w.holding || w.fired != nil {
		return
	}
	if rest := w.boundLocked() - time.Since(w.since); rest > 0 {
		w.timer.Reset(rest)
		return
	}
	what := "waiting for the response header"
	if w.kind == Stalled {
		what = "sending the request body or reading the response body"
	}
	w.fired = &Error{Kind: w.kind, Err: errors.New("timeout while " + what)}
	w.cancel(w.fired)
}

func (w *pace) gotHeader() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered = true
	w.enterLocked(Other)
}

// hold and sent surround a read of the request body. Both may be called on nil.
func (w *pace) hold() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holding = true
	w.enterLocked(w.kind)
}

// sent follows hold: the next piece goes to the server, or was the last. A response
// that is being read meanwhile starts its wait anew.
func (w *pace) sent(last bool) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holding = false
	switch {
	case w.answered:
		w.enterLocked(w.kind)
	case last:
		w.enterLocked(FirstByteTimeout)
	default:
		w.enterLocked(Stalled)
	}
}

func (w *pace) cause() *Error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fired == nil {
		return nil
	}
	e := *w.fired
	return &e
}

var _ io.ReadCloser = (*exchange)(nil)
