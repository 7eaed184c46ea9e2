package workload

import "time"

// PurgeKind is what one purge of a storm names.
type PurgeKind uint8

const (
	// PurgeURL names one object, drawn by popularity.
	PurgeURL PurgeKind = iota
	// PurgeTag names the tag of an object drawn by popularity: its whole group goes.
	PurgeTag
	// PurgeAll names everything.
	PurgeAll
)

func (k PurgeKind) String() string {
	switch k {
	case PurgeURL:
		return "url"
	case PurgeTag:
		return "tag"
	case PurgeAll:
		return "all"
	}
	return "unknown"
}

// PurgeStorm is a time in which the cache is told to forget.
type PurgeStorm struct {
	At, For   time.Duration // from the start of the run
	PerSecond float64       // purges a second; one at the start at least
	Kind      PurgeKind
}

// Due says when purge number i of the storm is due, from the start of the run.
func (s PurgeStorm) Due(i int64) (time.Duration, bool) {
	due, ok := Constant{PerSecond: s.PerSecond, For: max(s.For, 1)}.At(i)
	return s.At + due, ok
}
