package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"
)

// begin starts weir, which does not run, and waits until it answers. What overlaps with a start is not held to bounds.
func (b *bench) begin(ctx context.Context) error {
	err := b.weir.start(context.WithoutCancel(ctx))
	if err != nil && !errors.Is(err, errNotReady) {
		b.found.add(kindStart, "%v", err)
	}
	return err
}

// restart ends weir with a signal and starts it again.
func (b *bench) restart(ctx context.Context, s syscall.Signal) error {
	defer b.weir.disturb()()
	b.weir.kill(s)
	if err := b.begin(ctx); err != nil {
		// Once more, so that the rest of the run has something to look at.
		b.weir.kill(syscall.SIGKILL)
		if err := b.begin(ctx); err != nil {
			return fmt.Errorf("cannot start weir again: %w", err)
		}
	}
	return nil
}

func killed(ctx context.Context, b *bench, d *draw) error { return again(ctx, b, d, syscall.SIGKILL) }

func terminated(ctx context.Context, b *bench, d *draw) error {
	return again(ctx, b, d, syscall.SIGTERM)
}

func again(ctx context.Context, b *bench, d *draw, s syscall.Signal) error {
	rng := d.rng()
	for ctx.Err() == nil {
		if err := b.restart(ctx, s); err != nil {
			return err
		}
		sleep(ctx, time.Duration(1000+rng.IntN(2000))*time.Millisecond)
	}
	return nil
}

// reloads changes the configuration, also to files with faults, which must change nothing.
func reloads(ctx context.Context, b *bench, d *draw) error {
	rng := d.rng()
	for ctx.Err() == nil {
		switch rng.IntN(4) {
		case 0:
			if err := b.weir.write("listen: nowhere\norigins: {}\n"); err != nil {
				return err
			}
		default:
			err := b.weir.configure(func(s *settings) {
				s.swapped, s.dead, s.override = rng.IntN(2) == 0, rng.IntN(3) == 0, rng.IntN(2) == 0
				s.balance = []string{"least_requests", "round_robin"}[rng.IntN(2)]
				s.conns = []int{maxConnections, maxConnections / 2, maxConnections - 1}[rng.IntN(3)]
				s.maxAge = []string{"10m", "1s"}[rng.IntN(2)]
			})
			if err != nil {
				return err
			}
		}
		b.weir.signal(syscall.SIGHUP)
		sleep(ctx, time.Duration(200+rng.IntN(800))*time.Millisecond)
	}
	// Before anything else: a weir that starts must find a good file.
	if err := b.weir.configure(func(s *settings) { *s = firstSettings() }); err != nil {
		return err
	}
	b.weir.signal(syscall.SIGHUP)
	return nil
}

// pauses stops the process and lets it go on, as a machine that is suspended. Meanwhile nothing is held to bounds.
func pauses(ctx context.Context, b *bench, d *draw) error {
	rng := d.rng()
	for ctx.Err() == nil {
		b.pauseOnce(ctx, time.Duration(200+rng.IntN(2500))*time.Millisecond)
		sleep(ctx, time.Duration(300+rng.IntN(700))*time.Millisecond)
	}
	return nil
}

func (b *bench) pauseOnce(ctx context.Context, d time.Duration) {
	defer b.weir.disturb()()
	b.weir.signal(syscall.SIGSTOP)
	sleep(ctx, d)
	b.weir.signal(syscall.SIGCONT)
	// It catches up with what came meanwhile.
	limit := time.Now().Add(answerWithin)
	for time.Now().Before(limit) {
		if status, _, err := b.admin("/healthz", answerWithin); err == nil && status == http.StatusOK {
			return
		}
	}
}
