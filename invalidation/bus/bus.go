package bus

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/invalidation"
)

// OnIsolation is what a node does that hears from too few peers.
type OnIsolation uint8

const (
	// Serve goes on using the cache.
	Serve OnIsolation = iota
	// Revalidate asks the origin before every use, until a quorum is heard.
	Revalidate
)

// Options configure a Bus.
type Options struct {
	// Node is brought up to date, and its gate opened and closed.
	Node *invalidation.Node
	// Cluster is the name that all nodes share, Secret what they prove
	// themselves with; it may be empty.
	Cluster string
	Secret  []byte
	// Transport is owned by the bus from Open on.
	Transport Transport
	// Expected is how many peers there should be; 0 when that is not known.
	Expected    int
	OnIsolation OnIsolation
	// Quorum is how many nodes, this one counted, must be heard from with
	// Revalidate; 0 means 1.
	Quorum int
	// Lease is how long a node trusts what it last heard; 0 means 2 s.
	Lease time.Duration
	// Forget is after which time a peer that was not heard from is no longer
	// waited for; 0 means an hour.
	Forget time.Duration
	// Names is a file that keeps the names of peers across restarts, so that
	// one that is away is named; "" keeps none.
	Names string
	// Log gets what an operator must know; nil discards it.
	Log *slog.Logger
	// Event is told what happens; it must not block. It may be nil.
	Event func(Event)

	breathe func() // in tests: blocks while the process is stopped
}

// thirdPartyGrace is how long purges of a third node may be missing before the
// gate closes: they may be under way on another connection.
const thirdPartyGrace = 100 * time.Millisecond

// Bus is one node's part in the cluster. Make one with Open.
type Bus struct {
	o        Options
	codec    *codec
	instance uint64
	stopped  chan struct{}
	done     chan struct{}
	once     sync.Once
	unwatch  func()
	wake     chan struct{}

	// queue is what the node applied and the bus has not looked at yet.
	queueMu  sync.Mutex // protects what follows, down to the next group
	queue    []invalidation.Purge
	queued   int // bytes in queue, as Purge.Size has them
	overflow bool
	// ended are the outcomes of what was handed to the node.
	ended []outcome

	dropped, foreign atomic.Int64

	// mu protects everything below. Nobody who holds it is waited for by the
	// goroutine that applies purges.
	mu    sync.Mutex
	peers map[string]*peer
	// gone are peers that left or were forgotten, until they are heard again.
	gone map[string]struct{}
	// applied is what is in effect here, received what will be, unless the
	// node says otherwise: it includes what was handed to it.
	applied, received invalidation.Vector
	pending           int // purges handed to the node and not ended
	changing          bool
	probes            [16]probe
	nextProbe         int
	nonces            uint64
	fetch             fetch
	trust             trust
	waiters           map[*waiter]struct{}
	said              map[string]time.Time // when a log line was last written
	lastTick          time.Time
	closing           bool
	names             names
}

type probe struct {
	nonce uint64
	sent  time.Time
}

// outcome is that of purges that were handed to the node.
type outcome struct {
	purges int
	change bool
	err    error
}

// maxQueue bounds the purges that wait to be told to the peers, in bytes: about
// 200,000 small ones, a second's worth on a busy machine. Beyond it the peers find
// out by probes and fetch them from the log; a node without one keeps few, and its
// peers then invalidate everything.
const maxQueue = 16 << 20

// Open joins the cluster. The node's gate is closed until the peers that can be
// reached have been heard.
func Open(o Options) (*Bus, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Event == nil {
		o.Event = func(Event) {}
	}
	o.Quorum = cmp.Or(o.Quorum, 1)
	o.Lease = cmp.Or(o.Lease, 2*time.Second)
	o.Forget = cmp.Or(o.Forget, time.Hour)
	b := &Bus{
		o: o, codec: newCodec(o.Cluster, o.Secret), stopped: make(chan struct{}), done: make(chan struct{}),
		wake: make(chan struct{}, 1), peers: make(map[string]*peer), gone: make(map[string]struct{}), waiters: make(map[*waiter]struct{}),
		said: make(map[string]time.Time), nonces: randomID(), instance: randomID(),
	}
	now := time.Now()
	b.loadNames(now)
	// What was fetched in a closure is good for as long as a stop goes unnoticed.
	o.Node.Gate().Span(b.stall())
	o.Node.Gate().Close()
	b.trust.begin(now, o.Lease)
	b.lastTick = now
	// Watching before the vector is read: what comes between is in both.
	b.unwatch = o.Node.Watch(b.onApplied)
	b.applied = o.Node.Vector()
	b.received = b.applied.Clone()
	if err := o.Transport.Start(b.receive); err != nil {
		b.unwatch()
		return nil, fmt.Errorf("cannot join the cluster: %w", err)
	}
	if b.o.breathe == nil {
		b.o.breathe = func() {}
	}
	go b.run()
	return b, nil
}

func randomID() uint64 {
	var r [8]byte
	_, _ = rand.Read(r[:]) // it never fails
	return binary.LittleEndian.Uint64(r[:]) | 1
}

// Close tells the peers that this node stops, and leaves. The gate stays as it
// is.
func (b *Bus) Close() {
	b.once.Do(func() {
		b.mu.Lock()
		b.closing = true
		b.broadcast(&message{kind: kindLeave})
		b.mu.Unlock()
		close(b.stopped)
		<-b.done
		b.o.Transport.Close()
		b.unwatch()
		b.finishNames()
	})
}

// Change has start change what the node knows of purges, as Node.Attach does, while
// the gate is closed. It returns when that is done, with its error; then the gate
// opens once the node has what its peers have.
func (b *Bus) Change(why string, start func(done func(error)) bool) error {
	ended := make(chan error, 1)
	b.mu.Lock()
	for b.changing && !b.closing {
		// What is under way would end the closure of this.
		b.mu.Unlock()
		time.Sleep(b.tick() / 8)
		b.mu.Lock()
	}
	if b.closing {
		b.mu.Unlock()
		return invalidation.ErrClosed
	}
	b.close(time.Now(), why)
	b.changing = start(func(err error) {
		b.onEnded(outcome{change: true, err: err})
		ended <- err
	})
	begun := b.changing
	b.mu.Unlock()
	if !begun {
		return invalidation.ErrClosed
	}
	select {
	case err := <-ended:
		return err
	case <-b.stopped:
		return invalidation.ErrClosed
	}
}

// tick is how often the bus looks around.
func (b *Bus) tick() time.Duration { return b.o.Lease / 8 }

// stall is how long the bus may not have looked around before what it knows
// counts no more: the process was stopped.
func (b *Bus) stall() time.Duration { return b.o.Lease / 2 }

func (b *Bus) run() {
	defer close(b.done)
	ticker := time.NewTicker(b.tick())
	defer ticker.Stop()
	b.onTick()
	for {
		select {
		case <-ticker.C:
			b.o.breathe()
			b.onTick()
		case <-b.wake:
			b.o.breathe()
			b.mu.Lock()
			now := time.Now()
			b.noticeStop(now)
			b.settle(now)
			b.mu.Unlock()
		case <-b.stopped:
			return
		}
	}
}

// onApplied is called by the goroutine that applies purges.
func (b *Bus) onApplied(p invalidation.Purge) {
	b.queueMu.Lock()
	if b.queued < maxQueue {
		b.queue = append(b.queue, p)
		b.queued += p.Size()
	} else {
		b.overflow = true
	}
	b.queueMu.Unlock()
	b.poke()
}

func (b *Bus) onEnded(o outcome) {
	b.queueMu.Lock()
	b.ended = append(b.ended, o)
	b.queueMu.Unlock()
	b.poke()
}

func (b *Bus) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// onTick sends a probe when it is time, and lets time do its work.
func (b *Bus) onTick() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.noticeStop(now)
	b.lastTick = now
	last := b.probes[(b.nextProbe+len(b.probes)-1)%len(b.probes)]
	if now.Sub(last.sent) >= b.o.Lease/4 {
		b.sendProbe(now)
	}
	b.lookForLost(now)
	b.settle(now)
}

// noticeStop closes the gate when the process was stopped. Whoever comes first
// calls it: a message that waited must not be taken for one that came in time.
func (b *Bus) noticeStop(now time.Time) {
	away := now.Sub(b.lastTick)
	if away <= b.stall() {
		return
	}
	b.lastTick = now
	b.o.Log.Warn("this node was stopped, or the machine stalled; it asks its peers what it missed", "for", away.Round(time.Millisecond))
	b.close(now, "the process was stopped")
}

func (b *Bus) sendProbe(now time.Time) {
	b.nonces++
	b.probes[b.nextProbe] = probe{nonce: b.nonces, sent: now}
	b.nextProbe = (b.nextProbe + 1) % len(b.probes)
	b.broadcast(&message{kind: kindProbe, nonce: b.nonces, vector: b.applied})
}

// settle takes in what the node has done since, and draws the conclusions.
func (b *Bus) settle(now time.Time) {
	b.drain()
	b.confirm()
	b.checkWaiters(now)
	b.catchUp(now)
	b.decide(now)
}

// drain takes what was applied out of the queue: this node's own purges are told
// to everybody, those of others acknowledged to whoever took them.
func (b *Bus) drain() {
	b.queueMu.Lock()
	queue, ended, overflow := b.queue, b.ended, b.overflow
	b.queue, b.queued, b.ended, b.overflow = nil, 0, nil, false
	b.queueMu.Unlock()
	var own []invalidation.Purge
	acks := make(invalidation.Vector)
	self := b.o.Node.Self()
	for _, p := range queue {
		o := invalidation.Origin{Node: p.ID.Node, Incarnation: p.ID.Incarnation}
		b.applied[o] = max(b.applied[o], p.ID.Number)
		b.received[o] = max(b.received[o], p.ID.Number)
		switch {
		case o == self:
			own = append(own, p)
		case o.Node != self.Node:
			acks[o] = max(acks[o], p.ID.Number)
		}
	}
	if overflow {
		b.applied.Merge(b.o.Node.Vector())
		b.received.Merge(b.applied)
	}
	b.sendFacts(own)
	for o, n := range acks {
		if b.peers[o.Node] != nil {
			b.send(o.Node, &message{kind: kindAck, origin: o, number: n})
		}
	}
	for _, e := range ended {
		b.end(e)
	}
}

// end takes in the outcome of what was handed to the node.
func (b *Bus) end(e outcome) {
	b.pending -= e.purges
	if e.change {
		b.changing = false
		b.applied = b.o.Node.Vector()
		b.received = b.applied.Clone()
	}
	if e.err != nil {
		if !errors.Is(e.err, invalidation.ErrClosed) {
			b.sayOnce("apply", time.Now(), func() {
				b.o.Log.Error("purges of other nodes could not be applied; they are fetched again", "error", e.err)
			})
		}
		// What was counted on is not here. Purges that are still under way are
		// received once more, which does no harm.
		b.received = b.applied.Clone()
		b.fetch.hold = time.Now().Add(b.o.Lease / 4)
	}
}

// sendFacts broadcasts purges in as few messages as hold them.
func (b *Bus) sendFacts(list []invalidation.Purge) {
	for len(list) > 0 {
		n := fits(list, chunkBytes)
		b.broadcast(&message{kind: kindFacts, purges: list[:n]})
		list = list[n:]
	}
}

// fits is how many of the purges go into one message of about maxBytes: one at
// least, when there is one.
func fits(list []invalidation.Purge, maxBytes int) (n int) {
	for size := 0; n < len(list) && n < maxPurges; n++ {
		if size += list[n].Size(); n > 0 && size > maxBytes {
			break
		}
	}
	return n
}

func (b *Bus) broadcast(m *message) {
	b.sent(b.o.Transport.Broadcast(b.encode(m)))
}

func (b *Bus) send(to string, m *message) {
	b.sent(b.o.Transport.Send(to, b.encode(m)))
}

func (b *Bus) encode(m *message) []byte {
	m.from, m.instance = b.o.Node.Name(), b.instance
	return b.codec.encode(m)
}

func (b *Bus) sent(err error) {
	if err != nil {
		b.sayOnce("send", time.Now(), func() { b.o.Log.Warn("cannot send to the peers", "error", err) })
	}
}

// sayOnce keeps a line that may come with every message to one a minute.
func (b *Bus) sayOnce(key string, now time.Time, say func()) {
	if last, ok := b.said[key]; ok && now.Sub(last) < time.Minute {
		return
	}
	b.said[key] = now
	say()
}

func (b *Bus) event(k EventKind, peer, text string) {
	b.o.Event(Event{Kind: k, At: time.Now(), Peer: peer, Text: text})
}
