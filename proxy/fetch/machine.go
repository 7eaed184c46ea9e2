package fetch

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/origin"
	"weir/policy"
	"weir/proxy/metrics"
	"weir/proxy/stored"
)

// ErrBroke ends a body for its readers when a panic has ended the fetch.
var ErrBroke = errors.New("the fetch broke off")

// Origin answers what the tiers cannot. *origin.Pool is one. The fields of a
// request are in memory that is the caller's again when Do returns.
type Origin interface {
	Do(ctx context.Context, r *origin.Request) (*origin.Response, error)
}

// Health says whether an origin fails. *origin.Pool does.
type Health interface {
	// Failing reports whether the origin is known to fail.
	Failing() bool
	// Probe reports whether a request may find out whether it still does; Probed ends
	// what Probe has allowed.
	Probe() bool
	Probed()
}

// Upstream is an origin with what is known of it, and its place in the metrics.
type Upstream struct {
	Origin
	// Health is nil for an origin that nobody watches.
	Health Health
	Index  int
	// Fallback is the name of the origin to ask when this one gives no answer; empty:
	// none.
	Fallback string
}

// Failing reports whether the origin is known to fail.
func (u *Upstream) Failing() bool { return u.Health != nil && u.Health.Failing() }

// Machine runs fetches. It is safe for concurrent use.
type Machine struct {
	store   *stored.Store
	metrics *metrics.Registry
	log     *slog.Logger
	now     func() time.Time
	flights flights
	// base is canceled when nothing may go on.
	base context.Context
	stop context.CancelFunc
	// running counts what is under way; Wait waits for none.
	running gate
	// arrived is what arrival returned last.
	arrived atomic.Int64
	skews   skews
	holds   sync.Map // of *holds, by Upstream.Index
	// maxFollowers bounds those who follow one flight; 0: nothing does.
	maxFollowers int64
}

// New returns a machine that stores in s. At most so many requests follow one flight; 0
// is no bound.
func New(s *stored.Store, m *metrics.Registry, log *slog.Logger, now func() time.Time, followers int) *Machine {
	f := &Machine{store: s, metrics: m, log: log, now: now, maxFollowers: int64(followers)}
	f.base, f.stop = context.WithCancel(context.Background())
	f.flights.init()
	f.running.none.L = &f.running.mu
	return f
}

// Context ends when Stop is called.
func (m *Machine) Context() context.Context { return m.base }

// Stop ends what is under way: every exchange with an origin is canceled.
func (m *Machine) Stop() { m.stop() }

// Wait returns at a moment when nothing is under way.
func (m *Machine) Wait() { m.running.wait() }

// Running returns how many fetches are under way.
func (m *Machine) Running() int64 { return m.running.count() }

// NotCached counts a response that was not stored.
func (m *Machine) NotCached(r policy.Reason) { m.metrics.NotCached(uint8(r)) }

// arrival returns now, or a nanosecond more than what it returned last, so that
// of two responses one came later.
func (m *Machine) arrival(now int64) int64 {
	for {
		last := m.arrived.Load()
		next := max(now, last+1)
		if m.arrived.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Counted returns a reader of what arrives from the origin that counts it.
func (m *Machine) Counted(up Upstream, r io.Reader) io.Reader {
	return &countingReader{r: r, metrics: m.metrics, origin: up.Index}
}

type countingReader struct {
	r       io.Reader
	metrics *metrics.Registry
	origin  int
}

// Read implements io.Reader.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.metrics.OriginBytes(c.origin, int64(n))
	return n, err
}

// gate counts what is under way and waits for none. Unlike a WaitGroup it may
// be entered while somebody waits: requests that arrive on open connections
// while the proxy drains still fetch.
type gate struct {
	mu   sync.Mutex
	none sync.Cond
	n    int64
}

func (g *gate) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 {
		g.none.Broadcast()
	}
}

func (g *gate) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.n > 0 {
		g.none.Wait()
	}
}

func (g *gate) count() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}
