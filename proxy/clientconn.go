package proxy

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"weir/policy"
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
	from         policy.Sender // without Proxies; zero before the first request
	body         []byte        // of the answer whose header is about to be written; see lendBody
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
				// Fasthttp answers errors only where it has read something, and
				// this is no beginning of anything.
				p[0] = '?'
				return 1, in.fault
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

// lendBody takes a large body in memory from fasthttp, which then writes the header
// alone: the connection sends the two in one system call. Fasthttp would do that on
// a *net.TCPConn only; on others it copies the beginning of the body and makes two.
func lendBody(ctx *fasthttp.RequestCtx) {
	resp := &ctx.Response
	if resp.SkipBody || ctx.IsHead() || resp.IsBodyStream() {
		return
	}
	if k := clientOf(ctx.Conn()); k != nil && k.tcp != nil {
		if body := resp.Body(); len(body) > writeBuffer/4 {
			// The length in the header is the body's all the same.
			k.body, resp.SkipBody = body, true
		}
	}
}

// Write implements net.Conn. What ends a header takes the body along that is to
// follow it.
func (k *clientConn) Write(p []byte) (int, error) {
	if k.body == nil || !bytes.HasSuffix(p, headEnd) {
		return k.Conn.Write(p)
	}
	k.vec[0], k.vec[1] = p, k.body
	k.body = nil
	k.bufs = k.vec[:]
	n, err := k.bufs.WriteTo(k.tcp)
	k.bufs, k.vec[0], k.vec[1] = nil, nil, nil
	return min(int(n), len(p)), err
}

var headEnd = []byte("\r\n\r\n")
