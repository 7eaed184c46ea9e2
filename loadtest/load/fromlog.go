package load

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"weir/loadtest/accesslog"
	"weir/loadtest/replay"
)

// SteerPrefix begins the paths by which the scripted origin is steered.
const SteerPrefix = "/-/weirload/"

// Log are the requests of an access log, ready for a run.
type Log struct {
	Entries []Entry   // by their times, those of one time in the order of the log
	Start   time.Time // of the first
	Skipped int       // lines that cannot be sent: without a request, CONNECT, targets that are no path or steer the scripted origin
}

// FromLog makes the entries of a run from those of a log. What each has to get follows from the whole log, as package replay
// says. Lines of a log are in the order in which the answers ended, and their times may be those at which the requests came, so
// they are sorted. Where no line knows more than whole seconds, the requests of one second are spread over it.
func FromLog(log []accesslog.Entry) Log {
	var out Log
	var fractions bool
	out.Start, fractions = times(log)
	c := replay.NewCatalogue(log, replay.CatalogueOptions{})
	for i := range log {
		e := &log[i]
		target, ok := replay.WireTarget(e)
		want, known := c.Lookup(e.Method, target)
		name := replay.Canonical(target)
		if !ok || !known || strings.HasPrefix(name, SteerPrefix) {
			out.Skipped++
			continue
		}
		one := Entry{
			At: e.Time.Sub(out.Start), Method: e.Method, Target: target, Name: name,
			Status: want.Status, Size: want.Size, RangeEnd: -1,
		}
		// The log does not say which range was asked for; its length it does.
		if e.Status == http.StatusPartialContent && e.Method == http.MethodGet && want.Status == http.StatusOK && e.Size > 0 {
			one.RangeEnd = min(e.Size, want.Size) - 1
		}
		out.Entries = append(out.Entries, one)
	}
	out.sort()
	if !fractions {
		spread(out.Entries)
	}
	return out
}

// times finds the earliest time of a log, and whether any line knows more than the second.
func times(log []accesslog.Entry) (earliest time.Time, fractions bool) {
	for i := range log {
		t := log[i].Time
		if i == 0 || t.Before(earliest) {
			earliest = t
		}
		fractions = fractions || t.Nanosecond() != 0
	}
	return earliest, fractions
}

// sort makes the times rise, and count from the first request that can be sent.
func (l *Log) sort() {
	list := l.Entries
	if len(list) == 0 {
		return
	}
	slices.SortStableFunc(list, func(a, b Entry) int { return cmp.Compare(a.At, b.At) })
	first := list[0].At
	l.Start = l.Start.Add(first)
	for i := range list {
		list[i].At -= first
	}
}

// spread spreads the requests of one second over it.
func spread(list []Entry) {
	for i := 0; i < len(list); {
		j := i
		for j < len(list) && list[j].At == list[i].At {
			j++
		}
		for k := i; k < j; k++ {
			list[k].At += time.Second * time.Duration(k-i) / time.Duration(j-i)
		}
		i = j
	}
}
