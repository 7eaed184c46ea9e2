package policy

import "bytes"

// TargetForm is the form of a request-target (RFC 9112 section 3.2).
type TargetForm uint8

const (
	// OriginForm is a path and perhaps a query.
	OriginForm TargetForm = iota
	// AbsoluteForm is a whole http or https URI.
	AbsoluteForm
	// AsteriskForm is "*", the server as a whole (OPTIONS).
	AsteriskForm
)

// String is the form's name in RFC 9112.
func (f TargetForm) String() string {
	switch f {
	case OriginForm:
		return "origin-form"
	case AbsoluteForm:
		return "absolute-form"
	case AsteriskForm:
		return "asterisk-form"
	}
	return "unknown"
}

// Target is a request-target taken apart. Its slices are parts of what was
// given to SplitTarget, and must not be changed.
type Target struct {
	Form TargetForm
	// Scheme is "http" or "https" in absolute-form, else "".
	Scheme string
	// Authority is what stands between "//" and the path in absolute-form;
	// ParseHost judges it. It wins over the Host field (RFC 9112 section
	// 3.2.2).
	Authority []byte
	// Path begins with "/" or is "*".
	Path []byte
	// NoPath tells that an absolute-form held no path, and Path is "/" by RFC
	// 9110 section 4.2.3. With OPTIONS and no query it means "*".
	NoPath bool
	// Query is what follows the first "?": nil without one, empty when nothing
	// follows.
	Query []byte
}

// TargetFault says why a request-target is refused; it is the error itself.
type TargetFault uint8

const (
	// TargetEmpty: nothing at all.
	TargetEmpty TargetFault = iota + 1
	// TargetBytes: a space or a control character.
	TargetBytes
	// TargetFragment: a "#", which no form of request-target may hold.
	TargetFragment
	// TargetScheme: absolute-form of a scheme other than http and https.
	TargetScheme
	// TargetNoHost: absolute-form without an authority.
	TargetNoHost
	// TargetAuthority: authority-form, which belongs to CONNECT.
	TargetAuthority
	// TargetMalformed: none of the four forms.
	TargetMalformed
)

// Error says what is wrong.
func (f TargetFault) Error() string {
	const prefix = "cannot parse request-target: "
	switch f {
	case TargetEmpty:
		return prefix + "it is empty"
	case TargetBytes:
		return prefix + "it holds a space or a control character"
	case TargetFragment:
		return prefix + "it holds a fragment"
	case TargetScheme:
		return prefix + "its scheme is neither http nor https"
	case TargetNoHost:
		return prefix + "its authority is empty"
	case TargetAuthority:
		return prefix + "authority-form is for CONNECT, which is not served"
	}
	return prefix + "it begins with neither a path nor a scheme"
}

var (
	rootPath     = []byte("/")
	schemePrefix = []byte("://")
)

// SplitTarget takes a request-target apart without decoding anything. Bytes
// from 0x80 on and "%" without two digits behind it are let through: clients
// send them, and the key tells them from all else. The error is a TargetFault.
func SplitTarget(target []byte) (Target, error) {
	if len(target) == 0 {
		return Target{}, TargetEmpty
	}
	switch {
	case !Visible(target):
		return Target{}, TargetBytes
	case bytes.IndexByte(target, '#') >= 0:
		return Target{}, TargetFragment
	}
	if target[0] == '/' {
		return splitPath(Target{Form: OriginForm}, target), nil
	}
	if len(target) == 1 && target[0] == '*' {
		return Target{Form: AsteriskForm, Path: target}, nil
	}
	return splitAbsolute(target)
}

func splitAbsolute(target []byte) (Target, error) {
	i := bytes.Index(target, schemePrefix)
	if i < 0 || !isScheme(target[:i]) {
		return Target{}, notAbsolute(target)
	}
	t := Target{Form: AbsoluteForm}
	switch {
	case equalFoldASCII(target[:i], "http"):
		t.Scheme = "http"
	case equalFoldASCII(target[:i], "https"):
		t.Scheme = "https"
	default:
		return Target{}, TargetScheme
	}
	rest := target[i+len(schemePrefix):]
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if end == 0 {
		return Target{}, TargetNoHost
	}
	t.Authority = rest[:end:end]
	return splitPath(t, rest[end:]), nil
}

// splitPath sets Path and Query from what begins with "/", "?" or is empty.
func splitPath(t Target, s []byte) Target {
	t.Path = s
	if q := bytes.IndexByte(s, '?'); q >= 0 {
		t.Path, t.Query = s[:q:q], s[q+1:]
	}
	if len(t.Path) == 0 {
		t.Path, t.NoPath = rootPath, true
	}
	return t
}

// notAbsolute tells authority-form, a host and a port, from what is no form.
func notAbsolute(target []byte) TargetFault {
	colon := bytes.LastIndexByte(target, ':')
	if colon <= 0 || colon == len(target)-1 {
		return TargetMalformed
	}
	for _, c := range target[colon+1:] {
		if c < '0' || c > '9' {
			return TargetMalformed
		}
	}
	return TargetAuthority
}

// isScheme as RFC 3986 section 3.1 has it.
func isScheme(s []byte) bool {
	for i, c := range s {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		other := '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return len(s) > 0
}

// equalFoldASCII compares s with lower, which is in lower case, letter case
// aside.
func equalFoldASCII(s []byte, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i, c := range s {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
