package origin

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"weir/origin/http1"
	"weir/policy"
)

// server is one member of a pool, with its connections.
type server struct {
	pool   *Pool
	member *member // the same as the roster knows it
	addr   string  // host:port
	addrs  *addresses
	tls    *tls.Config // nil for http; ServerName is filled in per connection
	http1  http1.Config
	idle   idle
	http2  sessions
}

func newServer(p *Pool, scheme, addr string, tlsConf *tls.Config) *server {
	s := &server{pool: p, addr: addr, addrs: newAddresses(p.conf.Resolver, addr, p.conf.Resolve)}
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
	remote   netip.AddrPort
	opened   time.Duration
	idle     time.Duration // since when it is idle
}

// connect finds a connection for x, or opens one. With HTTP/2 it is a session, on which
// x has a place.
func (s *server) connect(x *exchange) (*conn, *h2Conn, *Error) {
	name := x.name()
	x.reused = true
	if session := s.http2.reserve(name, s.usable); session != nil {
		return nil, session, nil
	}
	if c := s.take(name, x.broke, idempotent(x.out.method) && x.out.up.replayable()); c != nil {
		return c, nil, nil
	}
	x.reused = false
	begin := time.Now()
	ctx, cancel := context.WithTimeout(x.parent, min(s.pool.conf.ConnectTimeout, x.left))
	defer cancel()
	x.dialing(cancel)
	c, session, err := s.dial(ctx, x, name)
	x.dialing(nil)
	x.left -= time.Since(begin)
	if gone := x.gone(); err != nil && gone != nil {
		err = &Error{Kind: Canceled, Err: gone}
	}
	return c, session, err
}

// dial opens a connection.
func (s *server) dial(ctx context.Context, x *exchange, name string) (*conn, *h2Conn, *Error) {
	raw, remote, err := s.addrs.dial(ctx, s.pool.now(), func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
		return s.pool.dial(ctx, "tcp", addr.String())
	})
	if err != nil {
		return nil, nil, &Error{Kind: kindOfDial(err), Err: err}
	}
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
			session, err := s.http2.open(c, &session{name: name, stranger: x.out.stranger, remote: remote, opened: s.pool.now()}, s.usable)
			return nil, session, err
		}
		stream = c
	}
	c := &conn{Conn: http1.NewConn(stream, sock, &s.http1), name: name, stranger: x.out.stranger, remote: remote, opened: s.pool.now()}
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

// usable reports whether a connection to remote, opened at that time, may be used for
// another request.
func (s *server) usable(remote netip.AddrPort, opened time.Duration) bool {
	age := s.pool.conf.MaxConnAge
	return (age <= 0 || s.pool.now()-opened < age) && s.addrs.current(remote)
}

// resolve looks the server's name up when that is due: in the background while what is
// known holds, else x waits for that.
func (s *server) resolve(x *exchange) {
	if s.pool.retired.Load() {
		return
	}
	look, known := s.addrs.due(s.pool.now())
	if look {
		go s.lookUp()
	}
	if known == nil {
		return
	}
	begin := time.Now()
	ctx, cancel := context.WithCancel(x.parent)
	defer cancel()
	x.dialing(cancel)
	select {
	case <-known:
	case <-ctx.Done():
	}
	x.dialing(nil)
	x.left -= time.Since(begin)
}

func (s *server) lookUp() {
	ctx, cancel := context.WithTimeout(s.pool.base, s.pool.conf.ConnectTimeout)
	defer cancel()
	if err := s.addrs.look(ctx, s.pool.now()); err != nil {
		s.pool.roster.complain(s.pool.now(), s.member, Connect.String(), err.Error())
	}
}

// checkUntil asks the server from time to time whether it works, until ctx ends.
func (s *server) checkUntil(ctx context.Context) {
	conf := &s.pool.conf.Health
	tick := time.NewTicker(conf.Interval)
	defer tick.Stop()
	for {
		reason := s.check(ctx)
		if ctx.Err() != nil {
			return
		}
		if reason != "" {
			reason = "health check of " + conf.Path + ": " + reason
			s.pool.roster.complain(s.pool.now(), s.member, "health", reason)
		}
		s.pool.roster.checked(s.pool.now(), s.pool.members, s.member, reason == "", reason)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// probeReads is how much of a body a probe or a check reads to see that it flows.
const probeReads = 1 << 20

// check asks once, and returns why the answer is not good, or "".
func (s *server) check(ctx context.Context) string {
	p := s.pool
	ctx, cancel := context.WithTimeout(ctx, p.conf.Health.Timeout)
	defer cancel()
	out, err := p.prepare(&Request{Target: p.conf.Health.Path, Fields: policy.Fields{{Name: "User-Agent", Value: "weir"}}})
	if err != nil {
		return err.Error()
	}
	x := &out.first
	x.pool, x.server, x.out, x.left = p, s, out, p.conf.Health.Timeout
	resp, failure := x.run(ctx)
	if failure != nil {
		if ctx.Err() != nil {
			return "no answer came within " + p.conf.Health.Timeout.String()
		}
		return failure.Err.Error()
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, probeReads); err != nil && err != io.EOF {
		return err.Error()
	}
	if !p.conf.Health.good(resp.Status) {
		return fmt.Sprintf("it answered %d, want %s", resp.Status, p.conf.Health.wants())
	}
	return ""
}

// closeIdle closes what nobody uses.
func (s *server) closeIdle() {
	s.sweep(true)
	s.http2.closeIdle()
}
