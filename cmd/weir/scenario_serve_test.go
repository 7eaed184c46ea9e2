package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// process is one run of weir serve.
type process struct {
	cmd    *exec.Cmd
	config string // the file that it was started with
	log    *watchedLog
	data   []string // host:port of the listeners
	admin  string

	exited chan struct{}
	err    error // of Wait; valid once exited is closed
}

// watchedLog is what a process wrote, for reading while it grows.
type watchedLog struct {
	gate
	text bytes.Buffer // protected by gate.mu
}

// Write implements io.Writer.
func (l *watchedLog) Write(p []byte) (n int, err error) {
	l.change(func() { n, err = l.text.Write(p) })
	return n, err
}

func (l *watchedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// awaitMatch waits until the log holds re.
func (l *watchedLog) awaitMatch(re *regexp.Regexp) bool {
	return l.await(func() bool { return re.Match(l.text.Bytes()) })
}

func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, -1, "serve NAME CONFIG [FLAG...]")
	name, w := args[0], worldOf(ts)
	if old := w.weirs[name]; old != nil && !old.over() {
		ts.Fatalf("%s runs already", name)
	}
	config := ts.MkAbs(name + ".running.yaml")
	configure(ts, args[1], config)
	var prefix []string
	if w.dns != nil {
		prefix = []string{"env", nameServerEnv + "=" + w.dns.conn.LocalAddr().String()}
	}
	p, err := launchWeirWith(args[2:], config, ts.MkAbs("."), prefix...)
	ts.Check(err)
	w.weirs[name] = p
	line := p.awaitReady()
	if line == "" {
		ts.Fatalf("%s did not get ready; it wrote:\n%s", name, p.log)
	}
	p.addresses(ts, name, line)
}

// launchWeir runs weir serve in dir, by way of the command prefix, if any, which
// must become it.
func launchWeir(config, dir string, prefix ...string) (*process, error) {
	return launchWeirWith(nil, config, dir, prefix...)
}

// launchPassed passes open files and further variables to the process.
func launchPassed(files []*os.File, env []string, config, dir string, prefix ...string) (*process, error) {
	return launchCommand(func(c *exec.Cmd) { c.ExtraFiles, c.Env = files, append(os.Environ(), env...) }, nil, config, dir, prefix...)
}

// launchWeirWith gives weir serve some flags too.
func launchWeirWith(flags []string, config, dir string, prefix ...string) (*process, error) {
	return launchCommand(func(*exec.Cmd) {}, flags, config, dir, prefix...)
}

func launchCommand(edit func(*exec.Cmd), flags []string, config, dir string, prefix ...string) (*process, error) {
	binary, err := exec.LookPath("weir")
	if err != nil {
		return nil, err
	}
	p := &process{log: &watchedLog{}, exited: make(chan struct{}), config: config}
	command := append(append(slices.Clone(prefix), binary, "serve", "-c", config), flags...)
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	edit(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
		p.log.change(func() {})
	}()
	return p, nil
}

var (
	readyLine     = regexp.MustCompile(`(?m)^.*\bready\b.*\n`)
	listenAddress = regexp.MustCompile(`(?:127\.\d+\.\d+\.\d+|\[::1\]|localhost):\d+`)
)

// awaitReady returns the line that says ready, "" when the process ended or
// took too long.
func (p *process) awaitReady() string {
	p.log.await(func() bool { return p.over() || readyLine.Match(p.log.text.Bytes()) })
	return readyLine.FindString(p.log.String())
}

// configure writes the configuration with its variables replaced.
func configure(ts *testscript.TestScript, file, as string) {
	text := os.Expand(ts.ReadFile(file), func(v string) string {
		if s := ts.Getenv(v); s != "" {
			return s
		}
		ts.Fatalf("%s: $%s is not set", file, v)
		return ""
	})
	ts.Check(os.WriteFile(as, []byte(hasty(text)), 0o600))
}

// hasty is a configuration without a lame duck, which would cost each scenario five
// seconds, unless it says how long that lasts. No line gets another number.
func hasty(config string) string {
	const setting = "lame_duck: 0s"
	switch {
	case strings.Contains(config, "lame_duck"):
		return config
	case strings.Contains(config, "\ntimeouts: {"):
		return strings.Replace(config, "\ntimeouts: {", "\ntimeouts: {"+setting+", ", 1)
	}
	return config + "timeouts: {" + setting + "}\n"
}

// addresses picks the listeners from the line that says ready: the one behind
// the word admin is the admin plane.
func (p *process) addresses(ts *testscript.TestScript, name, line string) {
	data, admin, found := strings.Cut(line, "admin")
	p.data = listenAddress.FindAllString(data, -1)
	if found {
		p.admin = listenAddress.FindString(admin)
	}
	if len(p.data) == 0 || p.admin == "" {
		ts.Fatalf("no addresses in %q", line)
	}
	ts.Setenv(name, p.data[0])
	ts.Setenv(name+"_admin", p.admin)
	for i, a := range p.data[1:] {
		ts.Setenv(fmt.Sprintf("%s_%d", name, i+2), a)
	}
}

// over tells whether the process has ended.
func (p *process) over() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// end stops the process in good order if it still runs, else by force.
func (p *process) end() error {
	if p.over() {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // in case that it stands still
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if p.log.await(p.over) {
		return p.err
	}
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	<-p.exited
	return errors.New("it did not end after SIGTERM and was killed")
}

func processOf(ts *testscript.TestScript, name string) *process {
	p := worldOf(ts).weirs[name]
	if p == nil {
		ts.Fatalf("there is no weir %q", name)
	}
	return p
}

func cmdShutdown(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1, "shutdown NAME")
	if err := processOf(ts, args[0]).end(); err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
}

func cmdKill9(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1, "kill9 NAME")
	p := processOf(ts, args[0])
	ts.Check(p.cmd.Process.Kill())
	<-p.exited
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2, "signal NAME TERM|INT|HUP|STOP|CONT")
	sig, ok := map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT,
	}[args[1]]
	if !ok {
		ts.Fatalf("signal %q should be TERM, INT, HUP, STOP or CONT", args[1])
	}
	ts.Check(processOf(ts, args[0]).cmd.Process.Signal(sig))
}

// cmdRoute finds addresses for the routes of a cluster, each of a host that nobody
// else uses, and sets the variables to them.
func cmdRoute(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, -1, "route NAME...")
	for _, name := range args {
		address, err := freeRoute()
		ts.Check(err)
		ts.Setenv(name, address)
	}
}

func cmdKeep(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2, "keep NAME RE")
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) != 2 {
		ts.Fatalf("standard output does not hold one group of %s", args[1])
	}
	ts.Setenv(args[0], m[1])
}

func cmdExited(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 2, "exited NAME [STATUS]")
	p, want := processOf(ts, args[0]), "0"
	if len(args) == 2 {
		want = args[1]
	}
	if !p.log.await(p.over) {
		ts.Fatalf("%s still runs", args[0])
	}
	if got := strconv.Itoa(p.cmd.ProcessState.ExitCode()); got != want {
		ts.Fatalf("%s ended with status %s, want %s (%v)", args[0], got, want, p.err)
	}
}

func cmdReload(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2, "reload NAME CONFIG")
	p := processOf(ts, args[0])
	configure(ts, args[1], p.config)
	ts.Check(p.cmd.Process.Signal(syscall.SIGHUP))
}

func cmdLog(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] log NAME RE")
	}
	p, re := processOf(ts, args[0]), regexp.MustCompile(args[1])
	switch {
	case neg && re.MatchString(p.log.String()):
		ts.Fatalf("the log of %s holds %s", args[0], re)
	case !neg && !p.log.awaitMatch(re):
		ts.Fatalf("the log of %s does not hold %s:\n%s", args[0], re, p.log)
	}
}

// scrapes keeps no connection, so that none is left behind.
var scrapes = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

// sample returns the value of one sample of the metrics page.
func (p *process) sample(name string) (float64, bool, error) {
	resp, err := scrapes.Get("http://" + p.admin + "/metrics")
	if err != nil {
		return 0, false, err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return 0, false, fmt.Errorf("/metrics answers %s: %w", resp.Status, err)
	}
	for line := range strings.Lines(string(page)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return v, true, err
		}
	}
	return 0, false, nil
}

func cmdMetric(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 4, 4, "metric NAME SAMPLE OP VALUE")
	want, err := strconv.ParseFloat(args[3], 64)
	ts.Check(err)
	ops := map[string]func(a, b float64) bool{
		"==": func(a, b float64) bool { return a == b }, "!=": func(a, b float64) bool { return a != b },
		"<": func(a, b float64) bool { return a < b }, "<=": func(a, b float64) bool { return a <= b },
		">": func(a, b float64) bool { return a > b }, ">=": func(a, b float64) bool { return a >= b },
	}
	op := ops[args[2]]
	if op == nil {
		ts.Fatalf("%q is no comparison", args[2])
	}
	p := processOf(ts, args[0])
	var got float64
	var found bool
	if !poll(func() bool {
		got, found, err = p.sample(args[1])
		return err != nil || found && op(got, want)
	}) || err != nil {
		ts.Fatalf("%s is %v (on the page: %v, error: %v), want %s %s", args[1], got, found, err, args[2], args[3])
	}
}

func cmdSettle(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1, "settle NAME")
	for _, name := range []string{"weir_flights", "weir_requests_in_flight"} {
		cmdMetric(ts, false, []string{args[0], name, "==", "0"})
	}
}
