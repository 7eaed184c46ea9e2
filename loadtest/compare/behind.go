package compare

import (
	"context"
	"fmt"
	"maps"
	"time"

	"weir/loadtest/compare/bare"
)

const (
	behindMiss  = "behind-miss-10k-64"
	behindRenew = "behind-revalidate-1k-64"
	behindMiB   = 8 << 10 // of disk: room for all that one measurement writes
)

// behindGroup measures the misses and the revalidations of weir once more, with
// a disk tier that is written behind the answers. The RAM is that of missGroup
// and renewGroup, so what differs is the cost of the disk tier.
var behindGroup = group{
	name: "behind", scenarios: []string{behindMiss, behindRenew}, systems: []string{Weir},
	run: func(ctx context.Context, t turn) error {
		for _, s := range []struct {
			name   string
			ramMiB int64
			fill   bare.Set
			load   load
			judge  judge
			kind   string // of what is written to the disk
			least  int64  // bytes written for each request
		}{
			{behindMiss, missMiB, missFill, t.missLoad(), onlyMisses, "object", missSize},
			// A record of a refresh has at least a date and a lifetime.
			{behindRenew, renewMiB, renewSet, t.renewLoad(), onlyRenewals, "meta", 16},
		} {
			if !t.wants(s.name) {
				continue
			}
			all := t.begin(ctx, options{memoryMiB: s.ramMiB, diskMiB: behindMiB, behind: true, connections: 64})
			filled := t.filled(ctx, s.name, all, s.fill)
			for _, i := range filled {
				before, err := t.settled(ctx, i, s.fill, s.kind)
				if err != nil {
					t.fault(s.name, i.system.name, t.round, err)
					continue
				}
				t.inTurn(ctx, s.name, []*instance{i}, constant(s.load), alsoWritten(ctx, s.judge, s.kind, before, s.least))
			}
			stopAll(all)
		}
		return nil
	},
}

// diskWritten returns how many bytes of a kind weir's disk tier has written.
func (i *instance) diskWritten(ctx context.Context, kind string) (float64, error) {
	return i.weirMetric(ctx, `weir_disk_written_bytes_total{kind="`+kind+`"}`)
}

// written waits until the disk tier of i has written at least want bytes of a
// kind, and returns how many.
func (i *instance) written(ctx context.Context, kind string, want float64, within time.Duration) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		n, err := i.diskWritten(ctx, kind)
		if err != nil || n >= want {
			return n, err
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("not written behind: of %.0f bytes (%s) the disk tier has written %.0f: %w", want, kind, n, ctx.Err())
		case <-again.C:
		}
	}
}

// settled waits until the disk tier of i holds every object of a set, so that
// none of them is written while others are measured, and returns how much of a
// kind has been written by then.
func (t turn) settled(ctx context.Context, i *instance, s bare.Set, kind string) (float64, error) {
	if err := i.resume(); err != nil {
		return 0, err
	}
	defer func() { _ = i.pause() }() // a process that is gone fails the measurement
	if _, err := i.written(ctx, "object", float64(s.Count*s.Size), time.Minute); err != nil {
		return 0, err
	}
	return i.diskWritten(ctx, kind)
}

// alsoWritten is a judge that also refuses a measurement after which the disk
// tier has not written least bytes of a kind for each of 99 requests in a
// hundred, a few seconds later at most. It had written before at the start.
func alsoWritten(ctx context.Context, next judge, kind string, before float64, least int64) judge {
	return func(i *instance, m measurement, asked bare.Stats) (map[string]float64, error) {
		values, err := next(i, m, asked)
		if err != nil {
			return nil, err
		}
		now, err := i.written(ctx, kind, before+0.99*float64(m.Requests*least), 3*time.Second)
		if err != nil {
			return nil, err
		}
		out := map[string]float64{valueDisk: round((now - before) / float64(m.Requests))}
		maps.Copy(out, values)
		return out, nil
	}
}
