package configs

import (
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

const (
	// maxPattern bounds a glob; the cost of a comparison grows with it.
	maxPattern = 1024
	// maxName bounds the names of origins, policies, tokens and nodes: they
	// stand in log lines and metrics.
	maxName = 64

	validName      = "1 to 64 letters, digits, '-', '_' or '.'"
	validHost      = `a name such as www.example.com, "*.example.com" for all names below it, or "*"; with a port only if it matters`
	validPath      = `a path that begins with "/", in which "*" stands for any characters, such as /static/*`
	validMethod    = "methods in upper case, such as GET or HEAD"
	validHeader    = "a header name, such as Accept-Language"
	validCookie    = "a cookie name, such as session"
	validParameter = `parameter names, in which "*" stands for any characters, such as utm_*`
)

// checkName accepts names of our own.
func checkName(s string) (string, string) {
	for _, c := range []byte(s) {
		if !alphanumeric(c) && !strings.ContainsRune("-_.", rune(c)) {
			return "", "cannot be a name"
		}
	}
	if len(s) > maxName {
		return "", "is too long for a name"
	}
	return s, ""
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// checkToken accepts what RFC 9110 section 5.6.2 calls a token.
func checkToken(s string) (string, string) {
	for _, c := range []byte(s) {
		if !alphanumeric(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return "", "holds " + quote(string(rune(c)))
		}
	}
	if len(s) > maxPattern {
		return "", "is too long"
	}
	return s, ""
}

// checkHeader accepts a header name and returns its canonical MIME form.
func checkHeader(s string) (string, string) {
	if strings.ContainsAny(s, "*|^") {
		return "", "is a pattern, and headers are named one by one here"
	}
	s, problem := checkToken(s)
	if problem != "" {
		return "", problem
	}
	return textproto.CanonicalMIMEHeaderKey(s), ""
}

// checkUnderscore accepts a header name that servers may take for another one,
// and returns its canonical MIME form.
func checkUnderscore(s string) (string, string) {
	s, problem := checkHeader(s)
	if problem == "" && !hasUnderscore(s) {
		return "", "reaches the origin as it is"
	}
	return s, problem
}

// hasUnderscore reports whether a header name holds more than letters, digits and
// "-": servers turn the rest into underscores.
func hasUnderscore(name string) bool {
	return strings.ContainsFunc(name, func(c rune) bool { return c != '-' && (c > 0x7f || !alphanumeric(byte(c))) })
}

// checkTarget accepts a targeted cache control field (RFC 9213).
func checkTarget(s string) (string, string) {
	s, problem := checkHeader(s)
	if s == "Cache-Control" {
		return "", "is always read, after the targets"
	}
	return s, problem
}

// checkMethod accepts a method; those are case-sensitive, and all that are
// registered are in upper case.
func checkMethod(s string) (string, string) {
	switch s {
	case "CONNECT", "TRACE":
		return "", "would never match: weir refuses it"
	case "PURGE":
		return "", "would never match: policies[].purge says who may use it"
	}
	if strings.ContainsAny(s, "*|^~,") {
		return "", "is a pattern, and methods are named one by one here; a list has alternatives: [GET, HEAD]"
	}
	s, problem := checkToken(s)
	if problem == "" && s != strings.ToUpper(s) {
		return "", "would never match: methods are in upper case"
	}
	return s, problem
}

// checkGlob accepts any short pattern without control characters.
func checkGlob(s string) (string, string) {
	if len(s) > maxPattern {
		return "", "is longer than " + strconv.Itoa(maxPattern) + " bytes"
	}
	for _, c := range []byte(s) {
		if c < ' ' || c == 0x7f {
			return "", "holds a control character"
		}
	}
	return s, ""
}

// checkParameter accepts a glob over names of query parameters.
func checkParameter(s string) (string, string) {
	if isRegexp(s) {
		return "", regexpProblem(s, checkParameter, wrapName)
	}
	if strings.ContainsAny(s, "=&#") {
		return "", "is more than a parameter name"
	}
	return checkGlob(s)
}

// checkCookie accepts the name of a cookie.
func checkCookie(s string) (string, string) {
	if strings.ContainsAny(s, "*|^") {
		return "", "is a pattern, and cookies are named one by one here"
	}
	return checkToken(s)
}

// checkPath accepts a glob over raw paths, and refuses what could never match
// one: a pattern is compared with the path in its normalised form (RFC 3986
// section 6.2.2).
func checkPath(s string) (string, string) {
	if _, problem := checkGlob(s); problem != "" {
		return "", problem
	}
	switch {
	case isRegexp(s):
		return "", regexpProblem(s, checkPlainPath, wrapPath)
	case strings.Contains(s, "://"):
		return "", "is a URL, not a path; the host stands in match.host"
	}
	return checkPlainPath(s)
}

// checkPlainPath is checkPath for what is no regular expression.
func checkPlainPath(s string) (string, string) {
	if s == "" || s[0] != '/' && s[0] != '*' {
		return "", `does not begin with "/"`
	}
	for i, c := range []byte(s) {
		switch {
		case c == '?':
			return "", `holds "?", and a path ends where the query begins`
		case c == '#':
			return "", `holds "#", which never reaches a server`
		case strings.IndexByte("[]{}\\", c) >= 0:
			return "", "holds " + quote(string(rune(c))) + `; "*" is the only wildcard` + globHint(s, checkPlainPath, wrapPath)
		case c == ' ' || c >= 0x80:
			return "", "holds a character that is percent-encoded in requests"
		case c == '%':
			if problem := checkTriplet(s[i:]); problem != "" {
				return "", problem
			}
		}
	}
	return s, ""
}

// checkTriplet refuses a percent-encoding that normalising would change.
func checkTriplet(s string) string {
	if len(s) < 3 {
		return `holds "%" without two hexadecimal digits`
	}
	n, err := strconv.ParseUint(s[1:3], 16, 8)
	switch c := byte(n); {
	case err != nil:
		return `holds "%" without two hexadecimal digits`
	case alphanumeric(c) || strings.IndexByte("-._~", c) >= 0:
		return "would never match: requests have " + quote(string(rune(c))) + " for " + quote(s[:3])
	case s[:3] != strings.ToUpper(s[:3]):
		return "would never match: requests have " + quote(strings.ToUpper(s[:3])) + " for " + quote(s[:3])
	}
	return ""
}

// checkHostPattern accepts the hosts of a match and returns them in the form in
// which requests have them: lower case, IDNA, no dot at the end.
func checkHostPattern(s string) (string, string) {
	if s == "*" {
		return s, ""
	}
	if strings.Contains(s, "://") {
		return "", "is a URL, not a host"
	}
	if isRegexp(s) || strings.ContainsAny(s, "|$") {
		return "", regexpProblem(s, checkPlainHost, wrapHost)
	}
	return checkPlainHost(s)
}

// checkPlainHost is checkHostPattern for what is no regular expression.
func checkPlainHost(s string) (string, string) {
	if strings.ContainsAny(s, "/?#@, ") {
		return "", "holds a character that no host has"
	}
	name, wild := strings.CutPrefix(s, "*.")
	if strings.Contains(name, "*") {
		return "", `has "*" elsewhere than at the front, before a dot`
	}
	clean, problem := checkAuthority(name)
	if wild && problem == "" {
		clean = "*." + clean
	}
	return clean, problem
}

// checkAuthority accepts host or host:port, IPv6 in brackets, and returns it in
// lower case and in its IDNA form.
func checkAuthority(s string) (string, string) {
	if strings.Contains(s, "://") {
		return "", "is a URL, not a host"
	}
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], s[i:]
		if n, err := strconv.ParseUint(port[1:], 10, 16); err != nil || n == 0 {
			if strings.Count(s, ":") > 1 && s[0] != '[' {
				return "", "is an IPv6 address without brackets"
			}
			return "", "has a port that is not a number from 1 to 65535"
		}
	}
	if strings.HasPrefix(host, "[") {
		addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if err != nil || !addr.Is6() || addr.Zone() != "" || !strings.HasSuffix(host, "]") {
			return "", "has brackets without an IPv6 address in them"
		}
		return "[" + addr.String() + "]" + port, ""
	}
	name, problem := checkDNSName(host)
	return name + port, problem
}

// checkDNSName accepts a host name or an IPv4 address.
func checkDNSName(s string) (string, string) {
	if strings.Contains(s, ":") {
		return "", "is an IPv6 address without brackets"
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if !ascii(s) {
		name, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return "", "is not a valid international name"
		}
		s = name
	}
	if len(s) > 253 {
		return "", "is longer than a host name can be"
	}
	if _, err := netip.ParseAddr(s); err != nil && strings.Contains(s, ".") && strings.Trim(s, "0123456789.") == "" {
		return "", "is written as an IPv4 address and is none"
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return "", "has an empty part or one of more than 63 characters"
		}
		for _, c := range []byte(label) {
			if !alphanumeric(c) && c != '-' && c != '_' {
				return "", "holds a character that no host has"
			}
		}
	}
	return s, ""
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
