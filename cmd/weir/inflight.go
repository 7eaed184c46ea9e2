package main

import (
	"log/slog"

	"weir/configs"
	"weir/proxy/admin"
	"weir/proxy/metrics"
	"weir/tiers/spool"
)

// inFlight is the budget of bodies on their way, with the spool behind it.
func inFlight(cfg *configs.Config, log *slog.Logger) *spool.Budget {
	var s *spool.Spool
	if cfg.Limits.Spool.Size > 0 {
		s = spool.New(spool.Options{Dir: cfg.SpoolPath(), Size: cfg.Limits.Spool.Size, Log: log})
	}
	return spool.NewBudget(cfg.Limits.MemoryInFlight, s)
}

// inFlightStatus is what /v1/status says of it.
func inFlightStatus(b *spool.Budget) admin.InFlightStatus {
	st := admin.InFlightStatus{Bytes: b.Used(), Limit: b.Limit()}
	if s := b.Spool(); s != nil {
		st.Spool = &admin.SpoolStatus{Path: s.Path(), Bytes: s.Used(), Size: s.Size(), Up: s.Up()}
		if err := s.Trouble(); err != nil {
			st.Spool.Error = err.Error()
		}
	}
	return st
}

// wireInFlightMetrics shows what bodies on their way take.
func (n *node) wireInFlightMetrics() {
	b := n.tiers.InFlight()
	n.metrics.SetSource(metrics.SourceInFlightBytes, func() float64 { return float64(b.Used()) })
	n.metrics.SetSource(metrics.SourceSpoolBytes, func() float64 { return float64(b.Spool().Used()) })
	for source, cut := range map[metrics.Source]spool.Cut{
		metrics.SourceCutMemory: spool.CutMemory, metrics.SourceCutPermits: spool.CutPermits, metrics.SourceCutRate: spool.CutRate,
	} {
		n.metrics.SetSource(source, func() float64 { return float64(b.CutCount(cut)) })
	}
}
