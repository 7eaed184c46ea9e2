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
	var path string
	c := &cobra.Command{
		Use:   "check -c weir.yaml",
		Short: "Check a configuration file and name every fault in it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load(path, c.ErrOrStderr())
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: valid: %s, %s, %s\n", path,
				count(len(cfg.Listen), "listener"), count(len(cfg.Origins), "origin"), count(len(cfg.Policies), "policy"))
			return nil
		},
	}
	configFlag(c, &path)
	return c
}

func configFlag(c *cobra.Command, path *string) {
	c.Flags().StringVarP(path, "config", "c", "weir.yaml", "the configuration file")
}

// load reads and checks a configuration, the files it names included. Every
// fault and warning is printed to w, each with its place.
func load(path string, w io.Writer) (*configs.Config, error) {
	cfg, err := configs.Load(path)
	if err == nil {
		if _, err = rules(cfg); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	var faults configs.Faults
	switch {
	case errors.As(err, &faults):
		for _, f := range faults {
			fmt.Fprintln(w, f)
		}
		fmt.Fprintf(w, "%s: %s\n", path, count(len(faults), "fault"))
		return nil, silent{err}
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no configuration file %s: name it with -c, begin with a copy of "+
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
