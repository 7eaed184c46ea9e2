package trial

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// files is a directory that Python's http.server serves: Last-Modified on every file, and nothing else.
func files() *site {
	none := func(context.Context, *visitor) error { return nil }
	return &site{
		name:   "Files",
		pages:  []string{"/", "/old.html", "/new.html", "/missing.html"},
		public: []string{"/old.html"},
		start:  startFiles, login: none, logout: none,
		who:     func([]byte) (string, bool) { return "", false },
		private: func([]byte) []string { return nil },
		more:    guessed,
	}
}

// longAgo is the age of old.html; a tenth of it would be guessed as its lifetime if nothing bounded a guess.
const longAgo = 100 * 24 * time.Hour

func startFiles(ctx context.Context, b *bench, p place, _ []string) (*origin, error) {
	dir := filepath.Join(p.dir, "www")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("cannot make a directory: %w", err)
	}
	now := time.Now()
	for name, age := range map[string]time.Duration{"old.html": longAgo, "new.html": time.Second} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("<!doctype html><title>"+name+"</title>\n"), 0o600); err != nil {
			return nil, fmt.Errorf("cannot write a file: %w", err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			return nil, fmt.Errorf("cannot set the time of a file: %w", err)
		}
	}
	c := command{name: "files", args: []string{debianPython, "-u", "-m", "http.server", port(p.origin), "--bind", "127.0.0.1", "--directory", dir}}
	proc, err := c.start(ctx, p.dir)
	if err != nil {
		return nil, err
	}
	err = proc.answers(ctx, func(ctx context.Context) error {
		_, err := fetch(ctx, "http://"+p.origin+"/old.html")
		return err
	})
	if err != nil {
		proc.stop()
		return nil, err
	}
	return &origin{process: proc, made: func(context.Context) (map[string]int, error) { return countLog(proc.log) }}, nil
}

// countLog counts the GET requests in the log of http.server by path.
func countLog(path string) (map[string]int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the log: %w", err)
	}
	made := make(map[string]int)
	for line := range bytes.Lines(b) {
		_, rest, ok := bytes.Cut(line, []byte(`"GET `))
		if target, _, ok2 := bytes.Cut(rest, []byte(" ")); ok && ok2 {
			made[string(target)]++
		}
	}
	return made, nil
}

var ttlParameter = regexp.MustCompile(`ttl=(-?[0-9]+)`)

// guessed looks at the lifetime that is guessed for a file, and at who is given it.
func guessed(ctx context.Context, r *run) error {
	a, err := r.guests[0].do(ctx, http.MethodGet, "/old.html", "", nil, nil)
	if err != nil {
		return err
	}
	said := a.header.Get("Cache-Status")
	m := ttlParameter.FindStringSubmatch(said)
	ttl := 0
	if m != nil {
		ttl, _ = strconv.Atoi(m[1]) // the expression matches numbers only
	}
	r.check(isHit(said) && ttl > 0, "a file that was changed long ago is kept for visitors without cookies", said)
	r.check(ttl <= 3600, "a guess is an hour at most", said)
	a, err = r.tracked[0].do(ctx, http.MethodGet, "/old.html", "", nil, nil)
	if err != nil {
		return err
	}
	said = a.header.Get("Cache-Status")
	r.check(!isHit(said), "a guess is not for requests with cookies", said)
	return nil
}

// isHit reports whether a Cache-Status says that nothing had to be fetched.
func isHit(status string) bool { return strings.Contains(status, "; hit") }
