package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record is what the tests read back from a line.
type record struct {
	Target  string
	Event   string
	Dropped uint64
	Total   uint64 `json:"dropped_total"`
}

func parse(t *testing.T, text string) []record {
	t.Helper()
	var out []record
	for line := range strings.Lines(text) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		out = append(out, r)
	}
	return out
}

// targets returns the targets of request lines, joined.
func targets(t *testing.T, text string) string {
	t.Helper()
	var out []string
	for _, r := range parse(t, text) {
		if r.Event == "" {
			out = append(out, r.Target)
		}
	}
	return strings.Join(out, " ")
}

func mustOpen(t *testing.T, o Options) *Logger {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t *testing.T, l *Logger) {
	t.Helper()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func logTarget(l *Logger, target string) { l.Log(&Entry{Target: []byte(target)}) }

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// faultyWriter is a sink whose every Write goes through a function.
type faultyWriter func([]byte) (int, error)

func (f faultyWriter) Write(b []byte) (int, error) { return f(b) }

func TestCloseWritesWhatIsQueued(t *testing.T) {
	var out bytes.Buffer
	l := mustOpen(t, Options{Target: Target{Kind: Stderr}, Stderr: &out})
	var want []string
	for i := range 3000 {
		want = append(want, strconv.Itoa(i))
		logTarget(l, strconv.Itoa(i))
	}
	closeLog(t, l)
	closeLog(t, l)
	if got := targets(t, out.String()); got != strings.Join(want, " ") {
		t.Error("lines are missing or out of order")
	}
	logTarget(l, "late")
	if l.Enabled() || l.Dropped() != 0 {
		t.Errorf("after Close enabled %v, dropped %d", l.Enabled(), l.Dropped())
	}
	if err := l.Reopen(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Reopen after Close: %v, want ErrClosed", err)
	}
}

func TestALineIsWrittenWithinTheFlushInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var out bytes.Buffer
		l := mustOpen(t, Options{Target: Target{Kind: Stderr}, Stderr: faultyWriter(func(b []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return out.Write(b)
		})})
		defer closeLog(t, l)
		written := func() string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return targets(t, out.String())
		}
		logTarget(l, "one")
		if got := written(); got != "" {
			t.Errorf("%q written at once; the batch should wait", got)
		}
		time.Sleep(flushEvery)
		if got := written(); got != "one" {
			t.Errorf("%q written after the interval, want one", got)
		}
		for range wakeEvery {
			logTarget(l, "many")
		}
		if got := strings.Count(written(), "many"); got < wakeEvery-1 {
			t.Errorf("%d lines written after %d came fast", got, wakeEvery)
		}
	})
}

func TestLogNeverWaitsForASlowDisk(t *testing.T) {
	var out bytes.Buffer
	entered, release := make(chan struct{}, 1), make(chan struct{})
	l := mustOpen(t, Options{Target: Target{Kind: Stderr}, lines: 1024, Stderr: faultyWriter(func(b []byte) (int, error) {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-release
		return out.Write(b)
	})})
	for range wakeEvery {
		logTarget(l, "x")
	}
	<-entered // the writer is stuck in its first write from here on
	for range 5000 {
		logTarget(l, "x")
	}
	dropped := l.Dropped()
	if dropped < 5000-1024 || dropped > 5000 {
		t.Errorf("%d lines dropped of 5000 with room for 1024", dropped)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Reopen(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Reopen on a stuck disk: %v, want the context's error", err)
	}
	if err := l.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close on a stuck disk: %v, want the context's error", err)
	}
	close(release)
	closeLog(t, l)
	var lines, reported uint64
	for _, r := range parse(t, out.String()) {
		if r.Event == "lines_dropped" {
			reported += r.Dropped
		} else {
			lines++
		}
	}
	if reported != dropped || lines+dropped != wakeEvery+5000 {
		t.Errorf("%d lines and %d reported as dropped; %d were counted, %d logged", lines, reported, dropped, wakeEvery+5000)
	}
}

func TestBytesInTheRingAreBounded(t *testing.T) {
	entered, release := make(chan struct{}, 1), make(chan struct{})
	l := mustOpen(t, Options{Target: Target{Kind: Stderr}, Stderr: faultyWriter(func(b []byte) (int, error) {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-release
		return len(b), nil
	})})
	for range wakeEvery {
		logTarget(l, "x")
	}
	<-entered
	long := bytes.Repeat([]byte("\x01"), maxField) // six bytes each in the line
	for range 2000 {
		l.Log(&Entry{Target: long, Host: long})
	}
	if queued := l.ring.queued.Load(); queued > maxQueuedBytes+15*maxField || l.Dropped() == 0 {
		t.Errorf("%d bytes queued, %d lines dropped; the bound is %d bytes", queued, l.Dropped(), maxQueuedBytes)
	}
	close(release)
	closeLog(t, l)
	for i := range l.ring.slots {
		if c := cap(l.ring.slots[i].line); c > keepSlotBytes {
			t.Fatalf("slot %d keeps %d bytes", i, c)
		}
	}
}

func TestWriteErrorsAreCountedAndALaterLineStartsAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		broken := errors.New("disk full")
		room := -1 // bytes that still fit; negative: no bound
		l := mustOpen(t, Options{Target: Target{Kind: Stderr}, Stderr: faultyWriter(func(b []byte) (int, error) {
			if room < 0 {
				return out.Write(b)
			}
			n := min(room, len(b))
			room -= n
			out.Write(b[:n])
			if n < len(b) {
				return n, broken
			}
			return n, nil
		})})
		line := len((&Entry{Target: []byte("a")}).Append(nil))
		room = line + 10
		logTarget(l, "a")
		logTarget(l, "b")
		logTarget(l, "c")
		time.Sleep(flushEvery + time.Millisecond)
		synctest.Wait()
		if l.Dropped() != 2 || l.WriteErrors() != 1 {
			t.Errorf("dropped %d, errors %d, want 2 and 1", l.Dropped(), l.WriteErrors())
		}
		time.Sleep(flushEvery) // still full: the report fails, no further line is lost
		synctest.Wait()
		if l.Dropped() != 2 || l.WriteErrors() != 2 {
			t.Errorf("dropped %d, errors %d, want 2 and 2", l.Dropped(), l.WriteErrors())
		}
		room = -1
		logTarget(l, "d")
		closeLog(t, l)
		lines := strings.Split(out.String(), "\n")
		if len(lines) != 5 || json.Valid([]byte(lines[1])) {
			t.Fatalf("want a line, a torn one, a line and a report, got %q", lines)
		}
		lines[1] = lines[0]
		got := parse(t, strings.Join(lines[:4], "\n"))
		if got[0].Target != "a" || got[2].Target != "d" || got[3].Dropped != 2 || got[3].Total != 2 {
			t.Errorf("lines %+v", got)
		}
	})
}

func TestATornLineStaysBehindWithItsTarget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l := mustOpen(t, Options{Target: Target{Kind: Stderr}, Stderr: faultyWriter(func(b []byte) (int, error) {
		return 1, errors.New("disk full")
	})})
	logTarget(l, "torn")
	if err := l.SetTarget(t.Context(), Target{Kind: File, Path: path}); err != nil {
		t.Fatal(err)
	}
	logTarget(l, "whole")
	closeLog(t, l)
	if text := readFile(t, path); !strings.HasPrefix(text, "{") || targets(t, text) != "whole" {
		t.Errorf("the new file holds %q", text)
	}
}

func TestReopenAfterRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l := mustOpen(t, Options{Target: Target{Kind: File, Path: path}})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if extra := info.Mode().Perm() &^ 0o640; extra != 0 {
		t.Errorf("mode %v is wider than 0640", info.Mode())
	}
	logTarget(l, "old")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	logTarget(l, "moved")
	if err := l.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := targets(t, readFile(t, path+".1")); got != "old moved" {
		t.Errorf("old file holds %q when Reopen has returned, want %q", got, "old moved")
	}
	logTarget(l, "new")
	closeLog(t, l)
	if got := targets(t, readFile(t, path)); got != "new" {
		t.Errorf("new file holds %q", got)
	}

	again := mustOpen(t, Options{Target: Target{Kind: File, Path: path}})
	logTarget(again, "appended")
	closeLog(t, again)
	if got := targets(t, readFile(t, path)); got != "new appended" {
		t.Errorf("file holds %q after a restart", got)
	}
}

func TestReopenThatFailsKeepsTheOldFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	l := mustOpen(t, Options{Target: Target{Kind: File, Path: filepath.Join(dir, "a.log")}})
	moved := dir + ".old"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Reopen in a directory that is gone: %v", err)
	}
	logTarget(l, "x")
	closeLog(t, l)
	if got := targets(t, readFile(t, filepath.Join(moved, "a.log"))); got != "x" {
		t.Errorf("old file holds %q", got)
	}
}

func TestTargetsChangeLive(t *testing.T) {
	var out bytes.Buffer
	path := filepath.Join(t.TempDir(), "access.log")
	l := mustOpen(t, Options{Stderr: &out})
	if l.Enabled() {
		t.Error("a log without target is enabled")
	}
	logTarget(l, "off")
	for _, target := range []Target{{Kind: Stderr}, {Kind: File, Path: path}, {}, {Kind: Stderr}} {
		if err := l.SetTarget(t.Context(), target); err != nil {
			t.Fatal(err)
		}
		if l.Enabled() != (target.Kind != Off) {
			t.Errorf("enabled %v with %v", l.Enabled(), target.Kind)
		}
		logTarget(l, target.Kind.String())
	}
	if err := l.SetTarget(t.Context(), Target{Kind: 9}); err == nil {
		t.Error("an unknown kind was accepted")
	}
	closeLog(t, l)
	if got := targets(t, out.String()); got != "stderr stderr" {
		t.Errorf("stderr got %q", got)
	}
	if got := targets(t, readFile(t, path)); got != "file" {
		t.Errorf("file holds %q", got)
	}
}

func TestOpenFails(t *testing.T) {
	if _, err := Open(Options{Target: Target{Kind: File, Path: filepath.Join(t.TempDir(), "no", "dir")}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want not exist", err)
	}
}

func TestNilLoggerIsOff(t *testing.T) {
	var l *Logger
	logTarget(l, "x")
	if l.Enabled() || l.Dropped() != 0 || l.WriteErrors() != 0 || l.Close(t.Context()) != nil || !errors.Is(l.Reopen(t.Context()), ErrClosed) {
		t.Error("a nil logger is not simply off")
	}
}

func TestManyWritersLoseAndMixNothing(t *testing.T) {
	var out bytes.Buffer
	l := mustOpen(t, Options{Target: Target{Kind: Stderr}, Stderr: &out})
	const workers, each = 8, 1000 // together they fit into the ring
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				logTarget(l, strconv.Itoa(w)+"/"+strconv.Itoa(i))
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := l.Reopen(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	closeLog(t, l)
	next := map[string]int{}
	for _, r := range parse(t, out.String()) {
		w, i, _ := strings.Cut(r.Target, "/")
		if n, err := strconv.Atoi(i); err != nil || n != next[w] {
			t.Fatalf("writer %s: line %s where %d was next", w, i, next[w])
		}
		next[w]++
	}
	for w, n := range next {
		if n != each {
			t.Errorf("writer %s: %d lines of %d", w, n, each)
		}
	}
	if len(next) != workers || l.Dropped() != 0 {
		t.Errorf("%d writers heard, %d lines dropped", len(next), l.Dropped())
	}
}

func TestLogAllocatesNothing(t *testing.T) {
	l := mustOpen(t, Options{Target: Target{Kind: Stderr}, Stderr: io.Discard, lines: 1024})
	defer closeLog(t, l)
	e := fullEntry()
	for range 4096 { // every slot gets its buffer
		l.Log(&e)
		if l.ring.queued.Load() > 0 {
			if err := l.Reopen(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := testing.AllocsPerRun(500, func() { l.Log(&e) }); n != 0 {
		t.Errorf("%v allocations per line, want 0", n)
	}
	if l.Dropped() != 0 {
		t.Errorf("%d lines dropped: the measurement missed the usual path", l.Dropped())
	}
}

func BenchmarkLog(b *testing.B) {
	l, err := Open(Options{Target: Target{Kind: Stderr}, Stderr: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	e := fullEntry()
	b.ReportAllocs()
	for b.Loop() {
		l.Log(&e)
	}
	b.ReportMetric(float64(l.Dropped())/float64(b.N), "dropped/op")
	if err := l.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	e := fullEntry()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.Append(buf[:0])
	}
}
