package proxy

import (
	"net/netip"
	"strings"
)

// clientAddress returns the address of the client that a request is for: the last
// address that is not trusted, seen from here. It begins at the sender, and while
// the address at hand is trusted it goes on to the one that this sender names as
// its own client. xff and forwarded are the values of X-Forwarded-For and of
// Forwarded (RFC 7239), in the order of their lines.
//
// What stands to the left of an address that is not trusted is never looked at,
// since anybody may have written it. Where a trusted sender names no address that
// can be read ("unknown", an obfuscated identifier, garbage), the walk ends at that
// sender, and where every address is trusted, at the farthest one.
//
// X-Forwarded-For counts where there is one, and Forwarded else: most proxies
// write the former and pass on the latter as their client sent it.
//
// The result has neither a zone nor the IPv4-mapped form. Nothing is allocated and
// nothing of the values is kept.
func clientAddress(sender netip.Addr, trusted []netip.Prefix, xff, forwarded []string) netip.Addr {
	at, next, list := plainAddress(sender), lastElement, xff
	parse := nodeAddress
	if blank(xff) {
		next, list, parse = lastForwarded, forwarded, forwardedFor
	}
	var rest string
	for among(trusted, at) {
		var element string
		for element == "" {
			if rest == "" {
				if len(list) == 0 {
					return at
				}
				rest, list = list[len(list)-1], list[:len(list)-1]
			}
			rest, element = next(rest)
		}
		named, ok := parse(element)
		if !ok {
			return at
		}
		at = named
	}
	return at
}

// among reports whether the address is in one of the networks.
func among(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// plainAddress returns the address without what keeps it from being compared.
func plainAddress(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// blank reports whether the values hold nothing but empty list elements.
func blank(values []string) bool {
	for _, v := range values {
		if strings.Trim(v, blanks+",") != "" {
			return false
		}
	}
	return true
}

// blanks are what may stand around an element (RFC 9110 section 5.6.3).
const blanks = " \t"

// lastElement cuts the last element off a comma-separated list.
func lastElement(list string) (rest, element string) {
	i := strings.LastIndexByte(list, ',')
	return list[:max(i, 0)], strings.Trim(list[i+1:], blanks)
}

// lastForwarded cuts the last element off a Forwarded value, in which a comma may
// stand in a quoted string. It reads backwards: the nearest sender's element is at
// the end, and whatever stands before it, an open quote for instance, was written
// by somebody else and must not swallow it.
func lastForwarded(list string) (rest, element string) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch list[i] {
		case '"':
			// A quote behind an odd number of backslashes is a part of the string.
			n := 0
			for n < i && list[i-1-n] == '\\' {
				n++
			}
			if n%2 == 0 || !quoted {
				quoted = !quoted
			}
		case ',':
			if !quoted {
				return list[:i], strings.Trim(list[i+1:], blanks)
			}
		}
	}
	return "", strings.Trim(list, blanks)
}

// forwardedFor returns the address that the "for" of one forwarded-element names.
func forwardedFor(element string) (netip.Addr, bool) {
	var node string
	found := false
	for len(element) > 0 {
		name, rest, ok := strings.Cut(element, "=")
		if !ok {
			return netip.Addr{}, false
		}
		var value string
		if value, element, ok = forwardedValue(rest); !ok {
			return netip.Addr{}, false
		}
		if !strings.EqualFold(strings.Trim(name, blanks), "for") {
			continue
		}
		if found {
			// RFC 7239 section 4: each parameter once.
			return netip.Addr{}, false
		}
		node, found = value, true
	}
	if !found {
		return netip.Addr{}, false
	}
	return nodeAddress(node)
}

// forwardedValue cuts a token or a quoted string, and the semicolon behind it, off
// the parameters of a forwarded-element.
func forwardedValue(s string) (value, rest string, ok bool) {
	if s = strings.TrimLeft(s, blanks); !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return strings.TrimRight(value, blanks), rest, !strings.Contains(value, `"`)
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			// The value keeps its escapes: what needs one is no address.
			i++
		case '"':
			rest = strings.TrimLeft(s[i+1:], blanks)
			after, more := strings.CutPrefix(rest, ";")
			return s[1:i], after, more || rest == ""
		}
	}
	return "", "", false
}

// nodeAddress reads an address with or without a port: 192.0.2.1, 192.0.2.1:80,
// 2001:db8::1, [2001:db8::1] and [2001:db8::1]:80.
func nodeAddress(node string) (netip.Addr, bool) {
	if inner, ok := strings.CutPrefix(node, "["); ok {
		inner, port, ok := strings.Cut(inner, "]")
		if !ok || port != "" && !isPort(port) {
			return netip.Addr{}, false
		}
		a, ok := bareAddress(inner)
		return a, ok && strings.Contains(inner, ":")
	}
	if i := strings.IndexByte(node, ':'); i >= 0 && i == strings.LastIndexByte(node, ':') {
		if !isPort(node[i:]) {
			return netip.Addr{}, false
		}
		node = node[:i]
	}
	return bareAddress(node)
}

// bareAddress reads an address without brackets and port. A zone means nothing
// here, and is left out.
func bareAddress(s string) (netip.Addr, bool) {
	s, _, zoned := strings.Cut(s, "%")
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err == nil && (a.Is6() || !zoned)
}

// isPort reports whether s is a colon and a port, or an obfuscated port (RFC 7239
// section 6.2).
func isPort(s string) bool {
	if len(s) < 2 || len(s) > 64 {
		return false
	}
	if s[1] == '_' {
		return len(s) > 2
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) <= 6
}
