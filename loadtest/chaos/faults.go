package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// part is what a fault is done to.
type part uint8

const (
	toOrigin part = iota
	byClient
	toDisk
	toProcess
)

// fault is one thing that goes wrong.
type fault struct {
	name string
	what string
	part part
	// alone faults start and stop the process, or change what it starts from: one at a time.
	alone bool
	// lacks returns why the fault is not possible here; empty: it is.
	lacks func(p *place) string
	// run does it until ctx ends, and has undone it when it returns. An error is why it could not be done.
	run func(ctx context.Context, b *bench, d *draw) error
}

func anywhere(*place) string { return "" }

func needsMount(p *place) string { return p.why }

func needsPermissions(p *place) string {
	if p.asNobody || notRoot() {
		return ""
	}
	return "weir has root's rights here, which permissions do not bind"
}

// faults are all there are.
func faults() []fault {
	all := []fault{
		{name: "hang", what: "servers take requests and never answer", run: manners(hang)},
		{name: "reset", what: "servers reset connections in place of answers", run: manners(reset)},
		{name: "refuse", what: "servers refuse connections", run: refuse},
		{name: "trickle", what: "servers send a little at a time", run: manners(trickle)},
		{name: "stall", what: "servers stop in the middle of answers", run: manners(stall)},
		{name: "slow", what: "servers answer after a second or so", run: manners(slow)},
		{name: "lie", what: "servers frame answers wrongly: lengths, chunks, surplus", run: manners(lie)},
		{name: "garbage", what: "servers send what is no HTTP", run: manners(garbage)},
		{name: "errors", what: "servers answer 503", run: manners(errs)},
		{name: "flap", what: "servers go and come back several times a second", run: flap},
		{name: "readnothing", what: "clients ask for large bodies and read nothing", part: byClient, run: readNothing},
		{name: "readslow", what: "clients read a few kilobytes a second", part: byClient, run: readSlowly},
		{name: "leave", what: "clients leave in the middle of answers and uploads", part: byClient, run: leave},
		{name: "slowupload", what: "clients upload a byte now and then", part: byClient, run: uploadSlowly},
		{name: "pipeline", what: "clients send thirty requests at once", part: byClient, run: pipeline},
		{name: "idle", what: "clients hold connections and send nothing, or half a head", part: byClient, run: idle(false)},
		{name: "adminidle", what: "the same at the admin plane, and streams without a token", part: byClient, run: idle(true)},
		{name: "crowd", what: "more clients than connections want one stale URL while its origin hangs", part: byClient, run: crowd},
		{name: "misses", what: "clients ask for many large objects at once", part: byClient, run: misses},
		{name: "malformed", what: "clients send what must be refused", part: byClient, run: malformed},
		{name: "scopes", what: "one token purges thousands of tags that nobody has", part: byClient, run: scopes},
		{name: "full", what: "somebody else fills the file system, to the last byte", part: toDisk, lacks: needsMount, run: full},
		{name: "inodes", what: "somebody else takes all inodes", part: toDisk, lacks: needsMount, run: inodes},
		{name: "vanish", what: "the segments, or the whole directory, are removed", part: toDisk, run: vanish},
		{name: "chmod", what: "the directory loses its permissions", part: toDisk, lacks: needsPermissions, run: chmod},
		{name: "corrupt", what: "bytes of the segments are changed", part: toDisk, run: corrupt},
		{name: "fullstart", what: "weir is killed and starts on a full file system", part: toDisk, alone: true, lacks: needsMount, run: fullStart},
		{name: "readonlystart", what: "weir starts on a read-only file system", part: toDisk, alone: true, lacks: needsMount, run: readOnlyStart},
		{name: "kill", what: "SIGKILL and a start", part: toProcess, alone: true, run: killed},
		{name: "term", what: "SIGTERM and a start", part: toProcess, alone: true, run: terminated},
		{name: "reload", what: "SIGHUP with other servers, balance, permits, and files with faults", part: toProcess, run: reloads},
		{name: "pause", what: "SIGSTOP and SIGCONT, as a machine that was suspended", part: toProcess, run: pauses},
	}
	for i := range all {
		if all[i].lacks == nil {
			all[i].lacks = anywhere
		}
	}
	return all
}

// FaultNames are the names that Config.Faults may hold.
func FaultNames() []string {
	var names []string
	for _, f := range faults() {
		names = append(names, f.name)
	}
	return names
}

// draw is a fault in a round, with all that the seed decides of it.
type draw struct {
	fault *fault
	after time.Duration // from the beginning of the round
	hold  time.Duration
	seed  uint64 // for what the fault draws itself
	who   int    // a number that chooses among servers
}

func (d *draw) rng() *rand.Rand { return rand.New(rand.NewPCG(d.seed, 1)) }

// planner draws rounds. Its sequence follows from the seed and the faults that are possible.
type planner struct {
	rng    *rand.Rand
	faults []fault
	deck   []int
	hold   time.Duration
}

func newPlanner(seed uint64, possible []fault, hold time.Duration) *planner {
	return &planner{rng: rand.New(rand.NewPCG(seed, 0)), faults: possible, hold: hold}
}

// round draws the faults of the next round: one to four, the ones that have not been drawn for longest. At most one
// starts or stops the process.
func (p *planner) round() []*draw {
	n := 1 + p.rng.IntN(min(4, len(p.faults)))
	var drawn []*draw
	taken := map[int]bool{}
	alone := false
	for tries := 0; len(drawn) < n && tries < 3*len(p.faults); tries++ {
		if len(p.deck) == 0 {
			p.deck = p.rng.Perm(len(p.faults))
		}
		i := p.deck[0]
		p.deck = p.deck[1:]
		f := &p.faults[i]
		if taken[i] || f.alone && alone {
			p.deck = append(p.deck, i) // its turn comes later
			continue
		}
		taken[i] = true
		alone = alone || f.alone
		d := &draw{fault: f, after: p.upTo(p.hold / 3), hold: p.hold/2 + p.upTo(p.hold/2), seed: p.rng.Uint64(), who: p.rng.IntN(6)}
		drawn = append(drawn, d)
	}
	slices.SortFunc(drawn, func(x, y *draw) int { return int(x.after - y.after) })
	return drawn
}

func (p *planner) upTo(d time.Duration) time.Duration {
	return time.Duration(p.rng.Int64N(int64(d) + 1)).Round(10 * time.Millisecond)
}
