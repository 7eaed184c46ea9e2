package bus

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

// network joins ports under a simulated clock: each link keeps its order, delays, and can be cut one way, with what is under
// way lost, or kept until it heals as TCP does. One goroutine delivers, so that nothing but the nodes' own goroutines and the
// test run at any time.
type network struct {
	mu     sync.Mutex // protects what follows, and in ports what is not their own
	rand   *rand.Rand
	most   time.Duration // longest delay
	ports  map[string]*port
	links  map[link]*linkState
	queue  messages
	sent   uint64
	wake   chan struct{}
	closed chan struct{}
	done   chan struct{}
	// heard is told of each message that was taken in.
	heard func(to string, raw []byte)
	spoil func(raw []byte) []byte // nil loses the message
}

type link struct{ from, to string }

type linkState struct {
	cut, keeps bool
	kept       []*inFlight // while cut
	last       time.Time   // when the last message arrives
	lose       int         // so many of the next
}

type inFlight struct {
	link
	at  time.Time
	n   uint64
	raw []byte
}

type messages []*inFlight

func (m messages) Len() int { return len(m) }
func (m messages) Less(i, j int) bool {
	if !m[i].at.Equal(m[j].at) {
		return m[i].at.Before(m[j].at)
	}
	return m[i].n < m[j].n
}
func (m messages) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *messages) Push(x any)   { *m = append(*m, x.(*inFlight)) }
func (m *messages) Pop() any {
	old := *m
	last := old[len(old)-1]
	*m = old[:len(old)-1]
	return last
}

func newNetwork(seed uint64, most time.Duration) *network {
	n := &network{
		rand: rand.New(rand.NewPCG(seed, 1)), most: most, ports: make(map[string]*port), links: make(map[link]*linkState),
		wake: make(chan struct{}, 1), closed: make(chan struct{}), done: make(chan struct{}), heard: func(string, []byte) {},
		spoil: func(b []byte) []byte { return b },
	}
	go n.run()
	return n
}

// port is one process's end, a Transport.
type port struct {
	net     *network
	name    string
	receive func([]byte)
	// gone: the process is dead. held is what arrives while it is stopped.
	gone, stopped bool
	held          []*inFlight
	most          int
}

func (n *network) port(name string, most int) *port { return &port{net: n, name: name, most: most} }

// Start implements Transport.
func (p *port) Start(receive func([]byte)) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.receive = receive
	p.net.ports[p.name] = p
	return nil
}

// Broadcast implements Transport.
func (p *port) Broadcast(b []byte) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	for _, to := range simNames {
		if to != p.name {
			p.net.send(p, to, b)
		}
	}
	return nil
}

// Send implements Transport.
func (p *port) Send(to string, b []byte) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.net.send(p, to, b)
	return nil
}

// Close implements Transport.
func (p *port) Close() {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.gone = true
	if p.net.ports[p.name] == p {
		delete(p.net.ports, p.name)
	}
}

// kill is what a crash does to a process's messages: none leaves any more, and none is taken in.
func (p *port) kill() { p.Close() }

func (n *network) link(l link) *linkState {
	s := n.links[l]
	if s == nil {
		s = &linkState{}
		n.links[l] = s
	}
	return s
}

func (n *network) send(p *port, to string, b []byte) {
	l := link{p.name, to}
	s := n.link(l)
	if p.gone {
		return
	}
	if s.lose > 0 {
		s.lose--
		return
	}
	if b = n.spoil(b); b == nil {
		return
	}
	n.sent++
	m := &inFlight{link: l, n: n.sent, raw: append([]byte(nil), b...)}
	if s.cut {
		if s.keeps {
			s.kept = append(s.kept, m)
		}
		return
	}
	n.enqueue(s, m)
}

func (n *network) enqueue(s *linkState, m *inFlight) {
	at := time.Now().Add(time.Duration(n.rand.Int64N(int64(n.most) + 1)))
	if at.Before(s.last) {
		at = s.last
	}
	s.last, m.at = at, at
	heap.Push(&n.queue, m)
	n.poke()
}

func (n *network) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// cut cuts the link one way. With keeps, what is sent arrives when it heals.
func (n *network) cut(l link, keeps bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.link(l)
	s.cut, s.keeps = true, keeps
	rest := n.queue[:0]
	var under messages
	for _, m := range n.queue {
		if m.link == l {
			under = append(under, m)
		} else {
			rest = append(rest, m)
		}
	}
	n.queue = rest
	heap.Init(&n.queue)
	if keeps {
		heap.Init(&under)
		for under.Len() > 0 {
			s.kept = append(s.kept, heap.Pop(&under).(*inFlight))
		}
	}
}

func (n *network) heal(l link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.link(l)
	s.cut, s.lose = false, 0
	for _, m := range s.kept {
		n.enqueue(s, m)
	}
	s.kept = nil
}

func (n *network) lose(l link, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(l).lose += count
}

// stop holds what arrives at the port; goOn hands it over in one burst.
func (n *network) stop(p *port) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p.stopped = true
}

func (n *network) goOn(p *port) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range p.held {
		m.at = time.Now() // before anything that arrives from now on
		heap.Push(&n.queue, m)
	}
	p.held, p.stopped = nil, false
	n.poke()
}

func (n *network) deliver(p *port, raw []byte) {
	p.receive(raw)
	n.heard(p.name, raw)
}

func (n *network) run() {
	defer close(n.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		n.mu.Lock()
		next := time.Hour
		var m *inFlight
		var p *port
		if len(n.queue) > 0 {
			if next = time.Until(n.queue[0].at); next <= 0 {
				m = heap.Pop(&n.queue).(*inFlight)
				p = n.ports[m.to]
				if p != nil && p.stopped {
					if len(p.held) < p.most { // else the buffer is full
						p.held = append(p.held, m)
					}
					p = nil
				}
			}
		}
		n.mu.Unlock()
		if m != nil {
			if p != nil {
				n.deliver(p, m.raw)
			}
			continue
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-n.wake:
		case <-n.closed:
			return
		}
	}
}

func (n *network) close() {
	close(n.closed)
	<-n.done
}
