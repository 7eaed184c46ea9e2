package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/term"

	"weir/loadtest/load"
	"weir/loadtest/report"
)

// toFile writes a file in whole, or none. A symbolic link stays one, and so does the mode of a file that is there. What is no
// regular file (/dev/null, a FIFO) is written to and never replaced.
func toFile(path string, write func(io.Writer) error) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && isStdout(info):
		err = write(os.Stdout) // at its place in it: other things were written there before
	case err == nil && !info.Mode().IsRegular():
		err = writeThrough(path, write)
	case err == nil:
		err = replaceFile(path, info.Mode().Perm(), true, write)
	case errors.Is(err, fs.ErrNotExist):
		err = replaceFile(path, 0o666, false, write) // less what the umask takes
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// isStdout tells whether a file is the one that standard output goes to, as /dev/stdout is.
func isStdout(info os.FileInfo) bool {
	out, err := os.Stdout.Stat()
	return err == nil && os.SameFile(info, out)
}

func writeThrough(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// replaceFile gives a new file the name of the old one. exact: it gets these permissions whatever the umask is.
func replaceFile(path string, perm os.FileMode, exact bool, write func(io.Writer) error) error {
	path, err := followLinks(path)
	if err != nil {
		return err
	}
	// os.CreateTemp would fix the mode at 0600, and nothing but creating a file says what the umask is.
	name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".weirload-%016x", rand.Uint64()))
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	defer os.Remove(name) // fails once it has its name
	if exact {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = write(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(name, path)
}

// followLinks is where a path leads, also when nothing is there yet.
func followLinks(path string) (string, error) {
	const most = 40 // as many as Linux follows
	for range most {
		// Split and not Dir, which would take "link/.." for the directory that the link is in.
		dir, name := filepath.Split(path)
		if dir == "" {
			dir = "."
		}
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, name)
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link
		}
		if !filepath.IsAbs(to) {
			to = dir + string(filepath.Separator) + to
		}
		path = to
	}
	return "", errors.New("too many symbolic links")
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
