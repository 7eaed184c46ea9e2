package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Do sends r and returns the response once its header is here. The caller must
// close the body; ctx governs it too. The error is always an *Error.
//
// A failed attempt is followed by another, at most Retries times and within the
// budget, on another server where there is one: when no connection was made and the
// body is untouched or can be sent again (Replayable, or of a known length up to 64
// KiB), and else when the method is GET, HEAD or OPTIONS without a body. A 5xx counts
// as a failure for which another server is asked; when that does no better, the
// answer is the first one, or the other's. For such a request a second attempt begins
// beside the first when that takes too long (see patience). Beside all that, and
// whatever Retries says, an idempotent request (RFC 9110, section 9.2.2) that broke
// without a byte of an answer on a connection used before is sent once more on
// another, as part of the same attempt.
//
// Whatever the number of attempts, the wait for permits is bounded by WaitTimeout,
// and connecting plus waiting for the header (the time in which the request body is
// sent not counted) by ConnectTimeout + FirstByteTimeout.
func (p *Pool) Do(ctx context.Context, r *Request) (*Response, error) {
	p.inFlight.Add(1)
	begin := p.now()
	out, err := p.prepare(r)
	switch {
	case p.closed.Load():
		err = p.fail(begin, &Error{Kind: Other, Err: errors.New("the pool is closed")})
	case err != nil:
		err = p.fail(begin, &Error{Kind: Invalid, Err: err})
	default:
		if resp, e := p.ask(ctx, out, begin); e == nil {
			resp.x.own(out)
			return resp, nil
		} else {
			err = e
		}
		p.done(out)
		return nil, err
	}
	p.leave()
	return nil, err
}

// done gives back what a Do holds, once its response has been read or it has failed.
func (p *Pool) done(out *outgoing) {
	out.up.release()
	p.names.exit(out)
	p.leave()
}

// leave ends what Do began. The last one out of a closed pool closes the
// connections that were busy when Close looked.
func (p *Pool) leave() {
	if p.inFlight.Add(-1) == 0 && p.retired.Load() {
		p.closeIdle()
	}
}

// fail completes and reports a failure without an attempt.
func (p *Pool) fail(begin time.Duration, e *Error) *Error {
	e.Origin = p.conf.Name
	p.observe(e.Kind.String(), p.now()-begin)
	return e
}

// ask makes attempts until one has a response to show, or nothing is left to be done.
func (p *Pool) ask(ctx context.Context, out *outgoing, begin time.Duration) (*Response, *Error) {
	if e := p.names.enter(ctx, out, begin, p.conf.WaitTimeout); e != nil {
		return nil, p.fail(begin, e)
	}
	q := asking{pool: p, ctx: ctx, out: out, begin: begin, began: begin, left: p.conf.ConnectTimeout + p.conf.FirstByteTimeout}
	p.probeBeside(out)
	for x := &out.first; ; x = new(exchange) {
		x.pool, x.out, x.left = p, out, q.left
		x.attempt = attempt{members: p.members, tried: q.tried, left: q.left, target: out.id, safe: out.safe(), owner: x, yields: out.standIn > 0}
		x.hedged = x.safe && out.method != http.MethodOptions
		if err := q.permit(x); err != nil && q.held != nil {
			return q.or(nil)
		} else if err != nil {
			q.judge(nil, err)
			return nil, p.fail(q.began, err)
		}
		x.server, x.asked = p.serverOf(x.member), q.began
		resp, err := out.race.run(ctx, x)
		q.left = x.left
		q.attempts++
		rival := out.race.rival
		if rival != nil {
			q.attempts++
		}
		if good(resp) {
			resp.Attempts = q.attempts
			return q.instead(resp), nil
		}
		q.tried = append(q.tried, x.member)
		if rival != nil {
			q.tried = append(q.tried, rival.member)
			q.left = min(q.left, x.attempt.left-(p.now()-x.began))
		}
		if !q.again(resp, err) {
			q.judge(resp, err)
			if resp == nil {
				return q.or(err)
			}
			resp.Attempts = q.attempts
			return q.instead(resp), nil
		}
		if resp != nil {
			q.instead(nil)
			q.held = resp
		}
		q.began = p.now()
	}
}

// asking is the state of one Do from one attempt to the next.
type asking struct {
	pool     *Pool
	ctx      context.Context
	out      *outgoing
	begin    time.Duration // of all attempts
	began    time.Duration // of this one, its wait for a permit included
	left     time.Duration // what remains for attempts to connect and wait
	tried    []*member
	attempts int
	held     *Response // a 5xx that is the answer if no other server does better
}

// instead returns resp in the place of what was held back.
func (q *asking) instead(resp *Response) *Response {
	if q.held != nil {
		_ = q.held.Body.Close()
		q.held = nil
	}
	return resp
}

// or returns what was held back, or err.
func (q *asking) or(err *Error) (*Response, *Error) {
	if q.held != nil {
		q.held.Attempts = q.attempts
		return q.held, nil
	}
	return nil, err
}

// permit waits until x may be sent to a server.
func (q *asking) permit(x *exchange) *Error {
	p := q.pool
	now := p.now()
	if q.attempts == 0 && !x.safe && p.roster.probe(now, &x.attempt, true) {
		return nil
	}
	w := p.roster.acquire(now, &x.attempt, q.out.people)
	if w == nil {
		return nil
	}
	patience := q.begin + p.conf.WaitTimeout - now
	if q.out.standIn > 0 {
		patience = min(patience, q.begin+q.out.standIn-now)
	}
	if q.held != nil {
		patience = 0 // what is held has a permit, too: who waits so could wait for each other
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	busy := &Error{Kind: Busy, Err: fmt.Errorf("none of %d connections became free in %v", p.conf.MaxConnsPerServer, patience)}
	select {
	case granted := <-w.granted:
		if granted {
			return nil
		}
		if w.failing {
			return &Error{Kind: Canceled, Err: ErrFailing}
		}
		busy.Err = fmt.Errorf("none of %d connections is free, and %d requests wait", p.conf.MaxConnsPerServer, p.conf.QueueSize)
		return busy
	case <-q.ctx.Done():
		busy = &Error{Kind: Canceled, Err: context.Cause(q.ctx)}
	case <-timer.C:
	}
	p.roster.giveUp(p.now(), w)
	return busy
}

// again reports whether another attempt is to follow one that ended in a 5xx, or in
// err.
func (q *asking) again(resp *Response, err *Error) bool {
	p, w, may := q.pool, whyStatus, q.out.safe()
	if resp == nil {
		w, may = q.out.repeatable(err.Kind)
	}
	if !may || q.left <= 0 || q.attempts > p.conf.Retries || q.ctx.Err() != nil {
		return false
	}
	if !p.roster.left(p.members, q.tried, q.out.id, w == whyStatus) {
		if resp != nil || err.Kind != Reset {
			return false
		}
		q.tried = nil // the same server is asked again
	}
	return p.roster.retry(p.now(), w)
}

// judge tells the roster how the origin as a whole has fared.
func (q *asking) judge(resp *Response, err *Error) {
	r, now := q.pool.roster, q.pool.now()
	switch {
	case resp != nil:
		r.failed(now, q.out.id)
	case unreached(err.Kind), err.Kind == FirstByteTimeout, err.Kind == Stalled:
		r.silent(now, q.begin)
	case err.Kind == Busy && now-q.begin >= r.slow(now):
		r.silent(now, q.begin) // nothing came of those that hold the permits meanwhile
	case err.Kind.faultOfServer():
		r.failed(now, q.out.id)
	}
}

// race is an attempt, and another at another server that begins beside it when it
// takes too long. The first good response wins, and ends the other attempt.
//
// Losing interleaving: both have a response at the same moment, and each takes the
// other for the loser. So who wins is decided under mu, once.
type race struct {
	mu     sync.Mutex      // protects the fields below
	ctx    context.Context // the caller's
	first  *exchange       // nil when no rival begins any more
	rival  *exchange
	why    why
	winner *exchange
	came   chan struct{} // closed when resp or err is set
	resp   *Response     // of the rival
	err    *Error
}

var (
	errBeaten   = errors.New("another server has answered before")
	errNoAnswer = errors.New("the server did not answer the probe in time")
)

func good(resp *Response) bool { return resp != nil && resp.Status < 500 }

// run runs x, and returns the response of whoever wins.
func (c *race) run(ctx context.Context, x *exchange) (*Response, *Error) {
	c.mu.Lock()
	c.ctx, c.first, c.rival, c.winner = ctx, x, nil, nil
	c.mu.Unlock()
	resp, err := x.run(ctx)
	c.mu.Lock()
	c.first = nil
	rival := c.rival
	if rival != nil && c.winner == nil && good(resp) {
		c.winner = x
	}
	winner := c.winner
	c.mu.Unlock()
	switch {
	case rival == nil:
		return resp, err
	case winner == x:
		rival.abort(errBeaten)
	case winner == nil:
		<-c.came
	}
	return c.settle(x, resp, err)
}

// settle chooses between x's result and the rival's, when one of them has won or both
// are here.
func (c *race) settle(x *exchange, resp *Response, err *Error) (*Response, *Error) {
	won := c.winner != x && (c.winner != nil || resp == nil && c.resp != nil || good(c.resp))
	if c.why == whyHedge {
		x.pool.roster.hedgeEnded(won)
	}
	if !won {
		switch {
		case c.winner != nil:
		case c.resp != nil:
			_ = c.resp.Body.Close()
		case resp == nil:
			err = c.err // which came last
		}
		return resp, err
	}
	if resp != nil {
		_ = resp.Body.Close()
	}
	return c.resp, nil
}

// rival begins an attempt beside x at m, whose permit is taken.
func (x *exchange) rival(m *member, w why) {
	c, p := &x.out.race, x.pool
	now := p.now()
	left := x.attempt.left - (now - x.began)
	c.mu.Lock()
	if c.first != x {
		c.mu.Unlock()
		p.roster.free(now, m)
		return
	}
	// The copy is made while x is known to be under way: behind it the fields are the
	// caller's again, and may by then be those of another request.
	y := &exchange{pool: p, out: x.out.copy(), server: p.serverOf(m), left: left, asked: now}
	y.attempt = attempt{members: x.members, left: left, target: x.target, owner: y, yields: x.yields}
	c.rival, c.why, c.resp, c.err, c.came = y, w, nil, nil, make(chan struct{})
	ctx := c.ctx
	c.mu.Unlock()
	p.roster.fly(now, &y.attempt, m)
	go c.runRival(ctx, x, y)
}

func (c *race) runRival(ctx context.Context, x, y *exchange) {
	began := y.pool.now()
	resp, err := y.run(ctx)
	c.mu.Lock()
	wins := c.winner == nil && good(resp)
	if wins {
		c.winner = y
	}
	lost := c.winner == x
	c.resp, c.err = resp, err
	close(c.came)
	c.mu.Unlock()
	switch {
	case wins:
		x.pool.roster.lost(x.pool.now(), &x.attempt, "no answer came in "+round(x.pool.now()-x.began)+
			", while "+y.server.member.url+" answered in "+round(y.pool.now()-began))
		x.abort(errBeaten)
	case lost && resp != nil:
		_ = resp.Body.Close()
	}
}

// probeBeside sends a copy of a request that may be repeated to an ejected server that
// is due to be probed. The answer is read, and used for nothing else.
func (p *Pool) probeBeside(out *outgoing) {
	if !out.safe() || !p.roster.anyOut.Load() || p.retired.Load() {
		return
	}
	y := &exchange{pool: p}
	y.attempt = attempt{members: p.members, left: p.conf.ConnectTimeout + p.conf.FirstByteTimeout, target: out.id}
	if !p.roster.probe(p.now(), &y.attempt, false) {
		return
	}
	y.out, y.server, y.left, y.asked = out.copy(), p.serverOf(y.member), y.attempt.left, y.began
	go func() {
		limit := time.AfterFunc(p.roster.slow(p.now()), func() { y.abort(errNoAnswer) })
		defer limit.Stop()
		resp, err := y.run(p.base)
		if err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, resp.Body, probeReads); err == nil {
			y.sufficient()
		}
		_ = resp.Body.Close()
	}()
}

// serverOf returns the server that m stands for.
func (p *Pool) serverOf(m *member) *server {
	return p.servers[slices.Index(p.members, m)]
}

// statusReason is why a 5xx is a failure.
func statusReason(status int) string { return "it answered " + strconv.Itoa(status) }
