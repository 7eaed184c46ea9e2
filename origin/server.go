package origin

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"weir/origin/http1"
)

// cooldown is how long a server that could not be reached is tried last: long
// enough to spare most requests the failed attempt, short enough that a server
// which is back gets its share at once.
const cooldown = 2 * time.Second

// server is one member of a pool, with its connections.
type server struct {
	pool      *Pool
	scheme    string
	addr      string      // host:port
	tls       *tls.Config // nil for http; ServerName is filled in per connection
	http1     http1.Config
	idle      idle
	http2     sessions
	permits   chan struct{} // one element for each exchange in flight
	downUntil atomic.Int64  // by the pool's clock, in nanoseconds
}

func newServer(p *Pool, scheme, addr string, tlsConf *tls.Config) *server {
	s := &server{pool: p, scheme: scheme, addr: addr, permits: make(chan struct{}, p.conf.MaxConnsPerServer)}
	s.http1 = http1.Config{
		MaxHeader: int(p.conf.MaxHeaderBytes), Between: p.conf.BetweenBytesTimeout,
		Now: func() time.Duration { return p.now() },
	}
	if scheme == "https" {
		s.tls = tlsConf
		s.http2.transport = newHTTP2(&p.conf)
	}
	return s
}

// conn is a connection with HTTP/1.1 on it.
type conn struct {
	*http1.Conn
	name     string // for TLS: the name that was asked for and verified
	stranger bool   // that name is rarely asked for
	opened   time.Duration
	idle     time.Duration // since when it is idle
}

// connect finds a connection for x, or opens one. With HTTP/2 it is a session, on which
// x has a place.
func (s *server) connect(x *exchange) (*conn, *http2.ClientConn, *Error) {
	name := x.name()
	x.reused = true
	if session := s.http2.reserve(name); session != nil {
		return nil, session, nil
	}
	if c := s.take(name, x); c != nil {
		return c, nil, nil
	}
	x.reused = false
	begin := time.Now()
	ctx, cancel := context.WithTimeout(x.parent, min(s.pool.conf.ConnectTimeout, x.left))
	defer cancel()
	c, session, err := s.dial(ctx, x, name)
	x.left -= time.Since(begin)
	if err != nil && x.parent.Err() != nil {
		err = &Error{Kind: Canceled, Err: context.Cause(x.parent)}
	}
	return c, session, err
}

// dial opens a connection; a server that answers is up again.
func (s *server) dial(ctx context.Context, x *exchange, name string) (*conn, *http2.ClientConn, *Error) {
	raw, err := s.pool.dial(ctx, "tcp", s.addr)
	if err != nil {
		return nil, nil, &Error{Kind: kindOfDial(err), Err: err}
	}
	s.downUntil.Store(0)
	sock := http1.NewSocket(raw)
	stream := net.Conn(sock)
	if s.tls != nil {
		conf := s.tls.Clone()
		conf.ServerName = name
		c := tls.Client(sock, conf)
		if err := c.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			kind := TLS
			if ctx.Err() != nil {
				kind = ConnectTimeout
			}
			return nil, nil, &Error{Kind: kind, Err: err}
		}
		if c.ConnectionState().NegotiatedProtocol == "h2" {
			session, err := s.http2.open(c, name, x.out.stranger)
			return nil, session, err
		}
		stream = c
	}
	c := &conn{Conn: http1.NewConn(stream, sock, &s.http1), name: name, stranger: x.out.stranger, opened: s.pool.now()}
	s.opened()
	return c, nil, nil
}

// name is what is asked for and verified by TLS, and what connections are told apart
// by: the Host that is sent, or the configured ServerName. Without TLS it is empty.
func (x *exchange) name() string {
	if x.server.tls == nil {
		return ""
	}
	name := x.pool.conf.TLS.ServerName
	if name == "" {
		name = hostname(x.host())
	}
	return strings.ToLower(name)
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

// closeIdle closes what nobody uses.
func (s *server) closeIdle() {
	s.sweep(true)
	s.http2.closeIdle()
}
