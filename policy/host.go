package policy

import (
	"bytes"
	"net/netip"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// HostFault says why a host is refused; it is the error itself.
type HostFault uint8

const (
	// HostEmpty: nothing, or nothing before the port.
	HostEmpty HostFault = iota + 1
	// HostUserinfo: something before an "@".
	HostUserinfo
	// HostTwo: a comma, as two joined Host fields have.
	HostTwo
	// HostBytes: a character that no host name holds: a space, a control, one
	// that ends an authority, "%", or another sign.
	HostBytes
	// HostLabel: an empty label, or one of more than 63 characters.
	HostLabel
	// HostLong: more than 253 characters.
	HostLong
	// HostPort: a port that is not 1 to 65535 without leading zeros.
	HostPort
	// HostIPv6: brackets without an IPv6 address in them. Zones are refused.
	HostIPv6
	// HostIDNA: a name that IDNA forbids, or that is not UTF-8.
	HostIDNA
)

// Error says what is wrong.
func (f HostFault) Error() string {
	const prefix = "cannot parse host: "
	switch f {
	case HostEmpty:
		return prefix + "it is empty"
	case HostUserinfo:
		return prefix + "it holds userinfo"
	case HostTwo:
		return prefix + "it holds a comma, as two values would"
	case HostLabel:
		return prefix + "it has an empty label or one of more than 63 characters"
	case HostLong:
		return prefix + "it has more than 253 characters"
	case HostPort:
		return prefix + "its port is not a number from 1 to 65535"
	case HostIPv6:
		return prefix + "its brackets hold no IPv6 address"
	case HostIDNA:
		return prefix + "it is not a valid internationalised name"
	}
	return prefix + "it holds a character that a host name cannot"
}

const (
	maxHost  = 253
	maxLabel = 63
	// maxRawHost bounds what IDNA, whose cost grows with the square, is given:
	// four bytes for each character that a name can have.
	maxRawHost = 4*maxHost + len(".:65535")
)

// hostBytes holds for each byte what it becomes in a host name, 0 for what
// cannot stand in one. "_" can: such names are in use.
var hostBytes = func() (t [256]byte) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = c, c
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = c
	}
	for _, c := range []byte("-._") {
		t[c] = c
	}
	return t
}()

// ParseHost appends to dst the one canonical form of raw, the value of a Host
// field or the authority of a request-target: letters in lower case, names
// beyond ASCII in their IDNA form, without a dot at the end, without an empty
// port or the default one of scheme, IPv6 literals as RFC 5952 writes them.
// IPv4 addresses are left as they are. The error is a HostFault; dst is then
// returned as it was. ASCII names allocate nothing.
func ParseHost(dst, raw []byte, scheme string) ([]byte, error) {
	if fault := hostShape(raw); fault != 0 {
		return dst, fault
	}
	base := len(dst)
	name, port := cutPort(raw)
	var fault HostFault
	if raw[0] == '[' {
		dst, fault = appendIPv6(dst, name)
	} else {
		dst, fault = appendName(dst, name)
	}
	if fault != 0 {
		return dst[:base], fault
	}
	number, ok := parsePort(port)
	if !ok {
		return dst[:base], HostPort
	}
	if number == 0 || number == defaultPort(scheme) {
		return dst, nil
	}
	return append(append(dst, ':'), port...), nil
}

// hostShape finds what makes the whole of raw unusable, the telling faults
// before the plain ones.
func hostShape(raw []byte) HostFault {
	switch {
	case len(raw) == 0:
		return HostEmpty
	case bytes.IndexByte(raw, '@') >= 0:
		return HostUserinfo
	case bytes.IndexByte(raw, ',') >= 0:
		return HostTwo
	case len(raw) > maxRawHost:
		return HostLong
	}
	return 0
}

// cutPort splits at the colon behind the name, or behind the brackets.
func cutPort(host []byte) (name, port []byte) {
	from := 0
	if len(host) > 0 && host[0] == '[' {
		from = max(0, bytes.IndexByte(host, ']'))
	}
	if i := bytes.IndexByte(host[from:], ':'); i >= 0 {
		return host[:from+i], host[from+i+1:]
	}
	return host, nil
}

// parsePort reads a port; 0 is none (RFC 3986 section 6.2.3 makes an empty one
// equal to that). Leading zeros are refused: who counts them would see another
// port.
func parsePort(s []byte) (port uint16, ok bool) {
	if len(s) == 0 {
		return 0, true
	}
	if len(s) > 5 || s[0] == '0' {
		return 0, false
	}
	n := uint32(0)
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint32(c-'0')
	}
	return uint16(n), n <= 65535
}

// defaultPort of a scheme, 0 for one that has none here.
func defaultPort(scheme string) uint16 {
	switch scheme {
	case "http":
		return 80
	case "https":
		return 443
	}
	return 0
}

func appendName(dst, name []byte) ([]byte, HostFault) {
	for _, c := range name {
		if c >= 0x80 {
			return appendIDNA(dst, name)
		}
	}
	return appendASCII(dst, name)
}

// appendIDNA goes by UTS 46 as browsers do: what looks like the same name to
// people becomes the same name.
func appendIDNA(dst, name []byte) ([]byte, HostFault) {
	for _, c := range name {
		if c < 0x80 && hostBytes[c] == 0 {
			return dst, HostBytes
		}
	}
	// The library takes broken UTF-8 for U+FFFD, and that for a letter.
	if !utf8.Valid(name) || bytes.ContainsRune(name, utf8.RuneError) {
		return dst, HostIDNA
	}
	ascii, err := idna.Lookup.ToASCII(string(name))
	if err != nil {
		return dst, HostIDNA
	}
	// IDNA's tables may let through what no host name holds.
	return appendASCII(dst, []byte(ascii))
}

func appendASCII(dst, name []byte) ([]byte, HostFault) {
	if n := len(name); n > 0 && name[n-1] == '.' {
		name = name[:n-1]
	}
	switch {
	case len(name) == 0:
		return dst, HostEmpty
	case len(name) > maxHost:
		return dst, HostLong
	}
	label := 0
	for _, c := range name {
		lower := hostBytes[c]
		if lower == 0 {
			return dst, HostBytes
		}
		if lower == '.' {
			if label == 0 {
				return dst, HostLabel
			}
			label = 0
		} else if label++; label > maxLabel {
			return dst, HostLabel
		}
		dst = append(dst, lower)
	}
	if label == 0 {
		return dst, HostLabel
	}
	return dst, 0
}

// appendIPv6 takes the literal with its brackets. Zones mean something on the
// sender's machine only.
func appendIPv6(dst, literal []byte) ([]byte, HostFault) {
	n := len(literal)
	if n < 2 || literal[n-1] != ']' {
		return dst, HostIPv6
	}
	addr, err := netip.ParseAddr(string(literal[1 : n-1]))
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return dst, HostIPv6
	}
	dst = addr.AppendTo(append(dst, '['))
	return append(dst, ']'), 0
}
