package disk

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

var killTotal = flag.Int("disk.rounds", 8, "rounds of TestKill")

const (
	killKeys    = 300
	killWriters = 3
)

// killOptions hold a few rounds' worth, so that evictions go on nearly all the time.
func killOptions(dir string) Options {
	o := smallOptions(dir)
	o.Size, o.checkpoint = 64<<20, 4
	return o
}

func killSize(version int) int {
	return []int{300, 8000, 40_000, 200_000, 500, 20_000, 64 << 10, 1_300_000}[version%8]
}

// killState is a state of one object. Later ones compare greater.
type killState struct {
	version, update int
	deleted         bool
	// oldest is the segment that the object needs. Once that is below the floor the object may be gone.
	oldest uint32
}

// before tells whether k is an earlier state than o.
func (k killState) before(o killState) bool {
	return k.version < o.version || k.version == o.version && k.update < o.update
}

func killMeta(i int, k killState) []byte {
	return fmt.Appendf(nil, "meta %d %d %d", i, k.version, k.update)
}

// killer is one writing goroutine of the process that dies. Every key belongs to one of them.
type killer struct {
	s    *Store
	rng  *rand.Rand
	mine map[int]killState // what is certain
}

// childMain is the process that TestKill kills: it writes versions of self-describing objects, reads them, renews and
// deletes them, gives large ones up half way, and says, after each operation that returned, what is now certain.
func childMain(dir string) {
	start, _ := strconv.Atoi(os.Getenv("WEIR_DISK_VERSION"))
	s, err := Open(killOptions(dir))
	if err != nil {
		killFatal("open: %v", err)
	}
	_, _ = os.Stdout.WriteString("ready\n")
	for g := range killWriters {
		go func() {
			k := killer{s: s, rng: rand.New(rand.NewPCG(uint64(start), uint64(g))), mine: map[int]killState{}}
			for version := start; ; version++ {
				k.step(k.rng.IntN(killKeys/killWriters)*killWriters+g, version)
			}
		}()
	}
	select {}
}

func killFatal(format string, args ...any) {
	_, _ = os.Stdout.WriteString(fmt.Sprintf("error: "+format+"\n", args...))
	os.Exit(3)
}

// say is one write, so that a kill cannot leave half a line behind. sure is 0 where the state may or may not be reached.
func (k *killer) say(i int, st killState, sure int) {
	deleted := 0
	if st.deleted {
		deleted = 1
	}
	_, _ = os.Stdout.WriteString(fmt.Sprintf("%d %d %d %d %d %d\n", i, st.version, st.update, deleted, st.oldest, sure))
	delete(k.mine, i)
	if sure == 1 {
		k.mine[i] = st
	}
}

// done says that i is now in st, unless the operation could not be done.
func (k *killer) done(i int, st killState, err error) {
	switch {
	case err == nil && !st.deleted:
		h, _ := keyOf(i)
		e, ok, err := k.s.idx.Load().get(h)
		if err != nil {
			killFatal("index: %v", err)
		}
		if !ok {
			e.oldest = 0 // evicted already
		}
		st.oldest = e.oldest
		fallthrough
	case err == nil:
		k.say(i, st, 1)
	case !errors.Is(err, ErrFull) && !errors.Is(err, ErrEvicted) && !errors.Is(err, ErrNotFound):
		killFatal("object %d %+v: %v", i, st, err)
	}
}

func (k *killer) step(i, version int) {
	h, key := keyOf(i)
	n := killSize(version)
	st := killState{version: version}
	switch k.rng.IntN(12) {
	case 0:
		st.deleted = true
		k.say(i, st, 0) // the kill may come between the delete and what is said of it
		k.done(i, st, k.s.Delete(h))
	case 1, 2:
		was, ok := k.mine[i]
		if !ok || was.deleted {
			return
		}
		was.update++
		_, err := k.s.UpdateMeta(h, key, killMeta(i, was), later)
		k.done(i, was, err)
	case 3:
		w, err := k.s.NewWriter(h, key)
		if err != nil {
			killFatal("writer: %v", err)
		}
		_ = w.Append(bodyOf(i, version, n))
		w.Abort()
	case 4, 5, 6:
		k.read(i)
	case 7:
		// A body that comes in pieces.
		w, err := k.s.NewWriter(h, key)
		if err != nil {
			killFatal("writer: %v", err)
		}
		for b := bodyOf(i, version, n); len(b) > 0; {
			m := min(1+k.rng.IntN(50_000), len(b))
			_ = w.Append(b[:m])
			b = b[m:]
		}
		k.done(i, st, w.Commit(killMeta(i, st), later))
	default:
		k.done(i, st, k.s.Put(h, key, killMeta(i, st), bodyOf(i, version, n), later))
	}
}

// read must find exactly what is certain, unless it was evicted.
func (k *killer) read(i int) {
	want, ok := k.mine[i]
	got, found, err := killRead(k.s, i)
	switch {
	case err != nil:
		killFatal("read %d: %v", i, err)
	case !ok:
	case found && (want.deleted || got.before(want) || want.before(got)):
		killFatal("object %d is %+v, not %+v", i, got, want)
	case !found && !want.deleted && want.oldest >= k.s.segs.floor.Load():
		killFatal("object %d is lost, not evicted: %+v, floor %d", i, want, k.s.segs.floor.Load())
	}
}

// killRead reads object i and returns the state that its metadata names and its body proves.
func killRead(s *Store, i int) (killState, bool, error) {
	meta, body, err := readAll(s, i)
	if errors.Is(err, ErrNotFound) {
		return killState{}, false, nil
	}
	if err != nil {
		return killState{}, false, err
	}
	var j int
	var st killState
	if _, err := fmt.Sscanf(string(meta), "meta %d %d %d", &j, &st.version, &st.update); err != nil || j != i || !bytes.Equal(body, bodyOf(i, st.version, killSize(st.version))) {
		return killState{}, false, fmt.Errorf("wrong bytes, meta %q", meta)
	}
	return st, true, nil
}

// TestKill kills a writing process at random points. What it had said before must be there (or evicted, or replaced by
// something newer), every body must be one that was put, no file may be left over, and restarts must not be rebuilds.
// Two stores share the rounds and run side by side, since a round waits as long as it computes.
func TestKill(t *testing.T) {
	for _, name := range []string{"one", "other"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killRounds(t, (*killTotal+1)/2)
		})
	}
}

func killRounds(t *testing.T, rounds int) {
	dir := t.TempDir()
	certain := map[int]killState{}
	version := 1
	var hits, evicted, gone, segments int
	for round := range rounds {
		version = killRound(t, dir, version, certain)
		s := mustOpen(t, killOptions(dir))
		if s.Stats().Rebuilds != 0 {
			t.Fatalf("round %d: the index was rebuilt", round)
		}
		for i := range killKeys {
			got, ok, err := killRead(s, i)
			if err != nil {
				t.Fatalf("round %d: object %d: %v", round, i, err)
			}
			want, said := certain[i]
			delete(certain, i)
			switch {
			case ok && said && (got.before(want) || want.deleted && got.version == want.version):
				t.Fatalf("round %d: object %d is %+v, %+v was certain", round, i, got, want)
			case ok:
				hits++
				h, _ := keyOf(i)
				e, _, err := s.idx.Load().get(h)
				if err != nil {
					t.Fatal(err)
				}
				got.oldest = e.oldest
				certain[i] = got
			case said && !want.deleted && want.oldest >= s.segs.floor.Load():
				t.Fatalf("round %d: object %d is lost: %+v, floor %d", round, i, want, s.segs.floor.Load())
			case said && !want.deleted:
				evicted++
			default:
				gone++
			}
		}
		eventually(t, "counters", func() bool { return !s.Stats().Counting })
		// An eviction may be under way, of what was read a moment ago.
		eventually(t, "as many objects as are counted", func() bool { return s.Stats().Objects == killCount(t, s) })
		wantNoLeftovers(t, s)
		segments = int(s.segs.floor.Load())
		mustClose(t, s)
	}
	t.Logf("%d rounds: %d hits, %d evicted, %d deleted or never there, %d segments evicted", rounds, hits, evicted, gone, segments)
	if hits == 0 || rounds >= 50 && evicted == 0 {
		t.Error("the test did not meet what it is about")
	}
}

func killCount(t *testing.T, s *Store) int64 {
	var n int64
	for i := range killKeys {
		h, _ := keyOf(i)
		e, ok, err := s.idx.Load().get(h)
		if err != nil {
			t.Fatal(err)
		}
		if ok && e.counts() {
			n++
		}
	}
	return n
}

// wantNoLeftovers accounts for every file of the store and for what they take.
func wantNoLeftovers(t *testing.T, s *Store) {
	t.Helper()
	known := map[string]bool{"LOCK": true, "STORE": true, "CLASSES": true}
	for _, n := range s.segs.table.Load().numbers() {
		rel, _ := filepath.Rel(s.o.Dir, segPath(s.segs.dir, n))
		known[rel] = true
	}
	index, _ := filepath.Rel(s.o.Dir, s.idx.Load().dir)
	var bytes int64
	err := filepath.WalkDir(s.o.Dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // evicted, or compacted away, meanwhile
			}
			return err
		}
		rel, _ := filepath.Rel(s.o.Dir, p)
		if !known[rel] && filepath.Dir(rel) != index {
			t.Errorf("left over: %s", rel)
		}
		if st, err := d.Info(); err == nil {
			bytes += st.Size()
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if limit := s.o.Size + s.o.Size/20 + s.o.SegmentSize; bytes > limit {
		t.Errorf("%d bytes on disk, %d allowed", bytes, limit)
	}
}

// killRound runs the child until it is killed and collects what it said; it returns the next version to use.
func killRound(t *testing.T, dir string, version int, certain map[int]killState) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WEIR_DISK_CHILD="+dir, "WEIR_DISK_VERSION="+strconv.Itoa(version))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(out)
	if !sc.Scan() || sc.Text() != "ready" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("child said %q", sc.Text())
	}
	timer := time.AfterFunc(time.Duration(10+rand.IntN(200))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	top := version
	for sc.Scan() {
		var st killState
		var i, deleted, sure int
		if _, err := fmt.Sscanf(sc.Text(), "%d %d %d %d %d %d", &i, &st.version, &st.update, &deleted, &st.oldest, &sure); err != nil {
			t.Errorf("child said %q", sc.Text())
			continue
		}
		st.deleted = deleted == 1
		top = max(top, st.version)
		delete(certain, i)
		if sure == 1 {
			certain[i] = st
		}
	}
	_ = cmd.Wait()
	return top + 1000
}
