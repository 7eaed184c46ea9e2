package load

import (
	"errors"
	"time"
)

// exchange is one request and its answer on one connection. It belongs to the connection and is used again for the next.
type exchange struct {
	req     request
	parser  parser
	check   check
	out     []byte // the request as it is sent
	due     time.Duration
	sent    time.Duration
	first   time.Duration // when the first byte came; below 0: none has
	served  int           // answers that this connection has brought
	retried bool          // sent a second time, since the kept connection was gone
	last    bool          // the connection ends with this answer
}

// worker is what sends requests and counts answers: one event loop, or a shard of the blocking connections.
type worker struct {
	run *run
	rec *recorder
	src source
}

// begin prepares the request of a ticket. x.out is what has to be sent.
func (w *worker) begin(x *exchange, t ticket) {
	x.req.clear()
	w.src.fill(t, &x.req)
	x.due, x.retried = t.due, false
	x.arm(w.run)
}

// arm makes ready to send the request, for the first or the second time.
func (x *exchange) arm(r *run) {
	x.first = -1
	x.last = r.opts.PerConnection > 0 && x.served+1 >= r.opts.PerConnection
	x.parser.reset(x.req.method == "HEAD")
	x.check = check{want: -1}
	x.out = x.req.appendTo(x.out[:0], r.fields, x.last)
}

// feed takes bytes that came at a moment. done: the answer is whole. rest are the bytes behind it, a part of b. After a fault the
// connection is of no use any more: its framing is wrong, or its body has outgrown the object and need not end.
func (x *exchange) feed(b []byte, now time.Duration) (rest []byte, done bool, f *fault) {
	if x.first < 0 && len(b) > 0 {
		x.first = now
	}
	for {
		n, body, headed, err := x.parser.next(b)
		if err != nil {
			return nil, false, &fault{FaultMalformed, err.Error()}
		}
		if headed {
			x.check.header(&x.req, &x.parser.answer)
		}
		if len(body) > 0 {
			if f := x.check.piece(body); f != nil {
				return nil, false, f
			}
		}
		b = b[n:]
		if x.parser.state == atEnd {
			return b, true, nil
		}
		if len(b) == 0 {
			return nil, false, nil
		}
	}
}

// piece takes the next piece of the body. It is a fault as soon as there are more bytes than the object has: what comes after
// them cannot make it right, and need not end. A fault that was found before says more.
func (c *check) piece(b []byte) *fault {
	over := c.got + int64(len(b)) - c.want
	if c.want < 0 || over <= 0 {
		c.bytes(b)
		return nil
	}
	c.bytes(b[:int64(len(b))-over])
	if c.fault != nil {
		return c.fault
	}
	return faultf(FaultSize, "the body goes on after %d bytes, where it should end", c.want)
}

// closed takes the end of the connection, err being io.EOF or what the read said. done: that completes the answer.
// again: nothing of an answer had come and sending once more is safe (RFC 9112 section 9.3.1).
func (x *exchange) closed(err error) (done, again bool, f *fault) {
	if errors.Is(err, errEnd) && x.parser.ended() {
		return true, false, nil
	}
	p := &x.parser
	if !p.begun() && x.first < 0 && x.served > 0 && !x.retried && (x.req.method == "GET" || x.req.method == "HEAD") {
		return false, true, nil
	}
	if !p.begun() {
		return false, false, faultf(FaultCut, "the connection ended before an answer: %v", err)
	}
	if p.state == inLength {
		return false, false, faultf(FaultCut, "the connection ended after %d of %d bytes of the body: %v", x.check.got, p.answer.length, err)
	}
	return false, false, faultf(FaultCut, "the connection ended in the %s, after %d bytes of the body: %v", p.state, x.check.got, err)
}

// errEnd is the orderly end of a connection.
var errEnd = errors.New("closed by the target")

// finish counts a whole answer. It tells whether the connection may be kept.
func (w *worker) finish(x *exchange, now time.Duration) (keep bool) {
	x.check.end()
	a := &x.parser.answer
	s := sample{due: x.due, sent: x.sent, firstByte: x.first, end: now, tier: a.tier, status: a.status, bytes: x.check.got}
	f := x.check.fault
	w.rec.add(&s, f)
	x.served++
	if f == nil {
		w.run.answered(&x.req, a)
	} else {
		w.run.faulty(x, now, f)
	}
	return !a.close && !x.last
}

// broke counts a request whose answer did not come whole.
func (w *worker) broke(x *exchange, now time.Duration, f *fault) {
	s := sample{due: x.due, sent: x.sent, firstByte: x.first, end: now}
	w.rec.fail(&s, f)
	w.run.faulty(x, now, f)
}

// cutShort counts a request that was in flight when the run was cut short.
func (w *worker) cutShort(x *exchange, now time.Duration) {
	w.rec.cutShort(&sample{due: x.due, sent: x.sent, end: now})
}

// surplus counts bytes that came behind a whole answer. An answer has one fault, the first: of one that was wrong already they
// are no news. Nor are they before any request, whose answer they will spoil and count with.
func (w *worker) surplus(x *exchange, now time.Duration, rest []byte) {
	if x.served == 0 || x.check.fault != nil {
		return
	}
	f := faultf(FaultSurplus, "%d bytes after the answer: %q", len(rest), clip(rest))
	w.rec.note(x.due, now, f)
	w.run.faulty(x, now, f)
}
