package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func serveCommand() *cobra.Command {
	var file configFile
	c := &cobra.Command{
		Use:   "serve [-c FILE | FILE]",
		Short: "Serve in the foreground; SIGHUP reloads, SIGTERM drains",
		Long: "Serve in the foreground.\n\n" +
			"SIGHUP reloads the file: policies, origins, tokens, certificates and logs change\n" +
			"while requests go on; a file with faults changes nothing. SIGTERM and SIGINT stop\n" +
			"taking requests, let those under way end (timeouts.drain), and exit 0; a second\n" +
			"one ends at once, with 1.",
		SuggestFor: []string{"start", "run", "server"},
		Args:       file.argument,
		RunE: func(c *cobra.Command, _ []string) error {
			return serve(file.path, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	file.flag(c)
	return c
}

func serve(path string, stdout, stderr io.Writer) error {
	// Before anything is opened: a signal while starting must not be lost.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	cfg, err := load(path, stderr)
	if err != nil {
		return err
	}
	warnMachine(cfg, stderr)
	ctx := context.Background()
	n, err := start(ctx, path, cfg, stderr)
	if err != nil {
		return fmt.Errorf("cannot start: %w", err)
	}
	data, admin := n.addresses()
	fmt.Fprintf(stdout, "weir ready: data %s, admin %s\n", strings.Join(data, " "), admin)
	n.log.Info("ready", "data", strings.Join(data, " "), "admin", admin)
	for {
		select {
		case err := <-n.failed:
			n.log.Error("a listener stopped", "error", err)
			return errors.Join(err, finish(n.drain, n.reopenLog, n.log, signals, time.Now))
		case s := <-signals:
			if s == syscall.SIGHUP {
				n.reload(ctx)
				continue
			}
			n.log.Info("draining; a second signal ends at once", "signal", s.String(), "timeout", n.drainTimeout())
			return finish(n.drain, n.reopenLog, n.log, signals, time.Now)
		}
	}
}

// signalEcho is how soon after the first a second signal counts as the same:
// timeout(1), npm and others send one to the process and one to its group.
const signalEcho = 500 * time.Millisecond

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
