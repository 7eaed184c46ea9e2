package load

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

// answer is the header of a final response, as far as a load generator cares.
type answer struct {
	status      int
	length      int64 // Content-Length; -1: none
	chunked     bool
	close       bool // the connection ends with it
	tier        Tier
	version     uint64 // of the body, as the origin says
	hasVersion  bool
	rangeFrom   int64 // of Content-Range; -1: none
	rangeTo     int64
	rangeSize   int64 // -1: "*"
	lengthGiven bool
	marked      bool // tier was read from Cache-Status
}

// VersionField is the response field in which the origin names the version of a body.
const VersionField = "Weirload-Version"

// maxHeader bounds a response header, and a trailer, in bytes.
const maxHeader = 64 << 10

// errMalformed is an answer that is no HTTP/1.1.
var errMalformed = errors.New("malformed answer")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errMalformed}, args...)...)
}

// parseHeader reads a header, from the status line to the empty line, both included. Only CRLF ends a line: a proxy that
// sends anything else is not to be measured but to be mended.
func (a *answer) parseHeader(h []byte) error {
	*a = answer{length: -1, tier: TierNone, rangeFrom: -1, rangeSize: -1}
	line, rest, ok := cutLine(h)
	if !ok {
		return malformed("the status line does not end")
	}
	if err := a.parseStatusLine(line); err != nil {
		return err
	}
	for {
		line, rest, ok = cutLine(rest)
		if !ok {
			return malformed("a bare line feed or carriage return in the header")
		}
		if len(line) == 0 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || line[0] == ' ' || line[0] == '\t' || line[colon-1] == ' ' || line[colon-1] == '\t' {
			return malformed("the header line %q", clip(line))
		}
		if err := a.field(line[:colon], trim(line[colon+1:])); err != nil {
			return err
		}
	}
	if a.chunked && a.lengthGiven {
		return malformed("Content-Length beside Transfer-Encoding")
	}
	return nil
}

// cutLine cuts at CRLF. ok is false when a CR or LF stands alone, or the line does not end.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return nil, nil, false
	}
	line = b[:i-1]
	return line, b[i+1:], bytes.IndexByte(line, '\r') < 0
}

func (a *answer) parseStatusLine(line []byte) error {
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || (line[7] != '0' && line[7] != '1') || line[8] != ' ' ||
		(len(line) > 12 && line[12] != ' ') {
		return malformed("the status line %q", clip(line))
	}
	status, ok := parseDigits(line[9:12])
	if !ok || status < 100 {
		return malformed("the status line %q", clip(line))
	}
	a.status = int(status)
	a.close = line[7] == '0'
	return nil
}

// field looks at one header field. The length of the name sorts nearly all out that do not matter.
func (a *answer) field(name, value []byte) error {
	switch len(name) {
	case len("X-Cache"):
		if !a.marked && equalFold(name, "x-cache") {
			a.tier = tierOfMark(value)
		}
	case len("Connection"):
		if equalFold(name, "connection") {
			a.connection(value)
		}
	case len("Cache-Status"):
		if equalFold(name, "cache-status") {
			a.tier, a.marked = tierOfStatus(value), true
		}
	case len("Content-Range"):
		if equalFold(name, "content-range") {
			return a.contentRange(value)
		}
	case len("X-Cache-Status"): // and Content-Length
		if equalFold(name, "content-length") {
			return a.contentLength(value)
		}
		if !a.marked && equalFold(name, "x-cache-status") {
			a.tier = tierOfMark(value)
		}
	case len(VersionField):
		if equalFold(name, "weirload-version") {
			n, ok := parseDigits(value)
			if !ok {
				return malformed("%s: %q", VersionField, clip(value))
			}
			a.version, a.hasVersion = uint64(n), true
		}
	case len("Transfer-Encoding"):
		if equalFold(name, "transfer-encoding") {
			if !equalFold(value, "chunked") || a.chunked {
				return malformed("Transfer-Encoding: %q", clip(value))
			}
			a.chunked = true
		}
	}
	return nil
}

func (a *answer) connection(value []byte) {
	for option := range bytes.SplitSeq(value, []byte(",")) {
		switch option = trim(option); {
		case equalFold(option, "close"):
			a.close = true
		case equalFold(option, "keep-alive"):
			a.close = false // what HTTP/1.0 says to keep it
		}
	}
}

func (a *answer) contentLength(value []byte) error {
	n, ok := parseDigits(value)
	if !ok || (a.lengthGiven && n != a.length) {
		return malformed("Content-Length: %q", clip(value))
	}
	a.length, a.lengthGiven = n, true
	return nil
}

// contentRange reads "bytes 0-99/1234". What is not of that form counts as no range at all, which the check reports.
func (a *answer) contentRange(value []byte) error {
	spec, ok := bytes.CutPrefix(value, []byte("bytes "))
	from, rest, ok1 := bytes.Cut(spec, []byte("-"))
	to, size, ok2 := bytes.Cut(rest, []byte("/"))
	f, okF := parseDigits(from)
	t, okT := parseDigits(to)
	s, okS := parseDigits(size)
	if string(size) == "*" {
		s, okS = -1, true
	}
	if ok && ok1 && ok2 && okF && okT && okS {
		a.rangeFrom, a.rangeTo, a.rangeSize = f, t, s
	}
	return nil
}

// parseDigits reads a number of digits only, no sign and no space.
func parseDigits(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// parseHex reads the size of a chunk.
func parseHex(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 15 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | int64(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			n = n<<4 | int64(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return n, n <= math.MaxInt64/2
}

// clip bounds what of an answer goes into a message.
func clip(b []byte) []byte { return b[:min(len(b), 80)] }
