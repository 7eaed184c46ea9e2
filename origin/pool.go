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
	members  []*member // the same servers as the roster knows them
	roster   *roster
	names    *names // nil: the name for TLS does not depend on the request
	inFlight atomic.Int64
	closed   atomic.Bool // nothing is sent any more
	replaced atomic.Bool // another pool has taken over the roster
	retired  atomic.Bool // no connection is kept any more
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	now      func() time.Duration // a monotonic clock

	// What is done in the background ends with base: look-ups, probes, active checks.
	base context.Context
	stop context.CancelFunc
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
	// Waiting counts the clients who wait for the answer, and may change; nil counts
	// as one. When connections are scarce, those come first that most wait for, and
	// last what nobody waits for.
	Waiting *atomic.Int64
	// StandIn, when it is not 0, says that something else can be used in the place of
	// the answer. Then the wait for a permit takes at most that long, and the request is
	// given up, with ErrFailing, as soon as the origin as a whole is known to fail.
	StandIn time.Duration
}

// ErrFailing is the cause of the error of a request with StandIn that was given up.
var ErrFailing = errors.New("the origin fails, and something else can be used")

// New checks c, fills in defaults and builds a pool. It connects to nobody yet.
func New(c Config) (*Pool, error) {
	d := &net.Dialer{KeepAlive: 30 * time.Second}
	return newPool(c, d.DialContext)
}

func newPool(c Config, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*Pool, error) {
	c.ensureDefaults()
	faults := []error{c.validate()}
	base := time.Now().Add(-time.Hour) // so that nothing was ever at 0
	p := &Pool{conf: c, dial: dial, now: func() time.Duration { return time.Since(base) }}
	p.roster = newRoster(func() time.Duration { return p.now() })
	tlsConf, err := c.clientTLS()
	faults = append(faults, err)
	for _, s := range c.Servers {
		scheme, addr, err := parseServer(s.URL)
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
	p.base, p.stop = context.WithCancel(context.Background())
	p.enlist()
	return p, nil
}

// enlist makes the roster's servers those of the pool.
func (p *Pool) enlist() {
	c := &p.conf
	p.members = p.roster.configure(p.now(), c.Servers, rosterConfig{
		name: c.Name, log: c.Log, balance: c.Balance, eject: c.Eject, health: c.Health, hedge: c.Hedge,
		retries: c.Retries, retryBudget: max(c.RetryBudget, 0), queueSize: c.QueueSize, permits: c.MaxConnsPerServer,
	})
	for i, m := range p.members {
		p.servers[i].member = m
	}
}

// Start begins the active checks of the servers. When the pool replaces a previous one,
// which may be nil, it takes over what that one knows of the servers that both have,
// and what is in flight counts as its own; the previous pool keeps no connections and
// makes no checks from now on. Start is called at most once, and before Do.
func (p *Pool) Start(previous *Pool) {
	if previous != nil {
		p.now, p.roster = previous.now, previous.roster
		p.enlist()
		previous.replaced.Store(true)
		previous.retire()
	}
	if p.conf.Health.Path != "" {
		for _, s := range p.servers {
			go s.checkUntil(p.base)
		}
	}
}

// Name is the pool's name.
func (p *Pool) Name() string { return p.conf.Name }

// Close refuses new requests and closes connections as they become idle.
// Exchanges in flight go on under their own contexts; Close does not wait.
func (p *Pool) Close() {
	p.closed.Store(true)
	p.retire()
	if !p.replaced.Load() {
		p.roster.close()
	}
}

// retire ends what is done in the background, and keeps no connection any more.
func (p *Pool) retire() {
	p.stop()
	p.retired.Store(true)
	p.closeIdle()
}

func (p *Pool) closeIdle() {
	for _, s := range p.servers {
		s.closeIdle()
	}
}

// Status returns what the pool knows of its servers.
func (p *Pool) Status() Status {
	s := p.roster.status(p.now(), p.members)
	for i := range s.Servers {
		for _, a := range p.servers[i].addrs.all() {
			s.Servers[i].Addresses = append(s.Servers[i].Addresses, a.String())
		}
	}
	return s
}

// Failing reports whether the origin as a whole fails: no server is usable, or it has
// given no good answer since a request to it failed, or waited for longer than a second
// and three times what is usual. What is stored may then stand in at once, and a
// request that need not be answered is sent only if Probe says so.
func (p *Pool) Failing() bool { return p.roster.failing(p.members) }

// Probe reports whether a request may be sent to find out whether an origin that is
// failing is back. One at a time is, with growing pauses. When it has ended, Probed
// must be called.
func (p *Pool) Probe() bool { return p.roster.mayProbe(p.now()) }

// Probed ends what Probe has allowed.
func (p *Pool) Probed() { p.roster.hasProbed(p.now()) }

// observe tells the Observer of the end of an attempt.
func (p *Pool) observe(outcome string, d time.Duration) {
	if p.conf.Observer != nil {
		p.conf.Observer.OriginDone(p.conf.Name, outcome, d)
	}
}
