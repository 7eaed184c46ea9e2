package script

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// headBuffer is how much of a request head is kept as RawHead.
	headBuffer = 64 << 10
	// lingerTime is how long a closed connection is drained, so that the kernel does not turn the end into a reset which
	// would destroy what the other side has not read yet.
	lingerTime = time.Second
)

// conn is one accepted connection. serve owns it; shut may be called from elsewhere.
type conn struct {
	o    *Origin
	n    int
	raw  net.Conn
	net  net.Conn // raw, or TLS over it
	br   *bufio.Reader
	ctx  context.Context // ends with shut
	stop context.CancelFunc
	once sync.Once // closes raw
}

func newConn(o *Origin, raw net.Conn, n int) *conn {
	c := &conn{o: o, n: n, raw: raw, net: raw}
	if o.opts.TLS != nil {
		c.net = tls.Server(raw, o.opts.TLS)
	}
	c.br = bufio.NewReaderSize(c.net, headBuffer)
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// shut ends the connection from outside.
func (c *conn) shut() {
	c.stop()
	c.close()
}

func (c *conn) close() { c.once.Do(func() { c.raw.Close() }) }

// reset closes a connection so that the other side sees RST.
func reset(raw net.Conn) {
	if t, ok := raw.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	raw.Close()
}

func (c *conn) serve() {
	defer c.shut()
	for c.exchange() {
	}
}

// exchange serves one request and says whether the connection can take another.
func (c *conn) exchange() bool {
	rawHead, err := c.peekHead()
	if err != nil {
		return false // the other side closed between requests
	}
	rec := &Recorded{Conn: c.n, At: c.o.opts.Now(), RawHead: rawHead, Route: -1}
	req, err := http.ReadRequest(c.br)
	if err != nil {
		rec.Outcome, rec.Err = OutcomeMalformed, err.Error()
		c.o.rec.add(rec)
		c.linger(false)
		return false
	}
	rec.Method, rec.Target, rec.Proto, rec.Host = req.Method, req.RequestURI, req.Proto, req.Host
	rec.Header = req.Header.Clone()
	a, route, answer := c.o.pick(req)
	rec.Route, rec.Answer = route, answer
	c.o.rec.add(rec)

	x := &exchange{conn: c, req: req, answer: a, rec: rec, keep: !req.Close && !a.Close && !a.Early}
	err = x.run()
	outcome, text := OutcomeDone, ""
	if err != nil {
		outcome, text = c.outcomeOf(err)
	}
	c.finish(x, outcome)
	// Recorded only now: whoever waits for the end may count on the connection having ended as well.
	c.o.rec.update(func() {
		rec.Outcome, rec.Err, rec.Sent = outcome, text, x.sent
	})
	return outcome == OutcomeDone && x.keep
}

// stopError ends an exchange on purpose.
type stopError struct{ outcome Outcome }

func (e *stopError) Error() string { return e.outcome.String() }

func (c *conn) outcomeOf(err error) (Outcome, string) {
	var stop *stopError
	switch {
	case errors.As(err, &stop):
		return stop.outcome, ""
	case c.ctx.Err() != nil:
		return OutcomeClosed, ""
	}
	return OutcomePeerGone, err.Error()
}

// finish ends the connection as the outcome wants it.
func (c *conn) finish(x *exchange, outcome Outcome) {
	switch outcome {
	case OutcomeReset:
		c.once.Do(func() { reset(c.raw) })
	case OutcomeCut, OutcomeStallExpired:
		c.linger(false)
	case OutcomeDone:
		if !x.keep {
			c.linger(true)
		}
	default:
		c.close()
	}
}

// linger sends the end of the stream, reads what still comes, and closes. A clean end tells TLS too; a cut does not.
func (c *conn) linger(clean bool) {
	if t, ok := c.net.(*tls.Conn); ok && clean {
		t.CloseWrite()
	}
	if t, ok := c.raw.(*net.TCPConn); ok {
		t.CloseWrite()
	}
	c.raw.SetReadDeadline(time.Now().Add(lingerTime))
	io.Copy(io.Discard, c.raw)
	c.close()
}

// peekHead waits for a whole request head and returns a copy, without consuming it. A head beyond the buffer is "".
func (c *conn) peekHead() (string, error) {
	for {
		// What a pipelining client sent earlier is in the buffer already: look before reading on.
		p, _ := c.br.Peek(c.br.Buffered())
		if i := bytes.Index(p, []byte("\r\n\r\n")); i >= 0 {
			return string(p[:i+4]), nil
		}
		if i := bytes.Index(p, []byte("\n\n")); i >= 0 {
			return string(p[:i+2]), nil
		}
		_, err := c.br.Peek(len(p) + 1)
		switch {
		case err == nil:
		case errors.Is(err, bufio.ErrBufferFull):
			return "", nil
		case c.br.Buffered() == 0:
			return "", err
		default:
			return string(p), nil // a head that ends early: ReadRequest says what is wrong with it
		}
	}
}

// wait does nothing for d, or until the connection is shut or the other side leaves.
func (c *conn) wait(d time.Duration, watch bool) error {
	ctx, cancel := context.WithTimeout(c.ctx, d)
	defer cancel()
	err := c.watched(ctx, watch, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// stallAt waits at b, at most for limit.
func (c *conn) stallAt(b *Barrier, limit time.Duration, watch bool) error {
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel()
	err := c.watched(ctx, watch, b.Wait)
	if errors.Is(err, context.DeadlineExceeded) {
		return &stopError{OutcomeStallExpired}
	}
	return err
}

// watched runs f with a context that ends early when the other side leaves meanwhile. Without watch nobody looks: while
// a request body is arriving, looking would read from it.
func (c *conn) watched(ctx context.Context, watch bool, f func(context.Context) error) error {
	if !watch || c.br.Buffered() > 0 {
		return f(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		_, err := c.br.Peek(1)
		var ne net.Error
		if err != nil && (!errors.As(err, &ne) || !ne.Timeout()) {
			cancel(&goneError{err})
		}
	}()
	err := f(ctx)
	c.raw.SetReadDeadline(time.Unix(1, 0)) // ends the Peek
	<-looked
	c.raw.SetReadDeadline(time.Time{})
	var gone *goneError
	if err != nil && errors.As(context.Cause(ctx), &gone) {
		return gone
	}
	return err
}

// goneError is the other side leaving while an answer waited.
type goneError struct{ err error }

func (e *goneError) Error() string { return "the other side left: " + e.err.Error() }
func (e *goneError) Unwrap() error { return e.err }

// readBody reads the request body to its end and records it. at is called before the byte at each offset in stops.
func (x *exchange) readBody(stops []Event) error {
	if x.req.Header.Get("Expect") == "100-continue" && x.req.ProtoAtLeast(1, 1) {
		if _, err := io.WriteString(x.conn.net, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return err
		}
	}
	sum := sha256.New()
	n := int64(0)
	for {
		limit := int64(-1)
		if len(stops) > 0 {
			limit = stops[0].Offset
		}
		m, err := copyUpTo(sum, x.req.Body, limit-n, limit < 0)
		n += m
		x.conn.o.rec.update(func() { x.rec.BodyLen = n })
		if err != nil {
			return err
		}
		if limit < 0 || n < limit {
			break
		}
		if err := x.do(stops[0], false); err != nil {
			return err
		}
		stops = stops[1:]
	}
	x.conn.o.rec.update(func() { x.rec.BodySHA256 = hex.EncodeToString(sum.Sum(nil)) })
	return nil
}

func copyUpTo(w io.Writer, r io.Reader, n int64, all bool) (int64, error) {
	if !all {
		r = io.LimitReader(r, n)
	}
	return io.Copy(w, r)
}
