// Package accesslog reads access logs in the combined format of Apache and nginx (and the shorter common format) and in
// weir's own, a JSON object a line, and generates logs in the combined format.
//
// Guarantees: a log is read as a stream in constant memory, whatever its size and whatever a line's length; a line that
// is not in the format is reported with its number, its fault and its place, and reading goes on; what the parser
// accepts, Entry.AppendTo writes in a form that parses to the same entry; the same generator options give the same log.
//
// Refuses: lines above MaxLine bytes, and any other format (other servers' JSON, custom formats) are faults, never guesses.
package accesslog

import (
	"strconv"
	"time"
)

// timeLayout is the %t of Apache's log format, without the brackets.
const timeLayout = "02/Jan/2006:15:04:05 -0700"

// Entry is one request as a log names it. Strings are unescaped: the bytes that the client sent.
type Entry struct {
	Client string    // address or host name
	Ident  string    // RFC 1413 identity, "-" nearly always
	User   string    // authenticated user, "-" when there was none
	Time   time.Time // in the zone that the log names; to the second in the formats of Apache and nginx

	Request string // the whole request line
	Method  string // empty when Request is no request line: what scanners send, or "-" for a connection without one
	Target  string // the request target, raw; may hold spaces and any other byte
	Proto   string // "HTTP/1.1"; empty for HTTP/0.9 and where Method is

	Status  int
	Size    int64  // body bytes sent, -1 where the log says "-"
	Referer string // as logged, "-" included; empty in the common format
	Agent   string // as logged, "-" included; empty in the common format
}

// AppendTo appends the entry as one line, without a line feed, and returns the longer slice. An entry with neither
// referer nor agent is written in the common format, any other in the combined one.
func (e *Entry) AppendTo(b []byte) []byte {
	b = append(b, e.Client...)
	b = append(b, ' ')
	b = append(b, e.Ident...)
	b = append(b, ' ')
	b = append(b, e.User...)
	b = append(b, " ["...)
	b = e.Time.AppendFormat(b, timeLayout)
	b = append(b, "] "...)
	b = appendQuoted(b, e.Request)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(e.Status), 10)
	b = append(b, ' ')
	if e.Size < 0 {
		b = append(b, '-')
	} else {
		b = strconv.AppendInt(b, e.Size, 10)
	}
	if e.Referer == "" && e.Agent == "" {
		return b
	}
	b = append(b, ' ')
	b = appendQuoted(b, e.Referer)
	b = append(b, ' ')
	return appendQuoted(b, e.Agent)
}

const hexDigits = "0123456789abcdef"

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
