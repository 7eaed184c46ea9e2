package main

import (
	"bufio"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// printHelp explains a command: what it does, how it is called, its
// subcommands and its flags.
func printHelp(c *cobra.Command, _ []string) {
	w := bufio.NewWriter(c.OutOrStdout())
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n", text)
	use := c.Use
	if c.HasParent() {
		use = c.Parent().CommandPath() + " " + use
	}
	if c.HasAvailableSubCommands() {
		use += " COMMAND"
	}
	fmt.Fprintf(w, "  %s\n", use)
	if c.HasAvailableSubCommands() {
		fmt.Fprint(w, "\nCommands:\n")
		t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				fmt.Fprintf(t, "  %s\t%s\n", sub.Name(), sub.Short)
			}
		}
		_ = t.Flush() // to w, which reports the error
	}
	fmt.Fprint(w, "\nFlags:\n")
	_ = c.LocalFlags() // adds those of the parents to Flags
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			fmt.Fprintf(t, "  %s\t%s\n", spelling(f), meaning(f))
		}
	})
	_ = t.Flush()
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n`%s COMMAND --help` explains a command.\n", c.CommandPath())
	}
	_ = w.Flush() // nothing can be done about a terminal that is gone
}

// spelling is how a flag is written: -c, --config FILE.
func spelling(f *pflag.Flag) string {
	short := "    "
	if f.Shorthand != "" {
		short = "-" + f.Shorthand + ", "
	}
	text := short + "--" + f.Name
	if f.Value.Type() != "bool" {
		text += " " + placeholder(f)
	}
	if f.Value.Type() == "stringArray" {
		text += " ..."
	}
	return text
}

// placeholder stands for the value of a flag: what is back-quoted in its usage,
// else a word that follows from its type or name.
func placeholder(f *pflag.Flag) string {
	if strings.Contains(f.Usage, "`") {
		name, _ := pflag.UnquoteUsage(f)
		return name
	}
	switch f.Value.Type() {
	case "duration":
		return "DURATION"
	case "int", "int64":
		return "N"
	}
	return strings.ToUpper(f.Name[strings.LastIndexByte(f.Name, '-')+1:])
}

// meaning is what a flag does, with its default where it has one.
func meaning(f *pflag.Flag) string {
	_, text := pflag.UnquoteUsage(f)
	switch f.DefValue {
	case "", "false", "0", "0s", "[]":
		return text
	}
	return text + " (default " + f.DefValue + ")"
}
