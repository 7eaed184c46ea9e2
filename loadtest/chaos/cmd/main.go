// Command chaos lets random faults over weir and checks what must hold whatever happens; `make chaos` starts it.
package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"weir/loadtest/chaos"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	cfg := chaos.Config{Out: os.Stdout}
	var names string
	c := &cobra.Command{
		Use:   "chaos",
		Short: "Let random faults over weir and check what must hold whatever happens",
		Args:  cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg.Faults = strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' })
			if !c.Flags().Changed("seed") {
				cfg.Seed = rand.Uint64N(1_000_000)
			}
			again, code := chaos.Isolate(c.Context(), append(os.Args[1:], fmt.Sprintf("--seed=%d", cfg.Seed)))
			if again {
				os.Exit(code)
			}
			return chaos.Run(c.Context(), cfg)
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.Weir, "weir", "bin/weir", "the binary of weir")
	f.DurationVar(&cfg.For, "for", time.Minute, "how long, such as 60s or 1h")
	f.Uint64Var(&cfg.Seed, "seed", 0, "what decides on rounds and faults (default: drawn, and printed)")
	f.DurationVar(&cfg.Hold, "hold", 0, "the longest that a fault is held (default 8s)")
	f.BoolVar(&cfg.Keep, "keep", false, "keep weir's log and configuration also when nothing was found")
	f.StringVar(&names, "faults", "", "faults, separated by commas; none: all ("+strings.Join(chaos.FaultNames(), ", ")+")")
	return c
}
