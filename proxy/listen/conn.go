package listen

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"
)

// tlsConn bounds the handshake, whatever deadlines the server sets or forgets.
// fasthttp calls Handshake before anything else, in the connection's goroutine.
type tlsConn struct {
	*tls.Conn
	timeout time.Duration
}

// Handshake leaves the connection without deadlines; the server sets its own.
func (c *tlsConn) Handshake() error {
	if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	if err := c.Conn.Handshake(); err != nil {
		// fasthttp goes on to read from the connection after a failed handshake;
		// closed, that fails at once.
		_ = c.NetConn().Close()
		return err
	}
	return c.SetDeadline(time.Time{})
}

// TCP returns the TCP connection under c, or nil. It sees through TLS, the PROXY
// protocol and any wrapper with a NetConn or Raw method.
func TCP(c net.Conn) *net.TCPConn {
	for {
		switch t := c.(type) {
		case *net.TCPConn:
			return t
		case interface{ NetConn() net.Conn }:
			c = t.NetConn()
		case interface{ Raw() net.Conn }:
			c = t.Raw()
		default:
			return nil
		}
	}
}

// Peer is what a socket tells of the client.
type Peer struct {
	// Broken: the connection was reset, has timed out or is closed.
	Broken bool
	// Ended: the client sends no more. One that has gone and one that has only shut
	// down its sending side (rare in HTTP) cannot be told apart.
	Ended bool
	// Unread: bytes have come before that end which nobody has read.
	Unread bool
}

// ClientAddr is the client's IP address: the one in the PROXY header where that
// is believed, the TCP peer's otherwise. IPv4 comes as IPv4 and without a zone;
// the zero Addr means unknown. With the PROXY protocol it waits for the header,
// at most HeaderTimeout: never call it where connections are accepted.
func ClientAddr(c net.Conn) netip.Addr {
	if ip := addrOf(c.RemoteAddr()); ip.IsValid() {
		return ip
	}
	// The header named something that is no IP address, such as a Unix socket.
	if t := TCP(c); t != nil {
		return addrOf(t.RemoteAddr())
	}
	return netip.Addr{}
}

func addrOf(a net.Addr) netip.Addr {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return t.AddrPort().Addr().Unmap().WithZone("")
}
