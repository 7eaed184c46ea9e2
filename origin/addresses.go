package origin

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// addresses is what the name of a server stands for. No request relies on what is older
// than every (see due); connections to an address that the name no longer has are not
// used for another request (see current).
type addresses struct {
	resolver Resolver
	host     string
	port     uint16
	// every is how often the name is looked up; 0 is before each connection, and
	// then what came of it before says nothing about connections that there are.
	every time.Duration

	mu      sync.Mutex // protects the fields below
	list    []netip.AddrPort
	avoid   []netip.AddrPort // those of list that could not be reached of late
	avoided time.Duration    // when avoid last grew
	turn    int              // which of list is tried first
	at      time.Duration    // when list was looked up
	literal bool             // the host is an address
	pending chan struct{}    // closed when the look-up that due asked for has ended; else nil
}

func newAddresses(r Resolver, addr string, every time.Duration) *addresses {
	host, port, _ := net.SplitHostPort(addr) // parseServer made addr
	n, _ := strconv.ParseUint(port, 10, 16)
	a := &addresses{resolver: r, host: host, port: uint16(n), every: every}
	if ip, err := netip.ParseAddr(host); err == nil {
		a.list, a.literal = []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), a.port)}, true
	}
	return a
}

// due reports whether the caller is to look the name up, which is early enough for the
// answer to be here in time where there are requests all the while. When what is known
// is too old, it returns what to wait for before a server is connected to. Of a name
// that was never looked up nothing is due: order looks it up.
func (a *addresses) due(now time.Duration) (look bool, known <-chan struct{}) {
	if a.literal || a.every <= 0 {
		return false, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	age := now - a.at
	if len(a.list) == 0 || age < a.every*3/4 {
		return false, nil
	}
	if a.pending == nil {
		a.pending, look = make(chan struct{}), true
	}
	if age >= a.every {
		known = a.pending
	}
	return look, known
}

// look looks the name up. When that fails the addresses stay what they are, and it is
// tried again as if they had just been found.
func (a *addresses) look(ctx context.Context, now time.Duration) error {
	ips, err := a.resolver.LookupNetIP(ctx, "ip", a.host)
	if err == nil && len(ips) == 0 {
		err = errors.New("the name has no addresses")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at = now; a.pending != nil {
		close(a.pending)
		a.pending = nil
	}
	if err != nil {
		return err
	}
	a.list = a.list[:0:0]
	for _, ip := range ips {
		if addr := netip.AddrPortFrom(ip.Unmap(), a.port); !slices.Contains(a.list, addr) {
			a.list = append(a.list, addr)
		}
	}
	return nil
}

// order returns the addresses in the order in which to try them for a new connection,
// each time beginning with another; those that could not be reached of late come
// last. It looks the name up itself when nothing is known, or that says nothing about a
// new connection.
func (a *addresses) order(ctx context.Context, now time.Duration) ([]netip.AddrPort, error) {
	a.mu.Lock()
	unknown := len(a.list) == 0 || !a.literal && a.every <= 0
	a.mu.Unlock()
	if unknown {
		if err := a.look(ctx, now); err != nil && len(a.all()) == 0 {
			return nil, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn++
	if now-a.avoided > avoidFor {
		a.avoid = nil
	}
	first := a.turn % len(a.list)
	list := slices.Concat(a.list[first:], a.list[:first])
	slices.SortStableFunc(list, func(x, y netip.AddrPort) int {
		return b2i(slices.Contains(a.avoid, x)) - b2i(slices.Contains(a.avoid, y))
	})
	return list, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// avoidFor is how long an address that could not be reached is tried last.
const avoidFor = time.Minute

// reached notes whether a connection to addr could be made.
func (a *addresses) reached(now time.Duration, addr netip.AddrPort, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.avoid = slices.DeleteFunc(a.avoid, func(o netip.AddrPort) bool { return o == addr || !slices.Contains(a.list, o) })
	if !ok && slices.Contains(a.list, addr) {
		a.avoid, a.avoided = append(a.avoid, addr), now
	}
}

// current reports whether a connection to addr may be used for another request: the
// name still stands for it, as far as is known.
func (a *addresses) current(addr netip.AddrPort) bool {
	if a.literal || a.every <= 0 {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.list, addr)
}

// all returns the addresses that are known.
func (a *addresses) all() []netip.AddrPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.list)
}

// dial connects to the first address that can be reached, and gives each of those that
// it tries an equal share of the time that is left.
func (a *addresses) dial(ctx context.Context, now time.Duration, connect func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)) (net.Conn, netip.AddrPort, error) {
	list, err := a.order(ctx, now)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	var first error
	for i, addr := range list {
		share, cancel := ctx, context.CancelFunc(func() {})
		if end, bounded := ctx.Deadline(); bounded && i < len(list)-1 {
			share, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(len(list)-i))
		}
		c, err := connect(share, addr)
		cancel()
		if err == nil || ctx.Err() == nil {
			a.reached(now, addr, err == nil)
		}
		if err == nil {
			return c, addr, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, netip.AddrPort{}, first
}
