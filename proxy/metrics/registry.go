package metrics

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
)

// other is the label value for an index outside its list.
const other = "other"

// Options are the closed lists of label values and the facts of the build. A
// list's order gives the indices that the methods take, so an enum's String
// for each of its values in order is what belongs here. No value may be
// "other" or appear twice in its list.
type Options struct {
	Results         []string
	Tiers           []string
	Reasons         []string // why a response was not stored
	EvictionReasons []string
	OriginOutcomes  []string
	PurgeKinds      []string
	Origins         []string // as for SetOrigins

	Version   string
	GoVersion string

	// Now is the clock of the offload window; nil means time.Now.
	Now func() time.Time
}

// Registry holds one process's metrics. All methods may be called from any
// goroutine. Start must be called for the offload ratios to cover the last
// five minutes, and Close to end what it started.
type Registry struct {
	results, tiers, originOutcomes, reasons, evictionReasons []string

	shards    []shard
	shardMask uint32

	notCached []atomic.Uint64
	withheld  [len(withheldReasons)]atomic.Uint64
	shed      [len(shedReasons)]atomic.Uint64
	steps     [len(stepDirections)]atomic.Uint64
	evictions [][]atomic.Uint64 // by tier, then reason
	// policyRows is what SetPolicyRows was given.
	policyRows atomic.Pointer[func() ([]PolicyRow, int64)]
	// poolRows is what SetPoolRows was given.
	poolRows atomic.Pointer[func() []PoolRow]
	// peers is what SetPeers was given.
	peers atomic.Pointer[peerSource]
	// storing marks the tiers that SetTier named.
	storing []atomic.Bool

	set        *vm.Set
	coalesced  *vm.Counter
	reloads    [2]*vm.Counter // failed, ok
	reloadOK   atomic.Bool
	configTime atomic.Int64 // Unix nanoseconds

	diskReads, diskWrites histogram
	diskState             atomic.Pointer[diskStates]

	purgeKinds []string
	purges     []atomic.Uint64
	purgeTimes histogram
	peerTimes  histogram

	origins  originTable
	policies policyTable
	offload  *offloadWindow
	sources  [numSources]atomic.Pointer[func() float64]

	mu   sync.Mutex // protects the field below
	loop sampleLoop
}

// New returns a Registry that counts from zero. It starts nothing. It panics
// when a list holds a value twice: that is a programmer's error.
func New(o Options) *Registry {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Registry{
		results:         withOther("Results", o.Results),
		tiers:           withOther("Tiers", o.Tiers),
		originOutcomes:  withOther("OriginOutcomes", o.OriginOutcomes),
		reasons:         withOther("Reasons", o.Reasons),
		evictionReasons: withOther("EvictionReasons", o.EvictionReasons),
		set:             vm.NewSet(),
	}
	r.purgeKinds = withOther("PurgeKinds", o.PurgeKinds)
	r.purges = make([]atomic.Uint64, len(r.purgeKinds))
	r.shards = newShards(len(r.results), len(r.tiers))
	r.shardMask = uint32(len(r.shards) - 1)
	r.origins.init(r.originOutcomes)
	r.policies.init(r.results, r.tiers, len(r.shards))
	r.offload = newOffloadWindow(o.Now)
	r.makeCounters()
	r.registerGauges(o)
	r.set.RegisterMetricsWriter(r.writeRequests)
	r.set.RegisterMetricsWriter(r.writeStored)
	r.set.RegisterMetricsWriter(r.writeDisk)
	r.set.RegisterMetricsWriter(r.writePurges)
	r.set.RegisterMetricsWriter(r.origins.write)
	r.set.RegisterMetricsWriter(r.policies.write)
	r.SetOrigins(o.Origins)
	return r
}

func withOther(list string, values []string) []string {
	out := append(slices.Clone(values), other)
	for i, v := range out {
		if slices.Contains(out[:i], v) {
			panic(fmt.Sprintf("BUG: metrics.Options.%s holds %q twice (%q is always added)", list, v, other))
		}
	}
	return out
}

func (r *Registry) makeCounters() {
	r.notCached = make([]atomic.Uint64, len(r.reasons))
	r.storing = make([]atomic.Bool, len(r.tiers))
	r.evictions = make([][]atomic.Uint64, len(r.tiers))
	for i := range r.evictions {
		r.evictions[i] = make([]atomic.Uint64, len(r.evictionReasons))
	}
	r.coalesced = r.set.NewCounter(nameCoalesced)
	r.reloads[0] = r.set.NewCounter(series(nameReloads, "outcome", "failed"))
	r.reloads[1] = r.set.NewCounter(series(nameReloads, "outcome", "ok"))
}

// Begin counts a request as in flight. Each Begin needs exactly one Request
// after it. shard is any number that spreads requests over cores, such as the
// connection's number; Begin and Request of one request may name different ones.
func (r *Registry) Begin(shard uint32) {
	r.shards[shard&r.shardMask].started.Add(1)
}

// Served is a client request that is over.
type Served struct {
	// Policy is one that SetPolicies returned; nil when no policy matched.
	Policy *Policy
	// Result and Tier are indices into the lists of Options.
	Result, Tier uint8
	// Status is the status that the client got.
	Status int
	// Duration and TTFB are the times to the last and the first byte of the
	// response, Bytes the body bytes sent; a negative value counts as zero.
	Duration, TTFB time.Duration
	Bytes          int64
	// Shard is as for Begin.
	Shard uint32
}

// Request counts a client request that is over. It takes no lock, allocates
// nothing and keeps nothing of what it is given.
func (r *Registry) Request(o *Served) {
	shard := o.Shard & r.shardMask
	s := &r.shards[shard]
	nt := len(r.tiers)
	result, t := min(int(o.Result), len(r.results)-1), min(int(o.Tier), nt-1)
	bytes := uint64(max(o.Bytes, 0))
	r.policies.count(o, result, t, bytes, shard)
	s.requests[result*nt+t].Add(1)
	cells := &s.tiers[t]
	cells.durations.observe(o.Duration)
	cells.ttfb.observe(o.TTFB)
	cells.bytes.Add(bytes)
}

// Why a request was not sent to an origin, or did not wait for one any longer.
const (
	ShedWaiters uint8 = iota
	ShedWaiting
	ShedOverloaded
	ShedBusy
)

// shedReasons are the words of policy.Reason for them.
var shedReasons = [...]string{
	ShedWaiters: "too-many-waiters", ShedWaiting: "too-many-waiting", ShedOverloaded: "overloaded", ShedBusy: "origin-busy",
}

// Shed counts a request that was turned away from an origin.
func (r *Registry) Shed(reason uint8) { r.shed[reason].Add(1) }

// stepDirections are where the wall clock may be set to.
var stepDirections = [...]string{"forward", "back"}

// ClockStep counts a step of the wall clock.
func (r *Registry) ClockStep(back bool) {
	if back {
		r.steps[1].Add(1)
		return
	}
	r.steps[0].Add(1)
}

// Why a field of a request is withheld from the origin.
const (
	WithheldUnderscore uint8 = iota
	WithheldOverride
)

var withheldReasons = [...]string{WithheldUnderscore: "underscore", WithheldOverride: "override"}

// Withheld counts a field of a request that is not sent on.
func (r *Registry) Withheld(reason uint8) { r.withheld[reason].Add(1) }

// NotCached counts a response that was not stored.
func (r *Registry) NotCached(reason uint8) { at(r.notCached, reason).Add(1) }

// Coalesced counts a client request that waited for another one's fetch.
func (r *Registry) Coalesced() { r.coalesced.Inc() }

// Evicted counts n objects evicted from a tier; negative n counts nothing.
func (r *Registry) Evicted(tier, reason uint8, n int) {
	at(*at(r.evictions, tier), reason).Add(uint64(max(n, 0)))
}

// ConfigLoaded notes the configuration that the process started with.
func (r *Registry) ConfigLoaded(at time.Time) {
	r.configTime.Store(at.UnixNano())
	r.reloadOK.Store(true)
}

// Reloaded counts a reload that took effect at the time given.
func (r *Registry) Reloaded(at time.Time) {
	r.reloads[1].Inc()
	r.ConfigLoaded(at)
}

// ReloadFailed counts a reload that kept the old configuration.
func (r *Registry) ReloadFailed() {
	r.reloads[0].Inc()
	r.reloadOK.Store(false)
}

// at returns the item i of list, or the last one ("other") when i is outside.
func at[T any](list []T, i uint8) *T { return &list[min(int(i), len(list)-1)] }

// totals are the sums that the offload ratios are made of.
func (r *Registry) totals() offloadSample {
	var t offloadSample
	for i := range r.shards {
		s := &r.shards[i]
		for j := range s.requests {
			t.clientRequests += s.requests[j].Load()
		}
		for j := range s.tiers {
			t.clientBytes += s.tiers[j].bytes.Load()
		}
	}
	t.originRequests = r.origins.requests.Load()
	t.originBytes = r.origins.bytes.Load()
	return t
}

// InFlight returns the requests begun and not over.
func (r *Registry) InFlight() int64 {
	// Finished first: a request that ends between the two loops is then counted
	// as in flight once more, while the other order could go below zero.
	finished := r.totals().clientRequests
	var started uint64
	for i := range r.shards {
		started += r.shards[i].started.Load()
	}
	if started < finished {
		return 0
	}
	return int64(started - finished)
}

// series returns name with label pairs, values escaped as the text format asks.
func series(name string, pairs ...string) string {
	return name + "{" + labels(pairs...) + "}"
}

func labels(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(pairs[i])
		b.WriteString(`="`)
		labelEscaper.WriteString(&b, strings.ToValidUTF8(pairs[i+1], "\ufffd"))
		b.WriteByte('"')
	}
	return b.String()
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
