package metrics

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// originSeries is what is counted for one origin.
type originSeries struct {
	name     string
	outcomes []atomic.Uint64
	bytes    atomic.Uint64
	duration histogram
	skew     atomic.Int64 // seconds
	// live is false once the configuration no longer names the origin.
	live atomic.Bool
}

// originTable maps the indices that SetOrigins gave out to their series.
type originTable struct {
	outcomes []string
	// requests and bytes are the sums over all origins, those since removed
	// included.
	requests, bytes atomic.Uint64
	// stray takes what comes with an unknown index.
	stray *originSeries
	list  atomic.Pointer[[]*originSeries]

	mu sync.Mutex // serialises replacing the list
}

func (t *originTable) init(outcomes []string) {
	t.outcomes = outcomes
	t.stray = t.newSeries(other)
	t.list.Store(new([]*originSeries))
}

func (t *originTable) newSeries(name string) *originSeries {
	return &originSeries{name: name, outcomes: make([]atomic.Uint64, len(t.outcomes))}
}

func (t *originTable) get(i int) *originSeries {
	list := *t.list.Load()
	if i < 0 || i >= len(list) {
		return t.stray
	}
	return list[i]
}

// SetOrigins makes names the origins on the page and returns the index of each.
// A name keeps its index and its counts for the life of the process, also
// across a reload that leaves it out and one that brings it back; a fetch that
// outlives a reload is therefore never counted under another origin. The names
// are the operator's; one that is "other" shares the line of unknown indices.
func (r *Registry) SetOrigins(names []string) []int {
	t := &r.origins
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.Clone(*t.list.Load())
	indices := make([]int, len(names))
	for i, name := range names {
		if name == other {
			indices[i] = -1
			continue
		}
		at := slices.IndexFunc(list, func(s *originSeries) bool { return s.name == name })
		if at < 0 {
			at = len(list)
			list = append(list, t.newSeries(name))
		}
		indices[i] = at
	}
	for i, s := range list {
		s.live.Store(slices.Contains(indices, i))
	}
	t.list.Store(&list)
	return indices
}

// Origin counts one request to an origin that is over after d, refreshes and
// retries included. origin is an index from SetOrigins.
func (r *Registry) Origin(origin int, outcome uint8, d time.Duration) {
	s := r.origins.get(origin)
	s.outcomes[min(int(outcome), len(s.outcomes)-1)].Add(1)
	s.duration.observe(d)
	r.origins.requests.Add(1)
}

// OriginBytes counts body bytes received from an origin. It may be called for
// each chunk; a negative n counts nothing.
func (r *Registry) OriginBytes(origin int, n int64) {
	if n <= 0 {
		return
	}
	r.origins.get(origin).bytes.Add(uint64(n))
	r.origins.bytes.Add(uint64(n))
}

// OriginSkew notes by how many seconds the Date of an origin's response was off.
func (r *Registry) OriginSkew(origin int, seconds int64) {
	if s := r.origins.get(origin); s.skew.Load() != seconds {
		s.skew.Store(seconds)
	}
}

// page returns what is to be shown: the live origins by name, and "other" last
// when anything was counted there.
func (t *originTable) page() []*originSeries {
	var out []*originSeries
	for _, s := range *t.list.Load() {
		if s.live.Load() {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *originSeries) int { return strings.Compare(a.name, b.name) })
	if t.stray.used() {
		out = append(out, t.stray)
	}
	return out
}

func (s *originSeries) used() bool {
	for i := range s.outcomes {
		if s.outcomes[i].Load() > 0 {
			return true
		}
	}
	return s.bytes.Load() > 0
}

// write writes the origin families.
func (t *originTable) write(w io.Writer) {
	page := t.page()
	var b []byte
	for _, s := range page {
		for i, outcome := range t.outcomes {
			if n := s.outcomes[i].Load(); n > 0 || outcome != other {
				b = appendSample(b, nameOriginReqs, labels("origin", s.name, "outcome", outcome), n)
			}
		}
	}
	for _, s := range page {
		var snap histogramSnapshot
		snap.add(&s.duration)
		b = snap.appendTo(b, nameOriginTime, labels("origin", s.name))
	}
	for _, s := range page {
		b = appendSample(b, nameOriginBytes, labels("origin", s.name), s.bytes.Load())
	}
	for _, s := range page {
		b = appendName(b, nameOriginSkew, labels("origin", s.name))
		b = append(strconv.AppendInt(b, s.skew.Load(), 10), '\n')
	}
	_, _ = w.Write(b) // the writer is the buffer of WriteMetrics
}
