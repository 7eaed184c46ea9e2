package metrics

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
)

// WriteMetrics writes the whole page: ours, then the process's. The error is
// that of w.
func (r *Registry) WriteMetrics(w io.Writer) error {
	var raw bytes.Buffer
	r.set.WritePrometheus(&raw)
	vm.WriteProcessMetrics(&raw)
	vm.WriteFDMetrics(&raw)
	if _, err := w.Write(annotate(raw.Bytes())); err != nil {
		return fmt.Errorf("cannot write metrics page: %w", err)
	}
	return nil
}

// writeRequests writes the families that the hit path feeds. Lines for "other"
// appear only once something was counted there.
func (r *Registry) writeRequests(w io.Writer) {
	var b []byte
	for i, result := range r.results {
		for j, tier := range r.tiers {
			var n uint64
			for k := range r.shards {
				n += r.shards[k].requests[i*len(r.tiers)+j].Load()
			}
			if n > 0 || result != other && tier != other {
				b = appendSample(b, nameRequests, labels("result", result, "tier", tier), n)
			}
		}
	}
	durations := make([]histogramSnapshot, len(r.tiers))
	ttfb := make([]histogramSnapshot, len(r.tiers))
	sent := make([]uint64, len(r.tiers))
	for k := range r.shards {
		for j := range r.shards[k].tiers {
			cells := &r.shards[k].tiers[j]
			durations[j].add(&cells.durations)
			ttfb[j].add(&cells.ttfb)
			sent[j] += cells.bytes.Load()
		}
	}
	b = appendByTier(b, nameDuration, r.tiers, durations)
	b = appendByTier(b, nameTTFB, r.tiers, ttfb)
	for j, tier := range r.tiers {
		if tier != other || sent[j] > 0 {
			b = appendSample(b, nameResponseBytes, labels("tier", tier), sent[j])
		}
	}
	_, _ = w.Write(b) // the writer is the buffer of WriteMetrics
}

// writeStored writes what is counted about storing. A line at zero is there for
// each known reason, and for each tier that stores something.
func (r *Registry) writeStored(w io.Writer) {
	var b []byte
	for i, reason := range r.reasons {
		if n := r.notCached[i].Load(); n > 0 || reason != other {
			b = appendSample(b, nameNotCached, labels("reason", reason), n)
		}
	}
	for i, reason := range withheldReasons {
		b = appendSample(b, nameWithheld, labels("reason", reason), r.withheld[i].Load())
	}
	for i, reason := range shedReasons {
		b = appendSample(b, nameShed, labels("reason", reason), r.shed[i].Load())
	}
	for i, direction := range stepDirections {
		b = appendSample(b, nameClockSteps, labels("direction", direction), r.steps[i].Load())
	}
	for i, tier := range r.tiers {
		for j, reason := range r.evictionReasons {
			if n := r.evictions[i][j].Load(); n > 0 || r.storing[i].Load() && reason != other {
				b = appendSample(b, nameEvictions, labels("tier", tier, "reason", reason), n)
			}
		}
	}
	b = r.appendPolicyRows(b)
	b = r.appendPoolRows(b)
	_, _ = w.Write(b) // the writer is the buffer of WriteMetrics
}

// diskStates are the states that a disk tier can be in, and what tells which it is.
type diskStates struct {
	states []string
	now    func() string
}

// SetDiskStates shows the state of the disk tier. now is called at each scrape.
func (r *Registry) SetDiskStates(states []string, now func() string) {
	r.diskState.Store(&diskStates{states, now})
}

// writeDisk writes how long the disk takes, where there is one.
func (r *Registry) writeDisk(w io.Writer) {
	if r.sources[SourceDiskUp].Load() == nil {
		return
	}
	var b []byte
	for _, op := range []struct {
		name string
		h    *histogram
	}{{"read", &r.diskReads}, {"write", &r.diskWrites}} {
		var snap histogramSnapshot
		snap.add(op.h)
		b = snap.appendTo(b, nameDiskTime, labels("op", op.name))
	}
	if s := r.diskState.Load(); s != nil {
		now := s.now()
		for _, state := range s.states {
			b = appendSample(b, nameDiskState, labels("state", state), oneIf(state == now))
		}
	}
	_, _ = w.Write(b) // the writer is the buffer of WriteMetrics
}

// writePurges writes what was purged.
func (r *Registry) writePurges(w io.Writer) {
	var b []byte
	for i, kind := range r.purgeKinds {
		if n := r.purges[i].Load(); n > 0 || kind != other {
			b = appendSample(b, namePurges, labels("kind", kind), n)
		}
	}
	var snap histogramSnapshot
	snap.add(&r.purgeTimes)
	b = snap.appendTo(b, namePurgeTime, "")
	if r.peers.Load() != nil {
		var peers histogramSnapshot
		peers.add(&r.peerTimes)
		b = peers.appendTo(b, namePeerTime, "")
		b = r.appendPeers(b)
	}
	_, _ = w.Write(b) // the writer is the buffer of WriteMetrics
}

// Purged counts one scope of a purge that is in effect here. kind is an index
// into Options.PurgeKinds.
func (r *Registry) Purged(kind uint8) { r.purges[min(int(kind), len(r.purges)-1)].Add(1) }

// PurgeTook counts a purge that this node took and that was in effect after d.
func (r *Registry) PurgeTook(d time.Duration) { r.purgeTimes.observe(d) }

// PeerTook counts a peer's word on a purge that this node took, d after it came.
func (r *Registry) PeerTook(d time.Duration) { r.peerTimes.observe(d) }

// DiskRead and DiskWrite count a read from a segment, and a write to one, that took d.
func (r *Registry) DiskRead(d time.Duration) { r.diskReads.observe(d) }

// DiskWrite is DiskRead for writes.
func (r *Registry) DiskWrite(d time.Duration) { r.diskWrites.observe(d) }

func appendByTier(b []byte, name string, tiers []string, snaps []histogramSnapshot) []byte {
	for j, tier := range tiers {
		if tier == other && snaps[j].empty() {
			continue
		}
		b = snaps[j].appendTo(b, name, labels("tier", tier))
	}
	return b
}

func (s *histogramSnapshot) empty() bool {
	for _, n := range s.buckets {
		if n > 0 {
			return false
		}
	}
	return true
}

// annotate sorts the lines of raw into the families of the table, writes HELP
// and TYPE before each, and drops lines of families that are not in the table.
// Lines of one family keep their order.
func annotate(raw []byte) []byte {
	index := make(map[string]int, len(families))
	for i, f := range families {
		index[f.name] = i
	}
	lines := make([][]byte, len(families))
	for line := range bytes.Lines(raw) {
		if i, ok := index[familyOf(line, index)]; ok {
			lines[i] = append(lines[i], line...)
		}
	}
	out := make([]byte, 0, len(raw)+len(families)*128)
	for i, f := range families {
		if len(lines[i]) == 0 {
			continue
		}
		out = fmt.Appendf(out, "# HELP %s %s\n# TYPE %s %s\n", f.name, f.help, f.name, f.kind)
		out = append(out, lines[i]...)
	}
	return out
}

// familyOf returns the name of the family that a line belongs to: the name of
// its series, less the suffixes that histograms and summaries add.
func familyOf(line []byte, index map[string]int) string {
	name := string(line)
	if end := strings.IndexAny(name, "{ "); end >= 0 {
		name = name[:end]
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			if i, ok := index[base]; ok && (families[i].kind == histogramKind || families[i].kind == summary) {
				return base
			}
		}
	}
	return name
}
