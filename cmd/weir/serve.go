package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func serveCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "serve -c weir.yaml",
		Short: "Serve in the foreground; SIGHUP reloads, SIGTERM drains",
		Long: "Serve in the foreground.\n\n" +
			"SIGHUP reloads the file: policies, origins, tokens, certificates and logs change\n" +
			"while requests go on; a file with faults changes nothing. SIGTERM and SIGINT stop\n" +
			"taking requests, let those under way end (timeouts.drain), and exit 0.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return serve(path, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	configFlag(c, &path)
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
			if derr := n.drain(); derr != nil {
				n.log.Error("cannot drain", "error", derr)
			}
			return err
		case s := <-signals:
			if s == syscall.SIGHUP {
				n.reload(ctx)
				continue
			}
			n.log.Info("draining", "signal", s.String())
			return n.drain()
		}
	}
}
