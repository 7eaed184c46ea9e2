package model

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// finding is an answer that the model does not allow.
type finding struct {
	rule Rule
	text string
}

func found(rule Rule, format string, args ...any) *finding {
	return &finding{rule, fmt.Sprintf(format, args...)}
}

// verdict is all that the judge goes by.
type verdict struct {
	log *Log
	x   *exchanged
	// contacts are those of everybody in the step, clock the moments at which
	// it was moved.
	contacts []*Contact
	clock    []moved
}

type moved struct {
	tick Tick
	at   time.Time
}

// judge holds an answer against the model: where did it come from, and may it?
func (v *verdict) judge() *finding {
	x := v.x
	if x.err != nil {
		return found(RuleHang, "%v", x.err)
	}
	serial, checked := x.a.serials()
	for _, c := range v.contacts {
		if c.Client != x.id || c.CameTick == 0 {
			continue
		}
		switch {
		case c.Serial != 0 && c.Serial == serial, c.Checked != 0 && c.Checked == checked && serial == 0:
			return v.passedOn(c)
		case c.Checked != 0 && c.Checked == checked && c.Status == 304:
			return v.validated(c, serial)
		}
	}
	if serial == 0 && checked == 0 {
		return v.own()
	}
	return v.reused(serial, checked)
}

// passedOn judges an answer that the origin has just given: as it was, or what
// the client's own condition or range leaves of it.
func (v *verdict) passedOn(c *Contact) *finding {
	x := v.x
	if x.onlyIfCached() {
		return found(RuleRequest, "only-if-cached, and the origin was asked (5.2.1.7)")
	}
	if c.Cut {
		return v.passedOnCut(c)
	}
	if f := v.ageOfPassedOn(c); f != nil {
		return f
	}
	if x.a.status == c.Status && c.Status != 304 && x.a.fields.Get("Set-Cookie") != c.Fields.Get("Set-Cookie") {
		return found(RuleSetCookie, "Set-Cookie is %q, want %q", x.a.fields.Get("Set-Cookie"), c.Fields.Get("Set-Cookie"))
	}
	asIs := Shown{c.Status, c.Sent, c.Fields.Get("Content-Range")}
	if asIs.Equal(x.q.Method, x.a.status, x.a.body, x.a.fields.Get("Content-Range")) {
		return nil
	}
	if c.Status != 200 && c.Status != 206 || x.q.Method != "GET" && x.q.Method != "POST" {
		return x.differs(RuleBody, asIs)
	}
	r := c.Response
	r.Status = 200
	want := Show(x.q, r, c.Whole, v.log.Storable(x.q, r) == RuleNone)
	switch {
	case want.Equal(x.q.Method, x.a.status, x.a.body, x.a.fields.Get("Content-Range")):
		return nil
	case want.Status == x.a.status:
		return x.differs(RuleBody, want)
	case x.a.status == 304 && v.log.Lent(x.q, r, c.Came, beginning):
		return nil
	}
	return x.differs(RuleCondition, want)
}

// passedOnCut judges an answer whose body broke off on its way to the proxy.
func (v *verdict) passedOnCut(c *Contact) *finding {
	x := v.x
	if x.a.cut || bytes.Equal(x.a.body, nil) && x.a.status != c.Status || x.q.Method == "HEAD" {
		return nil
	}
	if got := Show(x.q, c.Response, c.Whole, true); got.Status == 304 && x.a.status == 304 {
		return nil
	}
	if s := (Shown{x.a.status, x.a.body, x.a.fields.Get("Content-Range")}); x.partOfCut(c, s) {
		return nil
	}
	return found(RuleBody, "the origin's body broke off, the answer's did not")
}

// partOfCut: the part that was asked for may lie before the break.
func (x *exchanged) partOfCut(c *Contact, s Shown) bool {
	want := Show(x.q, c.Response, c.Whole, true)
	return want.Status == 206 && want.Equal(x.q.Method, s.Status, s.Body, s.ContentRange)
}

// ageOfPassedOn: none, the origin's own, or the one that the model comes to.
func (v *verdict) ageOfPassedOn(c *Contact) *finding {
	age := v.x.a.fields.Get("Age")
	if age == "" || age == c.Fields.Get("Age") {
		return nil
	}
	for _, at := range v.moments() {
		if !at.Before(c.Came) && age == seconds(Age(c.Response, at)) {
			return nil
		}
	}
	return found(RuleAge, "Age: %q, want %q or %q", age, c.Fields.Get("Age"), seconds(Age(c.Response, v.x.endedAt)))
}

// moments are the times at which the answer may have been chosen.
func (v *verdict) moments() []time.Time {
	out := []time.Time{v.x.arrivedAt}
	for _, m := range v.clock {
		if m.tick > v.x.arrived && m.tick < v.x.ended {
			out = append(out, m.at)
		}
	}
	return append(out, v.x.endedAt)
}

// validated judges a stored response that the origin has just confirmed.
func (v *verdict) validated(c *Contact, serial int) *finding {
	x := v.x
	if x.onlyIfCached() {
		return found(RuleRequest, "only-if-cached, and the origin was asked (5.2.1.7)")
	}
	f := found(RuleValidation, "response %d was served, which the origin's 304 %d was not about", serial, c.Checked)
	for _, s := range v.log.stored {
		over := s.Forbidden != RuleNone && s.Forbidden != RuleInvalidated && s.Since < c.AskedTick
		if s.Serial != serial || !v.log.SameKey(s.For[0], x.q) || !Asked(c, s) || over {
			continue
		}
		if !v.log.maySelect(s, x.q) {
			f = found(RuleVary, "validated response %d is not for this request", serial)
			continue
		}
		now := *s
		now.Response.Asked, now.Came, now.Fields, now.order = c.Response.Asked, c.Came, Merged(s.Fields, c.Fields), 0
		for _, at := range v.moments() {
			if at.Before(c.Came) {
				continue
			}
			if f = v.shown(&now, at, false); f == nil {
				return nil
			}
		}
	}
	return f
}

// reused judges an answer that the client's own exchanges with the origin do
// not explain.
func (v *verdict) reused(serial, checked int) *finding {
	states := v.log.Find(v.x.q.Path, serial, checked)
	f := found(RuleBody, "no response %d.%d of %s was ever received", serial, checked, v.x.q.Path)
	for i, s := range states {
		switch got := v.reusedAs(s); {
		case got == nil:
			return nil
		case i == 0:
			f = got
		}
	}
	return f
}

// reusedAs judges the reuse of one state of a response: there has to be a moment
// at which it was allowed.
func (v *verdict) reusedAs(s *Stored) *finding {
	x := v.x
	waited := x.arrived < s.Began
	var f *finding
	for _, trouble := range v.troubles() {
		for _, at := range v.moments() {
			if at.Before(s.Came) {
				continue
			}
			rule := v.log.Usable(s, x.q, x.arrived, v.log.Moment(s, x.q, x.arrived, at, trouble))
			got := v.shown(s, at, waited)
			switch {
			case rule == RuleNone && got == nil:
				return v.kept(s)
			case rule != RuleNone:
				got = found(rule, "response %d.%d was reused: age %v, lifetime %v", s.Serial, s.Checked, Age(s.Response, at), v.life(s))
			}
			if f == nil || rule == RuleNone {
				f = got
			}
		}
	}
	if waited && Error(s.Status) && s.Status >= 500 {
		return v.sharedError(s)
	}
	if f == nil {
		return found(RuleBody, "response %d.%d was not there", s.Serial, s.Checked)
	}
	return f
}

// sharedError judges an error page that all who waited were given.
func (v *verdict) sharedError(s *Stored) *finding {
	if want := (Shown{s.Status, s.Body, ""}); !v.x.a.cut && !want.Equal(v.x.q.Method, v.x.a.status, v.x.a.body, "") {
		return v.x.differs(RuleBody, want)
	}
	if !pageForAll(s.For[0], v.x.q, s.Response) {
		return found(RuleErrorPage, "error page %d was given to %s", s.Serial, describe(v.x.q))
	}
	return nil
}

// pageForAll reports whether those who waited for an error get its body.
func pageForAll(was, q Request, r Response) bool {
	c, _ := Governing(r.Fields)
	for _, name := range []string{"Cookie", "Authorization"} {
		if was.Fields[name] != nil || q.Fields[name] != nil {
			return false
		}
	}
	return r.Fields["Set-Cookie"] == nil && !c.Has("private") && !c.Has("no-store")
}

// troubles are the ways in which the origin failed while the request was there.
func (v *verdict) troubles() []Trouble {
	worst := NoTrouble
	for _, c := range v.contacts {
		if c.Asked.Path == v.x.q.Path && c.CameTick > v.x.arrived && c.CameTick < v.x.ended {
			worst = max(worst, c.Trouble)
		}
	}
	if worst == NoTrouble {
		return []Trouble{NoTrouble}
	}
	return []Trouble{NoTrouble, worst}
}

// kept judges the fields that are not for everybody.
func (v *verdict) kept(s *Stored) *finding {
	x := v.x
	c, _ := Governing(s.Fields)
	for _, directive := range []string{"private", "no-cache"} {
		for _, name := range c.Listed(directive) {
			if x.a.fields[name] != nil {
				return found(RulePrivate, "%s was reused in spite of %s", name, directive)
			}
		}
	}
	if x.a.fields["Set-Cookie"] != nil && !(v.log.SharesSetCookie() && s.Fields["Set-Cookie"] != nil) {
		return found(RuleSetCookie, "%s was set for another", x.a.fields.Get("Set-Cookie"))
	}
	if x.a.status == 200 && x.a.fields.Get("Link") != s.Fields.Get("Link") {
		return found(RuleHead, "Link is %q, was %q", x.a.fields.Get("Link"), s.Fields.Get("Link"))
	}
	return nil
}

func (v *verdict) life(s *Stored) time.Duration {
	may, _ := v.log.Lifetime(s.Response, v.log.CookieFree(s.For[len(s.For)-1]) && v.log.CookieFree(v.x.q))
	return may
}

// shown judges Age and what the client's condition or range left of a stored
// response.
func (v *verdict) shown(s *Stored, at time.Time, waited bool) *finding {
	x := v.x
	age := x.a.fields.Get("Age")
	if age == "" && ageValue(s.Response) == 0 && (s.order == 0 || x.arrived < s.order) {
		age = "0" // of what has just come nobody says how old it is
	}
	without := seconds(Moment{At: at, Waited: true}.age(s.Response))
	if age != seconds(Age(s.Response, at)) && !(waited && age == without) {
		return found(RuleAge, "Age: %q, want %q", age, seconds(Age(s.Response, at)))
	}
	want := Shown{s.Status, s.Body, ""}
	if s.Status == 200 {
		want = Show(x.q, s.Response, s.Body, true)
	}
	switch {
	case x.a.cut && s.Cut:
		return nil // it broke off for all
	case want.Equal(x.q.Method, x.a.status, x.a.body, x.a.fields.Get("Content-Range")):
		return nil
	case want.Status == 206 && (s.order == 0 || x.arrived < s.order) && (Shown{200, s.Body, ""}).Equal(x.q.Method, x.a.status, x.a.body, ""):
		return nil // its length was not known yet
	case want.Status == x.a.status:
		return x.differs(RuleBody, want)
	case x.a.status == 304 && v.log.Lent(x.q, s.Response, at, beginning):
		return nil
	}
	return x.differs(RuleCondition, want)
}

func (x *exchanged) differs(rule Rule, want Shown) *finding {
	return found(rule, "%d %q %q, want %d %q %q", x.a.status, x.a.fields.Get("Content-Range"), x.a.body,
		want.Status, want.ContentRange, want.Body)
}

// own judges an answer of the proxy itself.
func (v *verdict) own() *finding {
	x := v.x
	if x.a.status == 416 && x.q.Fields["Range"] != nil {
		return nil
	}
	if x.onlyIfCached() && x.a.status == 504 {
		if x.atHand != nil {
			return found(RuleNeedless, "504 to only-if-cached, and response %d.%d was at hand", x.atHand.Serial, x.atHand.Checked)
		}
		return nil
	}
	for _, c := range v.contacts {
		if c.Cause.Path != x.q.Path || c.CameTick < x.arrived || c.CameTick == 0 || c.CameTick > x.ended {
			continue
		}
		switch {
		case c.Trouble == Unreachable && (x.a.status == 502 || x.a.status == 504):
			return nil
		case c.Client != x.id && c.Status >= 500 && c.Status == x.a.status:
			return v.toldOf(c)
		}
	}
	return found(RuleOwn, "%d %v %q", x.a.status, x.a.fields, x.a.body)
}

// toldOf judges what a request that waited is told of an error.
func (v *verdict) toldOf(c *Contact) *finding {
	x := v.x
	names, star := Varies(c.Fields)
	switch {
	case x.a.fields.Get("Retry-After") != c.Fields.Get("Retry-After"):
		return found(RuleErrorPage, "Retry-After is %q, the origin's %q", x.a.fields.Get("Retry-After"), c.Fields.Get("Retry-After"))
	case !c.Cut && !star && len(names) == 0 && pageForAll(c.Cause, x.q, c.Response) && !ParseControl(c.Fields["Cache-Control"]).Has("no-cache"):
		return found(RuleErrorPage, "error page %d is for all who waited, and was kept from %s", c.Serial, describe(x.q))
	}
	return nil
}

func (x *exchanged) onlyIfCached() bool {
	return (x.q.Method == "GET" || x.q.Method == "HEAD") && ParseControl(x.q.Fields["Cache-Control"]).Has("only-if-cached")
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
