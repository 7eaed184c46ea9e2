package bus

import (
	"fmt"
	"slices"
	"time"

	"weir/invalidation"
)

// trust is what the gate is opened and closed by.
type trust struct {
	open     bool
	everOpen bool
	// round is when the gate was last closed: only what was asked after that
	// counts.
	round time.Time
	// grace is until when a node that hears from nobody waits for somebody.
	grace time.Time
	// behind: purges are missing. since is when they were first missed, sure
	// whether they were lost for certain.
	behind bool
	since  time.Time
	sure   bool
	told   bool
}

// begin is the start: closed.
func (t *trust) begin(now time.Time, lease time.Duration) {
	t.round, t.grace = now, now.Add(lease+lease/2)
}

// lost: purges are missing that a peer has sent.
func (t *trust) lost(now time.Time) {
	t.incomplete(now)
	t.sure = true
}

// incomplete: purges are missing that may be under way.
func (t *trust) incomplete(now time.Time) {
	if !t.behind {
		t.behind, t.since, t.sure = true, now, false
	}
}

// complete: nothing that present peers have is missing.
func (t *trust) complete() { t.behind, t.sure = false, false }

// close closes the gate and begins a round.
func (b *Bus) close(now time.Time, why string) {
	t := &b.trust
	b.o.Node.Gate().Close()
	t.round, t.grace = now, now.Add(b.o.Lease+b.o.Lease/2)
	if t.open {
		t.open = false
		b.o.Log.Warn("the cache is not used unconfirmed", "because", why)
		b.event(GateClosed, "", why)
	}
	// What was asked before may have been answered before it was missed.
	b.sendProbe(now)
}

// decide opens the gate, keeps it open, or closes it.
func (b *Bus) decide(now time.Time) {
	t := &b.trust
	if t.behind && (t.sure || now.Sub(t.since) > thirdPartyGrace) {
		if !t.told {
			t.told = true
			missing := b.received.Behind(b.known(now))
			b.o.Log.Warn("this node is behind its peers", "purges", missing)
			b.event(Behind, "", fmt.Sprintf("%d purges", missing))
		}
		if t.open {
			b.close(now, "purges are missing")
		}
		return
	}
	until, ok := b.mayOpen(now)
	if !ok {
		if t.open {
			b.close(now, "too few peers are heard from")
		}
		return
	}
	if t.told && !t.behind {
		t.told = false
		b.o.Log.Info("this node has caught up with its peers")
		b.event(CaughtUp, "", "")
	}
	b.o.Node.Gate().OpenUntil(until)
	if !t.open {
		t.open, t.everOpen = true, true
		b.o.Log.Info("the cache is used", "peers", b.liveCount())
		b.event(GateOpened, "", "")
	}
}

// mayOpen tells until when the gate may be open, and whether it may at all.
func (b *Bus) mayOpen(now time.Time) (until time.Time, ok bool) {
	until = b.lastTick.Add(b.stall())
	if b.o.Node.LogState() == invalidation.LogOpening && now.Before(b.trust.grace) {
		return until, false // its log comes soon, and closes the gate
	}
	if b.o.OnIsolation == Revalidate {
		lease, ok := b.lease()
		if lease.Before(until) {
			until = lease
		}
		if !ok || !until.After(now) {
			return until, false
		}
	}
	if b.trust.open {
		return until, true
	}
	return until, !b.trust.behind && !b.changing && b.heardAll(now)
}

// lease is until when the answers of a quorum count: from the sending of the
// probes that they answered.
func (b *Bus) lease() (until time.Time, ok bool) {
	need := b.o.Quorum - 1
	if need == 0 {
		return time.Now().Add(b.o.Lease), true
	}
	var at []time.Time
	for _, p := range b.peers {
		if !p.confirmed.Before(b.trust.round) {
			at = append(at, p.confirmed)
		}
	}
	if len(at) < need {
		return time.Time{}, false
	}
	slices.SortFunc(at, func(a, b time.Time) int { return b.Compare(a) })
	return at[need-1].Add(b.o.Lease), true
}

// heardAll tells whether everybody who can be reached was asked in this round,
// and what they know is in effect here.
func (b *Bus) heardAll(now time.Time) bool {
	confirmed := 0
	for _, p := range b.peers {
		switch {
		case !p.confirmed.Before(b.trust.round):
			confirmed++
		case !p.asked.Before(b.trust.round):
			return false // it has answered, and not all of that is applied
		}
	}
	return confirmed >= max(b.expected(), len(b.peers)) && confirmed > 0 || now.After(b.trust.grace)
}

func (b *Bus) liveCount() (n int) {
	for _, p := range b.peers {
		if p.live {
			n++
		}
	}
	return n
}
