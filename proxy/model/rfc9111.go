package model

import (
	"net/http"
	"slices"
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

// Storable is why a shared cache must not store the response (RFC 9111 section
// 3), RuleNone where it may.
func Storable(q Request, r Response) Rule {
	c, _ := Governing(r.Fields)
	_, _, age := c.Seconds("max-age")
	_, _, shared := c.Seconds("s-maxage")
	explicit := age || shared || r.Fields["Expires"] != nil
	understood := slices.Contains(understoodStatus, r.Status)
	switch {
	case q.Method == "POST" && !(explicit && r.Status == 200 && r.Fields.Get("Content-Location") == q.Path):
		return RuleUnstorable // RFC 9110 section 9.3.3
	case q.Method != "GET" && q.Method != "POST":
		return RuleUnstorable
	case r.Status < 200, r.Status == 206, r.Status == 304:
		return RuleUnstorable // 206: section 3.3
	case c.Has("must-understand") && !understood:
		return RuleUnstorable // section 5.2.2.3
	case c.Has("no-store") && !c.Has("must-understand"):
		return RuleUnstorable // section 5.2.2.5
	case c.Plain("private"):
		return RulePrivate // section 5.2.2.7
	case q.Fields["Authorization"] != nil && !c.Has("public") && !c.Has("must-revalidate") && !c.Has("s-maxage"):
		return RuleAuthorization // section 3.5
	case ParseControl(q.Fields["Cache-Control"]).Has("no-store"):
		return RuleRequest // section 5.2.1.5
	case !explicit && !c.Has("public") && !slices.Contains(heuristicStatus, r.Status):
		return RuleUnstorable
	}
	return RuleNone
}

// heuristicStatus: RFC 9110 section 15.1. understoodStatus: the codes that weir
// knows what to do with.
var (
	heuristicStatus  = []int{200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}
	understoodStatus = []int{
		200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 414, 500, 501, 502, 503, 504,
	}
)

// Lifetime is the freshness lifetime (section 4.2.1): what the response may at
// most be taken for, and what it is at least.
func Lifetime(r Response) (may, must time.Duration) {
	c, targeted := Governing(r.Fields)
	for _, name := range []string{"s-maxage", "max-age"} {
		if may, must, stated := c.Seconds(name); stated {
			return may, must
		}
	}
	if expires := r.Fields["Expires"]; expires != nil && !targeted {
		at, err := http.ParseTime(expires[0])
		if err != nil {
			return 0, 0 // section 5.3
		}
		life := max(at.Sub(date(r)), 0)
		return life, life
	}
	modified, err := http.ParseTime(r.Fields.Get("Last-Modified"))
	if err != nil || c.Plain("no-cache") || !c.Has("public") && !slices.Contains(heuristicStatus, r.Status) {
		return 0, 0
	}
	// Section 4.2.2 names a tenth as typical; a week is weir's bound.
	guess := min(max(date(r).Sub(modified), 0)/10, 7*24*time.Hour)
	return guess, guess
}

// explicit tells whether the response itself states its lifetime.
func explicit(r Response) bool {
	c, targeted := Governing(r.Fields)
	return c.Has("s-maxage") || c.Has("max-age") || r.Fields["Expires"] != nil && !targeted
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
	value := time.Duration(0)
	first, _, _ := strings.Cut(r.Fields.Get("Age"), ",") // section 5.1
	if d, ok := deltaSeconds(strings.TrimSpace(first)); ok {
		value = d
	}
	corrected := value + r.Came.Sub(r.Asked)
	return max(apparent, corrected) + now.Sub(r.Came)
}

// Trouble is how the origin failed for a request, if it did.
type Trouble uint8

const (
	NoTrouble Trouble = iota
	// ErrorStatus: 500, 502, 503 or 504 (RFC 5861 section 4).
	ErrorStatus
	// Unreachable: no answer at all; the cache is disconnected.
	Unreachable
)

// Reuse is why a stored response must not answer the request at now without
// validation (sections 4 and 5.2), RuleNone where it may. Vary, invalidation and
// storage are not looked at.
func Reuse(r Response, q Request, now time.Time, trouble Trouble) Rule {
	c, _ := Governing(r.Fields)
	d := ParseControl(q.Fields["Cache-Control"])
	life, _ := Lifetime(r)
	age := Age(r, now)
	if c.Plain("no-cache") {
		return RuleNoCache // section 5.2.2.4
	}
	if d.Has("no-cache") || q.Fields["Cache-Control"] == nil && ParseControl(q.Fields["Pragma"]).Has("no-cache") {
		return RuleRequest // sections 5.2.1.4 and 5.4
	}
	if most, _, stated := d.Seconds("max-age"); stated && age > most {
		return RuleRequest // section 5.2.1.1
	}
	if least, _, stated := d.Seconds("min-fresh"); stated && life-age < least {
		return RuleRequest // section 5.2.1.3
	}
	if life > age {
		return RuleNone // section 4.2
	}
	if c.Has("must-revalidate") || c.Has("proxy-revalidate") || c.Has("s-maxage") {
		return RuleStale // sections 5.2.2.2, 5.2.2.8 and 5.2.2.10
	}
	if StaleAllowed(c, d, age-life, trouble) {
		return RuleNone
	}
	return RuleStale
}

// StaleAllowed tells whether the response, the client or the loss of the origin
// lets what has been stale for a while be used (section 4.2.4, RFC 5861).
func StaleAllowed(response, client Control, stale time.Duration, trouble Trouble) bool {
	within := func(c Control, name string) bool {
		window, _, _ := c.Seconds(name)
		return stale < window
	}
	if client.Plain("max-stale") {
		return true // section 5.2.1.2
	}
	if most, _, stated := client.Seconds("max-stale"); stated && stale <= most {
		return true
	}
	// Section 5.2.1.1: with max-age and without max-stale nothing stale is wanted.
	if !client.Has("max-age") && within(response, "stale-while-revalidate") {
		return true
	}
	if trouble == NoTrouble {
		return false
	}
	if within(response, "stale-if-error") || within(client, "stale-if-error") {
		return true
	}
	// Section 4.2.4 sets no bound to a disconnected cache; weir's is a day, or
	// what the response says.
	return trouble == Unreachable && !response.Has("stale-if-error") && stale < 24*time.Hour
}

// MustReuse tells whether a stored response is fresh for the request at now
// whatever choice the RFC leaves: going to the origin would be a waste.
func MustReuse(r Response, q Request, now time.Time) bool {
	_, life := Lifetime(r)
	return life > Age(r, now) && Reuse(r, q, now, NoTrouble) == RuleNone &&
		!ParseControl(q.Fields["Cache-Control"]).Has("no-store")
}
