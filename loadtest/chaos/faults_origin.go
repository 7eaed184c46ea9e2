package chaos

import (
	"context"
	"time"
)

// some returns which servers a fault is about: one of the shop's, both, all, or the people's.
func (b *bench) some(who int) []*gate {
	o := b.origin
	switch who {
	case 0, 1:
		return o.gates[who : who+1]
	case 2, 3:
		return o.gates
	case 4:
		return o.all()
	}
	return []*gate{o.people}
}

// manners has servers answer in a manner.
func manners(m manner) func(context.Context, *bench, *draw) error {
	return func(ctx context.Context, b *bench, d *draw) error {
		for _, g := range b.some(d.who) {
			g.be(m)
			defer g.be(good)
		}
		<-ctx.Done()
		return nil
	}
}

func refuse(ctx context.Context, b *bench, d *draw) error {
	for _, g := range b.some(d.who) {
		g.shut(true)
	}
	<-ctx.Done()
	return b.reopen(d.who)
}

func (b *bench) reopen(who int) error {
	for _, g := range b.some(who) {
		if err := g.open(); err != nil {
			return err
		}
	}
	return nil
}

func flap(ctx context.Context, b *bench, d *draw) error {
	rng := d.rng()
	for ctx.Err() == nil {
		for _, g := range b.some(d.who) {
			g.shut(rng.IntN(2) == 0)
		}
		sleep(ctx, time.Duration(50+rng.IntN(300))*time.Millisecond)
		if err := b.reopen(d.who); err != nil {
			return err
		}
		sleep(ctx, time.Duration(50+rng.IntN(300))*time.Millisecond)
	}
	return nil
}

// sleep lets time pass, at most until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
