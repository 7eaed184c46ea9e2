package main

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"weir/loadtest/accesslog"
	"weir/loadtest/load"
	"weir/loadtest/report"
	"weir/loadtest/workload"
)

// replayFlags are those of weirload replay.
type replayFlags struct {
	commonFlags
	log   string
	speed float64
	most  time.Duration
}

func replayCommand() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay URL --log FILE",
		Short: "Send the requests of an access log, at its own pace or faster",
		Long: "Send the requests of an access log (combined format, or weir's JSON lines) to URL. The pace is that of the log:\n" +
			"an open loop. Where the log knows whole seconds only, the requests of one are spread over it evenly.\n\n" +
			"To compare bodies and statuses, give the same log to the origin: weirload origin --log FILE.",
		Example: "  weirload origin --log access.log &\n" +
			"  weirload replay http://127.0.0.1:8080 --log access.log --speed 100",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0]) },
	}
	fs := c.Flags()
	fs.StringVar(&f.log, "log", "", "the access log; - for standard input")
	fs.Float64Var(&f.speed, "speed", 1, "times the log's own pace; 0: as fast as the target answers, a closed loop")
	fs.DurationVar(&f.most, "max-gap", 24*time.Hour, "the longest time without a request in the log; a line with a wrong time would have to be waited for")
	fs.Int64VarP(&f.options.Requests, "requests", "n", 0, "at most so many requests")
	fs.DurationVarP(&f.options.Duration, "duration", "d", 0, "at most so long")
	f.register(c)
	return c
}

func (f *replayFlags) run(c *cobra.Command, target string) error {
	if f.log == "" {
		return errors.New("which log? Name it with --log FILE")
	}
	entries, err := readLog(f.log, c)
	if err != nil {
		return err
	}
	f.refuseZero(c)
	f.options.Target = target
	if u, err := url.Parse(target); err == nil && (u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "") {
		f.fault = append(f.fault, fmt.Errorf("URL %q: the log says which paths; leave its own out", target))
	}
	if !(f.speed >= 0 && f.speed <= 1e6) {
		f.fault = append(f.fault, fmt.Errorf("--speed %v: 0 to 1000000 is possible", f.speed))
		f.speed = 1
	}
	ready := load.FromLog(entries)
	list := ready.Entries
	if len(list) == 0 {
		return fmt.Errorf("%s holds no request that can be sent", f.log)
	}
	f.options.Entries = list
	pace := "as fast as the target answers"
	if f.speed > 0 {
		f.options.Schedule = f.schedule(c, ready)
		pace = fmt.Sprintf("%g times the log's pace", f.speed)
	}
	settings := []report.Setting{
		{Name: "log", Value: fmt.Sprintf("%s: %s requests over %v, %s cannot be sent", f.log, report.Thousands(int64(len(list))), span(list[len(list)-1].At), report.Thousands(int64(ready.Skipped)))},
		{Name: "load", Value: fmt.Sprintf("%s, %d connections", pace, f.options.Connections)},
	}
	return f.execute(c, settings)
}

// schedule is the log's own, at the speed that is asked for. It says how long that takes, before it begins.
func (f *replayFlags) schedule(c *cobra.Command, log load.Log) workload.Times {
	o := &f.options
	if f.most <= 0 {
		f.fault = append(f.fault, fmt.Errorf("--max-gap %v: it must be above 0", f.most))
	}
	times := make(workload.Times, len(log.Entries))
	sent, length := 0, time.Duration(0)
	for i := range log.Entries {
		// A slow speed must not go beyond what a time can be.
		times[i] = time.Duration(min(float64(log.Entries[i].At)/f.speed, float64(workload.Forever/2)))
		if (o.Duration > 0 && times[i] >= o.Duration) || (o.Requests > 0 && int64(i) >= o.Requests) {
			continue
		}
		sent, length = i+1, times[i]
	}
	for i := 1; i < sent && f.most > 0; i++ {
		if before, e := &log.Entries[i-1], &log.Entries[i]; e.At-before.At > f.most {
			f.fault = append(f.fault, fmt.Errorf("the log has nothing for %v, from %s (%s %.80s) to %s (%s %.80s): take lines with a wrong time out, or allow it with --max-gap",
				span(e.At-before.At), log.Start.Add(before.At).Format(time.RFC3339), before.Method, before.Target,
				log.Start.Add(e.At).Format(time.RFC3339), e.Method, e.Target))
			break
		}
	}
	if len(f.fault) == 0 && !f.quiet {
		fmt.Fprintf(c.ErrOrStderr(), "%s requests, the last is due after %v\n", report.Thousands(int64(sent)), span(length))
	}
	return times
}

// readLog reads a log in either format, - being standard input, and says what of it is not in the format.
func readLog(path string, c *cobra.Command) ([]accesslog.Entry, error) {
	var log *accesslog.Log
	var err error
	if path == "-" {
		path = "standard input"
		log, err = accesslog.ReadAll(c.InOrStdin())
	} else {
		log, err = accesslog.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	if n := len(log.Faults); n > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "%s: %s lines are not in the format; the first: %v\n", path, report.Thousands(int64(n)), log.Faults[0])
	}
	return log.Entries, nil
}

// span is a time as a person wants it: tenths matter in a second and not in a day.
func span(d time.Duration) time.Duration {
	if d < time.Minute {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second)
}
