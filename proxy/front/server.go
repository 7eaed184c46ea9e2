package front

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"
)

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
		name: o.Name, bodyTime: o.ProgressTimeout, byIP: make(map[netip.Addr]int),
	}
	s.watcher = watcher{o: &s.o, conns: &s.conns, ended: make(chan struct{})}
	s.plain, s.proxied = newHTTP1(&s.o, &s.conns, &s.farewell), newHTTP1(&s.o, &s.conns, &s.farewell)
	return s
}

// Serve answers what ln accepts until Shutdown. It may be called for several
// listeners at once. Proxied says that its connections begin with PROXY
// headers.
func (s *Server) Serve(ln net.Listener, proxied bool) error {
	s.watcher.start()
	h := s.plain
	if proxied {
		h = s.proxied
	}
	if err := h.Serve(&boundedListener{Listener: ln, conns: &s.conns, byAddress: !proxied}); err != nil {
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
