package front

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

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
	name       func() string // see Options.Name
	bodyTime   time.Duration // for the first bytes of a body
	clock      coarseClock

	open sync.Map // of *clientConn, without values

	// mu protects what follows.
	mu      sync.Mutex
	count   int
	byIP    map[netip.Addr]int // only while perIP bounds
	refused uint64
	warned  time.Time
}

// warnEvery bounds how often the log says that connections are refused.
const warnEvery = time.Minute

// admit counts c as open and returns it as a clientConn, or returns the status with
// which it is refused. The address counts where it is known without waiting: behind PROXY headers, one
// client that sends none would stop everybody.
func (n *connections) admit(c net.Conn, byAddress bool) (k *clientConn, status int) {
	ip := netip.Addr{}
	if t, ok := c.RemoteAddr().(*net.TCPAddr); byAddress && ok {
		ip = t.AddrPort().Addr().Unmap().WithZone("")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.max > 0 && n.count >= n.max:
		n.refuseLocked("limits.connections", n.max)
		return nil, fasthttp.StatusServiceUnavailable
	case n.perIP > 0 && ip.IsValid() && n.byIP[ip] >= n.perIP:
		n.refuseLocked("limits.connections_per_ip", n.perIP)
		return nil, fasthttp.StatusTooManyRequests
	}
	if n.perIP == 0 {
		ip = netip.Addr{}
	}
	n.count++
	k = newClientConn(c, ip, &n.clock, n.bodyTime)
	n.open.Store(k, nil)
	if ip.IsValid() {
		n.byIP[ip]++
	}
	return k, 0
}

func (n *connections) refuseLocked(key string, bound int) {
	n.refused++
	if now := n.now(); now.Sub(n.warned) >= warnEvery {
		n.warned = now
		n.log.Warn("connections are refused: as many are open as may be", "key", key, "bound", bound, "refused", n.refused)
	}
}

// state is told by fasthttp what becomes of a connection. It may say twice that one
// is closed.
func (n *connections) state(c net.Conn, s fasthttp.ConnState) {
	k := clientOf(c)
	if k == nil {
		return
	}
	switch s {
	case fasthttp.StateIdle:
		k.idle()
		return
	case fasthttp.StateClosed, fasthttp.StateHijacked:
	default:
		return
	}
	if _, was := n.open.LoadAndDelete(k); !was {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count--
	ip := k.ip
	if !ip.IsValid() {
		return
	}
	if n.byIP[ip]--; n.byIP[ip] == 0 {
		delete(n.byIP, ip)
	}
}

func (n *connections) counts() (open int, refused uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count, n.refused
}

// boundedListener hands out the connections that are admitted.
type boundedListener struct {
	net.Listener
	conns     *connections
	byAddress bool
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		k, status := l.conns.admit(c, l.byAddress)
		if status == 0 {
			return k.forServer(), nil
		}
		l.conns.turnAway(c, status)
	}
}

// turnAway answers a connection that is one too many, without waiting for its
// request: the answer fits the socket's buffer. One with TLS is only closed,
// since a handshake would have to be waited for.
func (n *connections) turnAway(c net.Conn, status int) {
	if _, isTLS := c.(interface{ ConnectionState() tls.ConnectionState }); !isTLS {
		body := fmt.Sprintf("%d %s\ntoo many connections are open\n", status, fasthttp.StatusMessage(status))
		// A client that is gone learns nothing.
		_, _ = fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nCache-Control: no-store\r\nContent-Type: text/plain; charset=utf-8\r\n"+
			"Date: %s\r\nRetry-After: 1\r\nCache-Status: %s; detail=%s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			status, fasthttp.StatusMessage(status), fasthttp.AppendHTTPDate(nil, n.now()),
			n.name(), policy.ReasonTooManyConnections, len(body), body)
	}
	_ = c.Close()
}
