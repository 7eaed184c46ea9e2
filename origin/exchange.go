package origin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// maxInterim bounds the 1xx responses of one exchange; net/http leaves that to
// whoever looks at them.
const maxInterim = 8

var (
	errOver    = errors.New("nobody waits for the response any more")
	errEarly   = errors.New("the server sent bytes before it was asked")
	errFraming = errors.New("the response has both Content-Length and Transfer-Encoding")
)

// exchange is one attempt to get a response from one server. It holds a permit
// of that server from before run until finish.
type exchange struct {
	pool   *Pool
	server *server
	out    *outgoing
	begin  time.Time
	parent context.Context
	cancel context.CancelCauseFunc
	watch  *watch
	part   *part
	cut    string // what wire must take out of the request line

	// Set by net/http's hooks, before RoundTrip returns.
	wire    *wire // nil with HTTP/2
	reused  bool
	early   bool
	interim int
	tried   bool // a connection was used, or is
	refused bool // the last one was turned down
	resent  bool

	took time.Duration // from begin to the header
	done sync.Once
}

// run sends the request. On failure the permit is free again; on success the
// response's body owns it.
func (x *exchange) run(ctx context.Context, left time.Duration) (*Response, *Error) {
	x.out.attempts++
	x.parent = ctx
	ctx, x.cancel = context.WithCancelCause(ctx)
	x.watch = newWatch(x.pool.limits, left, x.cancel)
	resp, err := x.send(ctx)
	for err != nil && ctx.Err() == nil && x.anew(err) {
		resp, err = x.send(ctx)
	}
	if err != nil {
		return nil, x.failed(err)
	}
	x.watch.gotHeader()
	if err := x.inspect(resp); err != nil {
		x.cancel(err)
		_ = resp.Body.Close()
		return nil, x.failed(err)
	}
	x.took = time.Since(x.begin)
	return x.respond(resp), nil
}

func (x *exchange) send(ctx context.Context) (*http.Response, error) {
	var err error
	if x.part, err = x.out.up.part(x.watch); err != nil {
		return nil, &kindError{kind: RequestBody, err: err}
	}
	in := &interims{x: x}
	defer in.end()
	transport := x.server.transport
	if x.out.stranger {
		transport = x.server.strangers
	}
	return transport.RoundTrip(x.request(ctx, in))
}

// interims hands on the interim responses of one connection's answer, up to when
// RoundTrip returns.
//
// Losing interleaving without it: an exchange is given up while net/http has the
// bytes of more interim responses in its buffer; RoundTrip returns, whoever called
// goes on to something else, and is handed what belonged to the exchange before.
type interims struct {
	x    *exchange
	mu   sync.Mutex // protects over, and is held while one is handed on
	over bool
}

func (in *interims) got(code int, h textproto.MIMEHeader) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return errOver
	}
	return in.x.got1xx(code, h)
}

func (in *interims) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.over = true
}

// failed ends an attempt that has no response to show.
func (x *exchange) failed(err error) *Error {
	e := x.classify(err, false)
	x.watch.stop()
	x.cancel(nil)
	x.server.release()
	if unreached(e.Kind) && e.Kind != TLS {
		x.server.down()
	}
	return e
}

// classify finds the first cause of err: our own timeout, the client's body, the
// caller's context, and only then what the transport saw of it.
func (x *exchange) classify(err error, inBody bool) *Error {
	e := &Error{Origin: x.pool.conf.Name, Server: x.server.addr, Err: err}
	cause, upErr := x.watch.cause(), x.out.up.err()
	switch {
	case cause != nil:
		e.Kind, e.Err = cause.kind, cause.err
	case upErr != nil:
		e.Kind, e.Err = RequestBody, upErr
	case x.parent.Err() != nil:
		e.Kind, e.Err = Canceled, context.Cause(x.parent)
	default:
		e.Kind = kindOf(err, inBody)
	}
	return e
}

// request builds the request so that net/http writes the target as it stands:
// URL.Opaque is copied to the request line. One that begins with "//" would be
// taken for an authority; it is made an absolute URI whose beginning wire takes
// out again (HTTP/2 does so itself).
func (x *exchange) request(ctx context.Context, in *interims) *http.Request {
	o, s := x.out, x.server
	host := o.host
	if host == "" {
		host = s.addr
	}
	u := &url.URL{Scheme: s.scheme, Host: x.urlHost(host), Opaque: o.target}
	if strings.HasPrefix(o.target, "//") {
		u.Opaque = "//" + host + o.target
		x.cut = s.scheme + "://" + host
	}
	req := &http.Request{
		Method: o.method, URL: u, Host: host, Header: o.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	switch {
	case x.part != nil && o.up.size >= 0:
		req.Body, req.ContentLength = x.part, o.up.size
	case x.part != nil:
		// Said outright: net/http would probe the body of a GET or DELETE first.
		req.Body, req.ContentLength, req.TransferEncoding = x.part, -1, []string{"chunked"}
	case o.zero:
		// With "identity" net/http states the zero for every method that can have
		// a body, not for POST, PUT and PATCH only.
		req.Body, req.TransferEncoding = http.NoBody, []string{"identity"}
	}
	return req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:              x.getConn,
		GotConn:              x.gotConn,
		GotFirstResponseByte: x.firstByte,
		Got1xxResponse:       in.got,
	}))
}

// urlHost is what the transport keeps connections under, and for TLS the name
// that is asked for and verified.
func (x *exchange) urlHost(host string) string {
	if x.server.tls == nil {
		return x.server.addr
	}
	name := x.pool.conf.TLS.ServerName
	if name == "" {
		name = hostname(host)
	}
	return net.JoinHostPort(strings.ToLower(name), x.server.port)
}

func (x *exchange) getConn(string) {
	x.reused, x.refused = false, false // a dial that fails must not look like the connection before it
	x.watch.enter(connecting)
}

func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	x.reused = info.Reused
	if w, ok := info.Conn.(*wire); ok {
		x.wire = w
		w.expect(x.out.method, x.cut, x.part)
		x.refused = info.Reused && x.dying(w, info.WasIdle)
		if x.refused {
			w.refuse()
			x.part.abandon() // before it is read: the next connection gets all of it
		}
		x.tried = x.tried || !x.refused
	}
	x.watch.enter(awaiting)
}

// firstByte runs in the goroutine that reads the connection. On a new connection
// a server may speak first to say why it will not serve; on a used one such bytes
// belong to the request before.
func (x *exchange) firstByte() {
	if x.wire != nil && x.reused && x.wire.early() {
		x.early = true
	}
}

// got1xx runs in the goroutine that reads the connection, which with HTTP/2 is that of
// many exchanges.
func (x *exchange) got1xx(code int, h textproto.MIMEHeader) error {
	if x.early {
		return &kindError{kind: Reset, err: errEarly}
	}
	if x.interim++; x.interim > maxInterim {
		return &kindError{kind: Malformed, err: fmt.Errorf("more than %d interim responses", maxInterim)}
	}
	if err := checkHeader(http.Header(h)); err != nil {
		return err
	}
	if code == http.StatusContinue || x.out.got1xx == nil {
		return nil
	}
	if err := x.out.got1xx(code, h); err != nil {
		return &kindError{kind: Canceled, err: err}
	}
	return nil
}

// inspect refuses responses that net/http accepts but nobody should pass on.
func (x *exchange) inspect(resp *http.Response) error {
	malformed := func(err error) error { return &kindError{kind: Malformed, err: err} }
	if x.early {
		return &kindError{kind: Reset, err: errEarly}
	}
	if resp.StatusCode < 200 {
		return malformed(fmt.Errorf("unexpected status %d", resp.StatusCode))
	}
	if err := checkHeader(resp.Header); err != nil {
		return err
	}
	if x.wire == nil {
		return nil
	}
	seen := x.wire.seen()
	switch {
	case seen.oddStatusLine || resp.ProtoMajor != 1:
		return malformed(errors.New("the status line is not that of HTTP/1"))
	case seen.contentLength && seen.transferEncoding:
		return malformed(errFraming)
	case seen.transferEncoding && !resp.ProtoAtLeast(1, 1):
		return malformed(errors.New("Transfer-Encoding in an HTTP/1.0 response"))
	case seen.codingAgain:
		return malformed(errors.New("Transfer-Encoding goes on after a coding that nobody knows"))
	case !seen.cacheControl:
		// net/http turns "Pragma: no-cache" into Cache-Control; the server did not.
		resp.Header.Del("Cache-Control")
	}
	return nil
}

// checkHeader refuses names and values that could not be passed on safely: a bare
// CR or NUL in a value, a space before the colon.
func checkHeader(h http.Header) error {
	for k, vv := range h {
		if !httpguts.ValidHeaderFieldName(k) {
			return &kindError{kind: Malformed, err: fmt.Errorf("header name %.80q is not valid", k)}
		}
		for _, v := range vv {
			if !httpguts.ValidHeaderFieldValue(v) {
				return &kindError{kind: Malformed, err: fmt.Errorf("the value of header %.80q is not valid", k)}
			}
		}
	}
	return nil
}

// finish ends an exchange that had a response, once.
func (x *exchange) finish(outcome string) {
	x.done.Do(func() {
		x.watch.stop()
		x.cancel(nil)
		x.out.up.release()
		x.server.release()
		x.pool.names.exit(x.out)
		x.pool.observe(outcome, x.took)
		x.pool.leave()
	})
}
