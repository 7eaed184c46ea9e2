package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Config is what a trial needs.
type Config struct {
	Root  string   // the top of the repository
	Weir  string   // the binary
	Apps  string   // the applications, installed
	Sites []string // names in lower case; none: all
	JSON  string   // a file for the results, or empty
	Out   io.Writer
}

// bench is a trial that runs.
type bench struct {
	Config
	scratch string
}

func sites() []*site { return []*site{express(), django(), wordpress(), nextjs(), files()} }

// SiteNames are the names that Config.Sites may hold.
func SiteNames() []string {
	var names []string
	for _, s := range sites() {
		names = append(names, strings.ToLower(s.name))
	}
	return names
}

// Run runs every application behind every configuration, prints what was found, and fails when a page reached
// somebody else or another check failed.
func Run(ctx context.Context, cfg Config) error {
	for _, name := range cfg.Sites {
		if !slices.Contains(SiteNames(), name) {
			return fmt.Errorf("no application %q (valid: %s)", name, strings.Join(SiteNames(), ", "))
		}
	}
	for _, path := range []*string{&cfg.Root, &cfg.Weir, &cfg.Apps} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("cannot find %s: %w", *path, err)
		}
		*path = abs
	}
	scratch, err := os.MkdirTemp("", "weir-trial-")
	if err != nil {
		return fmt.Errorf("cannot make a directory for the trial: %w", err)
	}
	// Servers that give their rights up read and write below it.
	if err := os.Chmod(scratch, 0o755); err != nil {
		return fmt.Errorf("cannot open the directory of the trial: %w", err)
	}
	b := &bench{Config: cfg, scratch: scratch}
	results, err := b.all(ctx)
	write(cfg.Out, results)
	if cfg.JSON != "" {
		err = errors.Join(err, writeJSON(cfg.JSON, results))
	}
	if err == nil {
		err = verdict(results)
	}
	if err != nil {
		return fmt.Errorf("%w (logs: %s)", err, scratch)
	}
	return os.RemoveAll(scratch)
}

func (b *bench) all(ctx context.Context) ([]result, error) {
	var results []result
	var errs []error
	for _, s := range sites() {
		if len(b.Sites) > 0 && !slices.Contains(b.Sites, strings.ToLower(s.name)) {
			continue
		}
		configs, err := readConfigurations(b.Root, s.recipe)
		if err != nil {
			return results, err
		}
		for _, c := range configs {
			_, _ = fmt.Fprintf(b.Out, "trial: %s, %s\n", s.name, c.name)
			p, err := newPlace(filepath.Join(b.scratch, strings.ToLower(s.name)+"-"+c.name))
			if err != nil {
				return results, err
			}
			res, err := b.one(ctx, s, c, p)
			if err != nil {
				// The table still shows how far it came.
				res.Failed = append(res.Failed, "did not run to its end")
				errs = append(errs, fmt.Errorf("%s, %s: %w", s.name, c.name, err))
			}
			results = append(results, res)
			if ctx.Err() != nil {
				return results, errors.Join(errs...)
			}
		}
	}
	return results, errors.Join(errs...)
}

// verdict is an error unless nothing was wrong.
func verdict(results []result) error {
	wrong, failed := 0, 0
	for _, r := range results {
		wrong += r.Wrong
		failed += len(r.Failed)
	}
	if wrong > 0 || failed > 0 || len(results) == 0 {
		return fmt.Errorf("%d pages reached somebody else and %d checks failed, in %d runs", wrong, failed, len(results))
	}
	return nil
}

func writeJSON(path string, results []result) error {
	b, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot render the results: %w", err)
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}
