package load

import (
	"context"
	"fmt"
	"net"
	"net/url"
)

// resolve looks a URL's host up once. It refuses it unless every address is loopback, or remote ones are allowed.
func resolve(ctx context.Context, target string, remote bool) (addr *net.TCPAddr, host string, err error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, "", err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
		if port == "" {
			port = "80"
		}
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, "", err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, u.Hostname())
	if err != nil {
		return nil, "", err
	}
	for _, ip := range ips {
		if !remote && !ip.IP.IsLoopback() {
			return nil, "", fmt.Errorf("%s is not loopback (%s): only load what is yours; --allow-remote sends it all the same", u.Hostname(), ip.IP)
		}
	}
	// A name that has addresses in both families is served on the one of version 4 more often.
	best := ips[0]
	for _, ip := range ips {
		if ip.IP.To4() != nil {
			best = ip
			break
		}
	}
	return &net.TCPAddr{IP: best.IP, Port: n, Zone: best.Zone}, u.Host, nil
}
