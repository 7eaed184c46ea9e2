package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"weir/loadtest/compare/bare"
)

// Config says what is to be compared.
type Config struct {
	Weir     string // the binary of weir
	Weirload string // the binary of weirload, for open loops
	Scratch  string // a directory on a disk; everything made in it is removed
	Rounds   int
	Seconds  int      // of one measurement
	Systems  []string // none: all
	// Scenarios holds names of groups and scenarios, or the beginnings of
	// them; none: all.
	Scenarios []string
	Results   string // JSON, added to
	Page      string // Markdown, rendered anew after each group
	Out       io.Writer
}

// validate names every fault.
func (c Config) validate() error {
	var faults []error
	if c.Rounds < 1 || c.Rounds > 100 {
		faults = append(faults, fmt.Errorf("rounds %d: from 1 to 100 are possible", c.Rounds))
	}
	if c.Seconds < 1 || c.Seconds > 600 {
		faults = append(faults, fmt.Errorf("seconds %d: from 1 to 600 are possible", c.Seconds))
	}
	for _, name := range c.Systems {
		if _, ok := systemNamed(name); !ok {
			faults = append(faults, fmt.Errorf("system %q: %s are possible", name, strings.Join(systemNames(), ", ")))
		}
	}
	for _, want := range c.Scenarios {
		if !slices.ContainsFunc(groups, func(g group) bool { return len(g.selected([]string{want})) > 0 }) {
			faults = append(faults, fmt.Errorf("scenario %q: %s are possible, or the beginning of one", want, strings.Join(ScenarioNames(), ", ")))
		}
	}
	return errors.Join(faults...)
}

func systemNames() []string {
	names := make([]string, len(systems))
	for i, s := range systems {
		names[i] = s.name
	}
	return names
}

// Run is one comparison under way.
type Run struct {
	cfg     Config
	cores   cores
	dir     string // files of this run
	fast    string // a directory on tmpfs
	wrkPath string
	origin  *process
	address string // of the origin
	results *Results
	extra   []string // header fields that weir adds, for the yardstick
	faults  int
}

// Compare runs what cfg selects. It returns an error when anything could not be
// measured; what was measured is in the results and on the page all the same.
func Compare(ctx context.Context, cfg Config) (err error) {
	if err := cfg.validate(); err != nil {
		return err
	}
	release, err := alone(cfg.Scratch)
	if err != nil {
		return err
	}
	defer release()
	r := &Run{cfg: cfg}
	if r.cores, err = chooseCores(); err != nil {
		return err
	}
	if err := pinSelf(r.cores.load); err != nil {
		return err
	}
	if r.wrkPath, err = lookPath("wrk"); err != nil {
		return fmt.Errorf("cannot find wrk, which sends the load: %w (.ci/compare-tools installs it)", err)
	}
	if r.results, err = LoadResults(cfg.Results); err != nil {
		return err
	}
	if r.dir, err = os.MkdirTemp(cfg.Scratch, "weir-compare-"); err != nil {
		return fmt.Errorf("cannot make a directory for the run: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	r.fast = memoryDir(r.dir)
	if err := r.startOrigin(ctx); err != nil {
		return err
	}
	defer r.origin.stop()
	r.results.Machine = thisMachine(len(r.cores.all))
	r.results.Versions["go"] = goVersion()
	for _, g := range groups {
		if err := r.group(ctx, g); err != nil {
			return err
		}
	}
	if r.faults > 0 {
		return fmt.Errorf("%d measurements failed; they stand in %s", r.faults, cfg.Results)
	}
	return nil
}

// alone refuses a second comparison over the same scratch directory: both would measure each other, and write over each
// other's results. The lock is on the directory and ends with the process.
func alone(scratch string) (release func(), err error) {
	d, err := os.Open(scratch)
	if err != nil {
		return nil, fmt.Errorf("cannot use the scratch directory: %w", err)
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = d.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another comparison is under way over %s: two at once would measure each other", scratch)
		}
		return nil, fmt.Errorf("cannot lock %s: %w", scratch, err)
	}
	return func() { _ = d.Close() }, nil
}

// memoryDir is a directory whose files lie in memory; where there is no large
// tmpfs it is the scratch directory, whose files lie in the page cache.
func memoryDir(otherwise string) string {
	const enough = 8 << 30
	var fs unix.Statfs_t
	if unix.Statfs("/dev/shm", &fs) == nil && fs.Type == unix.TMPFS_MAGIC && int64(fs.Bavail)*fs.Bsize >= enough {
		return "/dev/shm"
	}
	return otherwise
}

func (r *Run) startOrigin(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	r.address = fmt.Sprintf("127.0.0.1:%d", ports[0])
	argv := pinned(r.cores.load, self, "origin", "--listen", r.address)
	if r.origin, err = startProcess(argv, nil, filepath.Join(r.dir, "origin.log")); err != nil {
		return err
	}
	if err := waitFor(ctx, r.origin, rightly(r.address)); err != nil {
		r.origin.stop()
		return fmt.Errorf("cannot start the origin: %w", err)
	}
	return nil
}

// originStats asks the origin what it has answered so far.
func (r *Run) originStats(ctx context.Context) (bare.Stats, error) {
	var s bare.Stats
	body, err := get(ctx, http.DefaultClient, r.address, bare.StatsPath)
	if err != nil {
		return s, fmt.Errorf("cannot ask the origin: %w", err)
	}
	return s, json.Unmarshal(body, &s)
}

// installed returns those of the names that are selected and can be found, in
// the order in which they are given. What is missing is said once.
func (r *Run) installed(ctx context.Context, names []string) []system {
	var out []system
	for _, name := range names {
		if len(r.cfg.Systems) > 0 && !slices.Contains(r.cfg.Systems, name) {
			continue
		}
		sys, _ := systemNamed(name)
		binary, err := sys.find(r.cfg.Weir)
		if err != nil {
			r.fault("", name, 0, fmt.Errorf("%s is not installed: %w", sys.title, err))
			continue
		}
		r.results.Versions[name] = sys.versionOf(ctx, binary)
		out = append(out, sys)
	}
	return out
}

// group runs one group over all rounds and saves after each.
func (r *Run) group(ctx context.Context, g group) error {
	scenarios := g.selected(r.cfg.Scenarios)
	if len(scenarios) == 0 {
		return nil
	}
	found := r.installed(ctx, g.systems)
	if len(found) == 0 {
		r.say("%s: none of its systems is selected or installed", g.name)
		return nil
	}
	rounds := r.cfg.Rounds
	if g.rounds > 0 {
		rounds = min(rounds, g.rounds)
	}
	for _, s := range scenarios {
		r.results.begin(s, time.Now(), rounds, r.cfg.Seconds)
	}
	for round := 1; round <= rounds; round++ {
		r.say("%s, round %d of %d", g.name, round, rounds)
		t := turn{Run: r, address: r.address, round: round, scenarios: scenarios, systems: rotated(found, round-1)}
		if err := g.run(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("ended before it was done: %w", err)
		}
		if err := r.results.Save(r.cfg.Results); err != nil {
			return err
		}
		if err := os.WriteFile(r.cfg.Page, []byte(Page(r.results)), 0o644); err != nil {
			return fmt.Errorf("cannot write the page: %w", err)
		}
	}
	return nil
}

// rotated lets another one begin in each round.
func rotated(all []system, by int) []system {
	by %= len(all)
	return append(slices.Clone(all[by:]), all[:by]...)
}

func (r *Run) say(format string, args ...any) {
	fmt.Fprintf(r.cfg.Out, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// record keeps a measurement.
func (r *Run) record(scenario, sys string, round int, values map[string]float64) {
	r.results.Samples = append(r.results.Samples, Sample{Scenario: scenario, System: sys, Round: round, Values: values})
}

// fault keeps what went wrong instead of a measurement; the run goes on.
func (r *Run) fault(scenario, sys string, round int, err error) {
	r.faults++
	r.say("%s %s: %v", scenario, sys, err)
	if scenario != "" {
		r.results.Samples = append(r.results.Samples, Sample{Scenario: scenario, System: sys, Round: round, Fault: err.Error()})
	}
}
