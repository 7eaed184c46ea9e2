package bus

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/invalidation"
)

var simNames = []string{"n1", "n2", "n3"}

const simLease = 2 * time.Second

// target is what can be fetched.
type target struct {
	key  string
	tags []string
}

var targets = []target{
	{"w1 http://h1/a", []string{"t1"}},
	{"w1 http://h1/b", []string{"t1", "t2"}},
	{"w1 http://h2/a", []string{"t2"}},
	{"w1 http://h2/b", nil},
}

// simFact is a fact with what it touches, by hand: the model must not ask the code that it judges.
type simFact struct {
	fact    invalidation.Fact
	touches []int
}

var simFacts = []simFact{
	{invalidation.Fact{Kind: invalidation.URL, Scope: "http://h1/a"}, []int{0}},
	{invalidation.Fact{Kind: invalidation.URL, Scope: "//h2/b"}, []int{3}},
	{invalidation.Fact{Kind: invalidation.Tag, Scope: "t1"}, []int{0, 1}},
	{invalidation.Fact{Kind: invalidation.Tag, Scope: "t2"}, []int{1, 2}},
	{invalidation.Fact{Kind: invalidation.Prefix, Scope: "http://h1/"}, []int{0, 1}},
	{invalidation.Fact{Kind: invalidation.Host, Scope: "h2"}, []int{2, 3}},
	{invalidation.Fact{Kind: invalidation.All}, []int{0, 1, 2, 3}},
}

// object is what a proxy stores.
type object struct {
	subject invalidation.Subject
	started uint64 // the closure in which its fetch began
	checked atomic.Uint64
	began   uint64 // by the model's count of events
}

// taken is a purge that some node has acknowledged.
type taken struct {
	id      invalidation.ID
	touches []int
	acked   uint64 // by the model's count of events
	// applied is when it came into effect on each node, by that count and by the clock; an entry goes with a wiped disk.
	applied map[string]moment
	// heard is since when each node has been told of it by the vector of a peer.
	heard map[string]time.Time
	// first is when it came into effect on each node first, by the count; a wiped disk takes with it what was stored, so that
	// it holds for what was fetched before for ever.
	first map[string]uint64
}

type moment struct {
	event uint64
	at    time.Time
}

// simNode is one of the three.
type simNode struct {
	c     *cluster
	name  string
	dir   string
	node  *invalidation.Node // nil while it is down
	bus   *Bus
	port  *port
	store map[int]*object
	fills []fill
	// released is closed when the process goes on; nil while it runs.
	released  chan struct{}
	stoppedAt time.Time
	// must are purges that it has to know from its first answer on.
	must map[invalidation.ID]bool
}

type fill struct {
	target int
	object *object
}

// cluster is three nodes, what the model knows of them, and the first fault found.
type cluster struct {
	o     clusterOptions
	net   *network
	nodes map[string]*simNode

	mu     sync.Mutex // protects what follows
	events uint64
	purges map[invalidation.ID]*taken
	fault  string
	log    strings.Builder
	served int // from the cache
}

type clusterOptions struct {
	dir         string
	seed        uint64
	onIsolation OnIsolation
	maxLog      int64
	delay       time.Duration
	buffer      int // messages that a stopped process holds
	verbose     bool
	shim        shim
}

func newCluster(o clusterOptions) *cluster {
	c := &cluster{o: o, nodes: make(map[string]*simNode), purges: make(map[invalidation.ID]*taken)}
	c.net = newNetwork(o.seed, o.delay)
	c.net.heard, c.net.spoil = c.heard, c.o.shim.spoil
	for _, name := range simNames {
		n := &simNode{c: c, name: name, dir: filepath.Join(o.dir, name), store: make(map[int]*object)}
		c.nodes[name] = n
		n.start()
	}
	return c
}

func (c *cluster) say(format string, v ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(&c.log, "%8.3fs  %s\n", time.Since(simBegan).Seconds(), fmt.Sprintf(format, v...))
}

// simBegan is when every bubble's clock begins.
var simBegan = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (c *cluster) fail(format string, v ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fault == "" {
		c.fault = fmt.Sprintf(format, v...)
		fmt.Fprintf(&c.log, "%8.3fs  FAULT %s\n", time.Since(simBegan).Seconds(), c.fault)
	}
}

// event counts one.
func (c *cluster) event() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events++
	return c.events
}

// start starts the process over what is on its disk.
func (n *simNode) start() {
	node, err := invalidation.Open(invalidation.Options{
		Node: n.name, Dir: n.dir, Mark: filepath.Join(n.dir, "mark"), MaxLog: n.c.o.maxLog,
		Applied: func(p invalidation.Purge) { n.c.applied(n.name, p) },
	})
	if err != nil {
		n.c.fail("%s cannot start: %v", n.name, err)
		return
	}
	log := slog.New(slog.DiscardHandler)
	if n.c.o.verbose {
		log = slog.New(slog.NewTextHandler(simLog{n}, nil))
	}
	n.port = n.c.net.port(n.name, n.c.o.buffer)
	isolation := n.c.o.onIsolation
	if n.c.o.shim.serve {
		isolation = Serve
	}
	b, err := Open(Options{
		Node: node, Cluster: "sim", Secret: []byte("s"), Transport: n.port, Expected: len(simNames) - 1,
		OnIsolation: isolation, Quorum: 2, Lease: simLease, Names: filepath.Join(n.dir, "names"), Log: log, breathe: n.breathe,
	})
	if err != nil {
		n.c.fail("%s cannot join: %v", n.name, err)
		return
	}
	if n.c.o.shim.started != nil {
		n.c.o.shim.started(node)
	}
	n.node, n.bus = node, b
	for _, o := range n.store {
		o.started = 0 // of another process
		o.checked.Store(0)
	}
	n.mustKnow()
}

type simLog struct{ n *simNode }

func (l simLog) Write(b []byte) (int, error) {
	_, text, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	l.n.c.say("%s | %s", l.n.name, text)
	return len(b), nil
}

// breathe is what the bus's goroutine waits for between its steps.
func (n *simNode) breathe() {
	n.c.mu.Lock()
	released := n.released
	n.c.mu.Unlock()
	if released != nil {
		<-released
	}
}

// end ends the process: with a word to its peers, or killed.
func (n *simNode) end(leave bool) {
	if n.node == nil {
		return
	}
	if n.released != nil {
		n.port.kill()
		n.goOn(false)
	}
	if !leave {
		n.port.kill()
	}
	n.bus.Close()
	if err := n.node.Close(); err != nil {
		n.c.fail("%s cannot be closed: %v", n.name, err)
	}
	n.node, n.bus, n.fills = nil, nil, nil
	n.c.disturbed()
}

// wipe takes the disk of a node that is down: the log, and with all what is stored too.
func (n *simNode) wipe(all bool) {
	if err := os.RemoveAll(n.dir); err != nil {
		n.c.fail("cannot wipe: %v", err)
	}
	if all {
		n.store = make(map[int]*object)
	}
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	for _, p := range n.c.purges {
		delete(p.applied, n.name)
	}
}

func (n *simNode) stop() {
	n.c.mu.Lock()
	n.released, n.stoppedAt = make(chan struct{}), time.Now()
	n.c.mu.Unlock()
	n.c.net.stop(n.port)
	n.c.disturbed()
}

// goOn lets the process run; with traffic it is asked for everything before its goroutines have done anything.
func (n *simNode) goOn(traffic bool) {
	if traffic {
		if time.Since(n.stoppedAt) > simLease/2 {
			n.mustKnow()
		}
		n.askAll()
	}
	n.c.mu.Lock()
	released := n.released
	n.released = nil
	n.c.mu.Unlock()
	close(released)
	n.c.net.goOn(n.port)
	if traffic {
		n.askAll()
	}
}

func (n *simNode) up() bool { return n.node != nil && n.released == nil }

// mustKnow notes what peers have that the node can reach now: not one of its answers may contradict that.
func (n *simNode) mustKnow() {
	n.must = make(map[invalidation.ID]bool)
	for _, q := range n.c.nodes {
		if q == n || !q.up() || !n.c.net.whole(n.name, q.name) {
			continue
		}
		n.c.mu.Lock()
		for id, p := range n.c.purges {
			if _, ok := p.applied[q.name]; ok {
				n.must[id] = true
			}
		}
		n.c.mu.Unlock()
	}
}

// whole tells whether messages pass both ways.
func (n *network) whole(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	x, y := n.link(link{a, b}), n.link(link{b, a})
	return !x.cut && !y.cut && x.lose == 0 && y.lose == 0
}

// disturbed takes back what was demanded of nodes that count on these being reachable.
func (c *cluster) disturbed() {
	for _, n := range c.nodes {
		n.must = nil
	}
}

// applied is told of each purge that came into effect on a node, by that node's goroutine.
func (c *cluster) applied(name string, p invalidation.Purge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events++
	t := c.purges[p.ID]
	if t == nil {
		t = &taken{id: p.ID, applied: make(map[string]moment), heard: make(map[string]time.Time), first: make(map[string]uint64)}
		for _, f := range simFacts {
			if f.fact.Kind == p.Facts[0].Kind && f.fact.Scope == p.Facts[0].Scope {
				t.touches = f.touches
			}
		}
		c.purges[p.ID] = t
	}
	t.applied[name] = moment{c.events, time.Now()}
	if t.first[name] == 0 {
		t.first[name] = c.events
	}
}

// heard notes what a node was told of by a peer's vector.
func (c *cluster) heard(to string, raw []byte) {
	m, err := newCodec("sim", []byte("s")).decode(raw)
	if err != nil {
		c.fail("%s got what cannot be decoded: %v", to, err)
		return
	}
	if m.kind != kindProbe && m.kind != kindReply {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for o, number := range m.vector {
		for id, p := range c.purges {
			if _, ok := p.heard[to]; !ok && id.Node == o.Node && id.Incarnation == o.Incarnation && id.Number <= number {
				p.heard[to] = time.Now()
				if o.Node != m.from {
					// Those of a third node may be under way.
					p.heard[to] = time.Now().Add(thirdPartyGrace + simLease/8)
				}
			}
		}
	}
}

// purge takes a purge on the node, and with wait holds the bus to what it says of others.
func (n *simNode) purge(fact int, soft, wait bool) {
	f := simFacts[fact].fact
	f.Soft = soft
	began := time.Now()
	p, err := n.node.Purge([]invalidation.Fact{f})
	if err != nil {
		n.c.fail("%s refused a purge: %v", n.name, err)
		return
	}
	n.c.mu.Lock()
	n.c.events++
	n.c.purges[p.ID].acked = n.c.events
	n.c.mu.Unlock()
	n.c.say("%s purges %v %q: %v of %x", n.name, f.Kind, f.Scope, p.ID, p.ID.Incarnation)
	if !wait {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), simLease)
	defer cancel()
	applied, pending := n.bus.Wait(ctx, p.ID, began)
	n.c.mu.Lock()
	var lies []string
	for _, a := range applied {
		if o := n.c.nodes[a.Node]; n.c.purges[p.ID].first[a.Node] == 0 && !o.covers(p.ID) {
			lies = append(lies, a.Node)
		}
	}
	n.c.mu.Unlock()
	if len(lies) > 0 {
		n.c.fail("%s says that %v have applied %v, and they have not", n.name, lies, p.ID)
	}
	if len(pending) == 0 && len(applied) < len(simNames)-1 && len(n.bus.Status().Peers) >= len(simNames)-1 {
		n.c.fail("%s names neither as applied nor as pending one of its peers: %v", n.name, applied)
	}
}

func (n *simNode) covers(id invalidation.ID) bool {
	return n.node != nil && n.node.Vector()[invalidation.Origin{Node: id.Node, Incarnation: id.Incarnation}] >= id.Number
}

// begin begins a fetch.
func (n *simNode) begin(i int) *object {
	t := targets[i]
	o := &object{started: n.node.Gate().Started(time.Now())}
	o.subject = invalidation.Subject{Key: t.key, Tags: t.tags, Incarnation: n.node.Incarnation(), Epoch: n.node.Epoch()}
	o.began = n.c.event()
	return o
}

func (n *simNode) askAll() {
	for i := range targets {
		n.ask(i)
	}
}

// ask is a request as the proxy answers it: from the cache when that may be, else by a fetch.
func (n *simNode) ask(i int) {
	asked := n.c.event()
	o, now := n.store[i], time.Now()
	if o == nil || !n.mayUse(o, now) {
		n.store[i] = n.begin(i)
		return
	}
	n.c.judge(n, i, o, asked, now)
}

func (n *simNode) mayUse(o *object, now time.Time) bool {
	gate := n.node.Gate()
	if !gate.Open(now) && !n.c.o.shim.ignoreGate && (o.started == 0 || o.started != gate.Closure()) {
		return false
	}
	s := &o.subject
	if n.c.o.shim.subject != nil {
		copied := *s
		n.c.o.shim.subject(n.node, &copied)
		s = &copied
	}
	v, _ := n.node.Check(s, &o.checked)
	return v == invalidation.Valid
}

// judge holds an answer from the cache against what the model knows.
func (c *cluster) judge(n *simNode, i int, o *object, asked uint64, now time.Time) {
	vector := n.node.Vector()
	var found []string
	c.mu.Lock()
	c.served++
	for id, p := range c.purges {
		if !touches(p.touches, i) {
			continue
		}
		here, has := p.applied[n.name]
		if has && here.event < asked && o.began < here.event {
			found = append(found, fmt.Sprintf("%v is in effect there", id))
		}
		if first := p.first[n.name]; o.began < first && first < asked {
			found = append(found, fmt.Sprintf("%v was in effect there", id))
		}
		if p.acked == 0 || o.began >= p.acked {
			continue
		}
		switch since, quorum := p.quorum(); {
		case vector[invalidation.Origin{Node: id.Node, Incarnation: id.Incarnation}] >= id.Number:
			found = append(found, fmt.Sprintf("it says to have %v", id))
		case n.must[id]:
			found = append(found, fmt.Sprintf("%v is known to peers that it could reach when it came back", id))
		case !p.heard[n.name].IsZero() && now.After(p.heard[n.name]):
			found = append(found, fmt.Sprintf("it was told of %v", id))
		case c.o.onIsolation == Revalidate && quorum && now.Sub(since) > simLease:
			found = append(found, fmt.Sprintf("a quorum has had %v for %v", id, now.Sub(since)))
		}
	}
	c.mu.Unlock()
	for _, why := range found {
		c.fail("%s serves %q, fetched at event %d: %s", n.name, targets[i].key, o.began, why)
	}
}

// quorum tells since when two nodes have it. A wiped node has not.
func (p *taken) quorum() (since time.Time, ok bool) {
	var first, second time.Time
	for _, m := range p.applied {
		switch {
		case first.IsZero() || m.at.Before(first):
			first, second = m.at, first
		case second.IsZero() || m.at.Before(second):
			second = m.at
		}
	}
	return second, !second.IsZero()
}

func touches(list []int, i int) bool {
	for _, v := range list {
		if v == i {
			return true
		}
	}
	return false
}
