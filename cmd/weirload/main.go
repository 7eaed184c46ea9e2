// Command weirload puts load on a cache, compares every body that comes back, and says how fast it was and what was wrong. Its
// origin command answers whatever the load asks for, so that an experiment needs no other program.
//
// `weirload help` lists the commands; docs/loadtest.md explains how latency is counted.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// version is set by the linker: -X main.version=v0.1.0.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends at once, what was measured is lost then. An echo of the first must not do that.
	context.AfterFunc(ctx, func() { time.AfterFunc(signalEcho, stop) })
	err := rootCommand().ExecuteContext(ctx)
	if err == nil {
		return
	}
	var quiet silent
	if !errors.As(err, &quiet) {
		fmt.Fprintln(os.Stderr, "weirload:", err)
	}
	os.Exit(1)
}

// signalEcho is how soon after the first a second signal counts as the same: timeout(1), npm and others send one to the process
// and one to its group.
const signalEcho = time.Second

// silent is the error of a command that has already said what is wrong.
type silent struct{ error }

func rootCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "weirload",
		Short: "Load a cache, compare every body, and say how fast it was and what was wrong",
		Long: "weirload puts load on a cache, compares every body that comes back, and says how fast it was and what was\n" +
			"wrong. Its origin command answers whatever the load asks for.\n\n" +
			"Try it:   weirload origin --listen 127.0.0.1:9000 &\n" +
			"          weirload run http://127.0.0.1:9000 --duration 5s",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.CompletionOptions.DisableDefaultCmd = true
	c.SetHelpCommand(helpCommand(c))
	c.AddCommand(runCommand(), replayCommand(), originCommand(), versionCommand())
	return c
}

// helpCommand lists the commands, or explains one.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "List the commands, or explain one of them",
		RunE: func(c *cobra.Command, args []string) error {
			target, _, err := root.Find(args)
			if err != nil || target == nil {
				return fmt.Errorf("there is no command %q; `weirload help` lists them", args[0])
			}
			target.InitDefaultHelpFlag()
			return target.Help()
		},
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintln(c.OutOrStdout(), "weirload", version, runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
		},
	}
}
