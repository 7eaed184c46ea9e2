package main

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"

	"weir/loadtest/load"
	"weir/loadtest/loadorigin"
	"weir/loadtest/replay"
	"weir/loadtest/report"
)

// originFlags are those of weirload origin.
type originFlags struct {
	listen string
	rules  string
	log    string
	remote bool
	rule   loadorigin.Rule
	delay  string
	stall  loadorigin.Stall
	errors loadorigin.Errors
	cache  string
	tags   []string
}

func originCommand() *cobra.Command {
	var f originFlags
	c := &cobra.Command{
		Use:   "origin",
		Short: "Answer any URL: sizes, delays, errors, cache headers and tags as rules or the URL say",
		Long: "Answer any URL with a self-checking body. What it is like, the URL may say, as parameters of its path\n" +
			"(/x;size=1024;max-age=60;tag=a) or of its query: size, status, max-age, no-store, private, no-cache,\n" +
			"must-revalidate, immutable, stale-while-revalidate, stale-if-error, tag, vary, delay, chunked. What the URL\n" +
			"leaves open, the rules of a file say, then these flags, then the defaults (10 KiB, an hour).\n\n" +
			"POST " + load.BumpPath + " with {\"target\": \"/x\"}, {\"tag\": \"a\"} or {\"all\": true} makes a new version of\n" +
			"bodies; GET " + load.StatsPath + " counts. Ctrl-C stops it.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.listen, "listen", "127.0.0.1:9000", "address; port 0 for a free one")
	fs.BoolVar(&f.remote, "allow-remote", false, "listen on an address that is not loopback")
	fs.StringVar(&f.rules, "rules", "", "a YAML file with rules; docs/loadtest.md explains it")
	fs.StringVar(&f.log, "log", "", "an access log (combined or weir's JSON; - for standard input): its URLs get the sizes and statuses that it says")
	fs.StringVar(&f.rule.Size, "size", "", "of bodies: a size, or lognormal:MEDIAN,SIGMA[,MIN,MAX]")
	fs.StringVar(&f.delay, "delay", "", "of every answer: a duration, or lognormal:MEDIAN,SIGMA[,LARGEST]")
	fs.Float64Var(&f.stall.Share, "stall-share", 0, "share of the requests that stall, 0 to 1")
	fs.DurationVar(&f.stall.Every, "stall-every", 0, "or: everything stalls once in this time")
	fs.DurationVar(&f.stall.For, "stall-for", 0, "how long a stall is")
	fs.Float64Var(&f.errors.Share, "error-share", 0, "share of the requests that go wrong, 0 to 1")
	fs.StringVar(&f.errors.How, "error", "503", "how: a status from 400 to 599, reset, or cut")
	fs.StringVar(&f.cache, "cache-control", "", "the whole field, where the URL says nothing about caching")
	fs.StringSliceVar(&f.tags, "tag", nil, "a tag of every answer; can be given more than once")
	return c
}

func (f *originFlags) run(c *cobra.Command) error {
	opts := loadorigin.Options{}
	if f.rules != "" {
		text, err := os.ReadFile(f.rules)
		if err != nil {
			return fmt.Errorf("cannot read the rules: %w", err)
		}
		if opts.Rules, err = loadorigin.ParseRules(text); err != nil {
			return fmt.Errorf("%s has faults:\n%w", f.rules, err)
		}
	}
	opts.Rules.Rules = append(opts.Rules.Rules, f.fromFlags(c))
	if f.log != "" {
		entries, err := readLog(f.log, c)
		if err != nil {
			return err
		}
		opts.Catalogue = replay.NewCatalogue(entries, replay.CatalogueOptions{})
	}
	o, err := loadorigin.New(opts)
	if err != nil {
		return fmt.Errorf("cannot run with these settings:\n%w", err)
	}
	ln, err := f.open(c)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "origin ready on http://%s\n", ln.Addr())
	if err := o.Serve(c.Context(), ln); err != nil {
		return fmt.Errorf("cannot go on: %w", err)
	}
	s := o.Stats()
	fmt.Fprintf(c.ErrOrStderr(), "origin: %s requests, %s answered 304, %s errors, %s\n", report.Thousands(s.Requests),
		report.Thousands(s.NotModified), report.Thousands(s.Errors), report.Bytes(float64(s.Bytes)))
	return nil
}

// fromFlags is the rule that the flags make, for what the file says nothing about.
func (f *originFlags) fromFlags(c *cobra.Command) loadorigin.Rule {
	r := f.rule
	r.Match, r.Delay, r.Tags = "*", f.delay, f.tags
	if f.stall != (loadorigin.Stall{}) {
		r.Stall = &f.stall
	}
	if c.Flags().Changed("error-share") || c.Flags().Changed("error") {
		r.Errors = &f.errors
	}
	if c.Flags().Changed("cache-control") {
		r.CacheControl = &f.cache
	}
	return r
}

func (f *originFlags) open(c *cobra.Command) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(c.Context(), "tcp", f.listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	if a, ok := ln.Addr().(*net.TCPAddr); !f.remote && (!ok || !a.IP.IsLoopback()) {
		return nil, errors.Join(fmt.Errorf("%s is not loopback: whoever can reach it can steer it; --allow-remote listens all the same", ln.Addr()), ln.Close())
	}
	return ln, nil
}
