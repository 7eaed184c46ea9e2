package loadorigin

import (
	"sync"
	"sync/atomic"
)

// versions knows the version of every body. One counter numbers all changes, and a body's version is the number of the youngest change
// that touches it: so whoever made a change knows from its number alone which versions are older.
type versions struct {
	count atomic.Uint64 // changes so far; while it is 0 nothing needs to be looked up

	mu      sync.RWMutex // protects the fields below
	all     uint64
	tags    map[string]uint64
	targets map[string]uint64
}

// of is the version of a body now.
func (v *versions) of(name string, tags []string) uint64 {
	if v.count.Load() == 0 {
		return 0
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	version := max(v.all, v.targets[name])
	for _, tag := range tags {
		version = max(version, v.tags[tag])
	}
	return version
}

// change makes new versions of everything that it names.
func (v *versions) change(target, tag string, all bool) uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.count.Add(1)
	if all {
		v.all = n
	}
	if tag != "" {
		put(&v.tags, tag, n)
	}
	if target != "" {
		put(&v.targets, target, n)
	}
	return n
}

func put(m *map[string]uint64, key string, n uint64) {
	if *m == nil {
		*m = map[string]uint64{}
	}
	(*m)[key] = n
}
