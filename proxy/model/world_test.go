package model

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// world is one history under way: the proxy, the origin, the clock, and the
// model beside them. It lives in a bubble of package synctest, where "all that
// can happen has happened" is something that can be waited for.
type world struct {
	tb     testing.TB
	clock  *clock
	origin *scriptedOrigin
	m      *machine
	shim   *shim
	log    Log
	last   map[string]http.Header
	// ids counts requests. What follows is of the step at hand.
	ids     int
	clients []*exchanged
	moved   []moved
	// past are the exchanges with the origin of all steps before.
	past []*Contact
}

// beginning is when every history begins, half a second past: what is counted in
// seconds must not hide behind it.
var beginning = time.Date(2026, 11, 22, 8, 0, 0, 5e8, time.UTC)

// run plays the history with the real machines and returns the first finding,
// with the step it was in.
func (h history) run(t *testing.T, s *shim) (f *finding) {
	synctest.Test(t, func(t *testing.T) { f = h.play(t, s) })
	return f
}

func (h history) play(tb testing.TB, s *shim) *finding {
	c := &clock{}
	c.nanos.Store(beginning.UnixNano())
	o := newOrigin(c, h.Initial)
	w := &world{
		tb: tb, clock: c, origin: o, shim: s, m: start(tb, &h.Policy, s.forgets, s.now(c), s.behind(o)), last: map[string]http.Header{},
		log: Log{Policy: h.Policy, invalidated: map[string]Tick{}},
	}
	defer func() {
		o.letGo()
		synctest.Wait()
		w.m.stop(tb)
	}()
	for i, st := range h.Steps {
		if f := w.step(st); f != nil {
			f.text = fmt.Sprintf("step %d, %s", i+1, f.text)
			return f
		}
	}
	return nil
}

// step plays one step to its end.
func (w *world) step(st step) *finding {
	w.past = append(w.past, w.origin.contacts...)
	w.origin.begin(st.Burst != nil)
	w.clients, w.moved = nil, nil
	switch {
	case st.Change != nil:
		w.origin.change(st.Change.Path, st.Change.clone(), st.Change.Version)
	case st.Ask != nil:
		return w.ask(st.Ask)
	case st.Burst != nil:
		return w.burst(st.Burst)
	default:
		w.clock.advance(st.Wait)
	}
	return nil
}

// burst plays what happens while the origin holds its answers, and then lets
// them go one by one, oldest first.
func (w *world) burst(acts []act) *finding {
	for _, a := range acts {
		var f *finding
		switch {
		case a.Ask != nil:
			f = w.ask(a.Ask)
		case a.Change != nil:
			w.origin.change(a.Change.Path, a.Change.clone(), a.Change.Version)
		case a.Wait != 0:
			w.clock.advance(a.Wait)
			w.moved = append(w.moved, moved{w.origin.next(), w.clock.now()})
		default:
			w.origin.release(a.Release)
			f = w.settle()
		}
		if f != nil {
			return f
		}
	}
	for w.origin.waiting() > 0 {
		w.origin.release(0)
		if f := w.settle(); f != nil {
			return f
		}
	}
	for _, x := range w.clients {
		if !x.done {
			return found(RuleHang, "%s:\nthe origin has said everything, and there is no answer", describe(x.q))
		}
	}
	return nil
}

// ask sends a request, and returns when nothing more happens by itself.
func (w *world) ask(a *ask) *finding {
	w.ids++
	x := &exchanged{q: a.request(w.last[a.Path]), id: w.ids, arrivedAt: w.clock.now()}
	w.origin.expect(x.id, x.q)
	x.q.Fields.Set("X-Client", strconv.Itoa(x.id))
	x.atHand, x.staleAtHand = w.log.AtHand(x.q, x.arrivedAt), w.log.StaleAtHand(x.q, x.arrivedAt)
	w.foresee(x)
	x.arrived = w.origin.next()
	w.clients = append(w.clients, x)
	headed := func() { x.ended, x.endedAt = w.origin.next(), w.clock.now() }
	go func() {
		if w.shim.around != nil && w.shim.around(x.q) {
			x.a = direct(w.tb, w.origin, x.q)
			headed()
		} else {
			x.a, x.err = w.m.do(w.shim.sent(x.q), headed)
			if w.shim.deliver != nil {
				w.shim.deliver(x.a.fields)
			}
		}
		x.done = true
	}()
	if f := w.settle(); f != nil {
		return f
	}
	return w.needless(x)
}

// settle waits until nothing more happens by itself, tells the model what the
// origin said, and judges what was answered.
func (w *world) settle() *finding {
	synctest.Wait()
	for _, n := range w.origin.take() {
		if n.done {
			w.log.Done(n.c)
			continue
		}
		shown := 0
		for _, x := range w.clients {
			if x.id == n.c.Client && x.done {
				shown, _ = x.a.serials()
			}
		}
		w.log.Came(n.c, shown)
		w.refuse(n.c)
	}
	for _, x := range w.clients {
		if !x.done || x.judged {
			continue
		}
		x.judged = true
		v := verdict{log: &w.log, x: x, contacts: w.origin.contacts, clock: w.moved}
		if f := v.judge(); f != nil {
			f.text = fmt.Sprintf("%s:\n%s: %s\n(Cache-Status: %s)", describe(x.q), f.rule, f.text, x.a.fields.Get("Cache-Status"))
			return f
		}
		if x.a.status == 200 || x.a.status == 206 {
			w.last[x.q.Path] = x.a.fields
		}
	}
	return w.crowd()
}
