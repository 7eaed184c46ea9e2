package origin

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// cooldown is how long a server that could not be reached is tried last: long
// enough to spare most requests the failed attempt, short enough that a server
// which is back gets its share at once.
const cooldown = 2 * time.Second

// idleTimeout is how long a connection is kept without use. Origins commonly
// close after 60 s or more; closing first avoids requests on dying connections.
// For those that close earlier see idle.go.
const idleTimeout = 45 * time.Second

// server is one member of a pool, with a transport of its own: its connections
// are told apart only by the TLS name they were opened for.
type server struct {
	pool      *Pool
	scheme    string
	addr      string // host:port
	port      string
	tls       *tls.Config // nil for http; ServerName is filled in per connection
	transport *http.Transport
	strangers *http.Transport // for names that are rarely asked for
	permits   chan struct{}   // one element for each exchange in flight
	downUntil atomic.Int64    // by the pool's clock, in nanoseconds
}

func newServer(p *Pool, scheme, addr string, tlsConf *tls.Config) *server {
	_, port, _ := net.SplitHostPort(addr)
	s := &server{
		pool: p, scheme: scheme, addr: addr, port: port,
		permits: make(chan struct{}, p.conf.MaxConnsPerServer),
	}
	if scheme == "https" {
		s.tls = tlsConf
	}
	s.transport, s.strangers = s.newTransport(p.conf.MaxConnsPerServer), s.newTransport(strangersIdle)
	return s
}

// newTransport makes a transport that keeps so many connections without use.
func (s *server) newTransport(idle int) *http.Transport {
	conf := &s.pool.conf
	h2 := conf.HTTP2 && s.scheme == "https"
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(h2)
	t := &http.Transport{
		DialContext:            func(ctx context.Context, network, _ string) (net.Conn, error) { return s.dial(ctx, network) },
		DialTLSContext:         s.dialTLS,
		DisableCompression:     true,
		MaxIdleConns:           idle,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: conf.MaxHeaderBytes,
		ReadBufferSize:         16 << 10, // the header and a median object in one read
		Protocols:              &protocols,
	}
	if h2 {
		// A connection that died in silence is found by pings; each request on it
		// has its own bounds.
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second}
	} else {
		// Dials that outlive their request would otherwise add to the permits.
		t.MaxConnsPerHost = conf.MaxConnsPerServer
	}
	return t
}

// dial opens a TCP connection, whatever name the transport keeps it under.
func (s *server) dial(ctx context.Context, network string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.pool.conf.ConnectTimeout)
	defer cancel()
	c, err := s.open(ctx, network)
	if err != nil {
		return nil, err
	}
	return s.newWire(c), nil
}

func (s *server) newWire(c net.Conn) *wire {
	return &wire{Conn: c, now: s.pool.now, askedAt: -1}
}

// open connects; a server that answers is up again.
func (s *server) open(ctx context.Context, network string) (net.Conn, error) {
	c, err := s.pool.dial(ctx, network, s.addr)
	if err != nil {
		return nil, &kindError{kind: kindOfDial(err), err: err}
	}
	s.downUntil.Store(0)
	return c, nil
}

// dialTLS opens a TLS connection for the name in addr: the Host that is sent, or
// the configured ServerName (see exchange.urlHost).
func (s *server) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.pool.conf.ConnectTimeout)
	defer cancel()
	raw, err := s.open(ctx, network)
	if err != nil {
		return nil, err
	}
	conf := s.tls.Clone()
	conf.ServerName, _, _ = net.SplitHostPort(addr)
	c := tls.Client(raw, conf)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		if ctx.Err() == context.DeadlineExceeded {
			return nil, &kindError{kind: ConnectTimeout, err: err}
		}
		return nil, &kindError{kind: TLS, err: err}
	}
	if c.ConnectionState().NegotiatedProtocol == "h2" {
		return c, nil
	}
	return s.newWire(c), nil
}

func (s *server) down() {
	s.downUntil.Store(int64(s.pool.now() + cooldown))
}

func (s *server) up(now time.Duration) bool { return int64(now) >= s.downUntil.Load() }

// tryAcquire takes a permit if one is free.
func (s *server) tryAcquire() bool {
	select {
	case s.permits <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *server) release() { <-s.permits }
