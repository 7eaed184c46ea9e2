package script

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

// DefaultStallLimit ends a stall that nobody releases: a scenario that forgot it fails instead of hanging.
const DefaultStallLimit = 30 * time.Second

// Script is what an origin does. It is plain data and not changed by an Origin.
type Script struct {
	Refuse int // so many connections are reset when accepted
	Routes []Route
}

// Route gives the answers for some requests.
type Route struct {
	Method  string // "*" for any
	Target  string // the raw request target, or a prefix when Prefix
	Prefix  bool
	Where   []Condition
	Answers []Answer // the n-th request gets the n-th answer, later ones the last; at least one
}

// Condition is something a request must have for a route to fit.
type Condition struct {
	Name   string
	Value  string // compared exactly, when Exact
	Exact  bool
	Absent bool // the field must not be there
}

// Field is one header line. Raw lines are written without a colon between name and value: Value is the whole line.
type Field struct {
	Name   string
	Value  string
	Raw    bool
	Time   bool          // Value is replaced by the present time plus Offset
	Offset time.Duration // only with Time
}

// Interim is a 1xx response.
type Interim struct {
	Status string // "103 Early Hints"
	Fields []Field
}

// Framing is how the end of a body is told.
type Framing uint8

const (
	// FramingLength sends Content-Length.
	FramingLength Framing = iota
	// FramingChunked sends Transfer-Encoding: chunked.
	FramingChunked
	// FramingClose ends the body with the connection.
	FramingClose
	// FramingNone adds nothing and keeps the connection: the script's own fields rule.
	FramingNone
)

func (f Framing) String() string {
	switch f {
	case FramingLength:
		return "length"
	case FramingChunked:
		return "chunked"
	case FramingClose:
		return "close"
	case FramingNone:
		return "none"
	}
	return "unknown"
}

// Body is the content of an answer: Text, or Size bytes of selfcheck content.
type Body struct {
	Text    string
	Size    int64
	Name    string // of the selfcheck content; empty: the request target
	Version uint64
}

// Answer is one response, and what goes wrong with it. The zero value is an empty 200.
type Answer struct {
	StatusLine  string // verbatim, without CRLF; empty: "HTTP/1.1 200 OK"
	Fields      []Field
	Interims    []Interim
	Body        Body
	Framing     Framing
	ChunkSize   int64 // 0: 16 KiB
	Trailers    []Field
	Surplus     string
	Conditional bool
	Ranges      bool
	Close       bool
	Early       bool
	Events      []Event
	PaceSize    int64 // 0: as fast as the connection takes it
	PaceEvery   time.Duration
}

// Action is what an Event does.
type Action uint8

const (
	// ActDelay waits for Event.For.
	ActDelay Action = iota
	// ActStall waits at the barrier Event.Name.
	ActStall
	// ActCut closes the connection.
	ActCut
	// ActReset resets the connection.
	ActReset
)

func (a Action) String() string {
	switch a {
	case ActDelay:
		return "delay"
	case ActStall:
		return "stall"
	case ActCut:
		return "cut"
	case ActReset:
		return "reset"
	}
	return "unknown"
}

// Point is a place in an exchange.
type Point uint8

const (
	// AtStart is before the first byte of the answer.
	AtStart Point = iota
	// AtUpload is after Event.Offset bytes of the request body.
	AtUpload
	// AtFinal is between the interim responses and the final one.
	AtFinal
	// AtHead is in the middle of the final response's head.
	AtHead
	// AtBody is after Event.Offset bytes of the response body; 0 is right after the head.
	AtBody
	// AtEnd is after the body, before the last chunk.
	AtEnd
)

func (p Point) String() string {
	switch p {
	case AtStart:
		return "start"
	case AtUpload:
		return "upload"
	case AtFinal:
		return "final"
	case AtHead:
		return "head"
	case AtBody:
		return "body"
	case AtEnd:
		return "end"
	}
	return "unknown"
}

// Event happens once an exchange reaches its place. Events at one place happen in their order.
type Event struct {
	Action Action
	Point  Point
	Offset int64         // for AtUpload and AtBody
	Name   string        // of the barrier, for ActStall
	For    time.Duration // of ActDelay; the limit of ActStall (0: DefaultStallLimit)
}

// Validate names every fault at once.
func (s *Script) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if s.Refuse < 0 {
		fault("refuse is %d, should be at least 0", s.Refuse)
	}
	for i := range s.Routes {
		r := &s.Routes[i]
		where := fmt.Sprintf("route %d (%s %s)", i, r.Method, r.Target)
		if r.Method == "" || (r.Target == "" && !r.Prefix) {
			fault("%s: a route needs a method and a target", where)
		}
		if len(r.Answers) == 0 {
			fault("%s: a route needs at least one answer", where)
		}
		for j := range r.Answers {
			for _, err := range r.Answers[j].faults() {
				fault("%s: answer %d: %w", where, j, err)
			}
		}
	}
	return errors.Join(faults...)
}

// faults checks what would contradict itself. Answers that break HTTP are the purpose, and no fault.
func (a *Answer) faults() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if a.Body.Text != "" && a.Body.Size != 0 {
		fault("has both a text and a body size")
	}
	if a.Body.Size < 0 {
		fault("body size is %d, should be at least 0", a.Body.Size)
	}
	if a.Framing > FramingNone {
		fault("framing %d does not exist", a.Framing)
	}
	if a.ChunkSize < 0 || (a.ChunkSize > 0 && a.Framing != FramingChunked) {
		fault("a chunk size needs framing chunked and at least 1 byte")
	}
	if len(a.Trailers) > 0 && a.Framing != FramingChunked {
		fault("trailers need framing chunked")
	}
	if a.PaceSize < 0 || a.PaceEvery < 0 || (a.PaceSize == 0) != (a.PaceEvery == 0) {
		fault("pace needs a size and a duration above 0")
	}
	for _, e := range a.Events {
		switch {
		case e.Action > ActReset || e.Point > AtEnd:
			fault("event %s at %s does not exist", e.Action, e.Point)
		case e.Action == ActStall && e.Name == "":
			fault("a stall needs a name")
		case e.Offset < 0 || e.For < 0:
			fault("%s at %s: offset and duration should be at least 0", e.Action, e.Point)
		case e.Point == AtUpload && a.Early:
			fault("%s at upload: the answer does not read the request body (early)", e.Action)
		case e.Point == AtBody && e.Offset > a.bodySize():
			fault("%s at %d: the body ends at %d", e.Action, e.Offset, a.bodySize())
		}
	}
	return faults
}

func (a *Answer) bodySize() int64 {
	if a.Body.Text != "" {
		return int64(len(a.Body.Text))
	}
	return a.Body.Size
}

// barriers returns the names of all stalls.
func (s *Script) barriers() map[string]bool {
	names := map[string]bool{}
	for _, r := range s.Routes {
		for _, a := range r.Answers {
			for _, e := range a.Events {
				if e.Action == ActStall {
					names[e.Name] = true
				}
			}
		}
	}
	return names
}

func (a *Answer) statusLine() string {
	if a.StatusLine == "" {
		return "HTTP/1.1 200 OK"
	}
	return a.StatusLine
}

// statusCode reads the code out of a status line, 0 when there is none.
func statusCode(line string) int {
	_, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	if len(code) != 3 {
		return 0
	}
	n := 0
	for _, c := range []byte(code) {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// value returns the first field of that name, as it will be sent at now.
func (a *Answer) value(name string, now time.Time) string {
	for _, f := range a.Fields {
		if !f.Raw && textproto.CanonicalMIMEHeaderKey(f.Name) == name {
			return f.text(now)
		}
	}
	return ""
}

func (f Field) text(now time.Time) string {
	if f.Time {
		return httpDate(now.Add(f.Offset))
	}
	return f.Value
}

func (f Field) line(now time.Time) string {
	if f.Raw {
		return f.Value + "\r\n"
	}
	return f.Name + ": " + f.text(now) + "\r\n"
}

func httpDate(t time.Time) string {
	return t.UTC().Format(http.TimeFormat)
}
