package proxy

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"weir/policy"
	"weir/proxy/front"
)

// handle answers a request.
func (c *core) handle(s front.Session) {
	x := c.exchangeFor(s)
	x.begin()
	x.run()
}

// expects reports whether the client of a request may send the body that it asks
// about. Where the head alone rules the request out, it is answered.
func (c *core) expects(client front.Session) bool {
	x := c.exchangeFor(client)
	s := x.receive()
	if s == statePurge {
		s = x.purge()
	}
	if s != stateRefuse {
		x.reset()
		c.pool.Put(x)
		return true
	}
	x.begin()
	x.refuse()
	x.handOver()
	return false
}

// exchangeFor begins an exchange.
func (c *core) exchangeFor(s front.Session) *exchange {
	x := c.pool.Get().(*exchange)
	x.session, x.head, x.cfg, x.start = s, s.Request(), c.cfg.Load(), c.now()
	x.now = c.clock.At(x.start)
	x.from = x.head.Sender
	x.from.Proxies = x.cfg.TrustedProxies
	x.trusted = x.from.Trusted()
	return x
}

// run drives the machine. A panic becomes a 500 and a log line: one request
// must not take the others with it.
func (x *exchange) run() {
	defer func() {
		if r := recover(); r != nil {
			x.panicked(r)
		}
	}()
	for s := stateReceive; s != stateDone; {
		switch s {
		case stateReceive:
			s = x.receive()
		case statePurge:
			s = x.purge()
		case stateLookup:
			s = x.lookup()
		case stateJoin:
			s = x.join()
		case stateFollow:
			s = x.follow()
		case stateAlone:
			s = x.goAlone()
		case stateTake:
			s = x.take()
		case statePass:
			s = x.pass()
		case stateFail:
			s = x.fail()
		case stateDeliver:
			s = x.deliver()
		case stateRefuse:
			s = x.refuse()
		case stateFinish:
			s = x.handOver()
		default:
			panic(fmt.Sprintf("BUG: client machine in state %d", s))
		}
	}
}

func (x *exchange) panicked(r any) {
	x.core.log.Error("request failed", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	x.closing = true
	x.drop()
	x.refusal(http.StatusInternalServerError, policy.ReasonInternal, "an internal error; it is in weir's log")
	x.refuse()
	x.handOver()
}

// handOver gives the answer to the client's session. A body that streams finishes
// the exchange itself when it is written.
func (x *exchange) handOver() state {
	x.answer.Close = x.closing
	streams := x.answer.Stream != nil
	x.session.Send(&x.answer)
	if !streams {
		x.finish()
	}
	return stateDone
}
