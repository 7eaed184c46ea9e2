package model

import "time"

// Moment is when and how a response is looked at for a request.
type Moment struct {
	At time.Time
	// Trouble is how the origin failed for the request until then.
	Trouble Trouble
	// Waited: the request had been there when the answer came. The time that the
	// origin took counts for nothing then: a lifetime shorter than that would
	// else send all who waited to the origin.
	Waited bool
	// Free: neither the reader's request nor that which the response answered
	// has a cookie that counts.
	Free bool
}

// age is the current age as it counts at the moment.
func (m Moment) age(r Response) time.Duration {
	if m.Waited {
		return ageValue(r) + m.At.Sub(r.Came)
	}
	return Age(r, m.At)
}

// Reload is what a client asks for that wants nothing from the store.
type Reload uint8

const (
	// NoReload: the store will do.
	NoReload Reload = iota
	// ReloadNoCache, ReloadNoStore and ReloadMaxAge (of 0) are the directives.
	ReloadNoCache
	ReloadNoStore
	ReloadMaxAge
)

// Reloads is the kind of reload that a request is (sections 5.2.1.1, 5.2.1.4,
// 5.2.1.5 and 5.4).
func Reloads(q Request) Reload {
	d := ParseControl(q.Fields["Cache-Control"])
	most, _, limited := d.Seconds("max-age")
	switch {
	case d.Has("no-store"):
		return ReloadNoStore
	case d.Has("no-cache"), q.Fields["Cache-Control"] == nil && ParseControl(q.Fields["Pragma"]).Has("no-cache"):
		return ReloadNoCache
	case limited && most == 0:
		return ReloadMaxAge
	}
	return NoReload
}

// justNow is how long what the origin said answers those who reload.
const justNow = time.Second

// Reuse is why a stored response must not answer the request at the moment
// without validation (sections 4 and 5.2), RuleNone where it may. Vary,
// invalidation and storage are not looked at.
func (p *Policy) Reuse(r Response, q Request, m Moment) Rule {
	c, _ := Governing(r.Fields)
	d := ParseControl(q.Fields["Cache-Control"])
	life, _ := p.Lifetime(r, m.Free)
	age := m.age(r)
	if c.Plain("no-cache") && !(m.Free && p.overrides(r)) {
		return RuleNoCache // section 5.2.2.4
	}
	reload := Reloads(q)
	if reload != NoReload && m.At.Sub(r.Came) > justNow {
		return RuleRequest // sections 5.2.1.4 and 5.4
	}
	if most, _, stated := d.Seconds("max-age"); stated && reload == NoReload && age > most {
		return RuleRequest // section 5.2.1.1
	}
	if least, _, stated := d.Seconds("min-fresh"); stated && life-age < least {
		return RuleRequest // section 5.2.1.3
	}
	if life > age {
		return RuleNone // section 4.2
	}
	if p.staleAllowed(c, d, life, age-life, m) {
		return RuleNone
	}
	if !m.Free {
		if given, _ := p.Lifetime(r, true); given > age {
			return RuleCookie
		}
	}
	return RuleStale
}

// staleAllowed reports whether the response, the policy, the client or the loss
// of the origin lets what has been stale for a while be used (section 4.2.4, RFC
// 5861).
func (p *Policy) staleAllowed(c, d Control, life, stale time.Duration, m Moment) bool {
	window := func(name string, given time.Duration) time.Duration {
		switch own, _, stated := c.Seconds(name); {
		case stated && (c.Has("must-revalidate") || c.Has("proxy-revalidate")) && !p.despite(c):
			return 0
		case stated:
			return own // also beside s-maxage
		case p.forbidsStale(c, true):
			return 0
		}
		return given
	}
	// Section 5.2.1.1: with max-age and without max-stale nothing stale is wanted.
	if !d.Has("max-age") && stale < window("stale-while-revalidate", p.StaleWhileRevalidate) {
		return true
	}
	if life <= 0 {
		// It was never meant for anybody else.
		return false
	}
	if m.Trouble != NoTrouble && stale < window("stale-if-error", p.StaleIfError) {
		return true
	}
	_, _, bounded := c.Seconds("stale-if-error")
	bounded = bounded || p.StaleIfError > 0
	if m.Trouble >= GatewayStatus && !bounded && !p.forbidsStale(c, true) && stale < 24*time.Hour {
		// Section 4.2.4 sets no bound to a disconnected cache; weir's is a day, or
		// what the response says.
		return true
	}
	if p.forbidsStale(c, false) {
		return false
	}
	if d.Plain("max-stale") {
		return true // section 5.2.1.2
	}
	if most, _, stated := d.Seconds("max-stale"); stated && stale <= most {
		return true
	}
	asked, _, _ := d.Seconds("stale-if-error")
	return m.Trouble != NoTrouble && stale < asked
}

// despite reports whether the policy overrides each directive of the response
// that forbids stale use.
func (p *Policy) despite(c Control) bool { return !p.forbidsStale(c, true) }

// MustReuse reports whether a stored response is fresh for the request at the
// moment whatever choice the RFC leaves: going to the origin would be a waste.
func (p *Policy) MustReuse(r Response, q Request, m Moment) bool {
	may, life := p.Lifetime(r, m.Free)
	return may == life && life > Age(r, m.At) && p.Reuse(r, q, m) == RuleNone &&
		(Reloads(q) == NoReload || Reloads(q) != ReloadMaxAge && q.Method == "GET" && m.At.Sub(r.Came) < justNow)
}

// MustServeStale reports whether the response states that it answers now, and
// is refreshed behind the answer: waiting for the origin would be a waste.
func (p *Policy) MustServeStale(r Response, q Request, m Moment) bool {
	c, _ := Governing(r.Fields)
	may, life := p.Lifetime(r, m.Free)
	_, window, _ := c.Seconds("stale-while-revalidate")
	return !c.Has("must-revalidate") && !c.Has("proxy-revalidate") && may == life && life > 0 && Age(r, m.At)-life < window && q.Fields["Cache-Control"] == nil && q.Fields["Pragma"] == nil &&
		p.Reuse(r, q, m) == RuleNone
}
