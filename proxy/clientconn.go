package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
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

	// The fields below belong to whoever serves the connection.
	bodyDeadline bool // the read deadline is that of a body
	in           inbound
	body         []byte // of the answer that is about to be written; see lendBody
	ahead        []byte // what of it was written before fasthttp has asked for it
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

// lendBody tells the connection which body fasthttp is about to write behind a
// header, when it is in memory and large. Fasthttp would join the two in one system
// call on a *net.TCPConn alone; on others it fills its buffer with the header and the
// beginning of the body, writes that, and then the rest.
func lendBody(ctx *fasthttp.RequestCtx) {
	resp := &ctx.Response
	if resp.SkipBody || ctx.IsHead() || resp.IsBodyStream() {
		return
	}
	if k := clientOf(ctx.Conn()); k != nil && k.tcp != nil {
		if body := resp.Body(); len(body) > writeBuffer/4 {
			k.body = body
		}
	}
}

// errOutOfStep ends a connection on which fasthttp writes something else than it was
// expected to. Nothing wrong has left yet, but what would follow is unknown.
var errOutOfStep = errors.New("proxy: the server does not write the body that it was given")

// Write implements net.Conn.
func (k *clientConn) Write(p []byte) (int, error) {
	if k.ahead != nil {
		if len(p) > len(k.ahead) || !bytes.Equal(p, k.ahead[:len(p)]) {
			return 0, errOutOfStep
		}
		if k.ahead = k.ahead[len(p):]; len(k.ahead) == 0 {
			k.ahead = nil
		}
		return len(p), nil
	}
	if k.body == nil {
		return k.Conn.Write(p)
	}
	body := k.body
	k.body = nil
	begin := len(p) // of the body
	if i := bytes.Index(p, headEnd); i >= 0 && len(p) == writeBuffer {
		begin = i + len(headEnd)
	}
	sent := len(p) - begin
	if sent == 0 || sent >= len(body) || !bytes.Equal(p[begin:], body[:sent]) {
		return k.Conn.Write(p)
	}
	rest := body[sent:]
	k.vec[0], k.vec[1] = p, rest
	k.bufs = k.vec[:]
	n, err := k.bufs.WriteTo(k.tcp)
	k.bufs, k.vec[0], k.vec[1] = nil, nil, nil
	if err != nil {
		return min(int(n), len(p)), err
	}
	k.ahead = rest
	return len(p), nil
}

var headEnd = []byte("\r\n\r\n")
