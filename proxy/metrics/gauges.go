package metrics

import "fmt"

// Source names a value that another part holds and the page asks for.
type Source uint8

const (
	// SourceClientConnections is the number of open client connections.
	SourceClientConnections Source = iota
	// SourceRefusedConnections counts the connections that were one too many.
	SourceRefusedConnections
	// SourceFlights is the number of fetches under way.
	SourceFlights
	// SourceWaiting is the number of client requests that wait for origins.
	SourceWaiting
	// SourceShedding is the share of requests to origins that overload turns away.
	SourceShedding
	// SourceReady is 1 while the node should get traffic, else 0.
	SourceReady
	// SourceDiskUp is 1 while the disk tier is in use, else 0.
	SourceDiskUp
	// SourceDiskRebuilds counts how often the disk tier's index was made anew.
	SourceDiskRebuilds
	// SourceDiskFull counts the objects refused because the disk tier was full.
	SourceDiskFull
	// SourceDiskReadErrors and SourceDiskWriteErrors count what the device refused.
	SourceDiskReadErrors
	SourceDiskWriteErrors
	// SourceDiskTimeouts counts what the device did not answer in time.
	SourceDiskTimeouts
	// The bytes appended to the disk tier's segments: objects, the heads and
	// tombstones that go with them, the footers of sealed segments, and objects
	// written again because they were asked for when their segment was evicted.
	SourceDiskWrittenObjects
	SourceDiskWrittenMeta
	SourceDiskWrittenFooters
	SourceDiskWrittenAgain
	// SourceDiskWrittenIndex are the bytes that the index wrote.
	SourceDiskWrittenIndex
	// What the disk tier's bytes are: objects that can be found; replaced,
	// deleted and aborted ones, with all overheads; and the index.
	SourceDiskLive
	SourceDiskDead
	SourceDiskIndex
	// SourceScopes, SourceFloor and SourceFloorRaised describe what was purged.
	SourceScopes
	SourceFloor
	SourceFloorRaised
	// SourceUnlogged are purges in effect that are not in the log yet.
	SourceUnlogged
	// SourcePurgesRefused counts the purges that a token was refused.
	SourcePurgesRefused
	// SourceAccessLogDropped is the number of access log lines lost.
	SourceAccessLogDropped
	// SourceAccessLogErrors is the number of failed writes to the access log.
	SourceAccessLogErrors
	// SourceInFlightBytes and SourceSpoolBytes are what bodies on their way take.
	SourceInFlightBytes
	SourceSpoolBytes
	// The transfers that were ended for the sake of others, by reason.
	SourceCutMemory
	SourceCutPermits
	SourceCutRate

	numSources
)

// String returns the series that the source feeds.
func (s Source) String() string {
	switch s {
	case SourceClientConnections:
		return "weir_client_connections"
	case SourceRefusedConnections:
		return "weir_refused_connections_total"
	case SourceFlights:
		return "weir_flights"
	case SourceWaiting:
		return "weir_requests_waiting"
	case SourceShedding:
		return "weir_overload_ratio"
	case SourceReady:
		return "weir_ready"
	case SourceDiskUp:
		return nameDiskUp
	case SourceDiskRebuilds:
		return nameDiskRebuilds
	case SourceDiskFull:
		return nameDiskFull
	case SourceDiskReadErrors:
		return series(nameDiskErrors, "op", "read")
	case SourceDiskWriteErrors:
		return series(nameDiskErrors, "op", "write")
	case SourceDiskTimeouts:
		return series(nameDiskErrors, "op", "timeout")
	case SourceDiskWrittenObjects:
		return series(nameDiskWritten, "kind", "object")
	case SourceDiskWrittenMeta:
		return series(nameDiskWritten, "kind", "meta")
	case SourceDiskWrittenFooters:
		return series(nameDiskWritten, "kind", "footer")
	case SourceDiskWrittenAgain:
		return series(nameDiskWritten, "kind", "again")
	case SourceDiskWrittenIndex:
		return series(nameDiskWritten, "kind", "index")
	case SourceDiskLive:
		return series(nameDiskBytes, "kind", "live")
	case SourceDiskDead:
		return series(nameDiskBytes, "kind", "dead")
	case SourceDiskIndex:
		return series(nameDiskBytes, "kind", "index")
	case SourceScopes:
		return nameScopes
	case SourceFloor:
		return nameFloor
	case SourceFloorRaised:
		return nameFloorRaised
	case SourceUnlogged:
		return nameUnlogged
	case SourcePurgesRefused:
		return namePurgesRefused
	case SourceAccessLogDropped:
		return "weir_access_log_dropped_total"
	case SourceAccessLogErrors:
		return "weir_access_log_write_errors_total"
	case SourceInFlightBytes:
		return "weir_memory_in_flight_bytes"
	case SourceSpoolBytes:
		return "weir_spool_bytes"
	case SourceCutMemory:
		return series(nameCut, "reason", "memory")
	case SourceCutPermits:
		return series(nameCut, "reason", "permits")
	case SourceCutRate:
		return series(nameCut, "reason", "rate")
	}
	return fmt.Sprintf("Source(%d)", uint8(s))
}

// TierFuncs are read at each scrape, without any lock of the Registry held. A
// nil function leaves its family without the tier.
type TierFuncs struct {
	Bytes    func() float64
	Objects  func() float64
	Capacity func() float64
	// Corrupt counts the stored records that failed their check.
	Corrupt func() float64
}

// SetSource makes f the value of s from now on. A source that was never set is
// absent from the page; set it once more after a part was rebuilt. f is called
// at each scrape and must be safe for concurrent calls.
func (r *Registry) SetSource(s Source, f func() float64) {
	if s >= numSources || f == nil {
		panic(fmt.Sprintf("BUG: cannot set metrics source %v without a function or outside the list", s))
	}
	if r.sources[s].Swap(&f) == nil {
		r.set.GetOrCreateGauge(s.String(), func() float64 { return (*r.sources[s].Load())() })
	}
}

// SetTier makes f the source of a tier's values, and puts its evictions on the
// page from zero on. It may be called once for each tier
// that stores something; a tier outside the list is ignored, since "other" holds nothing.
func (r *Registry) SetTier(tier uint8, f TierFuncs) {
	if int(tier) >= len(r.tiers)-1 {
		return
	}
	name := r.tiers[tier]
	r.storing[tier].Store(true)
	for _, g := range []struct {
		family string
		f      func() float64
	}{
		{nameTierBytes, f.Bytes},
		{nameTierObjects, f.Objects},
		{nameTierCapacity, f.Capacity},
		{nameCorrupt, f.Corrupt},
	} {
		if g.f != nil {
			r.set.NewGauge(series(g.family, "tier", name), g.f)
		}
	}
}

// PolicyRow is what a policy has on disk.
type PolicyRow struct {
	// Policy comes from the configuration; "" is what no policy that is known
	// stored, and becomes "(none)", which no policy can be called.
	Policy string
	// Bytes and Guaranteed are bytes, EvictedFresh objects since the start.
	Bytes, Guaranteed, EvictedFresh int64
}

// SetPolicyRows makes f the source of what policies have on disk, and of how
// many bytes the disk lacks. f is called at each scrape.
func (r *Registry) SetPolicyRows(f func() (rows []PolicyRow, missing int64)) { r.policyRows.Store(&f) }

func (r *Registry) appendPolicyRows(b []byte) []byte {
	f := r.policyRows.Load()
	if f == nil {
		return b
	}
	rows, missing := (*f)()
	b = appendSample(b, nameDiskMissing, "", uint64(max(missing, 0)))
	for _, row := range rows {
		name := row.Policy
		if name == "" {
			name = "(none)"
		}
		l := labels("policy", name)
		b = appendSample(b, namePolicyBytes, l, uint64(max(row.Bytes, 0)))
		b = appendSample(b, nameGuaranteed, l, uint64(max(row.Guaranteed, 0)))
		b = appendSample(b, nameEvictedFresh, l, uint64(max(row.EvictedFresh, 0)))
	}
	return b
}

func (r *Registry) registerGauges(o Options) {
	r.set.NewGauge(nameInFlight, func() float64 { return float64(r.InFlight()) })
	r.set.NewGauge(nameOffload, func() float64 { requests, _ := r.Offload(); return requests })
	r.set.NewGauge(nameByteOffload, func() float64 { _, bytes := r.Offload(); return bytes })
	r.set.NewGauge(nameReloadOK, func() float64 {
		if r.reloadOK.Load() {
			return 1
		}
		return 0
	})
	r.set.NewGauge(nameConfigTime, func() float64 { return float64(r.configTime.Load()) / 1e9 })
	r.set.NewGauge(series(nameBuildInfo, "version", o.Version, "goversion", o.GoVersion), func() float64 { return 1 })
}
