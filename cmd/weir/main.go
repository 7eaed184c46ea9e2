// Command weir is a caching reverse proxy that runs between a CDN and an origin.
//
// It turns a configuration file into the parts that do the work, starts them,
// reloads what may change while they run, and stops them without cutting off
// whoever is being served. `weir help` lists the commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// version is set by the linker: -X main.version=v0.1.0.
var version = "dev"

func main() {
	if err := rootCommand().ExecuteContext(context.Background()); err != nil {
		var quiet silent
		if !errors.As(err, &quiet) {
			fmt.Fprintln(os.Stderr, "weir:", err)
		}
		os.Exit(1)
	}
}

// silent is the error of a command that has already said what is wrong.
type silent struct{ error }

func rootCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "weir",
		Short: "A caching reverse proxy between your CDN and your origin",
		Long: "weir is a caching reverse proxy that you run between your CDN and your origin:\n" +
			"a lookup goes RAM, disk, origin, and what the policy says is kept is kept.\n\n" +
			"Try it:   weir demo\nRun it:   weir check -c weir.yaml && weir serve -c weir.yaml",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return noCommand(args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.CompletionOptions.DisableDefaultCmd = true
	c.SetHelpCommand(helpCommand(c))
	c.AddCommand(serveCommand(), checkCommand(), keyCommand(), demoCommand(), purgeCommand(), diskCommand(), versionCommand())
	return c
}

func noCommand(name string) error {
	return fmt.Errorf("there is no command %q; `weir help` lists them", name)
}

// helpCommand lists the commands, or explains one.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "List the commands, or explain one of them",
		RunE: func(c *cobra.Command, args []string) error {
			target, _, err := root.Find(args)
			if err != nil || target == nil {
				return noCommand(args[0])
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
			fmt.Fprintln(c.OutOrStdout(), "weir", buildVersion())
		},
	}
}
