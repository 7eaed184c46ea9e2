package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"weir/proxy/listen"
)

// How a weir stops: serving, then (with SIGTERM) the lame duck, in which readiness
// says 503 and everything is served, then the drain, in which nothing new is taken,
// then the end. SIGINT and a second signal go one step ahead at once.

const (
	// signalEcho is how soon after one signal another counts as the same: timeout(1),
	// npm and others send one to the process and one to its group.
	signalEcho = 500 * time.Millisecond
	// goodbye is how long a connection must have been idle for a drain that is in no
	// hurry to close it. A client that sent its next request at that very moment would
	// lose it, and one that is busy has got an answer that ends the connection by then.
	goodbye = time.Second
)

// untilStopped reloads when told to, and drains when told to end, or when a
// listener fails.
func (n *node) untilStopped(ctx context.Context, signals <-chan os.Signal, status string) error {
	for {
		select {
		case err := <-n.failed:
			n.log.Error("a listener stopped", "error", err)
			return errors.Join(err, n.finish(signals, 0))
		case s := <-n.asked():
			return n.giveOver(s, signals)
		case s := <-signals:
			if s == syscall.SIGHUP {
				n.notify.reloading()
				n.reload(ctx)
				n.notify.ready(status)
				continue
			}
			return n.stop(s, signals)
		}
	}
}

// stop ends the process after the signal s.
func (n *node) stop(s os.Signal, signals <-chan os.Signal) error {
	lameDuck, drain := n.stopTimes()
	if s != syscall.SIGTERM || lameDuck == 0 {
		n.log.Info("draining; a second signal ends at once", "signal", s.String(), "timeout", drain)
		n.notify.stopping("draining")
		return n.finish(signals, 0)
	}
	n.leave("weir is about to stop, and serves everything until then")
	n.proxy.Leave()
	n.log.Info("about to stop: /readyz says 503, and everything is served; a second signal drains at once",
		"signal", s.String(), "lame_duck", lameDuck)
	n.notify.stopping("about to stop: everything is served for " + lameDuck.String())
	over := time.NewTimer(lameDuck)
	defer over.Stop()
	successor, err := waitAsLameDuck(over.C, n.asked(), n.failed, n.reopenLog, n.log, signals, time.Now)
	if successor != nil {
		return n.giveOver(successor, signals)
	}
	n.notify.stopping("draining")
	n.log.Info("draining; a second signal ends at once", "timeout", drain)
	return errors.Join(err, n.finish(signals, goodbye))
}

// waitAsLameDuck returns when the time is over, at a second signal to end, with the
// error of a listener that failed, or with a process that takes over.
func waitAsLameDuck(over <-chan time.Time, asked <-chan *listen.Successor, failed <-chan error, reopen func(), log *slog.Logger, signals <-chan os.Signal, now func() time.Time) (*listen.Successor, error) {
	began := now()
	for {
		select {
		case <-over:
			return nil, nil
		case s := <-asked:
			return s, nil
		case err := <-failed:
			log.Error("a listener stopped", "error", err)
			return nil, err
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
				reopen()
				log.Warn("no reload while stopping; the access log was opened again", "signal", s.String())
			case now().Sub(began) >= signalEcho:
				return nil, nil
			}
		}
	}
}

// finish drains, in no more hurry than idle says.
func (n *node) finish(signals <-chan os.Signal, idle time.Duration) error {
	return finish(func() error { return n.drain(idle) }, n.reopenLog, n.log, signals, time.Now)
}

// finish drains. A second signal to end is obeyed at once: it says that the
// sender does not want to wait, and the disk tier bears a kill at any moment. drain then
// goes on until the process ends. SIGHUP reloads nothing any more, but opens the
// access log again with reopen.
func finish(drain func() error, reopen func(), log *slog.Logger, signals <-chan os.Signal, now func() time.Time) error {
	began := now()
	done := make(chan error, 1)
	go func() { done <- drain() }()
	for {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
				reopen()
				log.Warn("no reload while draining; the access log was opened again", "signal", s.String())
			case now().Sub(began) >= signalEcho:
				return fmt.Errorf("ended at once by a second signal (%s) while draining: requests under way were cut off", s)
			}
		}
	}
}

// leave makes the node unready, and says why.
func (n *node) leave(why string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leaving = why
}

// drain stops taking requests, lets those under way end within the configured
// time, and closes everything. Clients get the time idle to leave by themselves.
func (n *node) drain(idle time.Duration) error {
	n.leave("weir is draining: it was told to stop")
	_, timeout := n.stopTimes()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if n.offer != nil {
		n.offer.Close() // there is nothing to take over any more
	}
	n.closeListeners()
	n.proxy.SendAway(ctx, idle)
	if err := n.proxy.Shutdown(ctx); err != nil {
		// A cut transfer is not a fault of weir's: it was told to end.
		n.log.Warn("drain: requests under way were cut off", "after", timeout)
	}
	n.close()
	return nil
}

// stopTimes are the present bounds of the lame duck and of the drain.
func (n *node) stopTimes() (lameDuck, drain time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cfg.Timeouts.LameDuck, n.cfg.Timeouts.Drain
}
