package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/term"

	"weir/loadtest/load"
	"weir/loadtest/report"
)

// toFile writes a file in whole, or none.
func toFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".weirload-")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails once it has its name
	err = write(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// progress writes how far a run is: on a terminal a line that changes, elsewhere a line now and then.
type progress struct {
	w        io.Writer
	terminal bool
	every    time.Duration
	whole    time.Duration // 0: not known
	last     load.Progress
	wrote    bool
}

func newProgress(w io.Writer, o load.Options) *progress {
	p := &progress{w: w, every: 5 * time.Second, whole: o.Length()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.terminal, p.every = true, 500*time.Millisecond
	}
	return p
}

func (p *progress) show(now load.Progress) {
	rate := float64(now.Answers-p.last.Answers) / max((now.Elapsed-p.last.Elapsed).Seconds(), 1e-3)
	p.last = now
	line := fmt.Sprintf("%4.0f s", now.Elapsed.Seconds())
	if p.whole > 0 {
		line += fmt.Sprintf(" of %.0f", p.whole.Seconds())
	}
	if now.Warming {
		line += "  warming up"
	} else {
		line += fmt.Sprintf("  %s answers  %s a second  %s faulty", report.Thousands(now.Answers), report.Thousands(int64(rate)), report.Thousands(now.Faulty))
	}
	if now.Purges > 0 {
		line += fmt.Sprintf("  %s purges", report.Thousands(now.Purges))
	}
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	} else {
		fmt.Fprintln(p.w, line)
	}
	p.wrote = true
}

// end leaves the line on which the progress stood.
func (p *progress) end() {
	if p.terminal && p.wrote {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
