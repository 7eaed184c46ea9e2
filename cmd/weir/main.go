// Command weir is a caching reverse proxy that runs between a CDN and an origin.
//
// It turns a configuration file into the parts that do the work, starts them,
// reloads what may change while they run, and stops them without cutting off
// the requests under way. `weir help` lists the commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the linker: -X main.version=v0.1.0.
var version = "dev"

// Exit codes of all commands.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	c := rootCommand()
	c.SetArgs(args)
	c.SetOut(stdout)
	c.SetErr(stderr)
	err := singleDash(c, args)
	if err == nil {
		err = c.ExecuteContext(context.Background())
	}
	if err == nil {
		return 0
	}
	if _, said := errors.AsType[silent](err); !said {
		fmt.Fprintln(stderr, "weir:", err)
	}
	if _, wrong := errors.AsType[usageError](err); wrong {
		return exitUsage
	}
	return exitFailed
}

// silent is the error of a command that has already said what is wrong.
type silent struct{ error }

func rootCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "weir",
		Short: "A caching reverse proxy between your CDN and your origin",
		Long: "weir is a caching reverse proxy that you run between your CDN and your origin:\n" +
			"a lookup goes RAM, disk, origin, and what the policy says is kept is kept.\n\n" +
			"Try it:   weir demo\nRun it:   weir check weir.yaml && weir serve weir.yaml\n\n" +
			"Exit codes: 0 done, 1 failed or not valid, 2 wrong usage.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       buildVersion(),
		Args:          noArguments,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SetVersionTemplate("weir {{.Version}}\n")
	c.Flags().BoolP("version", "v", false, "print the version")
	c.PersistentFlags().BoolP("help", "h", false, "show this help")
	c.SetFlagErrorFunc(flagFault)
	c.SetHelpFunc(printHelp)
	c.CompletionOptions.DisableDefaultCmd = true
	c.SetHelpCommand(helpCommand(c))
	c.AddCommand(serveCommand(), checkCommand(), keyCommand(), demoCommand(), purgeCommand(), diskCommand(), versionCommand())
	return c
}

// helpCommand lists the commands, or explains one.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "List the commands, or explain one of them",
		RunE: func(_ *cobra.Command, args []string) error {
			target, rest, err := root.Find(args)
			if err != nil || target == nil {
				target, rest = root, args
			}
			if len(rest) > 0 {
				return noCommand(target, rest[0])
			}
			return target.Help()
		},
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintln(c.OutOrStdout(), "weir", buildVersion())
		},
	}
}

// configFile is the configuration file of a command: the value of -c, an
// argument, or weir.yaml in the working directory.
type configFile struct{ path string }

// flag adds -c to c.
func (f *configFile) flag(c *cobra.Command) {
	c.Flags().StringVarP(&f.path, "config", "c", "weir.yaml", "read the configuration from `FILE`")
}

// argument takes the file from args, which may name it once.
func (f *configFile) argument(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0 && f.path != "":
		return nil
	case len(args) == 0 || args[0] == "":
		return usage(c, "the name of the configuration file is empty")
	case len(args) > 1:
		return usage(c, "%s takes one configuration file, and got %d: %s", called(c), len(args), strings.Join(args, " "))
	case c.Flags().Changed("config") && args[0] != f.path:
		return usage(c, "there are two configuration files, %q and %q", f.path, args[0])
	}
	f.path = args[0]
	return nil
}
