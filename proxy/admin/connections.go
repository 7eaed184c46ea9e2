package admin

import (
	"context"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// The bounds of the plane. A connection is protected only while a request on it
// that was permitted is worked at, or while it carries a stream of events. Both
// have bounds of their own that add up to less than maxConns, so there is always a
// connection to close in favor of a new one: idle connections, and requests
// that do not arrive or are not read, never shut anybody out. The health routes
// need no permit and take no part in these counts.
const (
	maxConns           = 256
	maxConnsPerAddress = 64

	maxWork           = 96
	maxWorkPerAddress = 32

	maxStreams           = 64
	maxStreamsPerAddress = 16
)

// activity is what a connection is doing.
type activity uint8

const (
	// resting: nothing that was permitted; the connection may be closed.
	resting activity = iota
	// working: a request that was permitted is worked at.
	working
	// streaming: the connection carries events until it ends.
	streaming

	numActivities
)

// most are the bounds of each activity, in all and for one address.
var most = [numActivities][2]int{
	working:   {maxWork, maxWorkPerAddress},
	streaming: {maxStreams, maxStreamsPerAddress},
}

// tally counts connections.
type tally struct {
	open int // those that stream included
	busy [numActivities]int
}

// connections are the open ones of the plane.
type connections struct {
	log *log.Logger // nil means the standard logger
	now func() time.Time

	mu     sync.Mutex // protects what follows, and the fields of each conn
	open   map[*conn]struct{}
	all    tally
	by     map[netip.Prefix]*tally
	warned time.Time
}

// conn is one open connection.
type conn struct {
	net.Conn
	set  *connections
	from netip.Prefix // whose connection it is; the zero Prefix where there is no IP address

	doing activity
	since time.Time // when it last came to rest
	gone  bool
}

func newConnections(l *log.Logger) *connections {
	if l == nil {
		l = log.Default()
	}
	return &connections{log: l, now: time.Now, open: map[*conn]struct{}{}, by: map[netip.Prefix]*tally{}}
}

// source is the address that counts: one with IPv4, with IPv6 the network of 64
// bits that one host has for itself.
func source(a net.Addr) netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	bits := 64
	if ip.Is4() || ip.IsLoopback() {
		bits = ip.BitLen()
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// admit counts c as open. Where that is one too many it closes another that rests;
// only if there is none is c refused, and nil returned.
func (s *connections) admit(c net.Conn) *conn {
	k := &conn{Conn: c, set: s, from: source(c.RemoteAddr())}
	s.mu.Lock()
	k.since = s.now()
	var victim *conn
	t := s.by[k.from]
	switch {
	case t != nil && t.open-t.busy[streaming] >= maxConnsPerAddress:
		victim = s.restingLocked(k.from)
	case s.all.open-s.all.busy[streaming] >= maxConns:
		victim = s.restingLocked(s.largestLocked())
	default:
		s.addLocked(k)
		s.mu.Unlock()
		return k
	}
	s.warnLocked(k.from)
	if victim != nil {
		s.removeLocked(victim)
		s.addLocked(k)
	}
	s.mu.Unlock()
	if victim == nil {
		return nil
	}
	_ = victim.Conn.Close() // whoever serves it sees that it ended
	return k
}

// warnEvery bounds how often the log says that connections are closed.
const warnEvery = time.Minute

func (s *connections) warnLocked(from netip.Prefix) {
	if now := s.now(); now.Sub(s.warned) >= warnEvery {
		s.warned = now
		s.log.Printf("admin plane: as many connections are open as may be (%d, %d from one address); "+
			"those that rest longest are closed; one more came from %v", maxConns, maxConnsPerAddress, from)
	}
}

// largestLocked is the address with the most connections that rest.
func (s *connections) largestLocked() (at netip.Prefix) {
	most := -1
	for from, t := range s.by {
		if n := t.open - t.busy[working] - t.busy[streaming]; n > most {
			most, at = n, from
		}
	}
	return at
}

// restingLocked is the connection from there that rests longest, or nil.
func (s *connections) restingLocked(from netip.Prefix) (found *conn) {
	for k := range s.open {
		if k.from == from && k.doing == resting && (found == nil || k.since.Before(found.since)) {
			found = k
		}
	}
	return found
}

func (s *connections) addLocked(k *conn) {
	s.open[k] = struct{}{}
	t := s.by[k.from]
	if t == nil {
		t = new(tally)
		s.by[k.from] = t
	}
	s.all.open++
	t.open++
}

func (s *connections) removeLocked(k *conn) {
	if k.gone {
		return
	}
	s.restLocked(k)
	k.gone = true
	delete(s.open, k)
	t := s.by[k.from]
	s.all.open--
	if t.open--; t.open == 0 {
		delete(s.by, k.from)
	}
}

func (s *connections) restLocked(k *conn) {
	if k.doing == resting || k.gone {
		return
	}
	s.all.busy[k.doing]--
	s.by[k.from].busy[k.doing]--
	k.doing, k.since = resting, s.now()
}

// Close implements net.Conn.
func (k *conn) Close() error {
	k.set.mu.Lock()
	k.set.removeLocked(k)
	k.set.mu.Unlock()
	return k.Conn.Close()
}

type connKey struct{}

// remember is for http.Server.ConnContext.
func remember(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// claim protects the connection of a request that was permitted while it does a,
// or says that there are too many that do.
func claim(req *http.Request, a activity) (release func(), no *refusal) {
	k, ok := req.Context().Value(connKey{}).(*conn)
	if !ok {
		return func() {}, nil
	}
	s := k.set
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.by[k.from]
	if k.gone || s.all.busy[a] >= most[a][0] || t.busy[a] >= most[a][1] {
		return nil, &refusal{
			status: http.StatusServiceUnavailable, Error: tooMany[a], retryAfter: true,
			Want: "a request when fewer are under way",
		}
	}
	k.doing = a
	s.all.busy[a]++
	t.busy[a]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.restLocked(k)
	}, nil
}

var tooMany = [numActivities]string{
	working:   "too many requests are worked at, in all or for this address",
	streaming: "too many streams of events are open, in all or for this address",
}

// listener hands out the connections that are admitted.
type listener struct {
	net.Listener
	set *connections
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if k := l.set.admit(c); k != nil {
			return k, nil
		}
		_ = c.Close()
	}
}
