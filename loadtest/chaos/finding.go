package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// kind is what was found to be wrong.
type kind uint8

const (
	kindWrong     kind = iota // an answer that is not the URL's
	kindStale                 // an answer older than an acknowledged purge
	kindVisitor               // a page that belongs to another visitor
	kindMemory                // more memory than the plan says
	kindDisk                  // more disk than the budget says
	kindFiles                 // descriptors that were not given back
	kindRoutines              // goroutines that did not end
	kindPermits               // in flight at an origin although nothing is under way, or more than max_connections
	kindHit                   // a stored answer that came late or was refused
	kindHang                  // a request that was not answered in time
	kindAdmin                 // an admin plane that answered late
	kindPurge                 // a purge that was answered late
	kindStart                 // a start that took too long or failed
	kindStop                  // a stop that took too long
	kindDied                  // a process that ended by itself
	kindRecovered             // trouble that was over, and weir had not noticed
	kinds
)

func (k kind) String() string {
	return [kinds]string{
		"wrong", "stale", "visitor", "memory", "disk", "files", "goroutines", "permits", "hit", "hang", "admin", "purge",
		"start", "stop", "died", "recovery",
	}[k]
}

// about says what a person looks at first when something of this kind was found.
func (k kind) about() string {
	return [kinds]string{
		"bytes that are not those of the URL and the version that the answer names",
		"an answer whose version is older than a purge that had been acknowledged before the request was sent",
		"a page, or a cookie, that was made for another visitor",
		"resident memory above what docs/operations.md, Sizing, says to plan with",
		"the directory of the disk tier above its budget",
		"descriptors that are still open when nothing is under way",
		"goroutines that still run when nothing is under way; their stacks are in the log",
		"permits of an origin that did not come back, or more requests in flight than max_connections",
		"requests for what is stored (only-if-cached), each on its own connection",
		"requests that had no answer long after every timeout of the configuration",
		"GET /healthz, /metrics and /v1/status",
		"POST /v1/purge",
		"the time from the start of the process until it answers; a process that hangs leaves its stacks in the log",
		"the time from SIGTERM to the end of the process; a process that hangs leaves its stacks in the log",
		"the process ended without a signal; its log says why",
		"answers, or the disk tier, that did not come back after the faults were over",
	}[k]
}

// maxExamples bounds the examples that are kept of each kind; all are counted.
const maxExamples = 8

// findings collects what is wrong.
type findings struct {
	began time.Time
	mu    sync.Mutex // protects the fields below
	// now says in which round, and under which faults, findings are made.
	now      string
	counts   [kinds]int
	examples [kinds][]string
	under    [kinds]map[string]int // how many by fault
	faults   []string
}

func newFindings() *findings {
	f := &findings{began: time.Now(), now: "start"}
	for k := range f.under {
		f.under[k] = make(map[string]int)
	}
	return f
}

// during names the round and the faults that findings belong to from now on.
func (f *findings) during(round int, faults []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now, f.faults = fmt.Sprintf("round %d (%s)", round, strings.Join(faults, ", ")), faults
}

func (f *findings) add(k kind, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[k]++
	for _, name := range f.faults {
		f.under[k][name]++
	}
	// One that repeats within a round says nothing new.
	last := f.now
	if n := len(f.examples[k]); n >= maxExamples || n >= 3 && strings.Contains(f.examples[k][n-3], last) {
		return
	}
	text := fmt.Sprintf("%7.1fs %s: %s", time.Since(f.began).Seconds(), f.now, fmt.Sprintf(format, args...))
	f.examples[k] = append(f.examples[k], text)
}

// total is how many there are of all kinds.
func (f *findings) total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.counts {
		n += c
	}
	return n
}

// count is how many there are of one kind.
func (f *findings) count(k kind) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[k]
}

// snapshot is how many there are of each kind.
func (f *findings) snapshot() [kinds]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts
}

// since says what has been found beyond a snapshot.
func (f *findings) since(before [kinds]int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var texts []string
	for k := range kinds {
		if n := f.counts[k] - before[k]; n > 0 {
			texts = append(texts, fmt.Sprintf("%s %d", k, n))
		}
	}
	return strings.Join(texts, ", ")
}

// write prints every kind that was found with its first examples.
func (f *findings) write(b *strings.Builder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range kinds {
		if f.counts[k] == 0 {
			continue
		}
		fmt.Fprintf(b, "\n%s, %d times: %s\n", strings.ToUpper(k.String()), f.counts[k], k.about())
		for _, e := range f.examples[k] {
			fmt.Fprintf(b, "  %s\n", e)
		}
		names := slices.SortedFunc(maps.Keys(f.under[k]), func(x, y string) int {
			return cmp.Or(cmp.Compare(f.under[k][y], f.under[k][x]), cmp.Compare(x, y))
		})
		for i, name := range names {
			names[i] = fmt.Sprintf("%s %d", name, f.under[k][name])
		}
		if len(names) > 0 {
			fmt.Fprintf(b, "  in rounds with: %s\n", strings.Join(names, ", "))
		}
	}
}
