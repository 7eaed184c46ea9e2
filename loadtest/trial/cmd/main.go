// Command trial runs real applications behind weir and looks for pages that reach somebody else; `make trial` starts it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"weir/loadtest/trial"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "trial:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	cfg := trial.Config{Out: os.Stdout}
	var sites string
	c := &cobra.Command{
		Use:   "trial",
		Short: "Run real applications behind weir and look for pages that reach somebody else",
		Args:  cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg.Sites = strings.FieldsFunc(sites, func(r rune) bool { return r == ',' || r == ' ' })
			return trial.Run(c.Context(), cfg)
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.Root, "root", ".", "the top of the repository")
	f.StringVar(&cfg.Weir, "weir", "bin/weir", "the binary of weir")
	f.StringVar(&cfg.Apps, "apps", ".tools/trial", "where the applications are installed")
	f.StringVar(&cfg.JSON, "json", "", "a file for the results as JSON")
	f.StringVar(&sites, "sites", "", "applications ("+strings.Join(trial.SiteNames(), ", ")+"), separated by commas; none: all")
	return c
}
