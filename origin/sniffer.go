package origin

import (
	"bytes"

	"golang.org/x/net/http/httpguts"
)

// fields are the header fields that net/http hides or invents.
type fields struct {
	contentLength, transferEncoding, cacheControl bool
	oddStatusLine                                 bool // not "HTTP/d.d ddd", alone or before a space
	// unknownCoding: the Transfer-Encoding names nothing, and was removed.
	// codingAgain: it went on after that.
	unknownCoding, codingAgain bool
	promise                    promise
}

// sniffer reads raw response headers as they arrive, interim ones included, and
// notes fields until the final one has ended. Apart from the status line, by
// which it tells interim from final, it does not judge syntax: that is net/http's
// part, on the same bytes.
//
// One line it takes out: a Transfer-Encoding whose only coding is none. Every
// registered coding but chunked transforms the body, and weir, which never offers
// to accept one (RFC 9110 section 10.1.4), cannot undo it; such a response stays
// unreadable. A name that is not registered stands for no transformation that
// anybody could undo, and "identity" (RFC 2616) for none at all: the body is what
// arrives until the connection ends (RFC 9112 section 6.3, item 4). net/http
// gives both up.
type sniffer struct {
	seen    fields
	line    [maxSniff]byte // the start of the current line
	n       int            // how much of line is filled
	length  int            // bytes of the current line so far, without LF
	held    int            // bytes of the current line that were not handed on: all, or 0
	lines   int            // lines of the current header so far
	taken   int            // the number of the line behind the one that was taken out, from 0; 0 for none
	interim bool
	done    bool
}

// maxSniff holds the longest name looked for, with its colon, and the value of a
// Keep-Alive or Transfer-Encoding as servers write it.
const maxSniff = 64

// feed reads p and returns what net/http is to see of it, behind what was held
// back before: p, the start of it, or memory of its own.
func (s *sniffer) feed(p []byte) []byte {
	out, own := p[:0], false
	hand := func(at int, before, b []byte) {
		if !own && len(before) == 0 && len(out) == at {
			out = p[:at+len(b)]
			return
		}
		if !own {
			out, own = append(make([]byte, 0, len(p)+maxSniff), out...), true
		}
		out = append(append(out, before...), b...)
	}
	at := 0
	for at < len(p) && !s.done {
		part := p[at:]
		i := bytes.IndexByte(part, '\n')
		if i >= 0 {
			part = part[:i+1]
		}
		held := bytes.Clone(s.line[:s.held])
		text := bytes.TrimSuffix(part, []byte("\n"))
		s.n += copy(s.line[s.n:], text)
		s.length += len(text)
		switch {
		case i < 0 && s.maybeCoding():
			s.held = s.length
			return out
		case i < 0 || !s.endLine():
			hand(at, held, part)
		}
		s.held = 0
		at += len(part)
	}
	if at < len(p) {
		hand(at, nil, p[at:])
	}
	return out
}

const transferEncoding = "transfer-encoding:"

// maybeCoding tells whether the line, so far, may turn out to be one that is
// taken out.
func (s *sniffer) maybeCoding() bool {
	if s.lines == 0 || s.length > maxSniff {
		return false
	}
	n := min(s.n, len(transferEncoding))
	return hasName(s.line[:n], transferEncoding[:n])
}

// endLine judges the line that has ended, and tells whether it is taken out.
func (s *sniffer) endLine() (out bool) {
	line := s.line[:s.n]
	empty := s.length == 0 || (s.length == 1 && line[0] == '\r')
	switch {
	case s.lines == 0:
		if !plainStatusLine(line) {
			s.seen.oddStatusLine = true
			s.done = true
			return false
		}
		s.interim = line[9] == '1' && string(line[9:12]) != "101"
	case empty && s.interim:
		*s = sniffer{}
		return false
	case empty:
		s.done = true
	case s.taken == s.lines && (line[0] == ' ' || line[0] == '\t'):
		s.seen.codingAgain = true
	case hasName(line, "content-length:"):
		s.seen.contentLength = true
	case hasName(line, transferEncoding):
		s.seen.codingAgain = s.seen.unknownCoding
		if !s.seen.transferEncoding && s.length <= maxSniff && meansNothing(line[len(transferEncoding):]) {
			s.seen.unknownCoding, out = true, true
			s.taken = s.lines + 1
		}
		s.seen.transferEncoding = true
	case hasName(line, "cache-control:"):
		s.seen.cacheControl = true
	case hasName(line, "keep-alive:"):
		if p := parseKeepAlive(string(line[len("keep-alive:"):])); p.given {
			s.seen.promise = p
		}
	}
	s.lines++
	s.n, s.length = 0, 0
	return out
}

// meansNothing tells whether the value of a Transfer-Encoding is one coding that
// is not registered (IANA, HTTP Transfer Coding Registry), or "identity".
func meansNothing(value []byte) bool {
	name := string(bytes.ToLower(bytes.Trim(value, " \t\r")))
	switch name {
	case "chunked", "compress", "deflate", "gzip", "trailers", "x-compress", "x-gzip":
		return false
	}
	return httpguts.ValidHeaderFieldName(name) // a token, without parameters
}

func plainStatusLine(line []byte) bool {
	const form = "HTTP/d.d ddd"
	if len(line) < len(form) {
		return false
	}
	for i := range len(form) {
		if form[i] == 'd' && (line[i] < '0' || line[i] > '9') || form[i] != 'd' && line[i] != form[i] {
			return false
		}
	}
	return len(line) == len(form) || line[len(form)] == ' ' || line[len(form)] == '\r'
}

func hasName(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}
