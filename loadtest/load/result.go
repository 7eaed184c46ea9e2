package load

import (
	"math"
	"sort"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a run measured. It marshals to JSON; the names there are a promise.
type Result struct {
	Target     string  `json:"target"`
	Loop       string  `json:"loop"` // "open" or "closed"
	Engine     string  `json:"engine"`
	DurationS  float64 `json:"duration_s"`           // of the whole run
	MeasuredS  float64 `json:"measured_s"`           // without the warm-up
	Complete   bool    `json:"complete"`             // it ended as planned
	Ended      string  `json:"ended"`                // why it ended
	Verified   bool    `json:"verified"`             // bodies were compared
	Lengths    bool    `json:"lengths_compared"`     // and so was their length; it is not when nothing says how long the body of one URL is
	Requests   int64   `json:"requests"`             // sent and measured: those answered, those broken, and those in flight
	Answers    int64   `json:"answers"`              // that came whole, right or not
	Unsent     int64   `json:"unsent"`               // due and not sent when the run ended
	InFlight   int64   `json:"in_flight"`            // without an answer yet when the run was cut short; their wait is in Latency, they are no faults
	LongestUS  float64 `json:"in_flight_longest_us"` // that one of them had waited, from when it was due
	Rate       float64 `json:"rate"`                 // answers a second
	Bytes      int64   `json:"bytes"`                // of bodies
	ByteRate   float64 `json:"byte_rate"`            // bytes a second
	Opened     int64   `json:"connections"`          // opened in all
	Reopened   int64   `json:"reopened"`             // kept connections that the target had closed
	CPUSeconds float64 `json:"cpu_s"`                // of the generator itself

	Latency     Latency          `json:"latency"`    // from when a request was due to the end of its answer, failed ones included
	Service     Latency          `json:"service"`    // from when it was sent: what a closed loop would have seen
	Lag         Latency          `json:"lag"`        // from when it was due to when it was sent
	Curve       []CurvePoint     `json:"curve"`      // of Latency
	Tiers       []TierResult     `json:"tiers"`      // in the order of Tier, those without answers left out
	HitRatio    float64          `json:"hit_ratio"`  // share of the answers that say they are hits
	Statuses    map[string]int64 `json:"statuses"`   //
	Faults      Faults           `json:"faults"`     //
	Examples    []Example        `json:"examples"`   // the first ones of each kind
	IntervalS   float64          `json:"interval_s"` // of Timeline
	Timeline    []Slot           `json:"timeline"`   // the warm-up included, with nothing in it
	Purges      *PurgeResult     `json:"purges,omitempty"`
	Origin      *OriginResult    `json:"origin,omitempty"`       // what it was asked for in MeasuredS
	OriginError string           `json:"origin_error,omitempty"` // why Origin is not known
}

// Latency are figures in microseconds, to three significant digits.
type Latency struct {
	Count  int64   `json:"count"`
	MeanUS float64 `json:"mean_us"`
	P50US  float64 `json:"p50_us"`
	P90US  float64 `json:"p90_us"`
	P99US  float64 `json:"p99_us"`
	P999US float64 `json:"p999_us"`
	P9999  float64 `json:"p9999_us"`
	MaxUS  float64 `json:"max_us"`
}

// CurvePoint is a point of the percentile curve: so many percent took at most so long.
type CurvePoint struct {
	Percent float64 `json:"percent"`
	US      float64 `json:"us"`
}

// TierResult are the answers of one tier.
type TierResult struct {
	Tier      string       `json:"tier"`
	Answers   int64        `json:"answers"`
	Bytes     int64        `json:"bytes"`
	Latency   Latency      `json:"latency"`
	FirstByte Latency      `json:"first_byte"`
	Curve     []CurvePoint `json:"curve"`
}

// Faults count the answers that were not right.
type Faults struct {
	Total  int64            `json:"total"`
	Stale  int64            `json:"stale"`
	Wrong  int64            `json:"wrong"`
	Broken int64            `json:"broken"`
	Kinds  map[string]int64 `json:"kinds"`
}

// Slot is one interval of the run.
type Slot struct {
	AtS     float64 `json:"at_s"`
	Answers int64   `json:"answers"`
	Rate    float64 `json:"rate"`
	Bytes   int64   `json:"bytes"`
	Faults  int64   `json:"faults"`
	Purges  int64   `json:"purges"`
	P50US   float64 `json:"p50_us"`
	P99US   float64 `json:"p99_us"`
	P999US  float64 `json:"p999_us"`
	MaxUS   float64 `json:"max_us"`
}

func seconds(d time.Duration) float64 { return round(d.Seconds(), 6) }

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

func micros(ns int64) float64 { return round(float64(ns)/1000, 1) }

func latencyOf(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(q float64) float64 { return micros(h.ValueAtQuantile(q)) }
	return Latency{
		Count: h.TotalCount(), MeanUS: round(h.Mean()/1000, 1),
		P50US: at(50), P90US: at(90), P99US: at(99), P999US: at(99.9), P9999: at(99.99), MaxUS: micros(h.Max()),
	}
}

// curveOf is dense where it matters: every further nine has the same number of points.
func curveOf(h *hdrhistogram.Histogram) []CurvePoint {
	out := []CurvePoint{}
	n := h.TotalCount()
	if n == 0 {
		return out
	}
	for i := range 6*8 + 1 {
		above := math.Pow(10, -float64(i)/8) // the share that took longer
		percent := 100 * (1 - above)
		out = append(out, CurvePoint{Percent: round(percent, 6), US: micros(h.ValueAtQuantile(percent))})
		if above*float64(n) < 1 {
			break
		}
	}
	return append(out, CurvePoint{Percent: 100, US: micros(h.Max())})
}

// result puts together what the workers have gathered.
func (r *run) result(took, cpu time.Duration) *Result {
	o := &r.opts
	res := &Result{
		Target: o.Target, Loop: "closed", Engine: "loop", DurationS: seconds(took), Complete: true, Ended: "as planned",
		Verified: !o.NoVerify, Lengths: !o.NoVerify && (o.Path == "" || o.pathSize() >= 0), CPUSeconds: seconds(cpu),
	}
	if o.Schedule != nil {
		res.Loop = "open"
	}
	if r.blocking() {
		res.Engine = "blocking"
	}
	all, service, lag := newHistogram(), newHistogram(), newHistogram()
	var tiers [Tiers]*tierRecord
	statuses := map[string]int64{}
	kinds := map[string]int64{}
	for _, w := range r.workers {
		rec := w.rec
		res.Answers += rec.answers.Load()
		res.Bytes += rec.bytes.Load()
		res.Opened += rec.opened
		res.Reopened += rec.reopened
		res.InFlight += rec.flying
		res.LongestUS = max(res.LongestUS, micros(int64(rec.longest)))
		all.Merge(rec.failed)
		service.Merge(rec.service)
		lag.Merge(rec.lag)
		mergeTiers(&tiers, rec)
		for code, n := range rec.statuses {
			if n > 0 {
				statuses[strconv.Itoa(code)] += n
			}
		}
		for kind, n := range rec.faults {
			res.Faults.count(FaultKind(kind), n, kinds)
		}
	}
	res.Statuses, res.Faults.Kinds = statuses, kinds
	res.addTiers(&tiers, all)
	res.Requests = service.TotalCount() + res.InFlight
	r.addUnsent(res, all, took)
	res.MeasuredS = seconds(max(took-o.Warmup, 0))
	if res.MeasuredS > 0 {
		res.Rate = round(float64(res.Answers)/res.MeasuredS, 1)
		res.ByteRate = round(float64(res.Bytes)/res.MeasuredS, 0)
	}
	res.Latency, res.Service, res.Lag, res.Curve = latencyOf(all), latencyOf(service), latencyOf(lag), curveOf(all)
	res.Examples = r.examples.explain(o)
	if res.Examples == nil {
		res.Examples = []Example{}
	}
	res.Timeline, res.IntervalS = r.timeline.result(took)
	return res
}

func (f *Faults) count(k FaultKind, n int64, kinds map[string]int64) {
	if n == 0 {
		return
	}
	f.Total += n
	kinds[k.String()] += n
	switch k.Class() {
	case "stale":
		f.Stale += n
	case "wrong":
		f.Wrong += n
	default:
		f.Broken += n
	}
}

func mergeTiers(into *[Tiers]*tierRecord, rec *recorder) {
	for tier, t := range rec.tiers {
		if t == nil {
			continue
		}
		if into[tier] == nil {
			into[tier] = &tierRecord{latency: newHistogram(), firstByte: newHistogram()}
		}
		into[tier].bytes += t.bytes
		into[tier].latency.Merge(t.latency)
		into[tier].firstByte.Merge(t.firstByte)
	}
}

func (res *Result) addTiers(tiers *[Tiers]*tierRecord, all *hdrhistogram.Histogram) {
	res.Tiers = []TierResult{}
	hits := int64(0)
	for tier, t := range tiers {
		if t == nil {
			continue
		}
		all.Merge(t.latency)
		n := t.latency.TotalCount()
		if Tier(tier).Hit() {
			hits += n
		}
		res.Tiers = append(res.Tiers, TierResult{
			Tier: Tier(tier).String(), Answers: n, Bytes: t.bytes,
			Latency: latencyOf(t.latency), FirstByte: latencyOf(t.firstByte), Curve: curveOf(t.latency),
		})
	}
	if res.Answers > 0 {
		res.HitRatio = round(float64(hits)/float64(res.Answers), 6)
	}
}

// addUnsent counts what was due and not sent. What it had waited until the end is a lower bound of its latency, and leaving it
// out would flatter a target that could not keep up.
func (r *run) addUnsent(res *Result, all *hdrhistogram.Histogram, took time.Duration) {
	if r.opts.Schedule == nil {
		return
	}
	due := func(i int64) bool {
		at, ok := r.opts.Schedule.At(i)
		return ok && at <= took && r.within(i) && (r.opts.Duration == 0 || at < r.opts.Duration)
	}
	first := r.tickets.Load()
	last := firstNot(first, due)
	begin := firstNot(first, func(i int64) bool {
		at, ok := r.opts.Schedule.At(i)
		return ok && at < r.opts.Warmup
	})
	for i, n := min(begin, last), int64(1); i < last; i += n {
		n = min(max((last-begin)/unsentGroups, 1), last-i)
		if i == begin {
			n = 1 // the one that waited longest, exactly
		}
		at, _ := r.opts.Schedule.At(i + n/2)
		res.Unsent += n
		recordMany(all, took-at, n)
	}
	for _, w := range r.workers {
		for _, at := range w.rec.held {
			if at <= took && at >= r.opts.Warmup {
				res.Unsent++
				record(all, took-at)
			}
		}
	}
}

// unsentGroups is into how many groups the unsent are put at about, each with the wait of its middle. At a high rate there are too
// many to look at one by one, and in a group they differ by a hundred-thousandth of the time in which they were due.
const unsentGroups = 100_000

// firstNot is the first number from a given one that is not due; after it none is.
func firstNot(from int64, due func(i int64) bool) int64 {
	step := int64(1)
	for due(from + step) {
		step *= 2
	}
	return from + int64(sort.Search(int(step), func(i int) bool { return !due(from + int64(i)) }))
}

func (t *timeline) result(took time.Duration) (slots []Slot, interval float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	each := t.interval << t.merged
	out := []Slot{}
	for i := range t.slots {
		s := &t.slots[i]
		at := time.Duration(i) * each
		slot := Slot{AtS: round(at.Seconds(), 3), Answers: s.answers, Bytes: s.bytes, Faults: s.faults, Purges: s.purges}
		// The last slot is seldom whole.
		if length := min(each, took-at); length > 0 {
			slot.Rate = round(float64(s.answers)/length.Seconds(), 1)
		}
		if h := s.latency; h != nil && h.TotalCount() > 0 {
			slot.P50US, slot.P99US = micros(h.ValueAtQuantile(50)), micros(h.ValueAtQuantile(99))
			slot.P999US, slot.MaxUS = micros(h.ValueAtQuantile(99.9)), micros(h.Max())
		}
		out = append(out, slot)
	}
	return out, each.Seconds()
}
