package model

import (
	"net/http"
	"strings"
	"time"
)

// Request is what a client asked.
type Request struct {
	Method string
	Path   string
	Fields http.Header
}

// Response is what an origin answered: when it was asked and when its header
// came, on the cache's clock.
type Response struct {
	Status      int
	Fields      http.Header
	Asked, Came time.Time
}

// heuristicStatus: RFC 9110 section 15.1. understoodStatus: the codes that weir
// knows what to do with.
var (
	heuristicStatus  = []int{200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}
	understoodStatus = []int{
		200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 414, 500, 501, 502, 503, 504,
	}
)

// statedLifetime is the freshness lifetime that the response itself states
// (section 4.2.1).
func statedLifetime(r Response) (may, must time.Duration, stated bool) {
	c, targeted := Governing(r.Fields)
	for _, name := range []string{"s-maxage", "max-age"} {
		if may, must, stated := c.Seconds(name); stated {
			return may, must, true
		}
	}
	if expires := r.Fields["Expires"]; expires != nil && !targeted {
		at, err := http.ParseTime(expires[0])
		if err != nil {
			return 0, 0, true // section 5.3
		}
		life := max(at.Sub(date(r)), 0)
		return life, life, true
	}
	return 0, 0, false
}

// date is when the response was made, or came (RFC 9110 section 6.6.1).
func date(r Response) time.Time {
	if at, err := http.ParseTime(r.Fields.Get("Date")); err == nil {
		return at
	}
	return r.Came.Truncate(time.Second)
}

// Age is the current age (section 4.2.3).
func Age(r Response, now time.Time) time.Duration {
	apparent := max(r.Came.Truncate(time.Second).Sub(date(r)), 0)
	return max(apparent, ageValue(r)+r.Came.Sub(r.Asked)) + now.Sub(r.Came)
}

// ageValue is what the response says of its age (section 5.1).
func ageValue(r Response) time.Duration {
	first, _, _ := strings.Cut(r.Fields.Get("Age"), ",")
	d, _ := deltaSeconds(strings.TrimSpace(first))
	return d
}

// Trouble is how the origin failed for a request, if it did.
type Trouble uint8

const (
	NoTrouble Trouble = iota
	// ErrorStatus: 500 (RFC 5861 section 4).
	ErrorStatus
	// GatewayStatus: 502, 503 or 504. The origin says that what is behind it does not
	// answer, which weir takes for an origin that cannot be reached.
	GatewayStatus
	// Unreachable: no answer at all; the cache is disconnected.
	Unreachable
)
