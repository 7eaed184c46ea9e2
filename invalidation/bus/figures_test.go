package bus

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/invalidation"
	"weir/loadtest/figures"
)

var figuresOf = flag.String("bus.figures", "", "print the figures of purges between nodes: quick or full (see make bench-invalidation)")

// TestFigures measures what is promised of purges between nodes, over real routes on loopback. It fails only when a
// purge is lost: the machine decides about time. Without the flag it does so with few, and prints nothing, so that it
// is known to work.
func TestFigures(t *testing.T) {
	scale := 500
	switch *figuresOf {
	case "quick":
		scale = 20
	case "full":
		scale = 1
	}
	var f figures.Table
	for _, log := range []string{"in memory", "on disk"} {
		t.Run("wait "+log, func(t *testing.T) { figureWait(t, &f, log, max(3000/scale, 30)) })
		for _, from := range []int{1, 3} {
			t.Run(fmt.Sprintf("burst from %d %s", from, log), func(t *testing.T) { figureBurst(t, &f, log, from, 100_000/scale) })
		}
	}
	t.Run("catch up", func(t *testing.T) { figureCatchUp(t, &f, 1_000_000/scale, true) })
	t.Run("take over", func(t *testing.T) { figureCatchUp(t, &f, 1_000_000/scale, false) })
	if *figuresOf == "" {
		return
	}
	if err := f.Print(os.Stdout, "between nodes ("+*figuresOf+")"); err != nil {
		t.Error(err)
	}
}

// figureNode is a node with its bus, and counts of what happened to it.
type figureNode struct {
	real
	tookOver, closed atomic.Int64
}

func startFigure(t testing.TB, addresses []string, i int, o invalidation.Options) *figureNode {
	t.Helper()
	o.Node = "n" + strconv.Itoa(i+1)
	n := &figureNode{}
	var err error
	if n.node, err = invalidation.Open(o); err != nil {
		t.Fatal(err)
	}
	secret := []byte("s")
	if n.nats, err = Embedded(RouteOptions{Node: o.Node, Cluster: "figures", Listen: addresses[i], Peers: addresses, Secret: secret, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	n.bus, err = Open(Options{
		Node: n.node, Cluster: "figures", Secret: secret, Expected: len(addresses) - 1, Transport: n.nats,
		Event: func(e Event) {
			switch e.Kind {
			case TookOver:
				n.tookOver.Add(1)
			case GateClosed:
				n.closed.Add(1)
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// startFigures starts nodes that know each other and have their gates open; they are stopped when the test ends.
func startFigures(t *testing.T, log string, count int) []*figureNode {
	t.Helper()
	addresses := freePorts(t, count)
	var nodes []*figureNode
	t.Cleanup(func() {
		for _, n := range nodes {
			n.stop(t)
		}
	})
	for i := range count {
		o := invalidation.Options{}
		if log == "on disk" {
			o.Dir = filepath.Join(t.TempDir(), "purges")
		}
		nodes = append(nodes, startFigure(t, addresses, i, o))
	}
	for _, n := range nodes {
		await(t, func() bool { return n.node.Gate().Open(time.Now()) })
	}
	for _, n := range nodes { // what they did to get there does not count
		n.tookOver.Store(0)
		n.closed.Store(0)
	}
	return nodes
}

// await polls often, since what it waits for is timed.
func await(t testing.TB, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about in five minutes")
		}
	}
}

// alike tells whether all nodes have applied the same, and how many purges that is.
func alike(nodes ...*figureNode) (total uint64, same bool) {
	v := nodes[0].node.Vector()
	for _, number := range v {
		total += number
	}
	for _, n := range nodes[1:] {
		if w := n.node.Vector(); !v.Covers(w) || !w.Covers(v) {
			return total, false
		}
	}
	return total, true
}

func ofTag(i int) []invalidation.Fact {
	return []invalidation.Fact{{Kind: invalidation.Tag, Scope: "product-" + strconv.Itoa(i)}}
}

// witness stands for objects that a node fetched before anything was purged.
type witness struct {
	node               *invalidation.Node
	epoch, incarnation uint64
}

func witnessOf(n *figureNode) witness {
	return witness{n.node, n.node.Epoch(), n.node.Incarnation()}
}

func (w witness) verdict(tag string) invalidation.Verdict {
	s := invalidation.Subject{Key: "w1 http://h.example/a", Tags: []string{tag}, Epoch: w.epoch, Incarnation: w.incarnation}
	v, _ := w.node.Check(&s, new(atomic.Uint64))
	return v
}

// missing counts the tags of 0..n-1 that are not in effect. What nobody has purged must be valid, or the count would
// say nothing.
func (w witness) missing(t testing.TB, n int) (lost int) {
	t.Helper()
	if v := w.verdict("not purged"); v != invalidation.Valid {
		t.Errorf("what nobody has purged is %v", v)
	}
	for i := range n {
		if w.verdict(ofTag(i)[0].Scope) != invalidation.Invalid {
			lost++
		}
	}
	return lost
}

func figureWait(t *testing.T, f *figures.Table, log string, repeat int) {
	nodes := startFigures(t, log, 3)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var all []time.Duration
	for i := range repeat {
		n := nodes[i%3]
		began := time.Now()
		p, err := n.node.Purge(ofTag(i))
		if err != nil {
			t.Fatal(err)
		}
		if applied, pending := n.bus.Wait(ctx, p.ID, began); len(applied) != 2 || len(pending) != 0 {
			t.Fatalf("%v: applied %v, pending %v", p.ID, applied, pending)
		}
		all = append(all, time.Since(began))
	}
	name := fmt.Sprintf("wait: all, three nodes, log %s, ", log)
	f.Told(name+"p50", millis(figures.Median(all)), " ms")
	f.Told(name+"p99", millis(figures.Quantile(all, 0.99)), " ms")
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }

// purgeFrom has the nodes purge tags 0..count-1 as fast as they take them, each with as many askers.
func purgeFrom(t testing.TB, nodes []*figureNode, count int) {
	t.Helper()
	const askers = 128
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, n := range nodes {
		for range askers {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
					if _, err := n.node.Purge(ofTag(i)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

func figureBurst(t *testing.T, f *figures.Table, log string, from, count int) {
	nodes := startFigures(t, log, 3)
	var before []witness
	for _, n := range nodes {
		before = append(before, witnessOf(n))
	}
	heap := watchHeap()
	began := time.Now()
	purgeFrom(t, nodes[:from], count)
	accepted := time.Since(began)
	await(t, func() bool { total, same := alike(nodes...); return same && total == uint64(count) })
	took := time.Since(began)
	heap.stop()
	lost, tookOver, closed := 0, int64(0), int64(0)
	for i, w := range before {
		lost += w.missing(t, count)
		tookOver += nodes[i].tookOver.Load()
		closed += nodes[i].closed.Load()
	}
	if lost > 0 || tookOver > 0 {
		t.Errorf("%d tags are not in effect, %d times a node took over another's vector", lost, tookOver)
	}
	name := fmt.Sprintf("%d purges from %d of 3 nodes, log %s, ", count, from, log)
	f.Exactly(name+"lost", float64(lost), 0, "")
	f.Told("  until the last was acknowledged where it was asked for", accepted.Seconds(), " s")
	f.Told("  until all were in effect on all nodes", took.Seconds(), " s")
	f.Told("  times that a node closed its gate meanwhile", float64(closed), "")
	heap.tell(f)
}

// figureCatchUp has a node come back that has missed purges: the log of the other still has them, or it has not.
func figureCatchUp(t *testing.T, f *figures.Table, count int, inLog bool) {
	addresses := freePorts(t, 2)
	here := invalidation.Options{Dir: filepath.Join(t.TempDir(), "purges"), MaxLog: 1 << 30}
	away := here
	away.Dir = filepath.Join(t.TempDir(), "purges")
	if !inLog {
		here.MaxLog = max(64<<10, int64(count)*16) // a purge takes about 80 bytes
		here.Recent = 1
	}
	a, b := startFigure(t, addresses, 0, here), startFigure(t, addresses, 1, away)
	defer func() { a.stop(t) }()
	for _, n := range []*figureNode{a, b} {
		await(t, func() bool { return n.node.Gate().Open(time.Now()) })
	}
	if _, err := a.node.Purge([]invalidation.Fact{{Kind: invalidation.Tag, Scope: "first"}}); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { total, same := alike(a, b); return same && total == 1 })
	before := witnessOf(b)
	b.stop(t)
	purgeFrom(t, []*figureNode{a}, count)

	heap := watchHeap()
	began := time.Now()
	b = startFigure(t, addresses, 1, away)
	defer func() { b.stop(t) }()
	before.node = b.node
	if b.node.Gate().Open(time.Now()) {
		t.Error("the gate is open before anything was caught up")
	}
	await(t, func() bool { _, same := alike(a, b); return same })
	took := time.Since(began)
	await(t, func() bool { return b.node.Gate().Open(time.Now()) })
	open := time.Since(began)
	heap.stop()
	if b.tookOver.Load() == 0 != inLog {
		t.Errorf("took over the vector %d times", b.tookOver.Load())
	}
	if !inLog {
		if v := before.verdict("not purged"); v != invalidation.Invalid {
			t.Errorf("what was fetched before is %v", v)
		}
		f.Told(fmt.Sprintf("%d missed purges that the log no longer has: vector taken over", count), took.Seconds(), " s")
		f.Told("  until the gate was open", open.Seconds(), " s")
		return
	}
	lost := before.missing(t, count)
	if lost > 0 {
		t.Errorf("%d tags are not in effect", lost)
	}
	f.Exactly(fmt.Sprintf("%d missed purges caught up, lost", count), float64(lost), 0, "")
	f.Told("  until all were in effect", took.Seconds(), " s")
	f.Told("  until the gate was open", open.Seconds(), " s")
	heap.tell(f)
}

// heapWatch samples the heap of this process, all nodes together.
type heapWatch struct {
	before, after uint64 // live, after a collection
	peak, live    uint64 // with garbage; what collections found live
	done          chan struct{}
	running       sync.WaitGroup
}

func heapNow() (objects, live uint64) {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}

func watchHeap() *heapWatch {
	h := &heapWatch{done: make(chan struct{})}
	runtime.GC()
	_, h.before = heapNow()
	h.running.Go(func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-h.done:
				return
			case <-ticker.C:
			}
			objects, live := heapNow()
			h.peak, h.live = max(h.peak, objects), max(h.live, live)
		}
	})
	return h
}

func (h *heapWatch) stop() {
	close(h.done)
	h.running.Wait()
	runtime.GC()
	_, h.after = heapNow()
}

func (h *heapWatch) tell(f *figures.Table) {
	mib := func(n uint64) float64 { return float64(n) / (1 << 20) }
	f.Told("  heap that it left behind: tables and recent purges", mib(h.after)-mib(h.before), " MiB")
	f.Told("  peak of the live heap above that", max(0, mib(h.live)-mib(h.after)), " MiB")
	f.Told("  peak of the heap with garbage above that", max(0, mib(h.peak)-mib(h.after)), " MiB")
}
