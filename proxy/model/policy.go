package model

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// CookieMode says what the cookies of a request mean that the key does not hold.
type CookieMode uint8

const (
	// CookiesAuto: the answer may depend on them.
	CookiesAuto CookieMode = iota
	// CookiesStrip: they do not reach the origin with GET and HEAD.
	CookiesStrip
	// CookiesIgnore: the operator vouches that they change nothing.
	CookiesIgnore
)

// Policy is what the operator says beside RFC 9111. The zero value says nothing.
type Policy struct {
	Cookies CookieMode
	// KeyCookies are the names of the cookies that are part of the key.
	KeyCookies []string
	// StoreCookies: a response with Set-Cookie may be stored with it.
	StoreCookies bool
	// Default, Min, Override and Negative give lifetimes to responses.
	Default, Min, Override time.Duration
	Negative               map[int]time.Duration
	// StaleWhileRevalidate and StaleIfError hold where the response states none.
	StaleWhileRevalidate, StaleIfError time.Duration
	// StaleDespite are the directives that those two override.
	StaleDespite []string
}

// ErrorMax is the longest that an error is kept whose status Negative does not
// name.
const ErrorMax = 10 * time.Second

// Error reports whether a status says that a request failed, in a way that may
// pass. 404, 410 and 451 say that something is not there.
func Error(status int) bool {
	return status >= 400 && status != 404 && status != 410 && status != 451
}

// Sent is the request as it reaches the origin.
func (p *Policy) Sent(q Request) Request {
	if p.Cookies != CookiesStrip || q.Fields["Cookie"] == nil || q.Method != "GET" && q.Method != "HEAD" {
		return q
	}
	out := q
	out.Fields = q.Fields.Clone()
	out.Fields.Del("Cookie")
	if kept := p.keyed(q); len(kept) > 0 {
		out.Fields.Set("Cookie", strings.Join(kept, "; "))
	}
	return out
}

// keyed are the cookies of the request that are part of the key, in the order
// of the key.
func (p *Policy) keyed(q Request) []string {
	var out []string
	for _, name := range p.KeyCookies {
		for _, pair := range cookies(q) {
			if n, _, _ := strings.Cut(pair, "="); n == name {
				out = append(out, pair)
			}
		}
	}
	return out
}

func cookies(q Request) []string {
	var out []string
	for _, pair := range strings.Split(strings.Join(q.Fields["Cookie"], ";"), ";") {
		if pair = strings.TrimSpace(pair); pair != "" {
			out = append(out, pair)
		}
	}
	return out
}

// SameKey reports whether two requests have one key.
func (p *Policy) SameKey(a, b Request) bool {
	return a.Path == b.Path && slices.Equal(p.keyed(a), p.keyed(b))
}

// CookieFree reports whether no cookie of the request tells its sender from
// others: each one that reaches the origin is part of the key, or counts for
// nothing.
func (p *Policy) CookieFree(q Request) bool {
	return p.Cookies == CookiesIgnore || len(cookies(p.Sent(q))) == len(p.keyed(q))
}

// SharesSetCookie reports whether a stored Set-Cookie may reach others.
func (p *Policy) SharesSetCookie() bool { return p.Cookies == CookiesAuto && p.StoreCookies }

// Storable is why a shared cache must not store the response (RFC 9111 section
// 3), RuleNone where it may.
func (p *Policy) Storable(q Request, r Response) Rule {
	c, _ := Governing(r.Fields)
	_, _, age := c.Seconds("max-age")
	_, _, shared := c.Seconds("s-maxage")
	stated := age || shared || r.Fields["Expires"] != nil
	_, named := p.Negative[r.Status]
	switch {
	case q.Method == "POST" && !(stated && r.Status == 200 && r.Fields.Get("Content-Location") == q.Path):
		return RuleUnstorable // RFC 9110 section 9.3.3
	case q.Method != "GET" && q.Method != "POST":
		return RuleUnstorable
	case r.Status < 200, r.Status == 206, r.Status == 304:
		return RuleUnstorable // 206: section 3.3
	case c.Has("must-understand") && !slices.Contains(understoodStatus, r.Status):
		return RuleUnstorable // section 5.2.2.3
	case c.Has("no-store") && !c.Has("must-understand"):
		return RuleUnstorable // section 5.2.2.5
	case c.Plain("private"):
		return RulePrivate // section 5.2.2.7
	case q.Fields["Authorization"] != nil && !c.Has("public") && !c.Has("must-revalidate") && !c.Has("s-maxage"):
		return RuleAuthorization // section 3.5
	case r.Fields["Set-Cookie"] != nil && p.Cookies == CookiesAuto && !(p.StoreCookies && meantForAll(r)):
		return RuleSetCookie // section 7.3
	case ParseControl(q.Fields["Cache-Control"]).Has("no-store"):
		return RuleRequest // section 5.2.1.5
	case !stated && !c.Has("public") && !slices.Contains(heuristicStatus, r.Status) && !named:
		return RuleUnstorable
	}
	return RuleNone
}

// meantForAll reports whether the response states that caches may give it to
// others.
func meantForAll(r Response) bool {
	c, _ := Governing(r.Fields)
	life, _, stated := statedLifetime(r)
	return c.Has("public") || stated && life > 0 && !c.Plain("no-cache")
}

// Lifetime is the freshness lifetime (section 4.2.1) for a reader: what the
// response may at most be taken for, and what it is at least. Free reports
// whether both the request that the response answered and the reader's are
// cookie-free: a lifetime that the response does not state binds no others.
func (p *Policy) Lifetime(r Response, free bool) (may, must time.Duration) {
	may, must, stated := statedLifetime(r)
	if free {
		may, must = p.given(r, may, must, stated)
	} else if p.Override > 0 {
		must = min(must, p.Override)
	}
	if Error(r.Status) {
		most, named := p.Negative[r.Status]
		if !named {
			most = ErrorMax
		}
		// Counted from when it came.
		may, must = min(may, most+Age(r, r.Came)), min(must, most)
	}
	return may, must
}

// given is a lifetime after the policy and guesses had their say.
func (p *Policy) given(r Response, may, must time.Duration, stated bool) (time.Duration, time.Duration) {
	c, _ := Governing(r.Fields)
	from := Age(r, r.Came)
	silent := !c.Plain("no-cache") && (r.Fields["Set-Cookie"] == nil || meantForAll(r) || p.Cookies != CookiesAuto)
	negative, named := p.Negative[r.Status]
	storable := stated || c.Has("public") || slices.Contains(heuristicStatus, r.Status)
	switch {
	case p.overrides(r):
		return p.Override + from, p.Override
	case stated && may >= p.Min:
		return may, max(must, min(may, p.Min))
	case stated:
		return p.Min, must
	case named && silent && r.Status >= 300:
		return negative + from, negative
	case !silent || !storable:
		return 0, 0
	case p.Default > 0 && r.Status < 400:
		return p.Default + from, p.Default
	}
	life := guess(r)
	return life, life
}

// overrides reports whether the policy's word takes the place of the response's
// own.
func (p *Policy) overrides(r Response) bool {
	c, _ := Governing(r.Fields)
	_, _, stated := statedLifetime(r)
	return p.Override > 0 && r.Status < 400 && (stated || c.Has("public") || slices.Contains(heuristicStatus, r.Status)) &&
		(r.Fields["Set-Cookie"] == nil || meantForAll(r) || p.Cookies != CookiesAuto)
}

// forbidsStale reports whether a directive keeps the response from being used
// stale by the word of who speaks: the response itself or the policy (sections
// 5.2.2.2, 5.2.2.8 and 5.2.2.10).
func (p *Policy) forbidsStale(c Control, byPolicy bool) bool {
	for _, name := range []string{"must-revalidate", "proxy-revalidate", "s-maxage"} {
		if !c.Has(name) || byPolicy && slices.Contains(p.StaleDespite, name) {
			continue
		}
		return true
	}
	return false
}

// guess is section 4.2.2: a tenth is named there as typical; an hour is weir's
// bound.
func guess(r Response) time.Duration {
	modified, err := http.ParseTime(r.Fields.Get("Last-Modified"))
	if err != nil {
		return 0
	}
	return min(max(date(r).Sub(modified), 0)/10, time.Hour)
}
