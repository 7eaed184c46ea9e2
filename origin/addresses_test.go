package origin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// fakeDNS answers with what its test says.
type fakeDNS struct {
	answer []string // nil: it fails
	asked  int
}

func (d *fakeDNS) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	d.asked++
	if d.answer == nil {
		return nil, errors.New("no such host")
	}
	var ips []netip.Addr
	for _, s := range d.answer {
		ips = append(ips, netip.MustParseAddr(s))
	}
	return ips, nil
}

func addrOf(s string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(s), 80) }

func TestAddressesAreLookedUpAgain(t *testing.T) {
	ctx := context.Background()
	dns := &fakeDNS{answer: []string{"10.0.0.1"}}
	a := newAddresses(dns, "shop.test:80", 30*time.Second)
	want := func(now time.Duration, asked int, addrs ...string) {
		t.Helper()
		list, err := a.order(ctx, now)
		if err != nil || fmt.Sprint(list) != fmt.Sprint(addrs) || dns.asked != asked {
			t.Errorf("at %v: %v, %v after %d look-ups; want %v after %d", now, list, err, dns.asked, addrs, asked)
		}
	}
	due := func(now time.Duration) string {
		look, known := a.due(now)
		return fmt.Sprintf("look %v, wait %v", look, known != nil)
	}
	if got := due(time.Minute); got != "look false, wait false" {
		t.Error("of what was never looked up:", got)
	}
	want(time.Minute, 1, "10.0.0.1:80")
	want(80*time.Second, 1, "10.0.0.1:80")
	dns.answer = []string{"10.0.0.2"}
	if got := due(82 * time.Second); got != "look false, wait false" {
		t.Error("before three quarters of the time have passed:", got)
	}
	// In the background, before the time has passed; the old address holds meanwhile.
	if got := due(83 * time.Second); got != "look true, wait false" {
		t.Fatal("behind three quarters of the time:", got)
	}
	if got := due(83 * time.Second); got != "look false, wait false" {
		t.Fatal("while a look-up is under way:", got)
	}
	if got := due(90 * time.Second); got != "look false, wait true" {
		t.Fatal("when the time has passed:", got)
	}
	want(83*time.Second, 1, "10.0.0.1:80")
	if !a.current(addrOf("10.0.0.1")) {
		t.Error("the address is not current before another is known")
	}
	if err := a.look(ctx, 84*time.Second); err != nil {
		t.Fatal(err)
	}
	want(84*time.Second, 2, "10.0.0.2:80")
	if a.current(addrOf("10.0.0.1")) || !a.current(addrOf("10.0.0.2")) {
		t.Error("a connection to the old address may still be used, or one to the new may not")
	}
	// A failure changes nothing.
	dns.answer = nil
	if err := a.look(ctx, 114*time.Second); err == nil {
		t.Error("the failure is not told")
	}
	want(114*time.Second, 3, "10.0.0.2:80")
	// After a pause a request waits for the answer, whatever it is.
	look, known := a.due(10 * time.Minute)
	if !look || known == nil {
		t.Fatal("after a pause nothing is looked up, or waited for")
	}
	_ = a.look(ctx, 10*time.Minute)
	select {
	case <-known:
	default:
		t.Error("a failed look-up does not end the wait")
	}
	want(10*time.Minute, 4, "10.0.0.2:80")
}

func TestAddressesForNewConnectionsOnly(t *testing.T) {
	dns := &fakeDNS{answer: []string{"10.0.0.1"}}
	a := newAddresses(dns, "shop.test:80", 0)
	for n := 1; n <= 3; n++ {
		if _, err := a.order(context.Background(), time.Minute); err != nil || dns.asked != n {
			t.Errorf("connection %d: %v after %d look-ups", n, err, dns.asked)
		}
	}
	if look, _ := a.due(time.Hour); look || !a.current(addrOf("10.9.9.9")) {
		t.Error("connections depend on what the name stands for")
	}
}

func TestAddressesWithoutName(t *testing.T) {
	a := newAddresses(nil, "[::ffff:10.0.0.1]:80", time.Second)
	list, err := a.order(context.Background(), time.Hour)
	if look, _ := a.due(time.Hour); err != nil || len(list) != 1 || list[0] != addrOf("10.0.0.1") || look {
		t.Errorf("%v, %v", list, err)
	}
}

func TestAddressesUnknownName(t *testing.T) {
	a := newAddresses(&fakeDNS{}, "shop.test:80", time.Second)
	if _, _, err := a.dial(context.Background(), 0, nil); err == nil || err.Error() != "no such host" {
		t.Errorf("error %v", err)
	}
}

func TestAllAddressesAreTried(t *testing.T) {
	dns := &fakeDNS{answer: []string{"10.0.0.1", "10.0.0.2", "10.0.0.1"}}
	a := newAddresses(dns, "shop.test:80", time.Hour)
	dead := addrOf("10.0.0.1")
	var tried []netip.AddrPort
	connect := func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
		tried = append(tried, addr)
		if addr != dead {
			c, _ := net.Pipe()
			return c, nil
		}
		// It is black-holed: whoever tries it loses a share of the time.
		if end, _ := ctx.Deadline(); time.Until(end) > 31*time.Second {
			t.Errorf("the first address gets %v of a minute", time.Until(end))
		}
		return nil, context.DeadlineExceeded
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	firsts := make(map[netip.AddrPort]int)
	for range 4 {
		tried = nil
		c, addr, err := a.dial(ctx, time.Second, connect)
		if err != nil || addr == dead {
			t.Fatalf("connected to %v, %v", addr, err)
		}
		_ = c.Close()
		firsts[tried[0]]++
	}
	if firsts[dead] > 1 {
		t.Errorf("the address that cannot be reached comes first %d times", firsts[dead])
	}
	// Back again, both get their share.
	dead = netip.AddrPort{}
	for range 8 {
		tried = nil
		a.avoid = nil
		if c, _, err := a.dial(ctx, time.Second, connect); err == nil {
			_ = c.Close()
		}
		firsts[tried[0]]++
	}
	if len(firsts) != 2 || slices.Contains([]int{firsts[addrOf("10.0.0.1")], firsts[addrOf("10.0.0.2")]}, 0) {
		t.Errorf("connections begin with %v", firsts)
	}
}
