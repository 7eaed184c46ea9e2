package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
)

// The site: groups of objects, each group with a host, a prefix and a tag of its own, so that every kind of purge
// reaches exactly what its version counter says.
const (
	groups       = 10
	groupObjects = 36
)

// object is one URL of the site.
type object struct {
	group  int
	host   string
	target string
	size   int64
}

func groupTag(g int) string    { return fmt.Sprintf("g%d", g) }
func groupHost(g int) string   { return fmt.Sprintf("g%d.shop.test", g) }
func groupPrefix(g int) string { return fmt.Sprintf("//%s/g%d/", groupHost(g), g) }

// makeSite draws the objects. The URL says how the origin answers (package loadorigin).
func makeSite(rng *rand.Rand) []object {
	var all []object
	for g := range groups {
		for i := range groupObjects {
			all = append(all, makeObject(rng, g, fmt.Sprintf("o%d", i), drawSize(rng)))
		}
	}
	return all
}

func drawSize(rng *rand.Rand) int64 {
	switch d := rng.IntN(100); {
	case d < 60:
		return 64 + rng.Int64N(20<<10)
	case d < 88:
		return 20<<10 + rng.Int64N(180<<10)
	case d < 97:
		return 200<<10 + rng.Int64N(800<<10)
	}
	return 1<<20 + rng.Int64N(4<<20)
}

func makeObject(rng *rand.Rand, g int, name string, size int64) object {
	var t strings.Builder
	fmt.Fprintf(&t, "/g%d/%s;size=%d;tag=%s;max-age=%d", g, name, size, groupTag(g), []int{1, 3, 20, 600}[rng.IntN(4)])
	if rng.IntN(3) == 0 {
		t.WriteString(";stale-while-revalidate=5")
	}
	if rng.IntN(3) == 0 {
		t.WriteString(";stale-if-error=60")
	}
	if rng.IntN(4) == 0 {
		t.WriteString(";chunked")
	}
	if rng.IntN(8) == 0 {
		t.WriteString(";vary=Accept-Encoding")
	}
	return object{group: g, host: groupHost(g), target: t.String(), size: size}
}

// floors are the versions below which nothing may be answered any more: those of acknowledged purges. One counter
// numbers all versions, so that a purge of more than one object needs no list of them.
type floors struct {
	mu    sync.RWMutex // protects the fields below
	all   [2]uint64    // of hard and of soft purges
	group [groups][2]uint64
	url   map[string][2]uint64
}

func newFloors() *floors { return &floors{url: make(map[string][2]uint64)} }

// of returns the least version of o that may be answered by the hard purges until now, and the least that may be called
// fresh by the soft ones.
func (f *floors) of(o *object) (hard, soft uint64) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	u := f.url[o.target]
	hard = max(f.all[0], f.group[o.group][0], u[0])
	return hard, max(hard, f.all[1], f.group[o.group][1], u[1])
}

// raise notes that the purge p was acknowledged.
func (f *floors) raise(p *purge) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := 0
	if p.soft {
		i = 1
	}
	switch {
	case p.all:
		f.all[i] = max(f.all[i], p.version)
	case p.object != nil:
		u := f.url[p.object.target]
		u[i] = max(u[i], p.version)
		f.url[p.object.target] = u
	default:
		f.group[p.group][i] = max(f.group[p.group][i], p.version)
	}
}
