package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Config is what a run needs.
type Config struct {
	Weir   string // the binary
	Seed   uint64
	For    time.Duration // how long rounds begin; the last one ends later
	Rounds int           // at most so many; 0: no limit
	Hold   time.Duration // the longest that a fault is held, default 8 s
	Faults []string      // names; none: all that are possible
	Keep   bool          // keep logs and configuration also when nothing was found
	Out    io.Writer
}

// diskSize is the budget of the disk tier.
const diskSize = 96 << 20

// bench is a run.
type bench struct {
	Config
	place   *place
	origin  *origin
	weir    *weir
	found   *findings
	site    []object
	floors  *floors
	pulse   pulse
	counts  counts
	seen    sync.Map // versions by target
	fresh   atomic.Int64
	purges  *http.Transport
	watcher *http.Transport
	base    baseline

	mostClients          atomic.Int64 // connections at once in this round
	mostMemory, mostPlan int64        // of memory, and the plan then; the watcher's, until it has ended
	mostDisk             int64        // the watcher's, until it has ended
	checks, rounds       int
	lookAgain            bool // stacks are wanted
	done                 map[string]*tally
}

// tally is how often a fault was done.
type tally struct {
	times int
	held  time.Duration
	not   string // why it could not be done
}

// ErrFound is returned when something was found.
var ErrFound = errors.New("findings")

// Run lets faults over weir for a while, prints what was found, and returns ErrFound where that is something.
func Run(ctx context.Context, cfg Config) error {
	_, err := run(ctx, cfg)
	return err
}

func run(ctx context.Context, cfg Config) (*findings, error) {
	if cfg.Hold == 0 {
		cfg.Hold = 8 * time.Second
	}
	for _, name := range cfg.Faults {
		if !slices.Contains(FaultNames(), name) {
			return nil, fmt.Errorf("no fault %q (valid: %s)", name, strings.Join(FaultNames(), ", "))
		}
	}
	dir, err := os.MkdirTemp("", "weir-chaos-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a directory for the run: %w", err)
	}
	b := &bench{Config: cfg, found: newFindings(), floors: newFloors(), done: map[string]*tally{}}
	err = b.run(ctx, dir)
	b.report(b.Out)
	if err == nil && b.found.total() > 0 {
		err = ErrFound
	}
	if err != nil || cfg.Keep {
		_, _ = fmt.Fprintf(b.Out, "\nweir's log and configuration: %s\n", dir)
		return b.found, err
	}
	return b.found, os.RemoveAll(dir)
}

func (b *bench) run(ctx context.Context, dir string) (err error) {
	if b.place, err = newPlace(dir, diskSize); err != nil {
		return err
	}
	defer b.place.unmount()
	if b.origin, err = startOrigin(); err != nil {
		return err
	}
	defer b.origin.close()
	if b.weir, err = newWeir(b.Weir, b.place, b.origin, b.found); err != nil {
		return err
	}
	b.purges, b.watcher = newPurgeTransport(), newTransport(b.place.admin, false)
	defer b.purges.CloseIdleConnections()
	over := b.weir.disturb()
	if err := b.weir.start(ctx); err != nil {
		return err
	}
	over()
	defer b.weir.kill(syscall.SIGTERM)
	watching, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { b.pulse.run(watching, b.weir.tasks) })
	wg.Go(func() { b.watch(watching) })
	defer wg.Wait()
	defer stop()
	return b.allRounds(ctx)
}

// newPurgeTransport connects to where each request says: some purges go to the data port.
func newPurgeTransport() *http.Transport { return &http.Transport{DisableKeepAlives: true} }

func (b *bench) allRounds(ctx context.Context) error {
	plan := newPlanner(b.Seed, b.possible(), b.Hold)
	b.site = makeSite(plan.rng)
	if len(plan.faults) == 0 {
		return errors.New("none of the faults is possible here")
	}
	_, _ = fmt.Fprintf(b.Out, "chaos: seed %d, for %v\n", b.Seed, b.For)
	// The first clients warm weir up; then it is looked at in quiet.
	t := b.startTraffic(0)
	sleep(ctx, min(2*time.Second, b.Hold/2))
	t.halt()
	if err := b.settle(ctx); err != nil {
		return err
	}
	end := time.Now().Add(b.For)
	for b.rounds = 1; ctx.Err() == nil && time.Now().Before(end) && (b.Rounds == 0 || b.rounds <= b.Rounds); b.rounds++ {
		if err := b.round(ctx, plan.round()); err != nil {
			return err
		}
	}
	b.rounds--
	if b.For >= time.Minute && ctx.Err() == nil {
		b.found.during(b.rounds, []string{"the end"})
		b.quiet(ctx, 2*quietWithin, 0)
	}
	return nil
}

// possible returns the faults that were asked for and can be done here.
func (b *bench) possible() []fault {
	var all []fault
	for _, f := range faults() {
		if len(b.Faults) > 0 && !slices.Contains(b.Faults, f.name) {
			continue
		}
		b.done[f.name] = &tally{not: f.lacks(b.place)}
		if b.done[f.name].not == "" {
			all = append(all, f)
		}
	}
	return all
}

// round has its faults, then quiet, then the checks.
func (b *bench) round(ctx context.Context, drawn []*draw) error {
	var names, texts []string
	for _, d := range drawn {
		names = append(names, d.fault.name)
		texts = append(texts, fmt.Sprintf("%s at %v for %v", d.fault.name, d.after, d.hold))
	}
	b.found.during(b.rounds, names)
	_, _ = fmt.Fprintf(b.Out, "round %d, %5.1fs: %s\n", b.rounds, time.Since(b.found.began).Seconds(), strings.Join(texts, "; "))
	before := b.found.snapshot()
	t := b.startTraffic(b.rounds)
	var wg sync.WaitGroup
	errs := make(chan error, len(drawn))
	for _, d := range drawn {
		wg.Go(func() { errs <- b.do(ctx, d) })
	}
	wg.Wait()
	close(errs)
	b.recovered(ctx, b.rounds)
	if !t.halt() {
		b.found.add(kindHang, "requests had no end %v after the faults", answerWithin)
		b.lookAgain = true
	}
	for err := range errs {
		if err != nil {
			return err
		}
	}
	if !b.weir.runs() {
		if err := b.restart(ctx, syscall.SIGKILL); err != nil {
			return err
		}
	}
	b.quiet(ctx, quietWithin, int(b.mostClients.Swap(0)))
	if text := b.found.since(before); text != "" {
		_, _ = fmt.Fprintf(b.Out, "  found: %s\n", text)
	}
	if b.lookAgain {
		// What is stuck is in the stacks, and must not be found again in each round that follows.
		b.lookAgain = false
		return b.restart(ctx, syscall.SIGQUIT)
	}
	return nil
}

// do does one fault.
func (b *bench) do(ctx context.Context, d *draw) error {
	sleep(ctx, d.after)
	ctx, cancel := context.WithTimeout(ctx, d.hold)
	defer cancel()
	begin := time.Now()
	err := d.fault.run(ctx, b, d)
	b.found.mu.Lock()
	defer b.found.mu.Unlock()
	t := b.done[d.fault.name]
	t.times++
	t.held += time.Since(begin)
	if err != nil {
		return fmt.Errorf("fault %s: %w", d.fault.name, err)
	}
	return nil
}
