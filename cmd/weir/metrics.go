package main

import (
	"maps"
	"slices"
	"strings"

	"weir/origin"
	"weir/policy"
	"weir/proxy/metrics"
	"weir/tiers"
	"weir/tiers/disk"
)

// wireMetrics lets the metrics page ask the parts for what they hold.
func (n *node) wireMetrics() {
	n.metrics.SetSource(metrics.SourceClientConnections, func() float64 { return float64(n.proxy.Connections()) })
	n.metrics.SetSource(metrics.SourceRefusedConnections, func() float64 { return float64(n.proxy.RefusedConnections()) })
	n.metrics.SetSource(metrics.SourceFlights, func() float64 { return float64(n.proxy.Flights()) })
	n.metrics.SetSource(metrics.SourceWaiting, func() float64 { return float64(n.proxy.Waiting()) })
	n.metrics.SetSource(metrics.SourceShedding, func() float64 { return n.proxy.Shedding() })
	n.metrics.SetSource(metrics.SourceReady, func() float64 { return oneIf(n.Ready() == nil) })
	n.metrics.SetSource(metrics.SourceAccessLogDropped, func() float64 { return float64(n.accessLog.Dropped()) })
	n.metrics.SetSource(metrics.SourceAccessLogErrors, func() float64 { return float64(n.accessLog.WriteErrors()) })
	n.metrics.SetSource(metrics.SourceScopes, func() float64 { return float64(n.purges.Stats().Scopes) })
	n.metrics.SetSource(metrics.SourceFloor, func() float64 { return float64(n.purges.Stats().Floor) })
	n.metrics.SetSource(metrics.SourceFloorRaised, func() float64 { return float64(n.purges.Stats().FloorRaised) })
	n.wireInFlightMetrics()
	n.metrics.SetSource(metrics.SourceUnlogged, func() float64 { return float64(n.purges.Stats().Unlogged) })
	n.metrics.SetSource(metrics.SourcePurgesRefused, func() float64 { return float64(n.purges.Stats().Refused) })
	n.wirePoolMetrics()
	n.wireClusterMetrics()
	n.metrics.SetTier(uint8(policy.TierRAM), tierFuncs(n.tiers.RAMUsage))
	if _, ok := n.tiers.DiskUsage(); ok {
		n.wireDiskMetrics()
		n.wirePolicyMetrics()
	}
}

// oneIf is how a gauge shows a condition.
func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (n *node) wireDiskMetrics() {
	usage := func() tiers.Usage { u, _ := n.tiers.DiskUsage(); return u }
	stat := func(pick func(*disk.Stats) int64) func() float64 {
		return func() float64 {
			st, _ := n.tiers.DiskStats()
			return float64(pick(&st))
		}
	}
	f := tierFuncs(usage)
	// What did not pass its check, and nothing else: a device that fails is
	// counted in weir_disk_errors_total.
	f.Corrupt = stat(func(s *disk.Stats) int64 { return s.Corrupt })
	n.metrics.SetTier(uint8(policy.TierDisk), f)
	n.metrics.SetSource(metrics.SourceDiskUp, func() float64 { return oneIf(usage().Up) })
	n.metrics.SetDiskStates(tiers.DiskStates(), func() string {
		state, _ := n.tiers.DiskState()
		return state.String()
	})
	n.metrics.SetSource(metrics.SourceDiskWrittenIndex, func() float64 { return float64(n.tiers.DiskWrittenIndex()) })
	for source, pick := range map[metrics.Source]func(*disk.Stats) int64{
		metrics.SourceDiskRebuilds:       func(s *disk.Stats) int64 { return s.Rebuilds },
		metrics.SourceDiskFull:           func(s *disk.Stats) int64 { return s.Full },
		metrics.SourceDiskReadErrors:     func(s *disk.Stats) int64 { return s.ReadErrors },
		metrics.SourceDiskWriteErrors:    func(s *disk.Stats) int64 { return s.WriteErrors },
		metrics.SourceDiskTimeouts:       func(s *disk.Stats) int64 { return s.ReadTimeouts },
		metrics.SourceDiskWrittenObjects: func(s *disk.Stats) int64 { return s.WrittenUser },
		metrics.SourceDiskWrittenMeta:    func(s *disk.Stats) int64 { return s.WrittenMeta },
		metrics.SourceDiskWrittenFooters: func(s *disk.Stats) int64 { return s.WrittenFooters },
		metrics.SourceDiskWrittenAgain:   func(s *disk.Stats) int64 { return s.WrittenReappend },
		metrics.SourceDiskLive:           func(s *disk.Stats) int64 { return s.LiveBytes },
		metrics.SourceDiskDead:           func(s *disk.Stats) int64 { return max(s.SegmentBytes-s.LiveBytes, 0) },
		metrics.SourceDiskIndex:          func(s *disk.Stats) int64 { return s.IndexBytes },
	} {
		n.metrics.SetSource(source, stat(pick))
	}
}

// wirePoolMetrics shows how the servers of origins fare.
func (n *node) wirePoolMetrics() {
	n.metrics.SetPoolRows(func() []metrics.PoolRow {
		n.mu.Lock()
		pools := slices.Collect(maps.Values(n.pools))
		n.mu.Unlock()
		slices.SortFunc(pools, func(a, b pool) int { return strings.Compare(a.pool.Name(), b.pool.Name()) })
		rows := make([]metrics.PoolRow, len(pools))
		for i, p := range pools {
			rows[i] = poolRow(p.pool)
		}
		return rows
	})
}

func poolRow(p *origin.Pool) metrics.PoolRow {
	s := p.Status()
	row := metrics.PoolRow{Origin: p.Name(), Retries: counted(s.Retries), Hedges: counted(s.Hedges), Waiting: s.Waiting}
	for _, v := range s.Servers {
		row.Servers = append(row.Servers, metrics.ServerRow{
			Server: v.URL, Up: v.State == origin.StateUp || v.State == origin.StateBackup, Outcomes: counted(v.Outcomes),
		})
	}
	return row
}

// counted puts counts in the order of their labels.
func counted(counts map[string]uint64) []metrics.Counted {
	var list []metrics.Counted
	for _, label := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, metrics.Counted{Label: label, N: counts[label]})
	}
	return list
}

// wirePolicyMetrics shows what the policies have on disk.
func (n *node) wirePolicyMetrics() {
	n.metrics.SetPolicyRows(func() ([]metrics.PolicyRow, int64) {
		promises, missing := n.tiers.Promises()
		rows := make([]metrics.PolicyRow, len(promises))
		for i, p := range promises {
			rows[i] = metrics.PolicyRow{Policy: p.Policy, Bytes: p.Bytes, Guaranteed: p.Guaranteed, EvictedFresh: p.EvictedFresh}
		}
		return rows, missing
	})
}

func tierFuncs(u func() tiers.Usage) metrics.TierFuncs {
	return metrics.TierFuncs{
		Bytes:    func() float64 { return float64(u().Bytes) },
		Objects:  func() float64 { return float64(u().Objects) },
		Capacity: func() float64 { return float64(u().Capacity) },
	}
}
