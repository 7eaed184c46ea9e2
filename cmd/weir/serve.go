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
	var file configFile
	c := &cobra.Command{
		Use:   "serve [-c FILE | FILE]",
		Short: "Serve in the foreground; SIGHUP reloads, SIGTERM drains",
		Long: "Serve in the foreground.\n\n" +
			"SIGHUP reloads the file: policies, origins, tokens, certificates and logs change\n" +
			"while requests go on; a file with faults changes nothing.\n\n" +
			"SIGTERM makes /readyz say 503 while everything is served (timeouts.lame_duck), then\n" +
			"stops taking requests, lets those under way end (timeouts.drain), and exits 0.\n" +
			"SIGINT, or a second SIGTERM, drains at once; one more while it drains ends at\n" +
			"once, with 1.",
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
	return n.untilStopped(ctx, signals)
}
