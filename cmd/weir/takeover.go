package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"weir/configs"
	"weir/proxy/listen"
)

const (
	// waitToTakeOver bounds how long a process that takes over waits for another one
	// to leave: longer than the usual lame duck and drain together.
	waitToTakeOver = 2 * time.Minute
	// retryTakeOver is how often it looks whether the other has left.
	retryTakeOver = 50 * time.Millisecond
	// handOverAdmin and handOverLog bound what requests of the admin plane, and a purge
	// that is being written, may take before the sockets change hands.
	handOverAdmin = 5 * time.Second
	handOverLog   = 2 * time.Second
)

// inherited is what other processes leave to this one. The zero value is nothing.
type inherited struct {
	sockets *listen.Sockets     // of systemd; nil: none
	old     *listen.Predecessor // nil: no process is taken over
	// waits: what another process still has is waited for.
	waits bool
}

// find finds the process that is taken over: the one with the same admin plane.
func (in *inherited) find(ctx context.Context, cfg *configs.Config) error {
	name, err := commonName(cfg.Admin.Listen)
	if err == nil {
		in.old, err = listen.TakeOver(ctx, name)
	}
	return err
}

// commonName is what two processes with the same admin plane have in common.
func commonName(address string) (string, error) {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return "", fmt.Errorf("cannot resolve admin.listen: %w", err)
	}
	if a.Port == 0 {
		return "", errors.New("--take-over finds the running weir by its admin.listen, which has port 0 here (valid is the port that the running one has)")
	}
	return a.String(), nil
}

// socket is the socket for an address, or nil where none was left.
func (in *inherited) socket(address string) *net.TCPListener {
	if in.sockets != nil {
		if ln := in.sockets.Take(address); ln != nil {
			return ln
		}
	}
	if in.old != nil {
		return in.old.Sockets.Take(address)
	}
	return nil
}

// left says that systemd passes sockets that the configuration has no use for: the
// clients that connect to them would wait in vain. Those of a process that is taken over end with it.
func (in *inherited) left(cfg *configs.Config) error {
	if in.sockets == nil {
		return nil
	}
	left := in.sockets.Left()
	if len(left) == 0 {
		return nil
	}
	var want []string
	for _, l := range cfg.Listen {
		want = append(want, l.Address)
	}
	return fmt.Errorf("no key of the configuration names the address of a socket: %s (valid are those of listen, %s, and of admin.listen, %s; ListenStream= must be the same)",
		strings.Join(left, ", "), strings.Join(want, ", "), cfg.Admin.Listen)
}

// begin makes the process that is taken over leave. When it returns that process
// accepts nothing any more, and has given its disk up.
func (in *inherited) begin(ctx context.Context, log *slog.Logger) error {
	if in.old == nil {
		return nil
	}
	log.Info("taking over from the running weir")
	ctx, cancel := context.WithTimeoutCause(ctx, waitToTakeOver, errors.New("it took too long"))
	defer cancel()
	if err := in.old.Begin(ctx); err != nil {
		return fmt.Errorf("cannot take over: %w", err)
	}
	if err := in.old.AwaitRelease(ctx); err != nil {
		return fmt.Errorf("cannot take over: %w", err)
	}
	return nil
}

// patiently does f again while it fails for what another process has, where that is
// waited for.
func (in *inherited) patiently(ctx context.Context, log *slog.Logger, taken error, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, waitToTakeOver)
	defer cancel()
	tick := time.NewTicker(retryTakeOver)
	defer tick.Stop()
	for told := false; ; told = true {
		err := f()
		if err == nil || !in.waits || !errors.Is(err, taken) {
			return err
		}
		if !told {
			log.Info("waiting for another process to leave", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// close gives back what was not used.
func (in *inherited) close() {
	if in.sockets != nil {
		in.sockets.Close()
	}
	if in.old != nil {
		in.old.Close()
	}
}

// startSignalled is startWith; while it waits for another process a signal ends it.
func startSignalled(ctx context.Context, path string, cfg *configs.Config, stderr io.Writer, in inherited) (*node, error) {
	if in.waits {
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
		defer stop()
	}
	n, err := startWith(ctx, path, cfg, stderr, in)
	if err == nil {
		n.in.close() // the process that was taken over has nothing more to say
	}
	return n, err
}

// offerSockets lets another process take over from now on.
func (n *node) offerSockets() {
	name, err := commonName(n.cfg.Admin.Listen)
	if err != nil {
		return // nobody can name this process
	}
	sockets := []*net.TCPListener{n.adminSocket}
	for _, l := range n.listeners {
		sockets = append(sockets, l.Socket())
	}
	n.offer, err = listen.NewOffer(name, sockets, n.log)
	if err != nil && !errors.Is(err, listen.ErrUnsupported) {
		n.log.Warn("no process will be able to take over from this one", "error", err)
	}
}

// asked gives the process that takes over.
func (n *node) asked() <-chan *listen.Successor {
	if n.offer == nil {
		return nil
	}
	return n.offer.Asked()
}

// giveOver leaves everything to another process, and drains.
func (n *node) giveOver(s *listen.Successor, signals <-chan os.Signal) error {
	_, drain := n.stopTimes()
	n.log.Info("another process takes over: draining; a second signal ends at once", "timeout", drain)
	n.notify.stopping("draining: another process has taken over")
	n.leave("another weir has taken over")
	return finish(func() error {
		n.handOver(s)
		return n.drain(goodbye)
	}, n.reopenLog, n.log, signals, time.Now)
}

// handOver leaves sockets and disk to s. Before the other accepts anything, this one
// must take no purge any more, and use nothing that is stored without asking the
// origin: it will not hear of the purges that the other acknowledges.
func (n *node) handOver(s *listen.Successor) {
	ctx, cancel := context.WithTimeout(context.Background(), handOverAdmin)
	defer cancel()
	n.offer.Close()
	n.events.Close()
	if err := n.admin.Shutdown(ctx); err != nil {
		n.log.Warn("requests of the admin plane were cut off", "error", err)
	}
	if n.bus != nil {
		n.bus.Close()
	}
	n.purges.Gate().Close()
	logged := make(chan struct{})
	var logErr error // once logged is closed
	go func() {
		defer close(logged)
		logErr = n.purges.Close()
	}()
	select {
	case <-logged:
	case <-time.After(handOverLog):
		// It waits for the device, and so would purges that are being written.
	}
	n.closeListeners()
	if err := s.Yours(); err != nil {
		n.log.Warn("the process that takes over has ended", "error", err)
	}
	n.handed.Go(func() {
		<-logged
		if err := errors.Join(logErr, n.tiers.ReleaseDisk()); err != nil {
			n.log.Error("the disk tier was not given up in good order", "error", err)
		}
		_ = s.Released() // one that has ended needs nothing
	})
}

// closeListeners stops accepting on the data plane.
func (n *node) closeListeners() {
	for _, l := range n.listeners {
		_ = l.Close() // it has an error only when it is closed already
	}
}
