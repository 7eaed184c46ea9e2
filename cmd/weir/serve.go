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

	"weir/proxy/listen"
)

func serveCommand() *cobra.Command {
	var file configFile
	var takeOver bool
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
			return serve(file.path, takeOver, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	file.flag(c)
	c.Flags().BoolVar(&takeOver, "take-over", false, "take the sockets and the disk of the weir that runs with this admin.listen, which then drains")
	return c
}

func serve(path string, takeOver bool, stdout, stderr io.Writer) error {
	// Before anything is opened: a signal while starting must not be lost.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	notify := newNotifier()
	in := inherited{waits: takeOver}
	var err error
	if in.sockets, err = listen.FromSystemd(); err != nil {
		return fmt.Errorf("cannot start: %w", err)
	}
	cfg, err := load(path, stderr)
	if err != nil {
		return err
	}
	warnMachine(cfg, stderr)
	ctx := context.Background()
	if takeOver {
		if err := in.find(ctx, cfg); err != nil {
			return fmt.Errorf("cannot start: %w", err)
		}
	}
	n, err := startSignalled(ctx, path, cfg, stderr, in)
	if err != nil {
		return fmt.Errorf("cannot start: %w", err)
	}
	data, admin := n.addresses()
	fmt.Fprintf(stdout, "weir ready: data %s, admin %s\n", strings.Join(data, " "), admin)
	n.log.Info("ready", "data", strings.Join(data, " "), "admin", admin)
	n.offerSockets()
	n.notify = notify
	notify.log = n.log
	status := "serving on " + strings.Join(data, " ")
	notify.ready(status)
	ended := make(chan struct{})
	defer close(ended)
	go notify.watch(func() { _ = n.Ready() }, ended)
	return n.untilStopped(ctx, signals, status)
}
