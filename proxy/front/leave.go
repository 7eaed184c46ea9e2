package front

import (
	"net"
	"time"

	"weir/proxy/listen"
)

// While weir waits for an origin nothing reads from the client, so that a client which
// leaves is noticed only by what is written to it. An exchange with an origin that can
// serve nobody else holds a connection and a permit meanwhile: one that hangs, and a
// few impatient clients, would take all of them. So the goroutine that watches
// connections (see phase) looks at the sockets of such exchanges twice a second, and
// ends what the client can have no answer from any more. What may be stored goes on.

// vigil is an exchange with an origin that ends when its client leaves.
type vigil struct {
	conn net.Conn
	end  func()
	// secure: what is unread may be the end of the TLS session.
	secure bool
	// pipelined: bytes of a next request were here when this one began.
	pipelined bool
	up        Body // nil: the request has none
	// looked is when the socket was looked at, on the clock of the connection. It
	// belongs to the goroutine that watches.
	looked int64
}

// lookEvery is how often the socket of a vigil is looked at, at most. Rounds are a
// quarter of a second apart: every second one looks.
const lookEvery = int64(400 * time.Millisecond)

// look ends the exchange when the client has left.
//
// The losing interleaving: the exchange ends, and the connection serves its next
// request, between our loading the vigil and our ending it. What ends then is the
// context of the exchange that is over.
func (v *vigil) look(now int64) {
	if now-v.looked < lookEvery {
		return
	}
	v.looked = now
	if v.gone(listen.Look(v.conn)) {
		v.end()
	}
}

// gone reports whether a client in that state has left. Who has sent all that it
// wants to and waits for answers to several requests is still there: then bytes of
// the next one are here.
func (v *vigil) gone(p listen.Peer) bool {
	switch {
	case p.Broken:
		return true
	case !p.Ended:
		return false
	case v.secure, v.up != nil && !v.up.Whole():
		return true
	}
	return !p.Unread && !v.pipelined
}
