package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/loadtest/load"
	"weir/loadtest/report"
)

// commonFlags are those of every command that sends load.
type commonFlags struct {
	options  load.Options
	json     string
	html     string
	quiet    bool
	insecure bool
	ca       string
	tolerate []string
	fault    []error // of flags that only reading them shows
}

func (f *commonFlags) register(c *cobra.Command) {
	o := &f.options
	fs := c.Flags()
	fs.SortFlags = false
	fs.IntVarP(&o.Connections, "connections", "c", 64, "connections, 1 to 20000")
	fs.IntVar(&o.Loops, "threads", 0, "threads that send, 1 to 256 (default: one a core)")
	fs.IntVar(&o.PerConnection, "per-connection", 0, "requests on a connection before it is closed; 1: a new one each time, 0: no limit")
	fs.DurationVar(&o.Timeout, "timeout", 10*time.Second, "an answer that makes no progress for so long is broken, at least 1ms")
	fs.IntVar(&o.GiveUp, "give-up", 0, "so many broken answers in a row end the run (default: twice the connections, at least 20)")
	fs.DurationVar(&o.Warmup, "warmup", 0, "at the start, send and do not measure; part of the duration")
	fs.BoolVar(&o.NoVerify, "no-verify", false, "do not compare bodies; needed for an origin that is not weirload's")
	fs.StringSliceVar(&f.tolerate, "tolerate", nil, "faults that do not make the exit status 1: stale, content, size, header, status, connect, timeout, cut, malformed, surplus, or all")
	fs.StringVar(&o.Host, "host", "", "the Host field (default: the target's host and port)")
	fs.StringArrayVarP(&o.Fields, "header", "H", nil, "a request field \"Name: value\"; can be given more than once")
	fs.StringVar(&o.Origin, "origin", "", "http://host:port of weirload's origin: its counts show the offload, and it makes the new versions of purges")
	fs.BoolVarP(&f.insecure, "insecure", "k", false, "https: do not check the certificate")
	fs.StringVar(&f.ca, "ca", "", "https: a PEM file with the authorities to trust, in place of the system's")
	fs.BoolVar(&o.AllowRemote, "allow-remote", false, "send load to targets that are not loopback; only to what is yours")
	fs.StringVar(&f.json, "json", "", "write the result as JSON to this file; - for standard output, in place of the table")
	fs.StringVar(&f.html, "html", "", "write the result as one HTML file with its charts")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress while it runs")
}

// finishOptions reads what needs files, and checks the rest.
func (f *commonFlags) finishOptions() error {
	for _, k := range f.tolerate {
		if !knownKind(k) {
			f.fault = append(f.fault, fmt.Errorf("--tolerate %q: %s or all are possible", k, strings.Join(kinds(), ", ")))
		}
	}
	f.options.TLS = &tls.Config{InsecureSkipVerify: f.insecure}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		pool := x509.NewCertPool()
		if err == nil && !pool.AppendCertsFromPEM(pem) {
			err = fmt.Errorf("%s holds no certificate", f.ca)
		}
		if err != nil {
			f.fault = append(f.fault, fmt.Errorf("--ca: %w", err))
		}
		f.options.TLS.RootCAs = pool
	}
	filled := f.options.WithDefaults()
	if err := filled.Check(); err != nil {
		f.fault = append(f.fault, err)
	}
	if err := errors.Join(f.fault...); err != nil {
		return fmt.Errorf("cannot run with these settings:\n  %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return nil
}

// refuseZero refuses a 0 that somebody wrote where load takes 0 for the default, and what is below. The default stands in for it
// from then on: else what follows from it would be refused too, in flags that nobody set.
func (f *commonFlags) refuseZero(c *cobra.Command) {
	for _, name := range []string{"connections", "threads", "timeout", "give-up", "duration", "requests"} {
		flag := c.Flags().Lookup(name)
		v := flag.Value.String()
		if !flag.Changed || v != "0" && v != "0s" && v[0] != '-' {
			continue
		}
		f.fault = append(f.fault, fmt.Errorf("--%s %s: above 0 is possible, or to leave it out", name, v))
		if err := flag.Value.Set(flag.DefValue); err != nil {
			panic("BUG: the default of --" + name + ": " + err.Error())
		}
	}
}

func kinds() []string {
	var out []string
	for k := range load.FaultKinds {
		out = append(out, k.String())
	}
	return out
}

func knownKind(name string) bool {
	if name == "all" {
		return true
	}
	for _, k := range kinds() {
		if k == name {
			return true
		}
	}
	return false
}

// execute runs the load, after refuseZero, and writes what it measured, also of a run that ended early.
func (f *commonFlags) execute(c *cobra.Command, settings []report.Setting) error {
	if err := f.finishOptions(); err != nil {
		return err
	}
	progress := newProgress(c.ErrOrStderr(), f.options)
	if !f.quiet {
		f.options.Progress, f.options.ProgressEvery = progress.show, progress.every
	}
	r := report.Report{Tool: "weirload", Version: version, Started: time.Now(), Settings: settings}
	r.Command = withoutSecrets(os.Args[1:], f.options.Fields)
	res, err := load.Run(c.Context(), f.options)
	progress.end()
	if res == nil {
		return err
	}
	r.Result = res
	return errors.Join(f.write(c, &r), err, f.judge(res))
}

func (f *commonFlags) write(c *cobra.Command, r *report.Report) error {
	if info, err := os.Stat(f.json); err == nil && isStdout(info) {
		f.json = "-" // /dev/stdout: JSON with a table in it would be neither
	}
	var errs []error
	if f.json == "-" {
		errs = append(errs, r.WriteJSON(c.OutOrStdout()))
	} else {
		errs = append(errs, r.WriteTable(c.OutOrStdout()))
	}
	if f.json != "" && f.json != "-" {
		errs = append(errs, toFile(f.json, r.WriteJSON))
	}
	if f.html != "" {
		errs = append(errs, toFile(f.html, r.WriteHTML))
	}
	return errors.Join(errs...)
}

// judge is an error when answers were faulty in a way that is not tolerated, or the run was no success for another reason. The
// table has said which.
func (f *commonFlags) judge(res *load.Result) error {
	n := int64(0)
	for kind, count := range res.Faults.Kinds {
		if !slices.Contains(f.tolerate, kind) && !slices.Contains(f.tolerate, "all") {
			n += count
		}
	}
	trouble := report.Trouble(res)
	switch {
	case n > 0:
		return fmt.Errorf("%s of %s answers were faulty", report.Thousands(n), report.Thousands(res.Requests))
	case trouble != "" && (res.Complete || res.Answers > 0): // why it ended early says more than that nothing was answered
		return errors.New(trouble)
	}
	return nil
}
