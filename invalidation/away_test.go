package invalidation

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// faulty is a device under a log that can be made to fail, or to hang.
type faulty struct {
	err  atomic.Pointer[error]
	part int           // bytes that are written all the same
	hold chan struct{} // what every write waits for; nil: nothing
	held atomic.Bool
}

func (d *faulty) fail(err error) { d.err.Store(&err) }
func (d *faulty) heal()          { d.err.Store(nil) }

func (d *faulty) write(f *os.File, b []byte) error {
	if d.held.Load() {
		<-d.hold
	}
	if err := d.err.Load(); err != nil {
		_, _ = f.Write(b[:min(d.part, len(b))])
		return *err
	}
	return writeSynced(f, b)
}

// quick has tests wait for little.
func quick(o Options) Options {
	o.patience, o.retry = 20*time.Second, 10*time.Millisecond
	return o
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never happened: " + what)
		}
	}
}

// TestLogCannotBeWritten: a purge that cannot be logged is in effect all the same, and
// is in the log once that can be written; a process that ends before leaves nothing
// that the next would use.
func TestLogCannotBeWritten(t *testing.T) {
	for name, cause := range map[string]error{"full": syscall.ENOSPC, "broken": syscall.EIO} {
		for _, part := range []int{0, 5, 1000} {
			for _, heals := range []bool{false, true} {
				t.Run(name, func(t *testing.T) {
					d := &faulty{part: part}
					o := quick(dirs(t))
					o.write = d.write
					n := mustOpen(t, o)
					gone, kept := n.subject("w1 http://h.example/a", "t"), n.subject("w1 http://h.example/b")
					d.fail(cause)
					p := mustPurge(t, n, Fact{Kind: Tag, Scope: "t"})
					if err := apply(t, n, remote("n2", 7, 1, "u")); err != nil {
						t.Error(err)
					}
					if !p.Unlogged || n.LogState() != LogBehind || n.fresh(gone) != Invalid || n.fresh(kept) != Valid {
						t.Errorf("unlogged %v, log %v, purged object %v, other %v", p.Unlogged, n.LogState(), n.fresh(gone), n.fresh(kept))
					}
					if list, err := n.Read(n.Self(), 0, 1<<20); err != nil || len(list) != 1 {
						t.Errorf("a peer gets %v, %v", list, err)
					}
					if _, err := os.Stat(o.Mark); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("the mark is still there: %v", err)
					}
					want := Invalid
					if heals {
						d.heal()
						eventually(t, "the log is written", func() bool { return n.LogState() == LogWritten })
						want = Valid
					}
					n.stopUntidily()
					d.heal()
					n = mustOpen(t, o)
					defer mustClose(t, n)
					if v := n.fresh(gone); v != Invalid {
						t.Errorf("the purged object is %v after a restart", v)
					}
					if v := n.fresh(kept); v != want {
						t.Errorf("the other is %v after a restart, want %v", v, want)
					}
					if got := len(n.List("", 9)); heals && got != 2 {
						t.Errorf("%d purges in the log", got)
					}
				})
			}
		}
	}
}

// stopUntidily ends the node as a crash would: nothing is written any more.
func (n *Node) stopUntidily() {
	n.logState.Store(uint32(LogMemory))
	close(n.stop)
	<-n.done
	_ = n.file.close()
}

// TestRoomIsMade: a log on a full device asks for room, and is written then.
func TestRoomIsMade(t *testing.T) {
	d := &faulty{}
	o := dirs(t)
	o.write = d.write
	asked := 0
	o.MakeRoom = func() bool { asked++; d.heal(); return true }
	n := mustOpen(t, o)
	defer mustClose(t, n)
	d.fail(syscall.ENOSPC)
	if p := mustPurge(t, n, Fact{Kind: All}); p.Unlogged || asked != 1 || n.LogState() != LogWritten {
		t.Errorf("unlogged %v, asked %d times, log %v", p.Unlogged, asked, n.LogState())
	}
}

// TestLogOnAFrozenDevice: a purge does not wait for it, and is logged when it comes
// back.
func TestLogOnAFrozenDevice(t *testing.T) {
	d := &faulty{hold: make(chan struct{})}
	o := quick(dirs(t))
	o.patience = 100 * time.Millisecond
	o.write = d.write
	n := mustOpen(t, o)
	s := n.subject("w1 http://h.example/a", "t", "u")
	d.held.Store(true)
	for _, tag := range []string{"t", "u"} {
		if p := mustPurge(t, n, Fact{Kind: Tag, Scope: tag}); !p.Unlogged || n.fresh(s) != Invalid {
			t.Errorf("unlogged %v, the object is %v", p.Unlogged, n.fresh(s))
		}
	}
	d.held.Store(false)
	close(d.hold)
	eventually(t, "the log is written", func() bool { return n.LogState() == LogWritten })
	mustClose(t, n)
	n = mustOpen(t, o)
	defer mustClose(t, n)
	if n.fresh(s) != Invalid || len(n.List("", 9)) < 2 {
		t.Errorf("%v, %d purges", n.fresh(s), len(n.List("", 9)))
	}
}

// TestLogIsRemoved: a log that vanishes beneath the node is written anew.
func TestLogIsRemoved(t *testing.T) {
	o := quick(dirs(t))
	n := mustOpen(t, o)
	mustPurge(t, n, Fact{Kind: Tag, Scope: "t"})
	s := n.subject("w1 http://h.example/a")
	must(t, os.RemoveAll(o.Dir))
	eventually(t, "a new log", func() bool {
		_, err := os.Stat(filepath.Join(o.Dir, logName))
		return err == nil && n.LogState() == LogWritten
	})
	mustPurge(t, n, Fact{Kind: Tag, Scope: "u"})
	mustClose(t, n)
	n = mustOpen(t, o)
	defer mustClose(t, n)
	if n.fresh(s) != Valid || len(n.List("", 9)) != 2 {
		t.Errorf("%v, %d purges", n.fresh(s), len(n.List("", 9)))
	}
}

// TestReadOnlyLog: a log that can be read only binds what is stored, and is written
// once it can be.
func TestReadOnlyLog(t *testing.T) {
	d := &faulty{}
	o := quick(dirs(t))
	o.write = d.write
	n := mustOpen(t, o)
	gone, kept := n.subject("w1 http://h.example/a", "t"), n.subject("w1 http://h.example/b")
	mustPurge(t, n, Fact{Kind: Tag, Scope: "t"})
	mustClose(t, n)
	d.fail(syscall.EROFS)
	n = mustOpen(t, o)
	if n.LogState() != LogBehind || n.fresh(gone) != Invalid || n.fresh(kept) != Valid {
		t.Errorf("log %v, purged object %v, other %v", n.LogState(), n.fresh(gone), n.fresh(kept))
	}
	d.heal()
	eventually(t, "the log is written", func() bool { return n.LogState() == LogWritten })
	mustClose(t, n)
	n = mustOpen(t, o)
	defer mustClose(t, n)
	if n.fresh(gone) != Invalid || n.fresh(kept) != Valid {
		t.Errorf("after a restart: %v, %v", n.fresh(gone), n.fresh(kept))
	}
}

// TestLogOfAnotherRelease: it is called that, not damaged.
func TestLogOfAnotherRelease(t *testing.T) {
	for name, harm := range map[string]func(log []byte) []byte{
		"version 99": func([]byte) []byte {
			return appendRecord(nil, func(b []byte) []byte { return append(b, recHeader, 99, 0, 0, 0, 0, 0, 0, 0, 0) })
		},
		"type 77": func(log []byte) []byte {
			return appendRecord(log, func(b []byte) []byte { return append(b, 77) })
		},
		"kind": func(log []byte) []byte {
			p := Purge{ID: ID{"n1", 1, 1}, Facts: []Fact{{Kind: kinds, Scope: "x"}}}
			return p.append(log)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := dirs(t)
			mustClose(t, mustOpen(t, o))
			path := filepath.Join(o.Dir, logName)
			b, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, harm(b), 0o600))
			v, err := Inspect(o.Dir, o.Mark)
			if err != nil || v.Unusable == nil {
				t.Fatal(v, err)
			}
			var log bytes.Buffer
			o.Log = slog.New(slog.NewTextHandler(&log, nil))
			n := mustOpen(t, o)
			defer mustClose(t, n)
			for _, text := range []string{v.Unusable.Error(), log.String()} {
				if !strings.Contains(text, "another release of weir has written it") || strings.Contains(text, "damaged") || !n.Fresh() {
					t.Errorf("%s", text)
				}
			}
		})
	}
}

// TestRecentIsBounded: long purges do not gather in memory.
func TestRecentIsBounded(t *testing.T) {
	n := mustOpen(t, Options{MaxScopes: 10})
	defer mustClose(t, n)
	long := Fact{Kind: Tag, Scope: strings.Repeat("x", MaxScope)}
	for range 3 * maxRecentBytes / MaxScope / 16 {
		facts := make([]Fact, 16)
		for i := range facts {
			facts[i] = long
		}
		mustPurge(t, n, facts...)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	sum := 0
	for i := range n.recent {
		sum += n.recent[i].Size()
	}
	if sum != n.recentBytes || sum > maxRecentBytes {
		t.Errorf("%d bytes, counted as %d, bound %d", sum, n.recentBytes, maxRecentBytes)
	}
}
