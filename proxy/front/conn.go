package front

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// clientConn is one open connection as fasthttp sees it. What it reads was divided
// into requests (see inbound); how long it may take is watched (see phase); and a
// large body in memory leaves together with its header.
type clientConn struct {
	net.Conn
	tcp      *net.TCPConn // nil: the connection is no plain TCP
	ip       netip.Addr   // zero: not counted by address
	clock    *coarseClock
	bodyTime time.Duration // for the first bytes of a body; 0: no bound

	phase atomic.Uint32
	since atomic.Int64 // on clock
	// vigil is the exchange with an origin that ends when the client leaves; nil: none.
	vigil atomic.Pointer[vigil]

	// The fields below belong to whoever serves the connection.
	bodyDeadline bool // the read deadline is that of a body
	in           inbound
	session      http1
	body         []byte // of the answer whose header is about to be written; see joinBody
	vec          [2][]byte
	bufs         net.Buffers
}

func newClientConn(c net.Conn, ip netip.Addr, clock *coarseClock, bodyTime time.Duration) *clientConn {
	k := &clientConn{Conn: c, ip: ip, clock: clock, bodyTime: bodyTime}
	k.tcp, _ = c.(*net.TCPConn)
	k.since.Store(clock.now())
	return k
}

// secured is what fasthttp recognises a connection with TLS by.
type secured interface {
	Handshake() error
	ConnectionState() tls.ConnectionState
}

// securedConn is a clientConn with TLS.
type securedConn struct {
	*clientConn
	secured
}

// forServer is the connection as fasthttp must get it.
func (k *clientConn) forServer() net.Conn {
	if s, ok := k.Conn.(secured); ok {
		return &securedConn{clientConn: k, secured: s}
	}
	return k
}

// clientOf returns what forServer made c from; nil for other connections.
func clientOf(c net.Conn) *clientConn {
	switch c := c.(type) {
	case *clientConn:
		return c
	case *securedConn:
		return c.clientConn
	}
	return nil
}

// NetConn is the connection beneath.
func (k *clientConn) NetConn() net.Conn { return k.Conn }

// SetLinger is that of a plain TCP connection; on others it does nothing.
func (k *clientConn) SetLinger(seconds int) error {
	if k.tcp == nil {
		return nil
	}
	return k.tcp.SetLinger(seconds)
}

// Read implements net.Conn. It returns bytes of one head or of one body. The first
// fault is the error of this and of every later call.
func (k *clientConn) Read(p []byte) (int, error) {
	in := &k.in
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if in.tail != "" {
			n := copy(p, in.tail)
			in.tail = in.tail[n:]
			return n, nil
		}
		if in.fault != nil {
			return 0, in.fault
		}
		q := in.room(p)
		n, fresh := in.stored(q), false
		if n == 0 {
			var err error
			if n, err = k.Conn.Read(q); n == 0 {
				if err == nil {
					err = io.ErrNoProgress
				}
				return 0, err
			}
			// An error beside bytes comes again.
			fresh = true
		}
		was := in.section
		n = in.take(q[:n], fresh)
		if was == sectionHead {
			if in.fault != nil {
				return somethingRead(p), in.fault
			}
			k.headRead(n)
		}
		if n > 0 {
			return n, nil
		}
	}
}

// headRead notes how far the head has come of which n bytes are handed on.
func (k *clientConn) headRead(n int) {
	switch {
	case k.in.inHead():
		k.began()
	case n > 0:
		k.serve()
	}
}
