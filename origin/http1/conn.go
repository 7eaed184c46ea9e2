package http1

import (
	"io"
	"net"
	"sync"
	"time"

	"weir/policy"
)

// Config is what the connections of one server have in common.
type Config struct {
	// MaxHeader bounds a response header, each interim one included, in bytes.
	MaxHeader int
	// Between bounds each wait for more of a response body, and for the server to
	// take the next piece of a request body.
	Between time.Duration
	// Now is a monotonic clock, for how long a connection has been idle.
	Now func() time.Duration
}

// Response is the head of a final response. The strings of Fields share the memory of
// the whole head.
type Response struct {
	Status int
	Minor  int // the version is HTTP/1.Minor
	// Fields are as received, names in canonical case, without Transfer-Encoding and
	// Trailer.
	Fields policy.Fields
	// ContentLength is what is declared, -1 if nothing; for HEAD it says nothing about
	// the body.
	ContentLength int64
	// CloseDelimited: the body ends when the connection does.
	CloseDelimited bool
}

// Conn is a connection with at most one exchange on it. RoundTrip begins one, which is
// over when Over says so. One goroutine uses a Conn; Abort may come from any.
type Conn struct {
	conn net.Conn // what is read and written
	sock *Socket  // beneath TLS if there is TLS
	tls  bool
	conf *Config

	// What was read and not taken is buf[r:w]. buf is nil between exchanges.
	buf    []byte
	r, w   int
	pooled *[bufferSize]byte // where buf came from

	used     bool // an exchange went before this one
	wrote    bool // something of the request was written
	over     bool // the exchange has ended
	failed   *Error
	answered bool // a byte of an answer came
	keep     bool // the connection may be used again, as far as the head says
	body     body
	sending  *sending // nil without an upload of its own goroutine

	heard   time.Duration // when the server last sent something
	silence time.Duration // how long the read lasted that found the end; -1 before
	promise Promise       // for how long it keeps the connection
	stated  Promise       // what of that the last head said

	wait wait
}

// bufferSize is one read: the head and a median object.
const bufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// NewConn makes a Conn of c, which is s or TLS on top of it.
func NewConn(c net.Conn, s *Socket, conf *Config) *Conn {
	return &Conn{conn: c, sock: s, tls: c != net.Conn(s), conf: conf, heard: conf.Now(), silence: -1}
}

// RoundTrip sends r and waits for the head of the final response. The body is then
// read with Read. After an error the connection must be closed.
func (c *Conn) RoundTrip(r *Request, resp *Response) *Error {
	c.begin()
	err := c.send(r)
	if err == nil {
		err = c.receive(r, resp)
	}
	if err != nil {
		c.fail(err)
	}
	c.used = true
	return err
}

func (c *Conn) begin() {
	c.pooled = buffers.Get().(*[bufferSize]byte)
	c.buf, c.r, c.w = c.pooled[:], 0, 0
	c.failed = nil
	c.over, c.wrote, c.answered, c.keep, c.sending, c.body = false, false, false, false, nil, body{}
	c.silence, c.stated = -1, Promise{}
}

// send writes the request: whole, or its head, with a goroutine for the body.
func (c *Conn) send(r *Request) *Error {
	out, err := r.appendHead(c.buf[:0])
	if err != nil {
		return &Error{Kind: Invalid, Err: err}
	}
	c.wait.start(c, r.Within)
	if r.Body != nil && (!r.AtHand || r.continues() || r.Length < 0 || int(r.Length) > cap(out)-len(out)) {
		if err := c.lookAndWrite(out, r.Within); err != nil {
			return err
		}
		c.startSending(r)
		return nil
	}
	if r.Body != nil {
		head := len(out)
		out = out[:head+int(r.Length)]
		if _, err := io.ReadFull(r.Body, out[head:]); err != nil {
			return &Error{Kind: RequestBody, Err: err}
		}
	}
	if c.sock.raw == nil || c.tls {
		return c.lookAndWrite(out, r.Within)
	}
	return c.ask(out, r.Within)
}

func (c *Conn) lookAndWrite(out []byte, within time.Duration) *Error {
	if err := c.look(); err != nil {
		return err
	}
	n, err := c.write(out, within)
	if c.wrote = n > 0; err != nil {
		return c.broken(err, false)
	}
	return nil
}

// look makes sure that nothing came while nothing was asked.
func (c *Conn) look() *Error {
	if !c.used {
		return nil
	}
	n, err := c.readNow(c.sock.one[:])
	for err != nil && timedOut(err) && c.sock.raw != nil && !c.sock.tried && c.wait.goesOn(c) {
		n, err = c.readNow(c.sock.one[:]) // the deadline of an earlier wait came first
	}
	switch {
	case n > 0:
		return &Error{Kind: Reset, Err: ErrEarly}
	case timedOut(err):
		return nil
	case err == io.EOF:
		return &Error{Kind: Reset, Err: ErrEnded}
	}
	return c.broken(err, false)
}

// ask writes out and waits for the first bytes of an answer.
func (c *Conn) ask(out []byte, within time.Duration) *Error {
	n, wrote, err := c.sock.ask(out, c.buf, c.used)
	for err != nil && wrote == 0 && timedOut(err) && c.wait.goesOn(c) {
		n, wrote, err = c.sock.ask(out, c.buf, c.used) // the deadline of an earlier wait came first
	}
	c.wrote = wrote > 0
	switch {
	case n > 0:
		c.w = n
		c.came()
	case err == nil:
		// The request is longer than what the socket takes at once.
		if _, err := c.write(out[wrote:], within); err != nil {
			return c.broken(err, false)
		}
		c.wrote = true
	case timedOut(err) && c.wait.goesOn(c): // the head is waited for as any other
	default:
		return c.broken(err, false)
	}
	return nil
}

// write writes all of b, within d.
func (c *Conn) write(b []byte, d time.Duration) (int, error) {
	if err := c.conn.SetWriteDeadline(time.Now().Add(d)); err != nil {
		return 0, err
	}
	return c.conn.Write(b)
}

// receive reads heads up to that of the final response.
func (c *Conn) receive(r *Request, resp *Response) *Error {
	for interim := 0; ; interim++ {
		var h head
		if err := c.readHead(&h); err != nil {
			return err
		}
		switch {
		case h.Status == 101:
			return malformed("the server switches protocols, which nobody asked for")
		case h.Status >= 200:
			if c.stated = h.promise; c.stated.Given {
				c.promise = c.stated
			}
			*resp = h.Response
			c.frame(r, &h, resp)
			return nil
		case interim == maxInterim:
			return malformed("there are more than %d interim responses", maxInterim)
		case h.Status == 100:
			c.goAhead()
		case r.Interim != nil:
			if err := r.Interim(h.Status, h.Fields); err != nil {
				return &Error{Kind: Canceled, Err: err}
			}
		}
	}
}

// more waits for more bytes in the buffer, and makes room for them.
func (c *Conn) more() error {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
	case c.w == len(c.buf) && c.r > 0:
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	case c.w == len(c.buf):
		larger := make([]byte, 2*len(c.buf))
		c.w = copy(larger, c.buf)
		c.buf = larger
		c.putBuffer()
	}
	n, err := c.pull(c.buf[c.w:])
	c.w += n
	return err
}

// pull waits for bytes from the server, as long as the present wait may last.
func (c *Conn) pull(p []byte) (int, error) {
	began := c.conf.Now()
	for {
		n, err := c.conn.Read(p)
		switch {
		case n > 0:
			c.came()
			return n, nil
		case err == io.EOF:
			c.silence = c.conf.Now() - began
			return 0, err
		case err != nil && (!timedOut(err) || !c.wait.goesOn(c)):
			return 0, err
		}
	}
}

// came notes that the server has sent something.
func (c *Conn) came() {
	c.answered = true
	c.heard = c.conf.Now()
}

func (c *Conn) putBuffer() {
	if c.pooled != nil {
		buffers.Put(c.pooled)
		c.pooled = nil
	}
}

// finish ends an exchange whose response is complete.
func (c *Conn) finish() {
	if c.r < c.w {
		c.keep = false // the server has sent more than it was asked for
	}
	c.end()
}

// fail ends an exchange that has failed.
func (c *Conn) fail(err *Error) {
	c.keep, c.failed = false, err
	c.end()
}

func (c *Conn) end() {
	c.over = true
	if c.stopSending() {
		c.keep = false // the server did not get all of the request
	}
	c.putBuffer()
	c.buf, c.r, c.w = nil, 0, 0
}

// Over reports whether the exchange has ended: its response was read to the end, or it
// has failed.
func (c *Conn) Over() bool { return c.over }

// Reusable reports whether another exchange may follow one that is over: the server
// keeps the connection, and has sent nothing beyond its answer.
func (c *Conn) Reusable() bool { return c.over && c.keep && c.ended() == nil }

// Untouched reports whether nothing of the request was written.
func (c *Conn) Untouched() bool { return !c.wrote }

// Unanswered reports whether not a byte of an answer came.
func (c *Conn) Unanswered() bool { return !c.answered }

// Idle returns for how long the server has sent nothing, and how long it said it would
// keep the connection so.
func (c *Conn) Idle() (time.Duration, Promise) { return c.conf.Now() - c.heard, c.promise }

// Silence returns for how long the server was silent before it ended the connection,
// negative while it has not, and what the head of the response promised.
func (c *Conn) Silence() (time.Duration, Promise) { return c.silence, c.stated }

// Abort ends the exchange from outside, at once; err is what its user is told. Without
// an exchange it closes the connection.
func (c *Conn) Abort(err *Error) {
	c.wait.mu.Lock()
	if c.wait.cause == nil {
		c.wait.cause = err
	}
	c.wait.mu.Unlock()
	_ = c.sock.Close() // wakes up whoever reads or writes
}

// Close closes the connection, and ends the exchange. Only whoever uses the connection
// may call it.
func (c *Conn) Close() {
	_ = c.sock.Close()
	if !c.over {
		c.fail(&Error{Kind: Canceled, Err: net.ErrClosed})
	}
}

func (c *Conn) ended() *Error {
	c.wait.mu.Lock()
	defer c.wait.mu.Unlock()
	return c.wait.cause
}

// Waited returns for how long the server has owed the head of a response.
func (c *Conn) Waited() time.Duration { return c.wait.lasted() }
