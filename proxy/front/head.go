package front

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"weir/policy"
)

// head is the head of a request as far as it has come: what it says of the framing,
// and whether it is as RFC 9112 has it. The zero head waits for a request line.
//
// It is stricter than fasthttp, and in some places than RFC 9112 asks a recipient to
// be: whatever another parser could read in a different way is a fault.
type head struct {
	begun   bool // the request line is here
	skipped bool // an empty line came before it
	http10  bool
	host    bool  // Host is here
	sized   bool  // Content-Length is here
	coded   bool  // Transfer-Encoding is here
	length  int64 // of the body, where sized
}

// line takes the next line, without its LF, and reports whether it is the last one,
// the empty line. It does not keep b.
func (h *head) line(b []byte) (last bool, f *Fault) {
	n := len(b) - 1
	if n < 0 || b[n] != '\r' {
		return false, bad("a line of the request's head ends in a bare LF")
	}
	b = b[:n]
	switch {
	case !h.begun && n == 0:
		// RFC 9112 section 2.2: one is ignored. Some clients end bodies with it.
		if h.skipped {
			return false, bad("more than one empty line stands before the request")
		}
		h.skipped = true
		return false, nil
	case !h.begun:
		h.begun = true
		return false, h.requestLine(b)
	case n == 0:
		return true, h.whole()
	}
	return false, h.field(b)
}

func bad(text string) *Fault { return &Fault{fasthttp.StatusBadRequest, text} }

func otherVersion() *Fault {
	return &Fault{fasthttp.StatusHTTPVersionNotSupported, "this server speaks HTTP/1.1 and HTTP/1.0"}
}

// requestLine checks "method SP request-target SP HTTP-version" (RFC 9112 section 3).
// What the target means is checked later, when policy looks at it.
func (h *head) requestLine(b []byte) *Fault {
	i := bytes.IndexByte(b, ' ')
	if i <= 0 || !allTokenBytes(b[:i]) {
		return bad("the request does not begin with a method and one space")
	}
	method, b := b[:i], b[i+1:]
	if i = bytes.IndexByte(b, ' '); i <= 0 {
		return bad("the request line is not a method, a target and a version with one space between them")
	}
	target, version := b[:i], b[i+1:]
	if !policy.Visible(target) {
		return bad("the request target holds a control character")
	}
	switch {
	case string(version) == "HTTP/1.1":
	case string(version) == "HTTP/1.0":
		h.http10 = true
	case isVersion(version):
		return otherVersion()
	default:
		return bad("the request line does not end in a version of HTTP")
	}
	switch {
	case target[0] == '/', bytes.Contains(target, []byte("://")), string(method) == "CONNECT",
		string(target) == "*" && string(method) == "OPTIONS":
		return nil
	}
	return bad("the request target is neither a path nor a URI")
}

func isVersion(b []byte) bool {
	return len(b) == len("HTTP/1.1") && string(b[:5]) == "HTTP/" && b[6] == '.' && digits(b[5:6]) && digits(b[7:])
}

// field checks a field line (RFC 9112 section 5) and notes what it says of the framing.
func (h *head) field(b []byte) *Fault {
	name, value, text := splitField(b)
	if text != "" {
		return bad(text)
	}
	switch name[0] | 0x20 {
	case 'h':
		if foldEqual(name, "host") {
			if h.host {
				return bad("Host is given more than once")
			}
			h.host = true
			if len(value) == 0 && !h.http10 {
				return bad("Host is empty")
			}
		}
	case 'c':
		if foldEqual(name, "content-length") {
			return h.contentLength(value)
		}
	case 't':
		if foldEqual(name, "transfer-encoding") {
			return h.transferEncoding(value)
		}
	}
	return nil
}

// maxLengthDigits keeps a Content-Length within an int64.
const maxLengthDigits = 18

func (h *head) contentLength(value []byte) *Fault {
	if h.sized {
		return bad("Content-Length is given more than once")
	}
	h.sized = true
	switch {
	case !digits(value):
		return bad("Content-Length is not a number")
	case len(value) > maxLengthDigits:
		return bad("Content-Length is too large")
	}
	for _, c := range value {
		h.length = h.length*10 + int64(c-'0')
	}
	return nil
}

func (h *head) transferEncoding(value []byte) *Fault {
	if h.coded {
		return bad("Transfer-Encoding is given more than once")
	}
	h.coded = true
	if !foldEqual(value, "chunked") {
		return bad("the only transfer coding that is understood is chunked")
	}
	return nil
}

// whole checks what only the whole head shows.
func (h *head) whole() *Fault {
	switch {
	case h.coded && h.sized:
		return bad("Content-Length and Transfer-Encoding are given together")
	case h.coded && h.http10:
		return bad("Transfer-Encoding has no meaning in HTTP/1.0")
	case !h.host && !h.http10:
		return bad("the request has no Host")
	}
	return nil
}

// body is the length of the request's body; -1 is chunked.
func (h *head) body() int64 {
	if h.coded {
		return -1
	}
	return h.length
}

// splitField splits a field line without its CRLF (RFC 9112 section 5.1). The text
// says what is wrong with it. It serves for trailers too.
func splitField(b []byte) (name, value []byte, text string) {
	if b[0] == ' ' || b[0] == '\t' {
		return nil, nil, "a field line is folded"
	}
	i := 0
	for i < len(b) && tokenByte[b[i]] {
		i++
	}
	switch {
	case i == len(b):
		return nil, nil, "a field line has no colon"
	case b[i] != ':':
		return nil, nil, "the name of a field is not a token"
	case i == 0:
		return nil, nil, "a field line has no name"
	}
	if !policy.CleanValue(b[i+1:]) {
		return nil, nil, "the value of a field holds a control character"
	}
	return b[:i], trimOWS(b[i+1:]), ""
}

// tokenByte holds the characters of a token (RFC 9110 section 5.6.2).
var tokenByte = func() (t [256]bool) {
	for c := range t {
		switch {
		case '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z':
			t[c] = true
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

func allTokenBytes(b []byte) bool {
	for _, c := range b {
		if !tokenByte[c] {
			return false
		}
	}
	return true
}

// foldEqual compares a field name with one in lower case.
func foldEqual(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range name {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// trimOWS cuts spaces and tabs from both ends (RFC 9110 section 5.6.3).
func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// digits reports whether b is a number of at least one digit.
func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}
