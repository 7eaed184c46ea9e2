package bus

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// checks is how many histories are tried. They are the same at every run, so that a change is what turns a green test red;
// -rapid.seed=0 tries others.
var checks = flag.Int("bus.checks", 800, "histories that the model tries; fewer under the race detector")

// op is one thing that happens in a history.
type op uint8

const (
	opPurge op = iota
	opAsk
	opFill
	opStore
	opPass
	opCut
	opCutOff
	opHeal
	opLose
	opStop
	opGoOn
	opCrash
	opLeave
	opWipe
	opStart

	ops
)

var opNames = [ops]string{
	"purge", "ask", "begin a fill", "store fills", "time passes", "cut a link", "cut off", "heal", "lose messages", "stop", "go on",
	"crash", "leave", "wipe", "start",
}

// step is an op with what it needs; what an op does not need it does not look at.
type step struct {
	op   op
	a, b int // nodes
	what int
	flag [2]bool
	wait time.Duration // after it
}

func (s step) String() string {
	return fmt.Sprintf("%s a=%s b=%s what=%d %v, then %v", opNames[s.op], simNames[s.a], simNames[s.b], s.what, s.flag, s.wait)
}

// history is a setting and what happens in it.
type history struct {
	onIsolation OnIsolation
	seed        uint64
	maxLog      int64
	delay       time.Duration
	buffer      int
	steps       []step
}

func (h *history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "revalidate=%v log=%d delay=%v buffer=%d seed=%d\n", h.onIsolation == Revalidate, h.maxLog, h.delay, h.buffer, h.seed)
	for _, s := range h.steps {
		fmt.Fprintln(&b, " ", s)
	}
	return b.String()
}

// weights: what is frequent in life is frequent here.
var weighted = []op{
	opPurge, opPurge, opPurge, opPurge, opAsk, opAsk, opAsk, opFill, opStore, opPass, opPass, opCut, opCutOff, opHeal, opHeal,
	opLose, opStop, opGoOn, opGoOn, opCrash, opLeave, opWipe, opStart, opStart,
}

var histories = rapid.Custom(func(t *rapid.T) *history {
	node := rapid.IntRange(0, len(simNames)-1)
	waits := rapid.SampledFrom([]time.Duration{
		0, 0, time.Millisecond, 30 * time.Millisecond, 150 * time.Millisecond, 600 * time.Millisecond,
		1100 * time.Millisecond, 2100 * time.Millisecond, 5 * time.Second,
	})
	steps := rapid.Custom(func(t *rapid.T) step {
		return step{
			op: rapid.SampledFrom(weighted).Draw(t, "op"), a: node.Draw(t, "a"), b: node.Draw(t, "b"),
			what: rapid.IntRange(0, 27).Draw(t, "what"), flag: [2]bool{rapid.Bool().Draw(t, "f"), rapid.Bool().Draw(t, "g")},
			wait: waits.Draw(t, "wait"),
		}
	})
	return &history{
		onIsolation: rapid.SampledFrom([]OnIsolation{Serve, Revalidate}).Draw(t, "isolation"),
		seed:        rapid.Uint64().Draw(t, "seed"),
		maxLog:      rapid.SampledFrom([]int64{1 << 20, 400, 1500}).Draw(t, "log"),
		delay:       rapid.SampledFrom([]time.Duration{0, 2 * time.Millisecond, 80 * time.Millisecond}).Draw(t, "delay"),
		buffer:      rapid.SampledFrom([]int{1 << 20, 5}).Draw(t, "buffer"),
		steps:       rapid.SliceOfN(steps, 5, 60).Draw(t, "steps"),
	}
})

// do does a step; one that makes no sense now does nothing.
func (c *cluster) do(s step) {
	n, m := c.nodes[simNames[s.a]], c.nodes[simNames[s.b]]
	switch s.op {
	case opPurge:
		if n.up() {
			n.purge(s.what%len(simFacts), s.flag[0] && s.flag[1], s.what > 20)
		}
	case opAsk:
		for _, n := range c.nodes {
			if n.up() {
				n.askAll()
			}
		}
	case opFill:
		if n.up() {
			i := s.what % len(targets)
			n.fills = append(n.fills, fill{i, n.begin(i)})
		}
	case opStore:
		if n.up() {
			for _, f := range n.fills {
				n.store[f.target] = f.object
			}
			n.fills = nil
		}
	case opPass:
		time.Sleep(time.Duration(s.what) * 100 * time.Millisecond)
	case opCut:
		if n != m {
			c.cut(s.flag[0], link{n.name, m.name})
			if s.flag[1] {
				c.cut(s.flag[0], link{m.name, n.name})
			}
		}
	case opCutOff:
		for _, o := range c.nodes {
			if o != n {
				c.cut(s.flag[0], link{n.name, o.name}, link{o.name, n.name})
			}
		}
	case opHeal:
		c.healAll()
	case opLose:
		if n != m {
			c.net.lose(link{n.name, m.name}, s.what%5)
			c.disturbed()
		}
	default:
		c.process(s, n)
	}
}

// process does what happens to processes.
func (c *cluster) process(s step, n *simNode) {
	switch s.op {
	case opStop:
		if n.up() {
			n.stop()
		}
	case opGoOn:
		if n.released != nil {
			n.goOn(true)
		}
	case opCrash, opLeave:
		n.end(s.op == opLeave)
		if s.flag[0] {
			n.begun(s.what)
		}
	case opWipe:
		n.end(s.flag[1])
		n.wipe(s.flag[0])
		n.begun(s.what)
	case opStart:
		n.begun(s.what)
	default:
	}
}

// begun starts the node if it is down, and asks it at once for some of what there is: the rest stays as it was stored.
func (n *simNode) begun(what int) {
	if n.node != nil {
		return
	}
	n.start()
	for i := range targets {
		if n.node != nil && what>>i&1 == 1 {
			n.ask(i)
		}
	}
}

func (c *cluster) cut(keeps bool, links ...link) {
	for _, l := range links {
		c.net.cut(l, keeps)
	}
	c.disturbed()
}

func (c *cluster) healAll() {
	for _, a := range simNames {
		for _, b := range simNames {
			if a != b {
				c.net.heal(link{a, b})
			}
		}
	}
}

// run plays the history and then heals everything; it returns the first fault with the log of what happened.
func (h *history) run(t *testing.T, s shim) (fault, log string) {
	t.Helper()
	dir, err := os.MkdirTemp(memoryDir(), "weir-bus")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	synctest.Test(t, func(*testing.T) {
		c := newCluster(clusterOptions{
			dir: dir, seed: h.seed, onIsolation: h.onIsolation, maxLog: h.maxLog, delay: h.delay, buffer: h.buffer, shim: s,
			verbose: testing.Verbose() || *verboseModel,
		})
		for _, s := range h.steps {
			c.say("%v", s)
			c.do(s)
			c.pass(s)
			synctest.Wait()
			if c.found() != "" {
				break
			}
		}
		if c.found() == "" {
			c.converge()
		}
		for _, n := range c.nodes {
			n.end(false)
		}
		c.net.close()
		fault, log = c.fault, c.log.String()
	})
	return fault, log
}

// pass lets time pass. In one of four it asks all the while: some faults are to be seen only until the next message comes.
func (c *cluster) pass(s step) {
	const each, most = 3 * time.Millisecond, 30
	rest := s.wait
	for i := 0; i < most && rest > each && s.what%4 == 0 && c.found() == ""; i++ {
		time.Sleep(each)
		rest -= each
		for _, name := range simNames {
			if n := c.nodes[name]; n.up() {
				n.askAll()
			}
		}
	}
	time.Sleep(rest)
}

func (c *cluster) found() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault
}

var verboseModel = flag.Bool("bus.verbose", false, "the model keeps the log lines of the nodes")

// memoryDir is where syncing costs nothing; crashes in the model are those of processes.
func memoryDir() string {
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// converge heals everything, and holds the nodes to being one again a few leases later.
func (c *cluster) converge() {
	c.say("heal everything")
	c.healAll()
	for _, name := range simNames {
		n := c.nodes[name]
		if n.released != nil {
			n.goOn(true)
		}
		n.begun(15)
	}
	time.Sleep(6 * simLease)
	synctest.Wait()
	now := time.Now()
	first := c.nodes[simNames[0]].node.Vector()
	for _, name := range simNames {
		n := c.nodes[name]
		if n.node == nil {
			c.fail("%s is down", name)
			return
		}
		if v := n.node.Vector(); !v.Covers(first) || !first.Covers(v) {
			c.fail("%s did not converge: %v and %v", name, v, first)
		}
		if !n.node.Gate().Open(now) {
			c.fail("the gate of %s is not open: %s", name, n.bus.Status().Gate)
		}
		n.askAll()
	}
}

// TestModel: no history breaks a promise of the package.
func TestModel(t *testing.T) {
	setRapid(t)
	rapid.Check(t, func(rt *rapid.T) {
		h := histories.Draw(rt, "history")
		if fault, log := h.run(t, shim{}); fault != "" {
			rt.Fatalf("%s\n%s\n%s", fault, h, log)
		}
	})
}

func setRapid(t *testing.T) {
	t.Helper()
	n := *checks
	if raceEnabled {
		n /= 5
	}
	for name, value := range map[string]string{"rapid.checks": fmt.Sprint(n), "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if f := flag.Lookup("rapid.seed"); f.Value.String() == "0" && !seedGiven() {
		if err := flag.Set("rapid.seed", "5151"); err != nil {
			t.Fatal(err)
		}
	}
}

func seedGiven() (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.seed" })
	return given
}
