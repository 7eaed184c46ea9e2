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
	session      Session // nil before the first request
	joined       joined
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

// Write implements net.Conn. What ends a header takes the body along that is to
// follow it.
func (k *clientConn) Write(p []byte) (int, error) {
	if !k.joined.follows(p) {
		return k.Conn.Write(p)
	}
	return k.joined.write(k.tcp, p)
}

// began notes that the first bytes of a head have come. A new connection has the time
// of one head from when it was accepted.
func (k *clientConn) began() {
	if phase(k.phase.Load()) == phaseIdle {
		k.since.Store(k.clock.now())
		k.phase.CompareAndSwap(uint32(phaseIdle), uint32(phaseHeader))
	}
}

// serve notes that a head is here. The first bytes of a body are read before the
// handler runs; they have the time of a body.
func (k *clientConn) serve() {
	if was := k.phase.Load(); phase(was) != phaseOver {
		k.phase.CompareAndSwap(was, uint32(phaseServing))
	}
	if k.in.announced != 0 && k.bodyTime > 0 {
		k.bodyDeadline = true
		_ = k.Conn.SetReadDeadline(time.Now().Add(k.bodyTime)) // one that fails is closed
	}
}

// idle notes that the answer is out.
func (k *clientConn) idle() {
	if k.joined.left() {
		// Its header was not written as it should have been, so that the client waits
		// for the body.
		_ = k.Conn.Close()
	}
	was := k.phase.Load()
	if phase(was) == phaseOver {
		return
	}
	if k.bodyDeadline {
		k.bodyDeadline = false
		_ = k.Conn.SetReadDeadline(time.Time{}) // one that fails is closed
	}
	k.since.Store(k.clock.now())
	k.phase.CompareAndSwap(was, uint32(phaseIdle))
}

// longPast is a deadline that ends a read at once.
var longPast = time.Unix(1, 0)

// hold ends what a connection waits for when it has overstayed, and what it waits
// for in vain.
func (k *clientConn) hold(now, header, idle, round int64) {
	if v := k.vigil.Load(); v != nil {
		v.look(now)
	}
	was := phase(k.phase.Load())
	limit := header
	switch was {
	case phaseServing:
		return
	case phaseOver:
		// Again: whoever reads a PROXY header or shakes hands sets deadlines
		// of their own.
		_ = k.Conn.SetReadDeadline(longPast)
		return
	case phaseIdle:
		limit = idle
	case phaseNew, phaseHeader:
	}
	// since may be a round too early.
	if limit > 0 && now-k.since.Load() > limit+round && k.phase.CompareAndSwap(uint32(was), uint32(phaseOver)) {
		_ = k.Conn.SetReadDeadline(longPast) // one that fails is closed
	}
}
