package accesslog

import (
	"encoding/json"
	"net/http"
	"time"
)

// jsonLine are the fields of weir's own access log that a replay needs.
type jsonLine struct {
	Time      time.Time `json:"time"`
	Client    string    `json:"client"`
	Method    string    `json:"method"`
	Target    *string   `json:"target"`
	Status    int       `json:"status"`
	Bytes     int64     `json:"bytes"`
	UserAgent string    `json:"user_agent"`
	Referer   string    `json:"referer"`
}

// ParseJSON reads one line of weir's own access log, a JSON object. Fields that a replay does not need are ignored, also
// unknown ones. The error is always a *ParseError.
func ParseJSON(line string) (Entry, error) {
	bad := func(f Fault) (Entry, error) {
		return Entry{}, &ParseError{Column: 1, Fault: f, Text: clip(line)}
	}
	var j jsonLine
	if err := json.Unmarshal([]byte(line), &j); err != nil {
		return bad(FaultJSON)
	}
	switch {
	case j.Time.IsZero():
		return bad(FaultTime)
	case j.Target == nil || !isToken(j.Method):
		return bad(FaultRequest)
	case j.Status < 100 || j.Status > 999:
		return bad(FaultStatus)
	case j.Bytes < 0:
		return bad(FaultSize)
	}
	e := Entry{
		Client: j.Client, Ident: "-", User: "-", Time: j.Time,
		Method: j.Method, Target: *j.Target, Proto: "HTTP/1.1",
		Status: j.Status, Size: j.Bytes, Referer: j.Referer, Agent: j.UserAgent,
	}
	if e.Method == http.MethodHead {
		e.Size = -1 // no body was sent, whatever the object's size is
	}
	e.Request = e.Method + " " + e.Target + " " + e.Proto
	return e, nil
}
