package load

import (
	"net/http"
	"time"

	"weir/loadtest/accesslog"
	"weir/loadtest/replay"
)

// FromLog makes the entries of a run from those of a log, in its order. What each has to get follows from the whole log, as
// package replay says. The log's times are whole seconds; requests of one second are spread over it. skipped counts what
// cannot be sent: lines without a request, CONNECT, targets that are no path.
func FromLog(log []accesslog.Entry) (list []Entry, skipped int) {
	c := replay.NewCatalogue(log, replay.CatalogueOptions{})
	for i := range log {
		e := &log[i]
		target, ok := replay.WireTarget(e)
		want, known := c.Lookup(e.Method, target)
		if !ok || !known {
			skipped++
			continue
		}
		one := Entry{
			At: e.Time.Sub(log[0].Time), Method: e.Method, Target: target, Name: replay.Canonical(target),
			Status: want.Status, Size: want.Size, RangeEnd: -1,
		}
		// The log does not say which range was asked for; its length it does.
		if e.Status == http.StatusPartialContent && e.Method == http.MethodGet && want.Status == http.StatusOK && e.Size > 0 {
			one.RangeEnd = min(e.Size, want.Size) - 1
		}
		list = append(list, one)
	}
	spread(list)
	return list, skipped
}

// spread makes the times rise, and spreads those of one second over it.
func spread(list []Entry) {
	var latest time.Duration
	for i := range list {
		latest = max(latest, list[i].At) // lines of a log are in the order of their ends
		list[i].At = latest
	}
	for i := 0; i < len(list); {
		j := i
		for j < len(list) && list[j].At == list[i].At {
			j++
		}
		if list[i].At%time.Second == 0 {
			for k := i; k < j; k++ {
				list[k].At += time.Second * time.Duration(k-i) / time.Duration(j-i)
			}
		}
		i = j
	}
}
