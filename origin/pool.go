package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"weir/policy"
)

// Pool sends requests to the servers of one origin. It is safe for concurrent use.
type Pool struct {
	conf     Config
	servers  []*server
	roster   *roster
	names    *names // nil: the name for TLS does not depend on the request
	next     atomic.Uint64
	inFlight atomic.Int64
	closed   atomic.Bool
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	now      func() time.Duration // a monotonic clock, for passive health and idle connections
}

// Request is what to send. Nothing is added to it but Host and the framing.
type Request struct {
	// Method is a token; CONNECT is refused. Empty is GET.
	Method string
	// Host is sent as it is, unless the pool's Host replaces it; empty sends the
	// server's address.
	Host string
	// Target is the request target exactly as to be sent: it begins with "/", or
	// is "*". Bytes up to space, DEL and '#' are refused, all others are kept.
	Target string
	// Fields are sent in their order, but for Host, the framing and the connection's
	// own fields. They belong to the caller, are not changed, and not read any more
	// once Do has returned.
	Fields policy.Fields
	// Body is read until ContentLength bytes or, when that is -1, io.EOF. It is
	// not touched any more once Do has failed or the response's body is closed;
	// both wait for a Read in progress, so a Read must not block without bound.
	// If Body is an io.Closer, Close is called, at most once and during a Read,
	// to end that Read; it must not block.
	Body io.Reader
	// ContentLength is the body's size, or -1 when unknown (sent chunked). With a
	// nil Body it is ignored. A Body with 0 states "Content-Length: 0".
	ContentLength int64
	// Replayable says that Body is an io.Seeker whose Read never blocks, and may
	// be sent again from where it stands now.
	Replayable bool
	// Interim, when set, is given each interim response but 100, in order, and never
	// after Do has returned. It must not block: with HTTP/2 others wait for the
	// goroutine it runs in. An error ends the exchange.
	Interim func(code int, fields policy.Fields) error
}

// New checks c, fills in defaults and builds a pool. It connects to nobody yet.
func New(c Config) (*Pool, error) {
	d := &net.Dialer{KeepAlive: 30 * time.Second}
	return newPool(c, d.DialContext)
}

func newPool(c Config, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*Pool, error) {
	c.ensureDefaults()
	faults := []error{c.validate()}
	base := time.Now()
	p := &Pool{
		conf: c,
		dial: dial,
		now:  func() time.Duration { return time.Since(base) },
	}
	tlsConf, err := c.clientTLS()
	faults = append(faults, err)
	for _, s := range c.Servers {
		scheme, addr, err := parseServer(s)
		faults = append(faults, err)
		if errors.Join(faults...) == nil {
			p.servers = append(p.servers, newServer(p, scheme, addr, tlsConf))
			if scheme == "https" && c.Host == "" && c.TLS.ServerName == "" {
				p.names = newNames(c.MaxConnsPerServer)
			}
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("cannot build origin %q: %w", c.Name, err)
	}
	return p, nil
}

// Name is the pool's name.
func (p *Pool) Name() string { return p.conf.Name }

// Close refuses new requests and closes connections as they become idle.
// Exchanges in flight go on under their own contexts; Close does not wait.
func (p *Pool) Close() {
	p.closed.Store(true)
	p.closeIdle()
}

func (p *Pool) closeIdle() {
	for _, s := range p.servers {
		s.closeIdle()
	}
}

// Do sends r and returns the response once its header is here. The caller must
// close the body; ctx governs it too. The error is always an *Error.
//
// The servers take turns; one that could not be reached is tried last for two
// seconds. A failed attempt is followed by another, at most Retries times and on
// another server where there is one, when nothing of the request can have had an
// effect: the connection was never made, or it broke before a response header
// and the method is idempotent (RFC 9110, section 9.2.2) and the body is
// untouched or can be sent again: Replayable, or of a known length up to 64 KiB.
// Beside that, and whatever Retries says, such a request that broke without a
// byte of an answer on a connection used before is sent once more on another,
// as part of the same attempt.
//
// Whatever the number of attempts, the wait for a permit is bounded by
// WaitTimeout, and connecting plus waiting for the header (the time in which the
// request body is sent not counted) by ConnectTimeout + FirstByteTimeout.
func (p *Pool) Do(ctx context.Context, r *Request) (*Response, error) {
	p.inFlight.Add(1)
	resp, err := p.do(ctx, r)
	if err != nil {
		p.leave()
		return nil, err // never a typed nil: do returns one or the other
	}
	return resp, nil
}

// leave ends what Do began. The last one out of a closed pool closes the
// connections that were busy when Close looked.
func (p *Pool) leave() {
	if p.inFlight.Add(-1) == 0 && p.closed.Load() {
		p.closeIdle()
	}
}

func (p *Pool) do(ctx context.Context, r *Request) (*Response, error) {
	begin := time.Now()
	if p.closed.Load() {
		return nil, p.fail(begin, &Error{Kind: Other, Err: errors.New("the pool is closed")})
	}
	out, err := p.prepare(r)
	if err != nil {
		return nil, p.fail(begin, &Error{Kind: Invalid, Err: err})
	}
	defer func() {
		if err != nil {
			out.up.release()
			p.names.exit(out)
		}
	}()
	left := p.conf.ConnectTimeout + p.conf.FirstByteTimeout
	waitUntil := begin.Add(p.conf.WaitTimeout)
	if e := p.names.enter(ctx, out, p.now(), p.conf.WaitTimeout); e != nil {
		err = p.fail(begin, e)
		return nil, err
	}
	turn := &out.turns
	p.line(turn)
	for x := &out.first; ; x = new(exchange) {
		var s *server
		if s, err = p.acquire(ctx, turn, waitUntil); err != nil {
			return nil, p.fail(begin, err.(*Error))
		}
		x.pool, x.server, x.out, x.begin, x.left = p, s, out, begin, left
		resp, failure := x.run(ctx)
		if failure == nil {
			resp.Attempts = out.attempts
			return resp, nil
		}
		err = p.fail(begin, failure)
		left = x.left
		if !turn.drop(s, failure.Kind) || left <= 0 || out.attempts > p.conf.Retries || !out.repeatable(failure.Kind) || ctx.Err() != nil {
			return nil, err
		}
		begin = time.Now()
	}
}

// fail completes and reports a failure of an attempt that got no header.
func (p *Pool) fail(begin time.Time, e *Error) error {
	e.Origin = p.conf.Name
	p.observe(e.Kind.String(), time.Since(begin))
	return e
}

func (p *Pool) observe(outcome string, d time.Duration) {
	if p.conf.Observer != nil {
		p.conf.Observer.OriginDone(p.conf.Name, outcome, d)
	}
}

// turns is the order in which one Do tries the servers.
type turns struct {
	servers []*server
	healthy int // so many of the first are thought to be up
	few     [4]*server
}

// line orders the servers: round robin, those that could not be reached last.
func (p *Pool) line(t *turns) {
	n := uint64(len(p.servers))
	start := p.next.Add(1) - 1
	now := p.now()
	t.servers = t.few[:0]
	var down []*server
	for i := range n {
		s := p.servers[(start+i)%n]
		if s.up(now) {
			t.servers = append(t.servers, s)
		} else {
			down = append(down, s)
		}
	}
	t.healthy = len(t.servers)
	t.servers = append(t.servers, down...)
}

// drop takes s out after it failed, and reports whether anybody is left to ask.
// A server that was reached goes to the end of the line instead.
func (t *turns) drop(s *server, k Kind) bool {
	for i, o := range t.servers {
		if o == s {
			t.servers = append(t.servers[:i], t.servers[i+1:]...)
			if i < t.healthy {
				t.healthy--
			}
			break
		}
	}
	if !unreached(k) {
		t.servers = append(t.servers, s)
	}
	return len(t.servers) > 0
}

// acquire takes a permit of the first server in line that has one free, or waits
// for the first in line. Servers thought to be down do not count as free while
// there are others: they would take whatever the others have no room for.
func (p *Pool) acquire(ctx context.Context, t *turns, until time.Time) (*server, error) {
	candidates := t.servers
	if t.healthy > 0 {
		candidates = t.servers[:t.healthy]
	}
	for _, s := range candidates {
		if s.tryAcquire() {
			return s, nil
		}
	}
	s := candidates[0]
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case s.permits <- struct{}{}:
		return s, nil
	case <-ctx.Done():
		return nil, &Error{Kind: Canceled, Server: s.addr, Err: context.Cause(ctx)}
	case <-timer.C:
		return nil, &Error{Kind: Busy, Server: s.addr, Err: fmt.Errorf("none of %d connections became free in %v", cap(s.permits), p.conf.WaitTimeout)}
	}
}
