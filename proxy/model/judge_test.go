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

// exchanged is one request as the judge sees it: the answer, and what the
// origin was asked for meanwhile.
type exchanged struct {
	q        Request
	arrived  time.Time
	ended    time.Time
	a        answer
	contacts []Contact
}

// judge holds an answer against the model and lets the model learn from what
// the origin said.
func judge(l *Log, x *exchanged) *finding {
	atHand := l.AtHand(x.q, x.arrived)
	f, ours := x.explain(l, atHand)
	if f == nil && atHand != nil && len(x.contacts) > 0 {
		f = found(RuleNeedless, "response %d.%d was fresh", atHand.Serial, atHand.Checked)
	}
	shown, _ := x.a.serials()
	for _, c := range x.contacts {
		l.Learn(x.q, c, ours, shown)
	}
	return f
}

// explain finds out where the answer came from and whether it may. Ours tells
// that a 304 among the contacts was an answer to the cache.
func (x *exchanged) explain(l *Log, atHand *Stored) (f *finding, ours bool) {
	serial, checked := x.a.serials()
	for i := range x.contacts {
		c := &x.contacts[i]
		switch {
		case c.Serial != 0 && c.Serial == serial:
			return x.passedOn(l, c), true
		case c.Checked != 0 && c.Checked == checked && serial == 0:
			return x.passedOn(l, c), false
		case c.Checked != 0 && c.Checked == checked && c.Status == 304:
			return x.validated(l, c, serial), true
		}
	}
	if serial == 0 && checked == 0 {
		return x.own(atHand), true
	}
	return x.reused(l, serial, checked), true
}

// passedOn judges an answer that the origin has just given: as it was, or what
// the client's own condition or range leaves of it.
func (x *exchanged) passedOn(l *Log, c *Contact) *finding {
	if x.onlyIfCached() {
		return found(RuleRequest, "only-if-cached, and the origin was asked (5.2.1.7)")
	}
	if c.Cut {
		if x.a.cut || bytes.Equal(x.a.body, nil) && x.a.status != c.Status || x.q.Method == "HEAD" {
			return nil
		}
		if got := Show(x.q, c.Response, c.Whole); got.Status == 304 && x.a.status == 304 {
			return nil
		}
		if s := (Shown{x.a.status, x.a.body, x.a.fields.Get("Content-Range")}); x.partOfCut(c, s) {
			return nil
		}
		return found(RuleBody, "the origin's body broke off, the answer's did not")
	}
	if f := x.ageOfPassedOn(c); f != nil {
		return f
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
	want := Show(x.q, r, c.Whole)
	if want.Equal(x.q.Method, x.a.status, x.a.body, x.a.fields.Get("Content-Range")) {
		return nil
	}
	if x.a.status == 304 && c.Status == 200 && Lent(x.q, r, x.ended) {
		return nil
	}
	if want.Status == x.a.status {
		return x.differs(RuleBody, want)
	}
	return x.differs(RuleCondition, want)
}

// partOfCut: the part that was asked for may lie before the break.
func (x *exchanged) partOfCut(c *Contact, s Shown) bool {
	want := Show(x.q, c.Response, c.Whole)
	return want.Status == 206 && want.Equal(x.q.Method, s.Status, s.Body, s.ContentRange)
}

// ageOfPassedOn: none, the origin's own, or the one that the model comes to.
func (x *exchanged) ageOfPassedOn(c *Contact) *finding {
	switch age := x.a.fields.Get("Age"); age {
	case c.Fields.Get("Age"), seconds(Age(c.Response, x.ended)):
		return nil
	default:
		return found(RuleAge, "Age: %q, want %q or %q", age, c.Fields.Get("Age"), seconds(Age(c.Response, x.ended)))
	}
}

// validated judges a stored response that the origin has just confirmed.
func (x *exchanged) validated(l *Log, c *Contact, serial int) *finding {
	if x.onlyIfCached() {
		return found(RuleRequest, "only-if-cached, and the origin was asked (5.2.1.7)")
	}
	for _, s := range l.stored {
		if s.Path != x.q.Path || s.Serial != serial || !Asked(*c, s) || s.Forbidden != RuleNone && s.Forbidden != RuleInvalidated {
			continue
		}
		if !s.maySelect(x.q) {
			return found(RuleVary, "validated response %d is not for this request", serial)
		}
		now := *s
		now.Asked, now.Came, now.Fields = c.Response.Asked, c.Came, Merged(s.Fields, c.Fields)
		return x.shown(&now, x.ended)
	}
	return found(RuleValidation, "response %d was served, which the origin's 304 %d was not about", serial, c.Checked)
}

// reused judges an answer that owes nothing to the origin's latest.
func (x *exchanged) reused(l *Log, serial, checked int) *finding {
	s := l.Find(x.q.Path, serial, checked)
	if s == nil {
		return found(RuleBody, "no response %d.%d of %s was ever received", serial, checked, x.q.Path)
	}
	trouble := NoTrouble
	if n := len(x.contacts); n > 0 {
		trouble = x.contacts[n-1].Trouble
	}
	at := x.arrived
	rule := l.Usable(s, x.q, at, NoTrouble)
	if trouble != NoTrouble && (rule != RuleNone || x.a.fields.Get("Age") != seconds(Age(s.Response, at))) {
		// It stands in, from when the origin had failed.
		at = x.ended
		rule = l.Usable(s, x.q, at, trouble)
	}
	if rule != RuleNone {
		return found(rule, "response %d.%d was reused: age %v, lifetime %v", serial, checked, Age(s.Response, at), life(s))
	}
	c, _ := Governing(s.Fields)
	for _, directive := range []string{"private", "no-cache"} {
		for _, name := range c.Listed(directive) {
			if x.a.fields[name] != nil {
				return found(RulePrivate, "%s was reused in spite of %s", name, directive)
			}
		}
	}
	return x.shown(s, at)
}

func life(s *Stored) time.Duration {
	may, _ := Lifetime(s.Response)
	return may
}

// shown judges Age and what the client's condition or range left of a stored
// response.
func (x *exchanged) shown(s *Stored, at time.Time) *finding {
	if age := x.a.fields.Get("Age"); age != seconds(Age(s.Response, at)) {
		return found(RuleAge, "Age: %q, want %q", age, seconds(Age(s.Response, at)))
	}
	want := Shown{s.Status, s.Body, ""}
	if s.Status == 200 {
		want = Show(x.q, s.Response, s.Body)
	}
	if want.Equal(x.q.Method, x.a.status, x.a.body, x.a.fields.Get("Content-Range")) {
		return nil
	}
	if x.a.status == 304 && s.Status == 200 && Lent(x.q, s.Response, at) {
		return nil
	}
	if want.Status == x.a.status {
		return x.differs(RuleBody, want)
	}
	return x.differs(RuleCondition, want)
}

func (x *exchanged) differs(rule Rule, want Shown) *finding {
	return found(rule, "%d %q %q, want %d %q %q", x.a.status, x.a.fields.Get("Content-Range"), x.a.body,
		want.Status, want.ContentRange, want.Body)
}

// own judges an answer of the proxy itself.
func (x *exchanged) own(atHand *Stored) *finding {
	switch {
	case x.a.status == 416 && x.q.Fields["Range"] != nil:
		return nil
	case x.onlyIfCached() && x.a.status == 504 && len(x.contacts) == 0:
		if atHand != nil {
			return found(RuleNeedless, "504 to only-if-cached, and response %d.%d was at hand", atHand.Serial, atHand.Checked)
		}
		return nil
	case (x.a.status == 502 || x.a.status == 504) && len(x.contacts) > 0 && x.contacts[len(x.contacts)-1].Trouble == Unreachable:
		return nil
	}
	return found(RuleOwn, "%d %v %q", x.a.status, x.a.fields, x.a.body)
}

func (x *exchanged) onlyIfCached() bool {
	return (x.q.Method == "GET" || x.q.Method == "HEAD") && ParseControl(x.q.Fields["Cache-Control"]).Has("only-if-cached")
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
