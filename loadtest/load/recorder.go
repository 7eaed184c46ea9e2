package load

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What the histograms hold, in nanoseconds, to three significant digits. What took longer counts as the longest.
const (
	shortest = 100
	longest  = int64(time.Hour)
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, 3) }

// newSlotHistogram has two digits only: a timeline has hundreds of them.
func newSlotHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, 2) }

func record(h *hdrhistogram.Histogram, d time.Duration) { recordMany(h, d, 1) }

func recordMany(h *hdrhistogram.Histogram, d time.Duration, n int64) {
	// Within the bounds it cannot fail.
	_ = h.RecordValues(min(max(int64(d), 0), longest), n)
}

// sample is one answer, or one request that got none, as the recorder wants it. All moments count from the start of the run.
type sample struct {
	due       time.Duration // when it should have been sent; in a closed loop, when it was
	sent      time.Duration // when it was
	firstByte time.Duration // when the answer began; 0: it did not
	end       time.Duration
	tier      Tier
	status    int
	bytes     int64
}

// recorder gathers what one worker measures. Only that worker writes to it; the counters may be read by others.
type recorder struct {
	skip     time.Duration // what was due before this is not measured: the warm-up
	shared   *timeline
	answers  atomic.Int64
	bytes    atomic.Int64
	faulty   atomic.Int64
	reopened int64 // kept connections that the target had closed
	opened   int64

	tiers    [Tiers]*tierRecord
	failed   *hdrhistogram.Histogram // from due to the end, of what got no whole answer
	flying   int64                   // requests in flight when the run was cut short
	longest  time.Duration           // that one of them had waited, from when it was due
	held     []time.Duration         // when the requests were due that were taken and never sent
	service  *hdrhistogram.Histogram // from sending to the end
	lag      *hdrhistogram.Histogram // from due to sending
	statuses [1000]int64             // three digits are what a status has
	faults   [FaultKinds]int64
	slot     int64 // of the timeline, that now is filled
	now      slotRecord
}

type tierRecord struct {
	bytes     int64
	latency   *hdrhistogram.Histogram // from due to the end
	firstByte *hdrhistogram.Histogram // from due to the first byte
}

// slotRecord is what happened in one slot of the timeline.
type slotRecord struct {
	answers, bytes, faults, purges int64
	latency                        *hdrhistogram.Histogram
}

func newRecorder(skip time.Duration, shared *timeline) *recorder {
	return &recorder{
		skip: skip, shared: shared, failed: newHistogram(), service: newHistogram(), lag: newHistogram(), slot: -1,
		now: slotRecord{latency: newSlotHistogram()},
	}
}

// add counts an answer that came whole, right or not. f is nil for a right one.
func (r *recorder) add(s *sample, f *fault) {
	r.roll(s.end)
	if s.due < r.skip {
		return
	}
	r.answers.Add(1)
	r.bytes.Add(s.bytes)
	t := r.tiers[s.tier]
	if t == nil {
		t = &tierRecord{latency: newHistogram(), firstByte: newHistogram()}
		r.tiers[s.tier] = t
	}
	t.bytes += s.bytes
	if s.status > 0 && s.status < len(r.statuses) {
		r.statuses[s.status]++
	}
	latency := s.end - s.due
	record(t.latency, latency)
	record(t.firstByte, s.firstByte-s.due)
	record(r.service, s.end-s.sent)
	record(r.lag, s.sent-s.due)
	record(r.now.latency, latency)
	r.now.answers++
	r.now.bytes += s.bytes
	r.count(f)
}

// fail counts a request whose answer did not come whole. How long it took is a latency too: a client waited for it.
func (r *recorder) fail(s *sample, f *fault) {
	r.roll(s.end)
	if s.due < r.skip {
		return
	}
	record(r.failed, s.end-s.due)
	record(r.now.latency, s.end-s.due)
	record(r.service, s.end-s.sent)
	record(r.lag, s.sent-s.due)
	r.count(f)
}

// cutShort counts a request that was in flight when the run was cut short: no answer and no fault. What it had waited is a lower
// bound of its latency; without it a target that hangs until somebody loses patience would look fast.
func (r *recorder) cutShort(s *sample) {
	if s.due < r.skip {
		return
	}
	r.flying++
	r.longest = max(r.longest, s.end-s.due)
	record(r.failed, s.end-s.due)
}

// note counts a fault that was found at a moment, after the answer to a request that was due at another had been counted.
func (r *recorder) note(due, at time.Duration, f *fault) {
	r.roll(at)
	if due >= r.skip {
		r.count(f)
	}
}

func (r *recorder) count(f *fault) {
	if f == nil {
		return
	}
	r.faults[f.kind]++
	r.now.faults++
	r.faulty.Add(1)
}

// roll hands the slot over when a new one has begun.
func (r *recorder) roll(at time.Duration) {
	slot := int64(at / r.shared.interval)
	if slot == r.slot {
		return
	}
	if r.slot >= 0 {
		r.shared.add(r.slot, &r.now)
	}
	r.now.answers, r.now.bytes, r.now.faults = 0, 0, 0
	r.now.latency.Reset()
	r.slot = slot
}

// finish hands over the last slot.
func (r *recorder) finish() {
	if r.slot >= 0 {
		r.shared.add(r.slot, &r.now)
		r.slot = -1
	}
}

// timeline gathers the slots of all workers. When there are too many, two neighbours become one, as often as it takes: nobody
// knows the length of every run before it ends.
type timeline struct {
	interval time.Duration // of the workers' slots

	mu     sync.Mutex // protects the fields below
	slots  []slotRecord
	merged int // how often: a slot of these is 1<<merged of the workers' ones
}

// maxSlots is how many slots a timeline has at most when the run's length is known; twice as many when it is not.
const maxSlots = 600

// newTimeline chooses the interval so that a run of this length has some hundred slots.
func newTimeline(length time.Duration) *timeline {
	for _, d := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second} {
		if length <= 120*d {
			return &timeline{interval: d}
		}
	}
	return &timeline{interval: max(time.Second, (length/maxSlots).Truncate(time.Second)+time.Second)}
}

// atLocked is where what happened in a slot of the workers goes.
func (t *timeline) atLocked(slot int64) *slotRecord {
	for slot>>t.merged >= 2*maxSlots {
		t.halveLocked()
	}
	slot >>= t.merged
	for int64(len(t.slots)) <= slot {
		t.slots = append(t.slots, slotRecord{})
	}
	return &t.slots[slot]
}

// halveLocked makes one slot of each two.
func (t *timeline) halveLocked() {
	half := t.slots[:0]
	for i := 0; i < len(t.slots); i += 2 {
		s := t.slots[i]
		if i+1 < len(t.slots) {
			s.merge(&t.slots[i+1])
		}
		half = append(half, s)
	}
	clear(t.slots[len(half):])
	t.slots = half
	t.merged++
}

func (s *slotRecord) merge(o *slotRecord) {
	s.answers += o.answers
	s.bytes += o.bytes
	s.faults += o.faults
	s.purges += o.purges
	switch {
	case o.latency == nil:
	case s.latency == nil:
		s.latency = o.latency
	default:
		s.latency.Merge(o.latency)
	}
}

func (t *timeline) add(slot int64, r *slotRecord) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.atLocked(slot)
	if s.latency == nil {
		s.latency = newSlotHistogram() // r's own belongs to the worker
	}
	s.merge(r)
}

func (t *timeline) purged(at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.atLocked(int64(at/t.interval)).purges++
}
