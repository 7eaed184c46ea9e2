package model

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// What many clients at once may not do to each other and to the origin: wait
// for what cannot be theirs, or ask for what is on its way.

// about is a finding about a client.
func about(x *exchanged, rule Rule, format string, args ...any) *finding {
	return found(rule, "%s:\n%s: %s\n(Cache-Status: %s)", describe(x.q), rule, fmt.Sprintf(format, args...), x.a.fields.Get("Cache-Status"))
}

// own are the exchanges with the origin that x caused.
func (w *world) own(x *exchanged) []*Contact {
	var out []*Contact
	for _, c := range w.origin.contacts {
		if c.Client == x.id {
			out = append(out, c)
		}
	}
	return out
}

// needless judges what a request that has just arrived did to the origin, or
// waits for.
func (w *world) needless(x *exchanged) *finding {
	own := w.own(x)
	switch {
	case x.atHand != nil && Reloads(x.q) != NoReload && (!x.done || len(own) > 0):
		return about(x, RuleReload, "response %d.%d came a moment ago", x.atHand.Serial, x.atHand.Checked)
	case x.atHand != nil && (!x.done || len(own) > 0):
		return about(x, RuleNeedless, "response %d.%d was fresh", x.atHand.Serial, x.atHand.Checked)
	case x.staleAtHand != nil && (!x.done || !x.shows(x.staleAtHand) && slices.ContainsFunc(own, func(c *Contact) bool { return c.CameTick != 0 && c.CameTick < x.ended })):
		return about(x, RuleNeedless, "response %d.%d is to be served stale", x.staleAtHand.Serial, x.staleAtHand.Checked)
	}
	if c := x.known; c != nil && !x.done && len(own) == 0 {
		return about(x, RuleQueue, "it waits, and response %d.%d to a request of its kind was not for others", c.Serial, c.Checked)
	}
	for _, c := range w.origin.contacts {
		if c.CameTick == 0 && c.AskedTick < x.arrived && len(own) > 0 && w.sameKind(c, x) && !(Reloads(x.q) != NoReload && w.besideBody(c)) {
			return about(x, RuleCrowd, "request %d has asked for the same, and the origin has not answered", c.Client)
		}
	}
	return nil
}

// shows reports whether the answer is s as it was stored. A refresh behind it may
// be over before the answer is read.
func (x *exchanged) shows(s *Stored) bool {
	serial, checked := x.a.serials()
	return serial == s.Serial && checked == s.Checked
}

// besideBody reports whether the body of an older answer was under way when c was
// asked for: whoever wants something newer than that goes alone.
func (w *world) besideBody(c *Contact) bool {
	return slices.ContainsFunc(w.origin.contacts, func(n *Contact) bool {
		return n.Cause.Path == c.Cause.Path && n.CameTick != 0 && n.CameTick < c.AskedTick && (n.DoneTick == 0 || n.DoneTick > c.AskedTick)
	})
}

// foresee notes what the origin last said to a request like x, if that showed
// that its answers are not for others.
func (w *world) foresee(x *exchanged) {
	var last *Contact
	for _, c := range append(w.past[:len(w.past):len(w.past)], w.origin.contacts...) {
		if c.Cause.Path != x.q.Path {
			continue
		}
		if last = c; c.DoneTick == 0 {
			return // nobody knows yet
		}
	}
	if last != nil && w.clock.now().Sub(last.Came) < time.Minute && w.alike(last, x) && w.disproves(last, x) {
		x.known = last
	}
}

// plain reports whether others can wait for an answer to the request at all.
func plain(q Request) bool {
	return q.Method == "GET" && q.Fields["Range"] == nil && q.Fields["Authorization"] == nil && Reloads(q) != ReloadNoStore
}

// alike reports whether the contact was for a request of x's kind.
func (w *world) alike(c *Contact, x *exchanged) bool {
	return plain(c.Cause) && plain(x.q) && c.Asked.Method == "GET" && w.log.SameKey(c.Cause, x.q) && w.log.kind(c.Cause) == w.log.kind(x.q)
}

// disproves reports whether the contact's answer shows that answers to requests
// like x are not for others: there is no freshness in it, or no sharing.
func (w *world) disproves(c *Contact, x *exchanged) bool {
	r := c.Response
	if c.Trouble != NoTrouble || c.Cut || r.Status >= 400 && r.Status != 404 && r.Status != 410 || w.varies(x.q.Path) {
		return false
	}
	if r.Status == http.StatusNotModified || r.Status == http.StatusPartialContent {
		return false // what it says depends on what is stored
	}
	q := Request{Method: "GET", Path: x.q.Path, Fields: http.Header{}}
	rule := w.log.Storable(q, r)
	if rule == RuleNone {
		rule = w.log.Reuse(r, q, Moment{At: r.Came, Waited: true, Free: w.log.CookieFree(x.q)})
	}
	return rule != RuleNone
}

// varies reports whether an answer of the path had a Vary.
func (w *world) varies(path string) bool {
	return slices.ContainsFunc(append(w.past[:len(w.past):len(w.past)], w.origin.contacts...), func(c *Contact) bool {
		return c.Cause.Path == path && c.Fields["Vary"] != nil
	})
}

// refuse notes for whom an answer shows that it is not theirs to wait for.
func (w *world) refuse(c *Contact) {
	for _, x := range w.clients {
		if !x.done && x.arrived < c.CameTick && c.Client != x.id && len(w.own(x)) == 0 && w.alike(c, x) && w.disproves(c, x) {
			x.refused = c
		}
	}
}

// crowd judges who waits for whom, when nothing more happens by itself.
func (w *world) crowd() *finding {
	for _, c := range w.origin.contacts {
		if c.CameTick != 0 && c.DoneTick == 0 {
			return nil // whose body it is that somebody waits for is not to be seen
		}
	}
	for _, x := range w.clients {
		// What it waits for may be another fetch that was on its way by then. Where the
		// proxy forgets on purpose, that is no excuse.
		c := x.refused
		other := c != nil && slices.ContainsFunc(w.origin.contacts, func(n *Contact) bool {
			return n.CameTick == 0 && n.Cause.Path == x.q.Path && n.AskedTick < c.CameTick
		})
		if c != nil && (!other || w.shim.forgets) && !x.done && len(w.own(x)) == 0 {
			return about(x, RuleQueue, "it goes on waiting, and response %d.%d was not for others", c.Serial, c.Checked)
		}
	}
	return nil
}

// sameKind reports whether x has to wait for the exchange, of which nothing is
// known yet: the same is asked for in the same way, and nothing that came before
// speaks against it.
func (w *world) sameKind(c *Contact, x *exchanged) bool {
	if !shareable(c.Cause) || !shareable(x.q) || !w.log.SameKey(c.Cause, x.q) || w.log.kind(c.Cause) != w.log.kind(x.q) ||
		!slices.Equal(c.Cause.Fields["Cache-Control"], x.q.Fields["Cache-Control"]) ||
		!slices.Equal(c.Cause.Fields["Pragma"], x.q.Fields["Pragma"]) {
		return false
	}
	for _, was := range append(w.past[:len(w.past):len(w.past)], w.origin.contacts...) {
		unsafe := was.Asked.Method != "GET" && was.Asked.Method != "HEAD"
		if unsafe || was.Cause.Path == x.q.Path && was.CameTick != 0 && w.speaksAgainst(was, x) {
			return false
		}
	}
	return true
}

func shareable(q Request) bool {
	return q.Method == "GET" && q.Fields["Range"] == nil && q.Fields["Authorization"] == nil
}

// speaksAgainst reports whether an answer may have led the cache to let requests
// for its path go side by side.
func (w *world) speaksAgainst(c *Contact, x *exchanged) bool {
	q := Request{Method: "GET", Path: c.Cause.Path, Fields: http.Header{}}
	free := w.log.CookieFree(c.Cause) && w.log.CookieFree(x.q)
	if _, life := w.log.Lifetime(c.Response, free); life <= Age(c.Response, c.Came) {
		return true
	}
	return c.Status != http.StatusOK || c.Cut || c.Fields["Vary"] != nil || w.log.Storable(q, c.Response) != RuleNone ||
		w.log.Reuse(c.Response, q, Moment{At: c.Came, Waited: true, Free: free}) != RuleNone
}
