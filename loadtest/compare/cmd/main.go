// Command compare runs weir and other caches side by side and writes a page of
// what it measured; `make compare` starts it.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"weir/loadtest/compare"
	"weir/loadtest/compare/bare"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	cfg := compare.Config{Out: os.Stdout}
	var systems, scenarios, out string
	c := &cobra.Command{
		Use:   "compare",
		Short: "Measure weir beside other caches and write the page",
		Long: "Measure weir beside HAProxy, nginx, Traffic Server and Varnish, one core for the server and one for the load.\n" +
			"Results are added to a file, scenario by scenario, and the page is made from it. A run with fewer than five\n" +
			"rounds or without all systems is written beside the binaries, and not over the published page.",
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg.Systems, cfg.Scenarios = list(systems), list(scenarios)
			cfg.Results, cfg.Page = outputs(out, cfg)
			fmt.Fprintf(cfg.Out, "results: %s, page: %s\n", cfg.Results, cfg.Page)
			return compare.Compare(c.Context(), cfg)
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.Weir, "weir", "bin/weir", "the binary of weir")
	f.StringVar(&cfg.Weirload, "weirload", "bin/weirload", "the binary of weirload")
	f.StringVar(&cfg.Scratch, "scratch", os.TempDir(), "a directory on a disk for caches; what is made there is removed")
	f.IntVar(&cfg.Rounds, "rounds", 5, "rounds, each system once in each, 1 to 100")
	f.IntVar(&cfg.Seconds, "seconds", 3, "seconds of one measurement, 1 to 600")
	f.StringVar(&systems, "systems", "", "systems, separated by commas; none: all")
	f.StringVar(&scenarios, "scenarios", "", "groups ("+strings.Join(compare.ScenarioNames(), ", ")+") or beginnings of scenarios, separated by commas; none: all")
	f.StringVar(&out, "out", "", "a directory for the results and the page, instead of the published ones")
	c.AddCommand(originCommand(), yardstickCommand(), pageCommand())
	return c
}

// list splits at commas and spaces.
func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// The published files, from the top of the repository.
const (
	publishedResults = "loadtest/compare/results.json"
	publishedPage    = "docs/benchmarks.md"
)

func outputs(dir string, cfg compare.Config) (results, page string) {
	if dir == "" && cfg.Rounds >= compare.FullRounds && len(cfg.Systems) == 0 {
		return publishedResults, publishedPage
	}
	if dir == "" {
		dir = "bin/compare"
	}
	return filepath.Join(dir, "results.json"), filepath.Join(dir, "benchmarks.md")
}

func originCommand() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use: "origin", Short: "The origin of a comparison", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return serveUntil(c.Context(), listen, new(bare.Origin).Serve)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "host:port of the loopback")
	return c
}

func yardstickCommand() *cobra.Command {
	var listen string
	var objects, header []string
	c := &cobra.Command{
		Use: "yardstick", Short: "A bare fasthttp handler with prepared answers", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var sets []bare.Set
			for _, o := range objects {
				s, err := parseSet(o)
				if err != nil {
					return err
				}
				sets = append(sets, s)
			}
			y, err := bare.NewYardstick(sets, header)
			if err != nil {
				return err
			}
			return serveUntil(c.Context(), listen, y.Serve)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "host:port of the loopback")
	c.Flags().StringArrayVar(&objects, "objects", nil, "kind:size:count, as in o:1024:1000")
	c.Flags().StringArrayVar(&header, "header", nil, "a field of every answer, `Name: value`")
	return c
}

func parseSet(s string) (bare.Set, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 || len(parts[0]) != 1 {
		return bare.Set{}, fmt.Errorf("objects %q: kind:size:count is possible", s)
	}
	size, err1 := strconv.Atoi(parts[1])
	count, err2 := strconv.Atoi(parts[2])
	if err := errors.Join(err1, err2); err != nil {
		return bare.Set{}, fmt.Errorf("objects %q: %w", s, err)
	}
	return bare.Set{Kind: bare.Kind(parts[0][0]), Size: size, Count: count}, nil
}

// serveUntil serves until ctx ends, which is no error.
func serveUntil(ctx context.Context, address string, serve func(net.Listener) error) error {
	ln, err := listenLoopback(address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	if err := serve(ln); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func listenLoopback(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("listen %q: an address of the loopback is possible", address)
	}
	return net.Listen("tcp", address)
}

func pageCommand() *cobra.Command {
	var results string
	c := &cobra.Command{
		Use: "page", Short: "Print the page of a file of results, without measuring", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := compare.LoadResults(results)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.OutOrStdout(), compare.Page(r))
			return err
		},
	}
	c.Flags().StringVar(&results, "results", publishedResults, "the file of results")
	return c
}
