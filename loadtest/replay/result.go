package replay

import (
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxExamples is how many faults a result names; all are counted.
const maxExamples = 10

// Result is what one replay measured. It marshals to JSON; durations are in microseconds there.
type Result struct {
	Requests    int64            `json:"requests"` // answered or failed
	Skipped     int64            `json:"skipped"`  // entries that cannot be sent
	Faults      int64            `json:"faults"`
	FaultKinds  map[string]int64 `json:"fault_kinds,omitempty"`
	Examples    []Example        `json:"examples,omitempty"`
	Bytes       int64            `json:"bytes"` // of bodies that reached the clients
	OriginKnown bool             `json:"origin_known"`
	Origin      Counts           `json:"origin"`
	Tiers       []TierResult     `json:"tiers"` // in the order of Tier, those without requests left out
	Concurrency int              `json:"concurrency"`
	Duration    time.Duration    `json:"-"`
	DurationUS  int64            `json:"duration_us"`
}

// Example is one faulty answer.
type Example struct {
	Entry   int    `json:"entry"` // index into Options.Entries
	Request string `json:"request"`
	Fault   string `json:"fault"`
}

// TierResult are the answers of one tier, faulty ones included unless nothing came back.
type TierResult struct {
	Tier      string  `json:"tier"`
	Requests  int64   `json:"requests"`
	Bytes     int64   `json:"bytes"`
	FirstByte Latency `json:"first_byte"`
	Whole     Latency `json:"whole"`

	tier Tier
}

// Latency are percentiles in microseconds, to three significant digits.
type Latency struct {
	P50  int64 `json:"p50_us"`
	P99  int64 `json:"p99_us"`
	P999 int64 `json:"p999_us"`
	Max  int64 `json:"max_us"`
}

// Count returns the requests of a tier.
func (r *Result) Count(t Tier) int64 {
	for i := range r.Tiers {
		if r.Tiers[i].tier == t {
			return r.Tiers[i].Requests
		}
	}
	return 0
}

// Hits is the number of answers from the cache, whatever the tier.
func (r *Result) Hits() int64 { return r.Count(TierRAM) + r.Count(TierDisk) + r.Count(TierHit) }

// Offload is the share of requests, and of body bytes, that the origin was spared. It is negative when the origin sent
// more than the clients got; ok is false when the origin's counts are unknown or there is nothing to divide by.
func (r *Result) Offload() (requests, bytes float64, ok bool) {
	if !r.OriginKnown || r.Requests == 0 || r.Bytes == 0 {
		return 0, 0, false
	}
	return 1 - float64(r.Origin.Requests)/float64(r.Requests), 1 - float64(r.Origin.Bytes)/float64(r.Bytes), true
}

// Err is nil when every answer was right, and else names how many were not and the first ones.
func (r *Result) Err() error {
	if r.Faults == 0 {
		return nil
	}
	text := ""
	for _, e := range r.Examples {
		text += fmt.Sprintf("\n  entry %d: %s: %s", e.Entry, e.Request, e.Fault)
	}
	return fmt.Errorf("%d of %d answers are wrong: %v; the first:%s", r.Faults, r.Requests, r.FaultKinds, text)
}

// longest is what the histograms can hold, in microseconds: an hour.
const longest = int64(time.Hour / time.Microsecond)

// collector gathers what the workers measure.
type collector struct {
	mu       sync.Mutex // protects the fields below
	requests int64
	skipped  int64
	bytes    int64
	faults   [faultCount]int64
	examples []Example
	tiers    [tierCount]*tierCollector
}

type tierCollector struct {
	requests, bytes  int64
	firstByte, whole *hdrhistogram.Histogram
}

func newCollector() *collector { return &collector{} }

func (c *collector) skip() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skipped++
}

func (c *collector) add(r *request, a answer, f *fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.bytes += a.bytes
	if f != nil {
		c.faults[f.kind]++
		if len(c.examples) < maxExamples {
			c.examples = append(c.examples, Example{Entry: r.index, Request: r.method + " " + r.target, Fault: f.Error()})
		}
		if a.whole == 0 {
			return // no answer, so no tier and no latency
		}
	}
	t := c.tiers[a.tier]
	if t == nil {
		t = &tierCollector{firstByte: hdrhistogram.New(1, longest, 3), whole: hdrhistogram.New(1, longest, 3)}
		c.tiers[a.tier] = t
	}
	t.requests++
	t.bytes += a.bytes
	record(t.firstByte, a.firstByte)
	record(t.whole, a.whole)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	// Out of range is impossible after the bounds.
	_ = h.RecordValue(min(max(d.Microseconds(), 1), longest))
}

func (c *collector) result() *Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &Result{Requests: c.requests, Skipped: c.skipped, Bytes: c.bytes, Examples: c.examples}
	for kind, n := range c.faults {
		if n == 0 {
			continue
		}
		if r.FaultKinds == nil {
			r.FaultKinds = map[string]int64{}
		}
		r.FaultKinds[FaultKind(kind).String()] = n
		r.Faults += n
	}
	for tier, t := range c.tiers {
		if t == nil {
			continue
		}
		r.Tiers = append(r.Tiers, TierResult{
			Tier: Tier(tier).String(), tier: Tier(tier),
			Requests: t.requests, Bytes: t.bytes,
			FirstByte: latencyOf(t.firstByte), Whole: latencyOf(t.whole),
		})
	}
	return r
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	return Latency{
		P50:  h.ValueAtQuantile(50),
		P99:  h.ValueAtQuantile(99),
		P999: h.ValueAtQuantile(99.9),
		Max:  h.Max(),
	}
}
