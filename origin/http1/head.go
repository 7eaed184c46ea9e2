package http1

import (
	"bytes"
	"strings"
	"time"

	"weir/policy"
)

// Bounds of what a server sends.
const (
	// maxFields bounds the lines of a head or a trailer section: each is 32 bytes of
	// memory beside its text.
	maxFields = 1024
	// maxInterim bounds the interim responses of one exchange.
	maxInterim = 8
)

// head is a parsed head, and what it says about its connection and framing.
type head struct {
	Response
	length  string // the first Content-Length
	lengths int
	differ  bool   // two of them are not the same
	coding  string // the last Transfer-Encoding
	codings int
	chunked bool
	trailer string // a name that Trailer announces and that no trailer may have
	close   bool   // the connection ends behind the response
	keep    bool   // it does not, says an HTTP/1.0 server
	promise Promise
}

// readHead waits for a whole head and parses it into h. The bytes of the head are
// taken out of the buffer.
func (c *Conn) readHead(h *head) *Error {
	end, lines, err := c.lines(c.conf.MaxHeader, true)
	if err != nil {
		return err
	}
	err = h.parse(c.buf[c.r:end], lines)
	c.r = end
	return err
}

// lines waits until the buffer holds lines up to an empty one, and returns where that
// ends and how many stand before it. A head begins with a status line.
func (c *Conn) lines(limit int, isHead bool) (end, n int, _ *Error) {
	at := 0 // from c.r, which moves when more is read
	for {
		for {
			b := c.buf[c.r+at : c.w]
			i := bytes.IndexByte(b, '\n')
			if i < 0 {
				break
			}
			if i == 0 || b[i-1] != '\r' {
				return 0, 0, malformed("a line of the response header does not end in CRLF: %.80q", b[:i])
			}
			if at += i + 1; i == 1 {
				if at > limit {
					return 0, 0, tooLarge("the response header exceeds %d bytes", limit)
				}
				return c.r + at, n, nil
			}
			if n++; n > maxFields+1 {
				return 0, 0, tooLarge("the response header has more than %d fields", maxFields)
			}
		}
		if isHead && !isPrefix(c.buf[c.r:c.w], "HTTP/1.") {
			return 0, 0, malformed("the response does not begin as HTTP/1 does: %.80q", c.buf[c.r:c.w])
		}
		if c.w-c.r >= limit {
			return 0, 0, tooLarge("the response header exceeds %d bytes", limit)
		}
		if err := c.more(); err != nil {
			return 0, 0, c.broken(err, !isHead)
		}
	}
}

// isPrefix reports whether b begins with s, as far as there is any of it.
func isPrefix(b []byte, s string) bool {
	n := min(len(b), len(s))
	return string(b[:n]) == s[:n]
}

// parse reads a whole head with the empty line at its end. The names in b are made
// canonical.
func (h *head) parse(b []byte, lines int) *Error {
	if lines == 0 {
		return malformed("the response begins with an empty line")
	}
	i := bytes.IndexByte(b, '\n') + 1
	if err := h.statusLine(b[:i-2]); err != nil {
		return err
	}
	if err := h.fields(b[i:], lines-1); err != nil {
		return err
	}
	return h.frame()
}

// statusLine reads "HTTP/1.1 200 OK"; the reason may be missing.
func (h *head) statusLine(b []byte) *Error {
	const form = "HTTP/1.d ddd"
	ok := len(b) >= len(form) && (len(b) == len(form) || b[len(form)] == ' ')
	for i := 0; ok && i < len(form); i++ {
		if form[i] == 'd' {
			ok = '0' <= b[i] && b[i] <= '9'
		} else {
			ok = b[i] == form[i]
		}
	}
	if !ok || !validValue(b) {
		return malformed("the status line is not one of HTTP/1: %.80q", b)
	}
	h.Minor = int(b[7] - '0')
	h.Status = int(b[9]-'0')*100 + int(b[10]-'0')*10 + int(b[11]-'0')
	if h.Status < 100 {
		return malformed("the status is %03d: must be at least 100", h.Status)
	}
	return nil
}

// fields reads n lines of fields, and the empty line behind them, into h.Fields. One
// string holds them all.
func (h *head) fields(b []byte, n int) *Error {
	if n == 0 {
		return nil
	}
	if err := checkLines(b); err != nil {
		return err
	}
	h.Fields = make(policy.Fields, 0, n)
	for s := string(b); len(s) > 2; {
		i := strings.IndexByte(s, '\n')
		colon := strings.IndexByte(s, ':')
		h.field(strings.TrimRight(s[:colon], " \t"), strings.Trim(s[colon+1:i-1], " \t"))
		s = s[i+1:]
	}
	return nil
}

// checkLines checks the lines of fields and makes their names canonical.
func checkLines(b []byte) *Error {
	for len(b) > 2 {
		i := bytes.IndexByte(b, '\n')
		line := b[:i-1]
		b = b[i+1:]
		colon := bytes.IndexByte(line, ':')
		switch {
		case line[0] == ' ' || line[0] == '\t':
			return malformed("a field is folded over several lines: %.80q", line)
		case colon < 0:
			return malformed("a line of the response header has no colon: %.80q", line)
		case !canonicalize(bytes.TrimRight(line[:colon], " \t")):
			return malformed("the field name %.80q is not a token", line[:colon])
		case !validValue(line[colon+1:]):
			return malformed("the value of field %.80q holds a control character", line[:colon])
		}
	}
	return nil
}

// field takes one field. What is about the framing of this message only is not kept.
func (h *head) field(name, value string) {
	switch name {
	case "Content-Length":
		if h.lengths++; h.lengths > 1 {
			h.differ = h.differ || value != h.length
			return
		}
		h.length = value
	case "Transfer-Encoding":
		h.coding = value
		h.codings++
		return
	case "Trailer":
		h.announces(value)
		return
	case "Connection":
		for option := range strings.SplitSeq(value, ",") {
			option = strings.Trim(option, " \t")
			h.close = h.close || strings.EqualFold(option, "close")
			h.keep = h.keep || strings.EqualFold(option, "keep-alive")
		}
	case "Keep-Alive":
		if p := ParseKeepAlive(value); p.Given {
			h.promise = p
		}
	}
	h.Fields = append(h.Fields, policy.Field{Name: name, Value: value})
}

// announces notes names that a trailer section must not hold.
func (h *head) announces(value string) {
	for name := range strings.SplitSeq(value, ",") {
		switch name = strings.Trim(name, " \t"); policy.CanonicalName(name) {
		case "Transfer-Encoding", "Trailer", "Content-Length":
			h.trailer = name
		}
	}
}

// meansNothing reports whether a Transfer-Encoding is one coding that is not
// registered (IANA, HTTP Transfer Coding Registry), or "identity" (RFC 2616). Every
// registered one but chunked transforms the body, and nothing here offers to accept
// it (RFC 9110 section 10.1.4).
func meansNothing(value string) bool {
	switch strings.ToLower(value) {
	case "chunked", "compress", "deflate", "gzip", "trailers", "x-compress", "x-gzip":
		return false
	}
	return isToken(value) // without parameters
}

// frame decides how a body ends (RFC 9112 section 6.3), but for what the request and
// the status say.
func (h *head) frame() *Error {
	h.ContentLength = -1
	h.chunked = strings.EqualFold(h.coding, "chunked")
	switch {
	case h.codings > 0 && h.Minor == 0:
		return malformed("there is a Transfer-Encoding in an HTTP/1.0 response")
	case h.codings > 0 && h.lengths > 0:
		return malformed("there are both Content-Length and Transfer-Encoding")
	case h.codings > 1, h.codings == 1 && !h.chunked && !meansNothing(h.coding):
		return malformed("the Transfer-Encoding is not chunked alone")
	case h.chunked && h.trailer != "":
		return malformed("the trailer section must not hold %.80q", h.trailer)
	case h.differ:
		return malformed("there are two different Content-Lengths")
	case h.lengths > 0:
		n, ok := parseLength(h.length)
		if !ok {
			return malformed("Content-Length is %.80q: must be a number", h.length)
		}
		h.ContentLength = n
	}
	return nil
}

// parseLength reads decimal digits alone.
func parseLength(s string) (n int64, ok bool) {
	for i := range len(s) {
		d := int64(s[i]) - '0'
		if d < 0 || d > 9 || n > (1<<63-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, s != ""
}

// Promise is the timeout parameter of a Keep-Alive field: for how long the server
// keeps a connection that is idle.
type Promise struct {
	Given   bool
	Timeout time.Duration
}

// ParseKeepAlive reads a Keep-Alive field ("timeout=5, max=100"; RFC 2068, section
// 19.7.1.1). What is not a number of seconds promises nothing.
func ParseKeepAlive(value string) Promise {
	for param := range strings.SplitSeq(value, ",") {
		name, number, _ := strings.Cut(strings.Trim(param, " \t"), "=")
		if !strings.EqualFold(strings.TrimRight(name, " \t"), "timeout") {
			continue
		}
		number = strings.Trim(number, " \t\"")
		seconds := time.Duration(0)
		for i := range len(number) {
			if number[i] < '0' || number[i] > '9' {
				return Promise{}
			}
			// More than a day is as good as for ever, and must not overflow.
			seconds = min(seconds*10+time.Duration(number[i]-'0'), 24*60*60)
		}
		return Promise{Given: number != "", Timeout: seconds * time.Second}
	}
	return Promise{}
}

// tokens are the bytes of a token (RFC 9110 section 5.6.2).
var tokens = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

func isToken(s string) bool {
	for i := range len(s) {
		if !tokens[s[i]] {
			return false
		}
	}
	return s != ""
}

// canonicalize gives a field name its canonical case in place, and reports whether it
// is a token.
func canonicalize(name []byte) bool {
	upper := true
	for i, c := range name {
		if !tokens[c] {
			return false
		}
		switch {
		case upper && 'a' <= c && c <= 'z':
			name[i] = c - 'a' + 'A'
		case !upper && 'A' <= c && c <= 'Z':
			name[i] = c - 'A' + 'a'
		}
		upper = c == '-'
	}
	return len(name) > 0
}

// validValue is RFC 9110 section 5.5: no control character but the tab.
func validValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
