package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"
)

// Options are fixed for the life of a Server.
type Options struct {
	// Handle answers a request. It calls Send of the session before it returns.
	Handle func(Session)
	// Expects reports whether the client may send the body that it asks about
	// ("Expect: 100-continue"). Where not, it has answered; the connection ends.
	Expects func(Session) bool
	// Name is weir's name in the Cache-Status of connections that are refused.
	Name func() string
	// Stepped is called now and then with the times of the wall clock between which
	// the clock may have been set.
	Stepped func(before, now time.Time)
	Log     *slog.Logger
	Now     func() time.Time

	// MaxConnections bounds client connections over all listeners; 0 means
	// fasthttp's default of 256 Ki for each.
	MaxConnections int
	// MaxConnectionsPerIP bounds them for one address; 0 is no bound. Listeners
	// with PROXY headers have no such bound.
	MaxConnectionsPerIP int
	// MaxHeader bounds a request's header section in bytes; beyond it 431.
	MaxHeader int
	// HeaderTimeout bounds the arrival of one header section, IdleTimeout the
	// wait for the next request, ProgressTimeout the time an upload may move
	// no byte. (What stops a download that moves no byte is the listener's.)
	HeaderTimeout, IdleTimeout, ProgressTimeout time.Duration
}

// Server makes sessions of what clients send. Make one with New, hand it listeners
// with Serve.
type Server struct {
	o Options
	// plain answers plain and TLS listeners, proxied those with PROXY headers.
	plain, proxied *fasthttp.Server
	conns          connections
	watcher        watcher
	farewell       farewell
}

// New makes a server. It serves nothing until Serve.
func New(o Options) *Server {
	s := &Server{o: o}
	s.conns = connections{
		max: o.MaxConnections, perIP: o.MaxConnectionsPerIP, log: o.Log, now: o.Now,
		bodyTime: o.ProgressTimeout, byIP: make(map[netip.Addr]int),
	}
	s.watcher.ended = make(chan struct{})
	s.plain, s.proxied = s.newHTTP1(), s.newHTTP1()
	return s
}

// Serve answers what ln accepts until Shutdown. It may be called for several
// listeners at once. Proxied says that its connections begin with PROXY
// headers.
func (s *Server) Serve(ln net.Listener, proxied bool) error {
	s.watcher.start(s)
	h := s.plain
	if proxied {
		h = s.proxied
	}
	if err := h.Serve(&boundedListener{Listener: ln, s: s, byAddress: !proxied}); err != nil {
		return fmt.Errorf("cannot serve %s: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown stops accepting and lets requests under way end; it gives up on the rest
// when ctx ends. Connections are held to their time until Close.
func (s *Server) Shutdown(ctx context.Context) error {
	proxied := make(chan error, 1)
	go func() { proxied <- s.proxied.ShutdownWithContext(ctx) }()
	return errors.Join(s.plain.ShutdownWithContext(ctx), <-proxied)
}

// Close ends the goroutine of the server. It may be called again.
func (s *Server) Close() { s.watcher.stop() }

// Connections returns how many client connections are open, and how many were
// refused because too many were.
func (s *Server) Connections() (open int, refused uint64) { return s.conns.counts() }
