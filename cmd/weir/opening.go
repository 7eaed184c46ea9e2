package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/invalidation"
	"weir/policy"
	"weir/proxy"
	"weir/tiers"
	"weir/tiers/disk"
)

const (
	// diskPatience is how long a start waits for the disk tier before it serves
	// without it. Opening one in good health takes less, and a lock that another
	// process holds shows sooner.
	diskPatience = 600 * time.Millisecond
	// readyPatience is how long a node is not ready because its disk tier is being
	// opened: it is cold without, and a balancer may have others.
	readyPatience = 30 * time.Second
)

// openTiers opens the tiers. The disk tier may come later: nothing that its device
// does keeps the node from serving.
func (n *node) openTiers(ctx context.Context) error {
	o := tiers.Options{
		RAMSize: n.cfg.Tiers.RAM.Size, RAMMaxObject: n.cfg.Tiers.RAM.MaxObject,
		Disk: diskOptions(n.cfg.Tiers.Disk), Log: n.log, DiskPatience: diskPatience, BeforeDisk: n.attachLog,
		Evicted: func(t policy.Tier, fresh bool) { proxy.CountEviction(n.metrics, t, fresh) },
	}
	if o.Disk != nil {
		o.DiskMaxObject = n.cfg.Tiers.Disk.MaxObject
		o.Disk.Log = n.log
		o.Disk.OnRead, o.Disk.OnWrite = n.metrics.DiskRead, n.metrics.DiskWrite
	}
	o.Policies = policyStorage(n.cfg)
	var t *tiers.Store
	err := n.in.patiently(ctx, n.log, disk.ErrLocked, func() (err error) {
		o.InFlight = inFlight(n.cfg, n.log) // Open closes it when it fails
		t, err = tiers.Open(o)
		return err
	})
	if errors.Is(err, disk.ErrLocked) {
		return fmt.Errorf("another weir uses the disk tier's directory %s (from the key tiers.disk.path); "+
			"each needs a directory of its own, or --take-over to have it once the other leaves", o.Disk.Dir)
	}
	if err != nil {
		return fmt.Errorf("cannot open the tiers: %w", err)
	}
	n.tiers = t
	n.room.Store(t)
	if state, ok := t.DiskState(); ok && state == tiers.DiskOpening {
		n.log.Warn("disk tier is being opened, and takes its time; serving from RAM and origin meanwhile", "path", o.Disk.Dir)
	}
	return nil
}

// attachLog attaches the log of purges, once, before anything on disk is used. It is
// called in the background while the node serves already, or before it does.
func (n *node) attachLog() error {
	if n.purges.LogState() != invalidation.LogOpening {
		return nil
	}
	loaded, err := n.purges.Load()
	if err != nil {
		return err
	}
	start := func(done func(error)) bool { return n.purges.Attach(loaded, done) }
	if n.bus != nil {
		// What peers have purged in the meantime is not in the log.
		err = n.bus.Change("the log of purges was opened", start)
	} else {
		err = await(start)
	}
	if errors.Is(err, invalidation.ErrClosed) {
		err = errors.Join(err, loaded.Close())
	}
	return err
}

// await waits for what start begins.
func await(start func(done func(error)) bool) error {
	done := make(chan error, 1)
	if !start(func(err error) { done <- err }) {
		return invalidation.ErrClosed
	}
	return <-done
}

// diskOpening reports whether the node waits for its disk tier.
func (n *node) diskOpening() bool {
	state, ok := n.tiers.DiskState()
	return ok && state == tiers.DiskOpening && time.Since(n.started) < readyPatience
}
