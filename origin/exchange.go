package origin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"weir/origin/http1"
	"weir/policy"
)

// drainLimit is the most of a body that nobody reads any more that is read for the sake
// of its connection, as far as it is there.
const drainLimit = 64 << 10

// exchange is one attempt to get a response from one server, and the body of the
// response. It holds a permit of that server from before run until finish; an active
// check has none, and no member.
type exchange struct {
	attempt
	pool   *Pool
	server *server
	out    *outgoing
	asked  time.Duration // when it began to wait for a permit
	parent context.Context
	// left is what remains of ConnectTimeout + FirstByteTimeout over all attempts of
	// one Do: connecting and waiting for a header use it up, so that retries cannot
	// multiply them.
	left     time.Duration
	resp     Response
	headerAt time.Duration

	reused bool // the connection was used before
	broke  bool // a connection broke that something was written to
	resent bool

	stream   *stream // nil but with HTTP/2
	unfollow func() bool
	bare     bool          // the response has no body
	got      bool          // a byte of the body came; the reader's
	stated   http1.Promise // of the response
	silence  time.Duration // before the end of the connection, once the body has ended
	trailer  policy.Fields

	mu      sync.Mutex         // protects the fields below
	conn    *conn              // what abort ends; nil but during an HTTP/1.1 exchange
	dial    context.CancelFunc // ends the dial that is under way; else nil
	aborted error              // why nobody wants the answer
	reading bool               // a Read is under way
	err     error              // how the body ended: io.EOF or an *Error; nil before
	done    bool               // finish was called
	chosen  *outgoing          // set when this is the response that Do returns
	enough  bool               // what was read of the body is as good as all of it
	kept    bool               // it does not yield any more
}

// run sends the request. On failure the permit is free again; on success the
// response's body owns it.
func (x *exchange) run(ctx context.Context) (*Response, *Error) {
	x.parent = ctx
	x.server.resolve(x)
	err := x.send()
	for err != nil && x.anew(err) {
		err = x.send()
	}
	if err == nil && x.yields && !x.keeps() {
		err = x.giveBack()
	}
	if err != nil {
		x.end()
		x.settle(err.Kind.String(), err)
		return nil, err
	}
	x.stage.Store(2)
	x.headerAt = x.pool.now()
	x.resp.Server, x.resp.HeaderTime = x.server.addr, x.headerAt-x.asked
	x.resp.Body, x.resp.x = x, x
	x.stalls.Store(x.resp.ContentLength >= 0 || !pauses(x.resp.Fields.Get("Content-Type")))
	if x.resp.Status >= 500 && x.member != nil {
		reason := statusReason(x.resp.Status)
		x.pool.roster.record(x.headerAt, &x.attempt, &result{bad: true, reason: reason})
		x.pool.roster.complain(x.pool.now(), x.member, "status", reason)
	}
	if x.bare {
		x.err = io.EOF
		x.finish(outcomeOK, nil)
	}
	return &x.resp, nil
}

// pauses reports whether a body of that type may be silent for as long as it likes.
func pauses(contentType string) bool {
	return strings.HasPrefix(contentType, "text/event-stream") || strings.HasPrefix(contentType, "multipart/x-mixed-replace")
}

// settle tells everybody concerned how the exchange has ended, and returns its permit.
func (x *exchange) settle(outcome string, failure *Error) {
	if x.member == nil {
		return
	}
	now, res := x.pool.now(), result{outcome: outcome}
	took := now - x.asked
	if x.headerAt > 0 {
		res.took, took = x.headerAt-x.began, x.headerAt-x.asked
	}
	x.mu.Lock()
	aborted, enough := x.aborted, x.enough
	x.mu.Unlock()
	switch {
	case aborted == errNoAnswer:
		outcome = FirstByteTimeout.String()
		res.bad, res.outcome, res.reason = true, outcome, aborted.Error()
	case failure != nil && failure.Kind.faultOfServer():
		res.bad, res.unreached, res.reason = true, unreached(failure.Kind), failure.Err.Error()
	case outcome == outcomeOK || enough:
		res.good = x.resp.Status < 500
	}
	x.pool.roster.settle(now, &x.attempt, &res)
	x.pool.observe(outcome, took)
	if res.bad {
		x.pool.roster.complain(x.pool.now(), x.member, outcome, res.reason)
	}
}

// send makes one attempt over one connection.
func (x *exchange) send() *Error {
	c, session, err := x.server.connect(x)
	switch {
	case err != nil:
	case session != nil:
		err = x.sendHTTP2(session)
	default:
		err = x.sendHTTP1(c)
	}
	if err != nil {
		err.Origin, err.Server = x.pool.conf.Name, x.server.addr
	}
	return err
}

func (x *exchange) sendHTTP1(c *conn) *Error {
	r := http1.Request{
		Method: x.out.method, Target: x.out.target, Host: x.host(), Fields: x.out.fields, Zero: x.out.zero,
		Interim: x.out.interim, Close: x.pool.conf.NoKeepAlive, Within: min(x.pool.conf.FirstByteTimeout, x.left),
	}
	if x.out.up != nil {
		part, err := x.out.up.part(nil)
		if err != nil {
			x.server.discard(c)
			return &Error{Kind: RequestBody, Err: err}
		}
		r.Body, r.Length, r.AtHand = part, x.out.up.size, x.out.up.atHand()
	}
	x.attach(c)
	var head http1.Response
	if err := c.RoundTrip(&r, &head); err != nil {
		x.detach()
		x.left -= c.Waited()
		x.broke = x.broke || !c.Untouched()
		x.resent = x.resent || !c.Unanswered() // which forbids it
		x.server.discard(c)
		return x.classify(err)
	}
	x.resp.Status, x.resp.Fields = head.Status, head.Fields
	x.resp.ContentLength, x.resp.CloseDelimited = head.ContentLength, head.CloseDelimited
	_, x.stated = c.Silence()
	x.bare = c.Over()
	return nil
}

// attach makes c what abort ends.
func (x *exchange) attach(c *conn) {
	if x.unfollow == nil && x.parent.Done() != nil {
		x.unfollow = context.AfterFunc(x.parent, func() { x.abort(context.Cause(x.parent)) })
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn = c; x.aborted != nil {
		c.Abort(&http1.Error{Kind: http1.Canceled, Err: x.aborted})
	}
}

// detach returns the connection. Nothing ends it any more: it may be another's soon.
func (x *exchange) detach() *conn {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.conn
	x.conn = nil
	return c
}

// abort ends the exchange, because nobody wants its answer.
func (x *exchange) abort(cause error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.aborted == nil {
		x.aborted = cause
	}
	switch {
	case x.conn != nil:
		x.conn.Abort(&http1.Error{Kind: http1.Canceled, Err: cause})
	case x.stream != nil:
		x.stream.cancel(cause)
	case x.dial != nil:
		x.dial()
	}
}

// yield gives the exchange up because the origin fails.
//
// Losing interleaving: the header comes while the watch is about to give the exchange
// up, which would then cut the body short. So keeps decides under mu.
func (x *exchange) yield() {
	x.mu.Lock()
	kept := x.kept
	if !kept && x.aborted == nil {
		x.aborted = ErrFailing
	}
	x.mu.Unlock()
	if !kept {
		x.abort(ErrFailing)
	}
}

// keeps reports whether the response that is here was not given up before.
func (x *exchange) keeps() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.kept = x.aborted == nil
	return x.kept
}

// giveBack drops a response that came too late.
func (x *exchange) giveBack() *Error {
	if c := x.detach(); c != nil {
		x.server.discard(c)
	} else {
		x.stream.close()
	}
	return &Error{Kind: Canceled, Origin: x.pool.conf.Name, Server: x.server.addr, Err: x.gone()}
}

// dialing makes cancel what abort ends; nil: nothing.
func (x *exchange) dialing(cancel context.CancelFunc) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dial = cancel; cancel != nil && x.aborted != nil {
		cancel()
	}
}

// setStream makes s what abort ends.
func (x *exchange) setStream(s *stream) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stream = s; x.aborted != nil {
		s.cancel(x.aborted)
	}
}

// gone returns why nobody wants the answer any more, or nil.
func (x *exchange) gone() error {
	if x.parent.Err() != nil {
		return context.Cause(x.parent)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.aborted
}

// own makes this the response that Do returns; its end gives back what that Do holds.
func (x *exchange) own(out *outgoing) {
	x.mu.Lock()
	x.chosen = out
	done := x.done
	x.mu.Unlock()
	if done {
		x.pool.done(out)
	}
}

// sufficient makes a good answer of a body that is closed from here on.
func (x *exchange) sufficient() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.enough = true
}

// end lets go of the caller's context.
func (x *exchange) end() {
	if x.unfollow != nil {
		x.unfollow()
	}
	if x.stream != nil {
		x.stream.end()
	}
}

// host is the Host that is sent.
func (x *exchange) host() string {
	if x.out.host == "" {
		return x.server.addr
	}
	return x.out.host
}

// anew reports whether the request is to be sent over another connection within the
// same attempt: always when nothing of it was written to one that was used before, and
// once when such a one broke without a byte of an answer. Each of them is closed, so
// there is an end to it.
func (x *exchange) anew(err *Error) bool {
	if !x.reused || err.Kind != Reset || x.gone() != nil || !x.out.up.sendable() {
		return false
	}
	if !x.broke {
		return true
	}
	again := !x.resent && idempotent(x.out.method)
	x.resent = true
	return again
}

// classify names the failure of an HTTP/1.1 exchange. What reading the client's body
// failed with comes first, and then the caller's context.
func (x *exchange) classify(err error) *Error {
	e := &Error{Origin: x.pool.conf.Name, Server: x.server.addr, Err: err}
	var he *http1.Error
	if errors.As(err, &he) {
		e.Kind, e.Err = kinds[he.Kind], he.Err
	}
	return x.firstCause(e)
}

// firstCause returns e, or what is behind it.
func (x *exchange) firstCause(e *Error) *Error {
	switch upErr := x.out.up.err(); {
	case e.Kind == FirstByteTimeout || e.Kind == Stalled:
	case upErr != nil:
		e.Kind, e.Err = RequestBody, upErr
	default:
		if gone := x.gone(); gone != nil {
			e.Kind, e.Err = Canceled, gone
		}
	}
	return e
}

// Read waits at most BetweenBytesTimeout for more.
func (x *exchange) Read(p []byte) (int, error) {
	x.mu.Lock()
	if err := x.err; err != nil {
		x.mu.Unlock()
		return 0, err
	}
	x.reading = true
	c := x.conn
	x.mu.Unlock()
	var n int
	var err error
	x.stage.Add(1)
	if c != nil {
		n, err = c.Read(p)
	} else {
		n, err = x.stream.read(p)
	}
	x.stage.Add(1)
	if n > 0 && !x.got {
		x.got = true
		x.stalls.Store(x.resp.ContentLength >= 0)
	}
	switch {
	case err == nil:
	case err == io.EOF:
		x.noteEnd(c)
	case c != nil:
		err = x.classify(err)
	default:
		err = x.classifyHTTP2(err, true)
	}
	x.mu.Lock()
	x.reading = false
	if x.err == nil {
		x.err = err
	} else {
		err = x.err // it was closed meanwhile
	}
	x.mu.Unlock()
	switch e := err.(type) {
	case nil:
	case *Error:
		x.finish(e.Kind.String(), e)
	default:
		x.finish(outcomeOK, nil)
	}
	return n, err
}

// noteEnd notes what is known at the end of the body.
func (x *exchange) noteEnd(c *conn) {
	if c == nil {
		x.trailer = x.stream.trailer()
		return
	}
	x.trailer = c.Trailer()
	x.silence, _ = c.Silence()
}

// Close frees the connection; before the end of the body that closes it, unless the
// rest is short and there. It is safe to call more than once, and from any goroutine.
func (x *exchange) Close() error {
	x.mu.Lock()
	open, reading, c := x.err == nil, x.reading, x.conn
	if open {
		x.err = &Error{Kind: Canceled, Origin: x.pool.conf.Name, Server: x.server.addr, Err: http.ErrBodyReadAfterClose}
	}
	x.mu.Unlock()
	switch {
	case !open:
		return nil
	case c == nil:
		x.stream.close()
	case reading:
		c.Abort(&http1.Error{Kind: http1.Canceled, Err: http.ErrBodyReadAfterClose})
	default:
		c.Drain(drainLimit)
	}
	x.finish(outcomeAbandoned, nil)
	return nil
}

// Immediate is Response.Immediate.
func (x *exchange) Immediate(limit int) ([]byte, bool) {
	x.mu.Lock()
	c, open := x.conn, x.err == nil && !x.got
	x.mu.Unlock()
	if !open || c == nil {
		return nil, x.bare
	}
	body, ok := c.Immediate(limit)
	if !ok {
		return nil, false
	}
	x.got = true
	x.mu.Lock()
	x.err = io.EOF
	x.mu.Unlock()
	x.finish(outcomeOK, nil)
	return body, true
}

// finish ends an exchange that had a response, once.
func (x *exchange) finish(outcome string, failure *Error) {
	x.mu.Lock()
	done, reading, c, chosen := x.done, x.reading, x.conn, x.chosen
	x.done, x.conn = true, nil
	x.mu.Unlock()
	if done {
		return
	}
	x.end()
	switch {
	case c == nil:
	case reading:
		x.server.closed() // it was aborted, and its reader is about to notice
	default:
		x.server.put(c)
	}
	x.settle(outcome, failure)
	if chosen != nil {
		x.pool.done(chosen)
	}
}
