package invalidation

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// Verdict is what facts say about an object.
type Verdict uint8

const (
	// Valid: no fact that touches it is younger.
	Valid Verdict = iota
	// Stale: a soft one is.
	Stale
	// Invalid: a hard one is, or it is from before the floor.
	Invalid
)

// String names the verdict.
func (v Verdict) String() string {
	switch v {
	case Valid:
		return "valid"
	case Stale:
		return "stale"
	}
	return "invalid"
}

// cell holds the epochs of the newest hard and the newest soft fact of a scope,
// and when that soft one came here, unix milliseconds.
type cell struct {
	hard, soft uint64
	softAt     int64
}

func (c *cell) add(d cell) {
	c.hard = max(c.hard, d.hard)
	if d.soft > c.soft {
		c.soft, c.softAt = d.soft, d.softAt
	}
}

func (c cell) newest() uint64 { return max(c.hard, c.soft) }

const tableShards = 64

// table is the effect of all facts. One goroutine applies; any number check.
type table struct {
	epoch atomic.Uint64
	// floor: what was fetched before it is invalid.
	floor        atomic.Uint64
	all          atomic.Pointer[cell]
	shards       [tableShards]tableShard
	scopes, most atomic.Int64
	// prefixes are the distinct lengths of prefixes, by form, ascending.
	prefixes [forms]atomic.Pointer[[]int]
	raised   atomic.Int64
	widened  atomic.Int64
}

type tableShard struct {
	mu    sync.RWMutex
	cells map[uint64]cell
	_     [32]byte // a line of its own
}

const (
	// defaultMaxScopes is what 64 MiB hold, at 80 bytes each.
	defaultMaxScopes = 3 << 18
	// maxPrefixLengths bounds what a check pays for prefixes. A prefix of yet
	// another length is widened to its host, or to everything.
	maxPrefixLengths = 256
)

func (t *table) init(maxScopes int64) {
	t.most.Store(maxScopes)
	t.all.Store(new(cell))
	for i := range t.shards {
		t.shards[i].cells = make(map[uint64]cell)
	}
	for i := range t.prefixes {
		t.prefixes[i].Store(new([]int))
	}
}

func (t *table) get(h uint64) (cell, bool) {
	s := &t.shards[h%tableShards]
	s.mu.RLock()
	c, ok := s.cells[h]
	s.mu.RUnlock()
	return c, ok
}

func (t *table) put(h uint64, d cell) {
	s := &t.shards[h%tableShards]
	s.mu.Lock()
	c, had := s.cells[h]
	c.add(d)
	s.cells[h] = c
	s.mu.Unlock()
	if !had {
		t.scopes.Add(1)
	}
}

// effect writes what f does at the epoch; the caller raises the epoch after. at
// is when it came, unix milliseconds.
func (t *table) effect(f Fact, epoch uint64, at int64) {
	d := cell{hard: epoch}
	if f.Soft {
		d = cell{soft: epoch, softAt: at}
	}
	switch f.Kind {
	case All:
		c := *t.all.Load()
		c.add(d)
		t.all.Store(&c)
		return
	case Prefix:
		if !t.admitLength(formOf(f.Scope), len(f.Scope)) {
			t.widened.Add(1)
			t.effect(widen(f), epoch, at)
			return
		}
	case URL, Tag, Host, HostTag:
	}
	t.put(hash(f.Kind, f.Scope), d)
}

// widen returns a fact that covers at least what the prefix does.
func widen(f Fact) Fact {
	s := Subject{Key: " " + f.Scope}
	if formOf(f.Scope) == formAny {
		s.Key = " x:" + f.Scope
	}
	if formOf(f.Scope) == formPath {
		return Fact{Kind: All, Soft: f.Soft}
	}
	url, host, path, ok := s.url()
	if !ok || path == len(url) {
		// The host itself may go on behind the prefix.
		return Fact{Kind: All, Soft: f.Soft}
	}
	return Fact{Kind: Host, Soft: f.Soft, Scope: url[host:path]}
}

// admitLength notes that there are prefixes of that form and length.
func (t *table) admitLength(fm form, n int) bool {
	old := *t.prefixes[fm].Load()
	i, has := slices.BinarySearch(old, n)
	if has {
		return true
	}
	if len(old) >= maxPrefixLengths {
		return false
	}
	list := slices.Insert(slices.Clone(old), i, n)
	t.prefixes[fm].Store(&list)
	return true
}

// bound raises the floor when there are too many scopes: half of them go, the
// oldest. What they spoke of is invalid from then on.
func (t *table) bound() {
	if t.scopes.Load() <= t.most.Load() {
		return
	}
	epochs := make([]uint64, 0, t.scopes.Load())
	for i := range t.shards {
		for _, c := range t.shards[i].cells { // only this goroutine writes
			epochs = append(epochs, c.newest())
		}
	}
	slices.Sort(epochs)
	floor := epochs[len(epochs)/2]
	// The floor first: between the two a cell that is gone must not make
	// anything valid.
	t.floor.Store(max(t.floor.Load(), floor))
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for h, c := range s.cells {
			if c.newest() <= floor {
				delete(s.cells, h)
				t.scopes.Add(-1)
			}
		}
		s.mu.Unlock()
	}
	t.raised.Add(1)
}

// check holds the facts against s. With Stale it says since when, unix
// milliseconds.
func (t *table) check(s *Subject) (Verdict, int64) {
	if s.Epoch < t.floor.Load() || s.Epoch > t.epoch.Load() {
		return Invalid, 0
	}
	c := *t.all.Load()
	since := int64(math.MaxInt64)
	if c.soft > s.Epoch {
		since = c.softAt
	}
	look := func(h uint64) {
		if d, ok := t.get(h); ok {
			c.hard = max(c.hard, d.hard)
			if d.soft > s.Epoch {
				c.soft, since = max(c.soft, d.soft), min(since, d.softAt)
			}
		}
	}
	see := func(k Kind, scope string) { look(hash(k, scope)) }
	url, host, path, ok := s.url()
	if !ok {
		return Invalid, 0
	}
	on := xxhash.Sum64String(url[host:path])
	for _, tag := range s.Tags {
		see(Tag, tag)
		look(hostTagHash(on, tag))
	}
	any := url[host-len("//"):]
	see(URL, url)
	see(URL, any)
	see(Host, url[host:path])
	for fm, from := range [forms]string{formFull: url, formAny: any, formPath: url[path:]} {
		for _, n := range *t.prefixes[fm].Load() {
			if n > len(from) {
				break
			}
			see(Prefix, from[:n])
		}
	}
	switch {
	case c.hard > s.Epoch:
		return Invalid, 0
	case c.soft > s.Epoch:
		return Stale, since
	}
	return Valid, 0
}
