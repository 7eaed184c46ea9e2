package metrics

import (
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// noPolicy is the label of requests that no policy matched, or that were
	// refused before one was looked for. No policy can have that name.
	noPolicy = "(none)"

	// maxDeparted bounds how many policies that the configuration no longer
	// names keep their counts. One takes about 256 bytes for each shard.
	maxDeparted = 256
)

// statusClasses are the values of the label status. An unknown class is the last.
var statusClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx", other}

// Policy counts the requests of one policy of the configuration.
type Policy struct {
	name string
	// cells has stride words for each shard: responses by class of status, body
	// bytes by tier, requests by result. What a hit from RAM adds to is near the
	// beginning, in two lines of memory.
	cells []atomic.Uint64
}

// policyTable holds the policies that requests are counted by.
type policyTable struct {
	results, tiers []string
	shards, stride int
	none           *Policy
	// live are those on the page, by name.
	live atomic.Pointer[[]*Policy]

	mu sync.Mutex // protects the field below
	// departed are those that the configuration no longer names, the one that
	// left first first.
	departed []*Policy
}

func (t *policyTable) init(results, tiers []string, shards int) {
	t.results, t.tiers, t.shards = results, tiers, shards
	// Whole lines for each shard, so that two shards do not meet.
	n := len(results) + len(tiers) + len(statusClasses)
	t.stride = (n + wordsPerLine - 1) / wordsPerLine * wordsPerLine
	t.none = t.newPolicy(noPolicy)
	t.live.Store(new([]*Policy))
}

func (t *policyTable) newPolicy(name string) *Policy {
	return &Policy{name: name, cells: make([]atomic.Uint64, t.shards*t.stride)}
}

// SetPolicies makes names the policies on the page and returns what counts for
// each. A name keeps its counts across a reload that leaves it out and one that
// brings it back, unless very many others have left since; a request that outlives
// a reload is counted under the policy that it began with. The names are the
// operator's and differ from each other.
func (r *Registry) SetPolicies(names []string) []*Policy {
	t := &r.policies
	t.mu.Lock()
	defer t.mu.Unlock()
	was := *t.live.Load()
	out := make([]*Policy, len(names))
	for i, name := range names {
		named := func(p *Policy) bool { return p.name == name }
		if at := slices.IndexFunc(was, named); at >= 0 {
			out[i] = was[at]
		} else if at := slices.IndexFunc(t.departed, named); at >= 0 {
			out[i] = t.departed[at]
			t.departed = slices.Delete(t.departed, at, at+1)
		} else {
			out[i] = t.newPolicy(name)
		}
	}
	for _, p := range was {
		if !slices.Contains(out, p) {
			t.departed = append(t.departed, p)
		}
	}
	if n := len(t.departed) - maxDeparted; n > 0 {
		t.departed = slices.Delete(t.departed, 0, n)
	}
	live := slices.Clone(out)
	slices.SortFunc(live, func(a, b *Policy) int { return strings.Compare(a.name, b.name) })
	t.live.Store(&live)
	return out
}

// count counts a request that is over; result and tier are within their lists.
func (t *policyTable) count(s *Served, result, tier int, bytes uint64, shard uint32) {
	p := s.Policy
	if p == nil {
		p = t.none
	}
	cells := p.cells[int(shard)*t.stride:]
	cells[statusClass(s.Status)].Add(1)
	cells[len(statusClasses)+tier].Add(bytes)
	cells[len(statusClasses)+len(t.tiers)+result].Add(1)
}

// statusClass returns the index of the status's class in statusClasses.
func statusClass(status int) int {
	if status < 100 || status > 599 {
		return len(statusClasses) - 1
	}
	return status/100 - 1
}

// sums adds the shards up.
func (t *policyTable) sums(p *Policy) []uint64 {
	out := make([]uint64, t.stride)
	for i := range p.cells {
		out[i%t.stride] += p.cells[i].Load()
	}
	return out
}

// write writes the families by policy.
func (t *policyTable) write(w io.Writer) {
	policies := append(slices.Clone(*t.live.Load()), t.none)
	var b []byte
	for _, p := range policies {
		sums := t.sums(p)
		for _, f := range []struct {
			family, label string
			values        []string
		}{
			{nameResponses, "status", statusClasses[:]},
			{namePolicySent, "tier", t.tiers},
			{namePolicyReqs, "result", t.results},
		} {
			for i, value := range f.values {
				if n := sums[i]; n > 0 || value != other {
					b = appendSample(b, f.family, labels("policy", p.name, f.label, value), n)
				}
			}
			sums = sums[len(f.values):]
		}
	}
	_, _ = w.Write(b) // the writer is the buffer of WriteMetrics
}
