package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"weir/loadtest/compare/bare"
)

// startTimeout bounds how long a system may take until it answers, and
// stopTimeout how long it may take to end before it is killed.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 5 * time.Second
)

// instance is a running system. It is owned by whoever started it, who must
// call stop.
type instance struct {
	system  system
	setup   setup
	process *process
	cores   []int
	started time.Duration // from exec to the first right answer
	dirs    []string      // removed by stop
}

// address is host:port of the data plane.
func (i *instance) address() string { return "127.0.0.1:" + strconv.Itoa(i.setup.Port) }

// process is a command with all that it starts.
type process struct {
	cmd    *exec.Cmd
	output *os.File
	done   chan struct{} // closed when the command has ended
}

// startProcess runs argv; what it prints goes to the file log.
func startProcess(argv, env []string, log string) (*process, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = f, f
	// A group of its own: Ctrl-C reaches this program, which ends the others.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot start %s: %w", argv[0], err)
	}
	p := &process{cmd: cmd, output: f, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended shows in its output
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// signal sends s to the process and all below it.
func (p *process) signal(s syscall.Signal) error {
	all, err := tree(p.pid())
	if err != nil {
		return err
	}
	for _, one := range all {
		if err := syscall.Kill(one.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("cannot send %s to process %d: %w", s, one.pid, err)
		}
	}
	return nil
}

// stop ends the process and all below it, and waits for it.
func (p *process) stop() {
	all, _ := tree(p.pid())
	_ = p.signal(syscall.SIGCONT)
	_ = syscall.Kill(p.pid(), syscall.SIGTERM)
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.signal(syscall.SIGKILL)
		<-p.done
	}
	// What the root left behind. A pid that was given to another process
	// meanwhile has another parent than the ones that were seen.
	for _, one := range all {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", one.pid)); err == nil && one.pid != p.pid() {
			if s, err := parseStat(string(b)); err == nil && (s.parent == one.parent || s.parent == 1) {
				_ = syscall.Kill(one.pid, syscall.SIGKILL)
			}
		}
	}
	_ = p.output.Close()
}

// tail returns the last lines of what the process printed.
func (p *process) tail() string {
	b, _ := os.ReadFile(p.output.Name())
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// options say how a system is to be started.
type options struct {
	origin      string // host:port
	cores       []int
	memoryMiB   int64
	diskMiB     int64 // above 0: hits are to come from disk, unless behind is set
	behind      bool  // the disk is written behind the RAM, which keeps what it has room for
	connections int
	tags, purge bool
	foreign     bool     // the origin has bodies of its own
	args        []string // more arguments for the yardstick
}

func (o options) ready(address string) func(context.Context) error {
	if o.foreign {
		return answers(address)
	}
	return rightly(address)
}

// start runs sys and waits until it answers rightly.
func (r *Run) start(ctx context.Context, sys system, o options) (*instance, error) {
	binary, err := sys.find(r.cfg.Weir)
	if err != nil {
		return nil, fmt.Errorf("cannot find %s: %w", sys.title, err)
	}
	i := &instance{system: sys}
	for _, parent := range []string{r.cfg.Scratch, r.fast, r.cfg.Scratch} {
		dir, err := os.MkdirTemp(parent, "weir-compare-"+sys.name+"-")
		if err != nil {
			i.removeDirs()
			return nil, fmt.Errorf("cannot make a directory for %s: %w", sys.title, err)
		}
		i.dirs = append(i.dirs, dir)
	}
	i.setup = setup{
		Origin: o.origin, Dir: i.dirs[0], Fast: i.dirs[1], Slow: i.dirs[2], MemoryMiB: o.memoryMiB, DiskMiB: o.diskMiB,
		Disk: o.diskMiB > 0 && !o.behind, Cores: len(o.cores), Connections: o.connections, Tags: o.tags, Purge: o.purge,
		Root: os.Geteuid() == 0,
	}
	if err := i.launch(ctx, binary, o); err != nil {
		i.stop()
		return nil, fmt.Errorf("cannot start %s: %w", sys.title, err)
	}
	return i, nil
}

// launch chooses ports, writes the configuration, starts the process and waits
// for its first right answer.
func (i *instance) launch(ctx context.Context, binary string, o options) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	i.setup.Port, i.setup.AdminPort = ports[0], ports[1]
	for _, dir := range append([]string{i.setup.Fast + "/cache", i.setup.Slow + "/cache"}, i.system.dirsIn(i.setup)...) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := i.system.render(i.setup); err != nil {
		return err
	}
	argv, err := i.system.argv(i.setup)
	if err != nil {
		return err
	}
	var env []string
	if i.system.env != nil {
		env = i.system.env(i.setup)
	}
	argv = append(append([]string{binary}, argv...), o.args...)
	began := time.Now()
	i.process, err = startProcess(pinned(o.cores, argv...), env, filepath.Join(i.setup.Dir, "output.log"))
	if err != nil {
		return err
	}
	if err := waitFor(ctx, i.process, o.ready(i.address())); err != nil {
		return err
	}
	i.started = time.Since(began)
	return nil
}

func (sys system) dirsIn(s setup) []string {
	dirs := make([]string, len(sys.dirs))
	for n, d := range sys.dirs {
		dirs[n] = filepath.Join(s.Dir, d)
	}
	return dirs
}

// readyObject is asked for to see whether a server answers; every yardstick
// must have it.
var readyObject = bare.Path(bare.KindLong, 64, 0)

// rightly asks address for readyObject and compares its body.
func rightly(address string) func(context.Context) error {
	return func(ctx context.Context) error { return fetch(ctx, http.DefaultClient, address, readyObject) }
}

// answers asks address for readyObject, of which any body will do.
func answers(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := get(ctx, http.DefaultClient, address, readyObject)
		return err
	}
}

// waitFor tries until there is no error, the process ends, or startTimeout has
// passed.
func waitFor(ctx context.Context, p *process, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("it ended at once:\n%s", p.tail())
		case <-ctx.Done():
			return fmt.Errorf("no right answer in %s (%w):\n%s", startTimeout, err, p.tail())
		case <-again.C:
		}
	}
}

// pause stops the processes where they are, so that a system that waits for its
// turn takes nothing from the one that is measured.
func (i *instance) pause() error { return i.process.signal(syscall.SIGSTOP) }

// resume lets them go on.
func (i *instance) resume() error { return i.process.signal(syscall.SIGCONT) }

// stop ends the system and removes its directories.
func (i *instance) stop() {
	if i.process != nil {
		i.process.stop()
	}
	i.removeDirs()
}

func (i *instance) removeDirs() {
	for _, dir := range i.dirs {
		_ = os.RemoveAll(dir)
	}
}

// freePorts asks the system for ports of the loopback that are free now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("cannot find a free port: %w", err)
		}
		defer func() { _ = ln.Close() }()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// fetch asks for one object and compares its body with what it must be.
func fetch(ctx context.Context, client *http.Client, address, path string) error {
	object, ok := bare.Parse(path)
	if !ok {
		return fmt.Errorf("cannot check %s: no such object", path)
	}
	body, err := get(ctx, client, address, path)
	if err != nil {
		return err
	}
	if !bytes.Equal(body, object.Body()) {
		return fmt.Errorf("wrong body of %s: %d bytes, %d were expected or their content differs", path, len(body), object.Size)
	}
	return nil
}

// siteHost is the Host of every request, here and in load.lua: it is a part of
// the key.
const siteHost = "compare.test"

// get returns the body of a 200.
func get(ctx context.Context, client *http.Client, address, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	req.Host = siteHost
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s was answered %s", path, res.Status)
	}
	return body, nil
}
