package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// weir is the process that all of this is about. Faults stop, kill and start it; one goroutine at a time does so.
type weir struct {
	place  *place
	origin *origin
	binary string // a copy of its own, so that a build meanwhile changes nothing
	log    *os.File
	found  *findings
	starts atomic.Int64
	// vanished says that files were removed beneath the process. It may hold them open, since they are read and written
	// all the same.
	vanished atomic.Bool
	// ready says that it takes signals: before, SIGHUP would end it.
	ready atomic.Bool

	mu       sync.Mutex // protects the fields below
	settings settings
	cmd      *exec.Cmd
	exited   chan struct{} // closed when the process has ended
	expected bool          // that it ends

	// trouble counts why weir may be slow or away at the moment; changes counts the changes of trouble.
	trouble, changes atomic.Int64
}

func newWeir(binary string, p *place, o *origin, f *findings) (*weir, error) {
	w := &weir{place: p, origin: o, binary: filepath.Join(p.dir, "weir"), found: f, settings: firstSettings()}
	if err := copyFile(binary, w.binary); err != nil {
		return nil, fmt.Errorf("cannot copy the binary of weir: %w", err)
	}
	var err error
	if w.log, err = os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return nil, fmt.Errorf("cannot open the log: %w", err)
	}
	return w, w.configure(func(*settings) {})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// configure changes the settings and writes them to the file.
func (w *weir) configure(change func(*settings)) error {
	w.mu.Lock()
	change(&w.settings)
	text := w.settings.text(w.place, w.origin)
	w.mu.Unlock()
	return w.write(text)
}

func (w *weir) write(text string) error {
	if err := os.WriteFile(w.place.file(), []byte(text), 0o644); err != nil {
		return fmt.Errorf("cannot write the configuration: %w", err)
	}
	return nil
}

// disturb says that weir is away, or not itself, until the returned function is called. What overlaps with that is not
// held to any bound in time.
func (w *weir) disturb() (over func()) {
	w.trouble.Add(1)
	w.changes.Add(1)
	var once sync.Once
	return func() {
		once.Do(func() {
			w.changes.Add(1)
			w.trouble.Add(-1)
		})
	}
}

// undisturbed returns a function that reports whether weir was itself from now until it is called.
func (w *weir) undisturbed() func() bool {
	changes, ok := w.changes.Load(), w.trouble.Load() == 0
	return func() bool { return ok && w.trouble.Load() == 0 && w.changes.Load() == changes }
}

// start starts the process and waits until it is ready. A process that is not in time is a finding; it is given as much
// time again to leave its stacks, and killed.
func (w *weir) start(ctx context.Context) error {
	cmd := exec.Command(w.binary, "serve", "-c", w.place.file())
	cmd.Dir, cmd.Stderr, cmd.SysProcAttr = w.place.dir, w.log, w.place.attributes()
	cmd.Env = append(os.Environ(), "GOTRACEBACK=all")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("cannot start weir: %w", err)
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start weir: %w", err)
	}
	w.starts.Add(1)
	w.vanished.Store(false)
	w.ready.Store(false)
	exited := make(chan struct{})
	w.mu.Lock()
	w.cmd, w.exited, w.expected = cmd, exited, false
	w.mu.Unlock()
	ready := make(chan struct{})
	go func() {
		r := bufio.NewReader(out)
		if line, err := r.ReadString('\n'); err == nil && strings.Contains(line, "ready") {
			close(ready)
		}
		_, _ = io.Copy(io.Discard, r)
		_ = cmd.Wait() // how it ended is in its log
		w.mu.Lock()
		expected := w.expected
		w.mu.Unlock()
		if !expected {
			w.found.add(kindDied, "weir ended by itself: %v; %s", cmd.ProcessState, w.tail())
		}
		close(exited)
	}()
	late := time.NewTimer(startWithin)
	defer late.Stop()
	select {
	case <-ready:
		w.ready.Store(true)
		return nil
	case <-exited:
		return fmt.Errorf("weir did not start: %v; %s", cmd.ProcessState, w.tail())
	case <-ctx.Done():
		w.kill(syscall.SIGKILL)
		return ctx.Err()
	case <-late.C:
		w.found.add(kindStart, "not ready %v after its start; %s", time.Since(begin).Round(time.Millisecond), w.tail())
		w.kill(syscall.SIGQUIT)
		return errNotReady
	}
}

var errNotReady = errors.New("weir does not get ready")

// signal sends a signal, if weir runs.
func (w *weir) signal(s syscall.Signal) {
	if s == syscall.SIGHUP && !w.ready.Load() {
		return
	}
	w.mu.Lock()
	cmd, exited := w.cmd, w.exited
	w.mu.Unlock()
	if cmd == nil {
		return
	}
	select {
	case <-exited:
	default:
		_ = cmd.Process.Signal(s)
	}
}

// kill ends the process with a signal and waits for its end; what does not end is killed.
func (w *weir) kill(s syscall.Signal) {
	w.mu.Lock()
	w.expected = true
	exited := w.exited
	w.mu.Unlock()
	if exited == nil {
		return
	}
	w.signal(s)
	limit := time.Now().Add(stopWithin)
	if s == syscall.SIGQUIT {
		limit = time.Now().Add(3 * time.Second)
	}
	select {
	case <-exited:
		return
	case <-time.After(time.Until(limit)):
	}
	if s == syscall.SIGTERM {
		w.found.add(kindStop, "still there %v after SIGTERM; %s", stopWithin, w.tail())
		w.signal(syscall.SIGQUIT)
		select {
		case <-exited:
			return
		case <-time.After(3 * time.Second):
		}
	}
	w.signal(syscall.SIGKILL)
	<-exited
}

// runs reports whether the process lives.
func (w *weir) runs() bool {
	w.mu.Lock()
	exited := w.exited
	w.mu.Unlock()
	select {
	case <-exited:
		return false
	default:
		return true
	}
}

func (w *weir) pid() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cmd.Process.Pid
}

// tasks is the directory with an entry for each thread of the process.
func (w *weir) tasks() string { return fmt.Sprintf("/proc/%d/task", w.pid()) }

// tail is the end of weir's log, short.
func (w *weir) tail() string {
	b, err := os.ReadFile(w.place.log())
	if err != nil {
		return err.Error()
	}
	return "its log ends: " + strconv.Quote(string(b[max(0, len(b)-400):]))
}

// memory is the resident memory of the process in bytes, without what it shares through a file system in memory.
func (w *weir) memory() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.pid()))
	if err != nil {
		return 0, fmt.Errorf("cannot read how much memory weir takes: %w", err)
	}
	values := map[string]int64{}
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		if fields := strings.Fields(rest); strings.HasPrefix(name, "Vm") || strings.HasPrefix(name, "Rss") {
			kib, err := strconv.ParseInt(fields[0], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("cannot read how much memory weir takes: %w", err)
			}
			values[name] = kib << 10
		}
	}
	rss, ok := values["VmRSS"]
	if !ok {
		return 0, errors.New("the process has no memory: it is ending")
	}
	return rss - values["RssShmem"], nil
}

// files are the descriptors of the process by what they are.
type files struct {
	sockets, deleted, other int
}

func (w *weir) files() (files, error) {
	var f files
	dir := fmt.Sprintf("/proc/%d/fd", w.pid())
	entries, err := os.ReadDir(dir)
	if err != nil {
		return f, fmt.Errorf("cannot read which files weir has open: %w", err)
	}
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		switch {
		case err != nil:
		case strings.HasPrefix(to, "socket:"):
			f.sockets++
		case strings.HasSuffix(to, " (deleted)"):
			f.deleted++
		default:
			f.other++
		}
	}
	return f, nil
}
