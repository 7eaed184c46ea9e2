package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/loadtest/load"
	"weir/loadtest/report"
	"weir/loadtest/workload"
)

// runFlags are those of weirload run.
type runFlags struct {
	commonFlags
	rate        string
	ramp        time.Duration
	size        string
	mix         workload.Mix
	flashes     []string
	purges      []string
	purgeToken  string
	purgeMethod bool
}

func runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run URL",
		Short: "Send load and report latency, throughput and every wrong answer",
		Long: "Send load to URL (http://host:port or https://host:port). With a path in it, that one object is asked for;\n" +
			"without, objects of a catalogue by their popularity.\n\n" +
			"Without --rate it is a closed loop: each connection sends when its last answer is whole. With --rate it is an\n" +
			"open loop: requests are due at that rate whatever the target does, and latency counts from when they are due.\n\n" +
			"Exit status 0 when the run went through and every answer was right, 1 otherwise.",
		Example: "  weirload run http://127.0.0.1:8080 --origin http://127.0.0.1:9000 --objects 100000 --zipf 0.9 --prefill\n" +
			"  weirload run http://127.0.0.1:8080 --rate 20000 --duration 30s --html report.html\n" +
			"  weirload run http://127.0.0.1:8080 --rate 1000:50000 --ramp 60s --duration 90s\n" +
			"  weirload run 'http://127.0.0.1:8080/o/1;size=1024' -c 64 --no-verify",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0]) },
	}
	o := &f.options
	fs := c.Flags()
	fs.DurationVarP(&o.Duration, "duration", "d", 10*time.Second, "how long")
	fs.Int64VarP(&o.Requests, "requests", "n", 0, "at most so many requests; without --duration, exactly so many")
	fs.StringVarP(&f.rate, "rate", "r", "", "open loop: requests a second, or FROM:TO for a ramp")
	fs.DurationVar(&f.ramp, "ramp", 0, "how long the ramp takes (default: the duration)")
	fs.Int64Var(&f.mix.Catalogue.Objects, "objects", 10_000, "objects in the catalogue, 1 to 1000000000")
	fs.Float64Var(&f.mix.Exponent, "zipf", 0.9, "exponent of the popularity, 0 (all equal) to 10")
	fs.StringVar(&f.size, "size", "10KiB", "of the bodies: a size, or lognormal:MEDIAN,SIGMA[,MIN,MAX]; at least 64B when verified")
	fs.DurationVar(&f.mix.Catalogue.MaxAge, "ttl", 0, "lifetime that the origin gives, whole seconds (default: what the origin's rules say)")
	fs.Float64Var(&f.mix.Catalogue.Uncacheable, "uncacheable", 0, "share of the objects that are no-store, 0 to 1")
	fs.Int64Var(&f.mix.Catalogue.Tags, "tags", 0, "groups of objects with a tag in common, for purges by tag; 0 to 10000000")
	fs.StringVar(&f.mix.Catalogue.Prefix, "prefix", "/o/", "of every path")
	fs.Float64Var(&f.mix.Ranges, "ranges", 0, "share of the requests that ask for a part, 0 to 1")
	fs.Float64Var(&f.mix.Conditional, "conditional", 0, "share of the requests that send If-None-Match for what they have seen, 0 to 1")
	fs.BoolVar(&o.Prefill, "prefill", false, "ask for every object once before the start")
	fs.StringArrayVar(&f.flashes, "flash", nil, "a flash crowd: at=10s,for=5s,share=0.8,objects=1; can be given more than once")
	fs.StringArrayVar(&f.purges, "purge", nil, "a purge storm: at=10s,for=5s,rate=100,kind=url (or tag, all); can be given more than once")
	fs.StringVar(&o.Purges.API, "purge-api", "", "http://host:port of weir's admin plane, for purges")
	fs.BoolVar(&f.purgeMethod, "purge-method", false, "purge with the PURGE method on the target instead")
	fs.StringVar(&f.purgeToken, "purge-token-file", "", "a file with the token that purges need (default: WEIR_TOKEN in the environment)")
	fs.Uint64Var(&f.mix.Seed, "seed", 1, "the same seed draws the same requests")
	f.register(c)
	return c
}

func (f *runFlags) run(c *cobra.Command, target string) error {
	f.refuseZero(c)
	o := &f.options
	if f.options.Requests > 0 && !c.Flags().Changed("duration") {
		o.Duration = 0
	}
	f.aim(c, target)
	f.schedule()
	for _, text := range f.flashes {
		flash, err := workload.ParseFlash(text)
		f.add("--flash", err)
		f.mix.Flashes = append(f.mix.Flashes, flash)
	}
	for _, text := range f.purges {
		storm, err := workload.ParsePurge(text)
		f.add("--purge", err)
		o.Purges.Storms = append(o.Purges.Storms, storm)
	}
	o.Purges.Method, o.Purges.Token = f.purgeMethod, os.Getenv("WEIR_TOKEN")
	if f.purgeToken != "" {
		b, err := os.ReadFile(f.purgeToken)
		f.add("--purge-token-file", err)
		o.Purges.Token = strings.TrimSpace(string(b))
	}
	return f.execute(c, f.settings())
}

func (f *runFlags) add(flag string, err error) {
	if err != nil {
		f.fault = append(f.fault, fmt.Errorf("%s: %w", flag, err))
	}
}

// aim splits the URL into the target and, if it has one, the path that alone is asked for.
func (f *runFlags) aim(c *cobra.Command, target string) {
	o := &f.options
	sizes, err := workload.ParseSizes(f.size)
	f.add("--size", err)
	target, _, _ = strings.Cut(target, "#") // a fragment is no part of what is asked for
	u, uerr := url.Parse(target)
	if uerr == nil && u.Host != "" && (u.Path != "" && u.Path != "/" || u.RawQuery != "") {
		o.Target = u.Scheme + "://" + u.Host
		_, rest, _ := strings.Cut(target, "://")
		o.Path = rest[strings.IndexAny(rest, "/?"):]
		if c.Flags().Changed("size") {
			if !sizes.Fixed() {
				f.add("--size", errors.New("one object has one size"))
			}
			o.Size = sizes.Median
		}
		for _, flag := range []string{"objects", "zipf", "ttl", "uncacheable", "tags", "prefix", "ranges", "conditional", "prefill", "flash"} {
			if c.Flags().Changed(flag) {
				f.add("--"+flag, errors.New("not possible when the URL names one object; leave its path out"))
			}
		}
		return
	}
	o.Target = strings.TrimSuffix(target, "/")
	f.mix.Catalogue.Sizes = sizes
	if err != nil { // it has been said; no more about it
		f.mix.Catalogue.Sizes = workload.Sizes{Median: 10 << 10, Min: 10 << 10, Max: 10 << 10}
	}
	o.Mix = &f.mix
}

// schedule makes an open loop of a rate.
func (f *runFlags) schedule() {
	if f.rate == "" {
		if f.ramp != 0 {
			f.add("--ramp", errors.New("needs --rate FROM:TO"))
		}
		return
	}
	length := f.options.Duration
	if length == 0 {
		length = workload.Forever
	}
	from, to, isRamp := strings.Cut(f.rate, ":")
	low, err1 := strconv.ParseFloat(from, 64)
	if !isRamp {
		if f.ramp != 0 {
			f.add("--ramp", fmt.Errorf("needs a rate to go to, as in --rate 1:%s", f.rate))
		}
		if err1 != nil || !(low >= load.MinRate && low <= load.MaxRate) {
			f.add("--rate", fmt.Errorf("%q: %v to %d requests a second are possible; leave it out for a closed loop", f.rate, load.MinRate, load.MaxRate))
			low = 1
		}
		f.options.Schedule = workload.Constant{PerSecond: low, For: length}
		return
	}
	high, err2 := strconv.ParseFloat(to, 64)
	if errors.Join(err1, err2) != nil || !(low >= 0 && low <= load.MaxRate && high >= load.MinRate && high <= load.MaxRate) {
		f.add("--rate", fmt.Errorf("%q: FROM:TO is possible, FROM from 0 and TO from %v, both up to %d", f.rate, load.MinRate, load.MaxRate))
		low, high = 1, 1
	}
	over := f.ramp
	if over == 0 {
		over = length
	}
	if over < 0 || over > length || over == workload.Forever {
		f.add("--ramp", fmt.Errorf("%v: above 0 up to the duration is possible", f.ramp))
		over = time.Second
	}
	f.options.Schedule = workload.Ramp{From: low, To: high, Over: over, For: length}
}

// settings are those that a reader of the result has to know.
func (f *runFlags) settings() []report.Setting {
	o := &f.options
	out := []report.Setting{{Name: "load", Value: f.loadText()}}
	if o.Mix != nil {
		c := &o.Mix.Catalogue
		out = append(out,
			report.Setting{Name: "catalogue", Value: fmt.Sprintf("%s objects, about %s, Zipf %g", report.Thousands(c.Objects), report.Bytes(float64(c.Bytes())), o.Mix.Exponent)},
			report.Setting{Name: "sizes", Value: c.Sizes.String()})
		if c.Uncacheable+o.Mix.Ranges+o.Mix.Conditional > 0 {
			out = append(out, report.Setting{Name: "shares", Value: fmt.Sprintf("uncacheable %g, ranges %g, conditional %g", c.Uncacheable, o.Mix.Ranges, o.Mix.Conditional)})
		}
	} else {
		out = append(out, report.Setting{Name: "object", Value: o.Path})
	}
	for _, s := range f.flashes {
		out = append(out, report.Setting{Name: "flash crowd", Value: s})
	}
	for _, s := range f.purges {
		out = append(out, report.Setting{Name: "purge storm", Value: s})
	}
	return out
}

func (f *runFlags) loadText() string {
	o := &f.options
	s := fmt.Sprintf("%d connections", o.Connections)
	switch {
	case f.rate != "":
		s = fmt.Sprintf("%s requests a second over at most %s", f.rate, s)
	case o.PerConnection == 1:
		s = fmt.Sprintf("%d at a time, a new connection each", o.Connections)
	}
	if o.Warmup > 0 {
		s += fmt.Sprintf(", %v of warm-up", o.Warmup)
	}
	return s
}
