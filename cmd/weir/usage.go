package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"weir/configs"
)

// usageError is an error in the command line itself; it leads to exitUsage.
type usageError struct{ error }

// usage is a usageError that ends with where the help for c is.
func usage(c *cobra.Command, format string, args ...any) error {
	text, see := fmt.Sprintf(format, args...), "; see"
	if strings.HasSuffix(text, "?") {
		see = " See"
	}
	return usageError{fmt.Errorf("%s%s `%s --help`", text, see, c.CommandPath())}
}

// called is the name of a command behind "weir: ", which every error begins with.
func called(c *cobra.Command) string {
	if !c.HasParent() {
		return "weir by itself"
	}
	_, name, _ := strings.Cut(c.CommandPath(), " ")
	return name
}

// noArguments is for commands that take flags or subcommands only.
func noArguments(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case c.HasAvailableSubCommands():
		return noCommand(c, args[0])
	}
	return usage(c, "%s takes no argument, and got %q", called(c), args[0])
}

// notCommands are what other programs have commands for, and what does it here.
var notCommands = map[string]string{
	"reload":  "send SIGHUP to the running weir: `systemctl reload weir`, or kill -HUP and its process id",
	"restart": "stop it with SIGTERM and start it again with `weir serve`, or `systemctl restart weir`",
	"stop":    "send SIGTERM to the running weir: `systemctl stop weir`, or kill and its process id",
	"quit":    "send SIGTERM to the running weir: `systemctl stop weir`, or kill and its process id",
	"status":  "the admin plane has it: curl http://127.0.0.1:8081/v1/status",
	"stats":   "the admin plane has it: curl http://127.0.0.1:8081/metrics",
	"metrics": "the admin plane has it: curl http://127.0.0.1:8081/metrics",
	"health":  "the admin plane has it: curl http://127.0.0.1:8081/readyz",
	"init":    "begin with a copy of configs/weir.sample.yaml",
	"config":  "`weir check` checks a file; begin with a copy of configs/weir.sample.yaml",
}

// noCommand says that a command has no subcommand of this name, and which one
// may be meant.
func noCommand(parent *cobra.Command, name string) error {
	var names []string
	meant := ""
	for _, sub := range parent.Commands() {
		names = append(names, sub.Name())
		if slices.Contains(sub.SuggestFor, strings.ToLower(name)) {
			meant = sub.Name()
		}
	}
	if meant == "" {
		meant = configs.Nearest(name, names)
	}
	instead := notCommands[strings.ToLower(name)]
	switch {
	case !parent.HasParent() && instead != "":
		return usage(parent, "there is no command %q; %s", parent.CommandPath()+" "+name, instead)
	case !parent.HasAvailableSubCommands():
		return usage(parent, "%s has no subcommands, and got %q", called(parent), name)
	case strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml"):
		return usage(parent, "there is no command %q; did you mean `weir serve %s`?", name, name)
	case meant != "":
		return usage(parent, "there is no command %q; did you mean `%s %s`?", parent.CommandPath()+" "+name, parent.CommandPath(), meant)
	}
	return usage(parent, "there is no command %q", parent.CommandPath()+" "+name)
}

// flagFault puts an error of the flag parser into words that say what would be
// right.
func flagFault(c *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return unknownFlag(c, unknown)
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		f := missing.GetFlag()
		return usage(c, "--%s needs a value: --%s %s", f.Name, f.Name, placeholder(f))
	}
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f := bad.GetFlag()
		switch f.Value.Type() {
		case "duration":
			return usage(c, "--%s: %q is no duration (valid: 250ms, 2s, 1m30s and the like)", f.Name, bad.GetValue())
		case "int", "int64":
			return usage(c, "--%s: %q is no whole number", f.Name, bad.GetValue())
		case "bool":
			return usage(c, "--%s: %q is neither true nor false", f.Name, bad.GetValue())
		}
		return usage(c, "--%s: cannot use %q: %v", f.Name, bad.GetValue(), errors.Unwrap(bad))
	}
	return usage(c, "%v", err)
}

func unknownFlag(c *cobra.Command, err *pflag.NotExistError) error {
	name, dash := err.GetSpecifiedName(), "--"
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	near := configs.Nearest(name, names)
	if err.GetSpecifiedShortnames() != "" {
		name, dash, near = name[:1], "-", ""
	}
	var have []string
	for _, sub := range c.Commands() {
		f := sub.Flags().Lookup(name)
		if dash == "-" {
			f = sub.Flags().ShorthandLookup(name)
		}
		if f != nil {
			have = append(have, sub.CommandPath())
		}
	}
	switch {
	case near != "":
		return usage(c, "%s has no flag %s%s; did you mean --%s?", called(c), dash, name, near)
	case len(have) > 0:
		return usage(c, "%s has no flag %s%s; it belongs behind %s", called(c), dash, name, strings.Join(have, " or "))
	}
	return usage(c, "%s has no flag %s%s", called(c), dash, name)
}

// singleDash refuses a long flag behind a single dash, which would be read as a
// row of short ones: -config as -c with the value onfig.
func singleDash(root *cobra.Command, args []string) error {
	c, _, err := root.Find(args)
	if err != nil {
		c = root
	}
	for _, arg := range args {
		if arg == "--" {
			break
		}
		name, isLong := strings.CutPrefix(arg, "-")
		name, _, _ = strings.Cut(name, "=")
		if isLong && len(name) > 1 && name[0] != '-' && c.Flags().Lookup(name) != nil {
			return usage(c, "-%s begins with one dash; did you mean --%s?", name, name)
		}
	}
	return nil
}
