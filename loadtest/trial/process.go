package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// How long a program may take to start, and to stop when it is told to.
const (
	startWithin = 90 * time.Second
	stopWithin  = 15 * time.Second
)

// process is a program that the trial started, in a process group of its own.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	once sync.Once
}

// command describes a program to start.
type command struct {
	name string // for messages and the log's name
	dir  string
	env  []string
	args []string
}

func (c command) exec(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// run runs the program to its end and returns what it printed.
func (c command) run(ctx context.Context) ([]byte, error) {
	cmd := c.exec(ctx)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("cannot run %s: %w\n%s", c.name, err, tail(out))
	}
	return out, nil
}

// start starts the program with its output in a file below dir.
func (c command) start(ctx context.Context, dir string) (*process, error) {
	path := filepath.Join(dir, c.name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot make the log of %s: %w", c.name, err)
	}
	cmd := c.exec(ctx)
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Start()
	_ = log.Close() // the program has it
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", c.name, err)
	}
	p := &process{name: c.name, log: path, cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	return p, nil
}

// answers waits until ready holds, and fails when the program ends before.
func (p *process) answers(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s has ended: %s", p.name, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w; %s", p.name, err, p.tail())
		case <-tick.C:
		}
	}
}

// stop ends the program: with SIGTERM, and when that does not help with SIGKILL.
func (p *process) stop() {
	p.once.Do(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(stopWithin):
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			<-p.done
		}
		// Children that the program left behind.
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	})
}

func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(tail(b))
}

// tail returns the end of what a program printed.
func tail(b []byte) []byte { return b[max(0, len(b)-1500):] }

// freeAddress returns a loopback address that nobody listens on. Somebody else could take it before it is used; then
// the program that was to listen there fails and says so.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot find a free port: %w", err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String(), nil
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// fetch gets a URL and returns the body of a 200.
func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot make a request for %s: %w", url, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("cannot get %s: %w", url, err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return body, fmt.Errorf("cannot get %s: status %d", url, resp.StatusCode)
	}
	return body, nil
}
