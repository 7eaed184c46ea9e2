package proxy

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"weir/policy"
)

// connections counts the client connections of all listeners together and
// bounds them. Fasthttp's own bounds are for each listener, and what it answers
// beyond them says neither why nor whose answer it is.
type connections struct {
	max, perIP int // 0: no bound
	log        *slog.Logger
	now        func() time.Time
	clock      coarseClock

	open sync.Map // the *clientConn of each net.Conn
	// near holds some of those in open, each at a place that follows from the
	// connection's address: three lookups for each request cost a fiftieth of a
	// hit otherwise.
	near [nearPlaces]atomic.Pointer[clientConn]

	// mu protects what follows.
	mu      sync.Mutex
	count   int
	byIP    map[netip.Addr]int // only while perIP bounds
	refused uint64
	warned  time.Time
}

// warnEvery bounds how often the log says that connections are refused.
const warnEvery = time.Minute

// admit counts c as open, or returns the status with which it is refused. The
// address counts where it is known without waiting: behind PROXY headers, one
// client that sends none would stop everybody.
func (n *connections) admit(c net.Conn, byAddress bool) (status int) {
	ip := netip.Addr{}
	if t, ok := c.RemoteAddr().(*net.TCPAddr); byAddress && ok {
		ip = t.AddrPort().Addr().Unmap().WithZone("")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.max > 0 && n.count >= n.max:
		n.refuseLocked("limits.connections", n.max)
		return fasthttp.StatusServiceUnavailable
	case n.perIP > 0 && ip.IsValid() && n.byIP[ip] >= n.perIP:
		n.refuseLocked("limits.connections_per_ip", n.perIP)
		return fasthttp.StatusTooManyRequests
	}
	if n.perIP == 0 {
		ip = netip.Addr{}
	}
	n.count++
	n.open.Store(c, newClientConn(c, ip, n.clock.now()))
	if ip.IsValid() {
		n.byIP[ip]++
	}
	return 0
}

func (n *connections) refuseLocked(key string, bound int) {
	n.refused++
	if now := n.now(); now.Sub(n.warned) >= warnEvery {
		n.warned = now
		n.log.Warn("connections are refused: as many are open as may be", "key", key, "bound", bound, "refused", n.refused)
	}
}

// state is told by fasthttp what becomes of a connection. It may say twice that
// one is closed.
func (n *connections) state(c net.Conn, s fasthttp.ConnState) {
	switch s {
	case fasthttp.StateActive, fasthttp.StateIdle:
		if k := n.of(c); k != nil {
			k.turn(s, n.clock.now())
		}
		return
	case fasthttp.StateClosed, fasthttp.StateHijacked:
	default:
		return
	}
	v, was := n.open.LoadAndDelete(c)
	if !was {
		return
	}
	if place := n.nearTo(c); place != nil {
		place.CompareAndSwap(v.(*clientConn), nil)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count--
	ip := v.(*clientConn).ip
	if !ip.IsValid() {
		return
	}
	if n.byIP[ip]--; n.byIP[ip] == 0 {
		delete(n.byIP, ip)
	}
}

// of returns what is known of an open connection, nil for one that was not
// accepted here.
func (n *connections) of(c net.Conn) *clientConn {
	place := n.nearTo(c)
	if place != nil {
		if k := place.Load(); k != nil && k.conn == c {
			return k
		}
	}
	v, ok := n.open.Load(c)
	if !ok {
		return nil
	}
	k := v.(*clientConn)
	if place != nil {
		place.Store(k)
	}
	return k
}

// nearPlaces is a power of two.
const nearPlaces = 1 << 12

// nearTo returns the place of a TCP connection; nil for others, whose address does
// not tell them apart.
func (n *connections) nearTo(c net.Conn) *atomic.Pointer[clientConn] {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	// The allocator's least distance is 8 bytes.
	return &n.near[uintptr(unsafe.Pointer(t))>>3%nearPlaces]
}

func (n *connections) counts() (open int, refused uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count, n.refused
}

// boundedListener hands out the connections that are admitted.
type boundedListener struct {
	net.Listener
	p         *Proxy
	byAddress bool
}

// Accept implements net.Listener. It does not wrap what it returns: plain TCP
// connections are written to with writev.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		status := l.p.conns.admit(c, l.byAddress)
		if status == 0 {
			return c, nil
		}
		l.p.turnAway(c, status)
	}
}

// turnAway answers a connection that is one too many, without waiting for its
// request: the answer fits the socket's buffer. One with TLS is only closed,
// since a handshake would have to be waited for.
func (p *Proxy) turnAway(c net.Conn, status int) {
	if _, isTLS := c.(interface{ ConnectionState() tls.ConnectionState }); !isTLS {
		body := fmt.Sprintf("%d %s\ntoo many connections are open\n", status, fasthttp.StatusMessage(status))
		// A client that is gone learns nothing.
		_, _ = fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nCache-Control: no-store\r\nContent-Type: text/plain; charset=utf-8\r\n"+
			"Date: %s\r\nCache-Status: %s; detail=%s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			status, fasthttp.StatusMessage(status), fasthttp.AppendHTTPDate(nil, p.now()),
			p.cfg.Load().CacheName, policy.ReasonTooManyConnections, len(body), body)
	}
	_ = c.Close()
}
