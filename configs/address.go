package configs

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const (
	validAddress = "host:port, such as 127.0.0.1:8080, [::1]:8080, or :8080 for every interface"
	validNetwork = "an address or a network, such as 10.0.0.1, 10.0.0.0/8 or fd00::/8"
	validServer  = "http://host:port or https://host:port, without a path"
)

// checkAddress accepts an address to listen on. Port 0 lets the system choose.
func checkAddress(s string) (string, string) {
	host, port, problem := splitAddress(s)
	if problem != "" {
		return "", problem
	}
	return net.JoinHostPort(host, port), ""
}

func splitAddress(s string) (host, port, problem string) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		switch {
		case strings.Contains(s, "://"):
			return "", "", "is a URL, not an address"
		case strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "["):
			return "", "", "is an IPv6 address without brackets"
		case strings.Contains(s, ":"):
			return "", "", "is not an address"
		}
		if _, err := strconv.ParseUint(s, 10, 16); err == nil {
			return "", "", "is a port without a host; did you mean 127.0.0.1:" + s + " or :" + s + "?"
		}
		return "", "", "has no port"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", "", "has a port that is not a number from 0 to 65535"
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String(), strconv.FormatUint(n, 10), ""
	}
	if host == "*" {
		return "", "", "has * for a host; did you mean :" + port + "?"
	}
	if host != "" {
		if host, problem = checkDNSName(host); problem != "" {
			return "", "", problem
		}
	}
	return host, strconv.FormatUint(n, 10), ""
}

const (
	srvPrefix = "srv:"
	validPeer = "host:port of another node, or srv: and the name of SRV records"
)

// checkPeer accepts the address of another node, or the name of SRV records.
func checkPeer(s string) (string, string) {
	if name, ok := strings.CutPrefix(s, srvPrefix); ok {
		if name == "" || strings.ContainsAny(name, ":/ ") {
			return "", "has no name of SRV records"
		}
		return s, ""
	}
	host, port, problem := splitAddress(s)
	switch {
	case problem != "":
		return "", problem
	case host == "":
		return "", "has no host"
	case port == "0":
		return "", "has port 0"
	}
	return net.JoinHostPort(host, port), ""
}

// loopback reports whether only this machine reaches an address to listen on.
func loopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// clash reports whether two addresses cannot both be listened on: the same port,
// and the same host or one that includes the other.
func clash(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	if portA != portB || portA == "0" {
		return false
	}
	addrA, addrB := listenHost(hostA), listenHost(hostB)
	switch {
	case hostA == hostB, addrA == addrB && addrA.IsValid():
		return true
	case addrA == netip.IPv6Unspecified(), addrB == netip.IPv6Unspecified():
		return true // a socket on :: takes IPv4 as well
	case addrA == netip.IPv4Unspecified():
		return !addrB.Is6()
	case addrB == netip.IPv4Unspecified():
		return !addrA.Is6()
	}
	return false
}

// listenHost is the address behind a host to listen on; a name other than
// localhost is unknown until it is looked up.
func listenHost(host string) netip.Addr {
	switch host {
	case "":
		return netip.IPv6Unspecified()
	case "localhost":
		host = "127.0.0.1"
	}
	addr, _ := netip.ParseAddr(host)
	return addr.Unmap()
}

// checkNetwork accepts a network or an address and returns it as a network.
func checkNetwork(s string) (string, string) {
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return "", "has a zone"
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()).String(), ""
	}
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return "", "is neither an address nor a network"
	case prefix.Addr().Is4In6():
		return "", "is an IPv4 network in IPv6 form"
	case prefix != prefix.Masked():
		return "", "has bits beyond its length; did you mean " + prefix.Masked().String() + "?"
	}
	return prefix.String(), ""
}

// networks reads a list of networks and addresses.
func networks(v value) []netip.Prefix {
	list := words(v.list("a list of networks"), validNetwork, checkNetwork)
	prefixes := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		prefixes = append(prefixes, netip.MustParsePrefix(s))
	}
	return prefixes
}

// checkServer accepts the URL of an origin's server, and returns it in lower
// case without the slash at the end.
func checkServer(s string) (string, string) {
	for _, scheme := range []string{"http:/", "https:/"} {
		if rest, ok := strings.CutPrefix(s, scheme); ok && !strings.HasPrefix(rest, "/") {
			return "", "has one slash behind its scheme; did you mean " + quote(scheme+"/"+rest) + "?"
		}
	}
	if !strings.Contains(s, "://") {
		return "", "has no scheme; did you mean " + quote("http://"+s) + "?"
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "", "has the scheme " + quote(u.Scheme)
	case u.User != nil:
		return "", "holds a user name or password"
	case u.Path != "" && u.Path != "/":
		return "", "has a path; requests keep theirs"
	case u.RawQuery != "" || u.ForceQuery:
		return "", "has a query"
	case u.Fragment != "" || strings.Contains(s, "#"):
		return "", "has a fragment"
	case u.Host == "" || u.Hostname() == "":
		return "", "has no host"
	}
	host, problem := checkAuthority(u.Host)
	return u.Scheme + "://" + host, problem
}

// checkNATS accepts the URL of a NATS server.
func checkNATS(s string) (string, string) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", "is not a URL"
	case u.Scheme != "nats" && u.Scheme != "tls":
		return "", "is not a NATS URL"
	case u.Hostname() == "":
		return "", "has no host"
	}
	return s, ""
}
