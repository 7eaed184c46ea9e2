package accesslog

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Fault is what is wrong with a line.
type Fault uint8

const (
	// FaultTooLong is a line above MaxLine bytes.
	FaultTooLong Fault = iota
	// FaultClient is a line without client, identity and user.
	FaultClient
	// FaultTime is a time that is not [02/Jan/2006:15:04:05 -0700].
	FaultTime
	// FaultRequest is a request line without its quotes.
	FaultRequest
	// FaultStatus is a status that is not three digits from 100 on.
	FaultStatus
	// FaultSize is a size that is neither a number nor "-".
	FaultSize
	// FaultReferer is a referer without its quotes.
	FaultReferer
	// FaultAgent is a user agent without its quotes; a line that was cut short shows here.
	FaultAgent
	// FaultJSON is a line that begins like a JSON object and is none.
	FaultJSON
)

func (f Fault) String() string {
	switch f {
	case FaultTooLong:
		return "line too long"
	case FaultClient:
		return "client fields missing"
	case FaultTime:
		return "bad time"
	case FaultRequest:
		return "bad request field"
	case FaultStatus:
		return "bad status"
	case FaultSize:
		return "bad size"
	case FaultReferer:
		return "bad referer field"
	case FaultAgent:
		return "bad user agent field"
	case FaultJSON:
		return "bad JSON object"
	}
	return "unknown"
}

// ParseError is a line that is not in the format.
type ParseError struct {
	Line   int   // from 1; 0 when Parse was called directly
	Column int   // from 1, in bytes: where the part begins that is wrong
	Fault  Fault //
	Usable bool  // request, status and size were read all the same: the entry can be replayed
	Text   string
}

func (e *ParseError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("cannot parse log line: column %d: %s: %q", e.Column, e.Fault, e.Text)
	}
	return fmt.Sprintf("cannot parse log line %d: column %d: %s: %q", e.Line, e.Column, e.Fault, e.Text)
}

// textLimit bounds how much of a bad line goes into an error message.
const textLimit = 120

func clip(s string) string {
	if len(s) > textLimit {
		return s[:textLimit] + "..."
	}
	return s
}

// Parse reads one line (without its line feed). The error is always a *ParseError; when that says Usable the entry
// holds everything up to the size. Fields that stand after the user agent are ignored: many servers add some.
func Parse(line string) (Entry, error) {
	line = strings.TrimSuffix(line, "\r")
	p := parser{line: line}
	e, fault, ok := p.entry()
	if ok {
		return e, nil
	}
	return e, &ParseError{
		Column: p.at + 1,
		Fault:  fault,
		Usable: fault == FaultReferer || fault == FaultAgent,
		Text:   clip(line),
	}
}

// parser walks over one line; at is where the part begins that is being read.
type parser struct {
	line string
	at   int
}

func (p *parser) rest() string { return p.line[p.at:] }

// space steps over one space.
func (p *parser) space() bool {
	if p.at < len(p.line) && p.line[p.at] == ' ' {
		p.at++
		return true
	}
	return false
}

func (p *parser) entry() (e Entry, fault Fault, ok bool) {
	if !p.client(&e) {
		return e, FaultClient, false
	}
	if !p.time(&e) {
		return e, FaultTime, false
	}
	if e.Request, ok = p.quoted(); !ok {
		return e, FaultRequest, false
	}
	e.Method, e.Target, e.Proto = splitRequest(e.Request)
	if !p.space() || !p.status(&e) {
		return e, FaultStatus, false
	}
	if !p.space() || !p.size(&e) {
		return e, FaultSize, false
	}
	if p.rest() == "" {
		return e, 0, true // the common format ends here
	}
	if !p.space() {
		return e, FaultReferer, false
	}
	if e.Referer, ok = p.quoted(); !ok {
		return e, FaultReferer, false
	}
	if !p.space() {
		return e, FaultAgent, false
	}
	if e.Agent, ok = p.quoted(); !ok {
		return e, FaultAgent, false
	}
	if p.rest() != "" && p.rest()[0] != ' ' {
		return e, FaultAgent, false
	}
	return e, 0, true
}

// client reads address, identity and user. The user is whatever stands before the time: servers do not escape spaces in it.
func (p *parser) client(e *Entry) bool {
	var ok bool
	var rest string
	if e.Client, rest, ok = strings.Cut(p.line, " "); !ok || e.Client == "" {
		return false
	}
	if e.Ident, rest, ok = strings.Cut(rest, " "); !ok || e.Ident == "" {
		return false
	}
	if e.User, _, ok = strings.Cut(rest, " ["); !ok || e.User == "" {
		return false
	}
	p.at = len(e.Client) + 1 + len(e.Ident) + 1 + len(e.User) + 1
	return true
}

func (p *parser) time(e *Entry) bool {
	text, _, ok := strings.Cut(p.rest()[1:], "] ")
	if !ok || len(text) != len(timeLayout) {
		return false
	}
	t, err := time.Parse(timeLayout, text)
	if err != nil {
		return false
	}
	// A zone of the reader's machine would make the entry depend on where it was read.
	_, offset := t.Zone()
	if offset%60 != 0 || offset <= -24*3600 || offset >= 24*3600 || t.Year() < 1 {
		return false
	}
	if offset == 0 {
		e.Time = t.UTC()
	} else {
		e.Time = t.In(time.FixedZone("", offset))
	}
	p.at += len(text) + 3
	return true
}

func (p *parser) word() string {
	rest := p.rest()
	if i := strings.IndexByte(rest, ' '); i >= 0 {
		return rest[:i]
	}
	return rest
}

func (p *parser) status(e *Entry) bool {
	w := p.word()
	n, err := strconv.ParseUint(w, 10, 16)
	if err != nil || len(w) != 3 || n < 100 {
		return false
	}
	e.Status = int(n)
	p.at += len(w)
	return true
}

func (p *parser) size(e *Entry) bool {
	w := p.word()
	e.Size = -1
	if w != "-" {
		n, err := strconv.ParseUint(w, 10, 63)
		if err != nil {
			return false
		}
		e.Size = int64(n)
	}
	p.at += len(w)
	return true
}

// quoted reads a field in double quotes and undoes the escapes of Apache and nginx: \" \\ \xHH and C's letters.
// A backslash before anything else stays as it is, as old servers wrote it.
func (p *parser) quoted() (string, bool) {
	s := p.rest()
	if s == "" || s[0] != '"' {
		return "", false
	}
	plain := true
	end := -1
	for i := 1; i < len(s); i++ {
		if s[i] == '\\' {
			plain = false
			i++
		} else if s[i] == '"' {
			end = i
			break
		}
	}
	if end < 0 {
		return "", false
	}
	p.at += end + 1
	if plain {
		return s[1:end], true
	}
	return unescape(s[1:end]), true
}

func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		if j := strings.IndexByte(`"\bnrtv`, s[i]); j >= 0 {
			b = append(b, "\"\\\b\n\r\t\v"[j])
			continue
		}
		if s[i] == 'x' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, '\\', s[i])
	}
	return string(b)
}

// splitRequest cuts a request line at its first and its last space. Everything between is the target.
func splitRequest(line string) (method, target, proto string) {
	method, rest, ok := strings.Cut(line, " ")
	if !ok || !isToken(method) || rest == "" {
		return "", "", ""
	}
	if i := strings.LastIndex(rest, " HTTP/"); i > 0 && !strings.Contains(rest[i+1:], " ") {
		return method, rest[:i], rest[i+1:]
	}
	return method, rest, ""
}

// isToken follows RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
