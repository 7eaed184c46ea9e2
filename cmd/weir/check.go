package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"weir/configs"
)

func checkCommand() *cobra.Command {
	var file configFile
	c := &cobra.Command{
		Use:   "check [-c FILE | FILE]",
		Short: "Check a configuration file and name every fault in it",
		Long: "Check a configuration file, and the files that it names, and start nothing. Every fault is\n" +
			"named with its place and with what would be valid; a warning is about what is valid and yet\n" +
			"hardly meant. The exit code is 0 for a valid file and 1 for one with faults.",
		SuggestFor: []string{"test", "validate", "verify", "configtest", "lint"},
		Args:       file.argument,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load(file.path, c.ErrOrStderr())
			if err != nil {
				return err
			}
			warnMachine(cfg, c.ErrOrStderr())
			fmt.Fprintf(c.OutOrStdout(), "%s: valid: %s, %s, %s\n", file.path,
				count(len(cfg.Listen), "listener"), count(len(cfg.Origins), "origin"), count(len(cfg.Policies), "policy"))
			return nil
		},
	}
	file.flag(c)
	return c
}

// load reads and checks a configuration, the files it names included. Every
// fault and warning is printed to w, each with its place.
func load(path string, w io.Writer) (*configs.Config, error) {
	cfg, err := configs.Load(path)
	if err == nil {
		_, err = rules(cfg)
	}
	var faults configs.Faults
	switch {
	case errors.As(err, &faults):
		for _, f := range faults {
			fmt.Fprintln(w, f)
		}
		fmt.Fprintf(w, "%s: %s\n", path, count(len(faults), "fault"))
		return nil, silent{err}
	case errors.Is(err, fs.ErrNotExist) && path == "-":
		return nil, errors.New("there is no configuration file -; for standard input name /dev/stdin")
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no configuration file %s: name another behind the command or with -c, begin with a copy of "+
			"configs/weir.sample.yaml, or run `weir demo`, which needs none", path)
	case err != nil:
		return nil, err
	}
	for _, f := range cfg.Warnings {
		fmt.Fprintln(w, "warning:", f)
	}
	return cfg, nil
}

func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case what[len(what)-1] == 'y':
		return fmt.Sprintf("%d %sies", n, what[:len(what)-1])
	}
	return fmt.Sprintf("%d %ss", n, what)
}
