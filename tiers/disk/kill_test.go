package disk

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var killRounds = flag.Int("disk.rounds", 4, "rounds of TestKill")

const (
	killKeys    = 300
	killWriters = 3
)

// killOptions leave room for a few rounds without an eviction, so that whatever is missing is lost.
func killOptions(dir string) Options {
	o := smallOptions(dir)
	o.Size = 512 << 20
	return o
}

func killSize(version int) int { return []int{300, 8000, 40_000, 200_000}[version%4] }

// childMain is the process that TestKill kills: it writes versions of self-describing objects and says, after each
// operation that returned, what is now certain. Every key belongs to one goroutine.
func childMain(dir string) {
	start, _ := strconv.Atoi(os.Getenv("WEIR_DISK_VERSION"))
	s, err := Open(killOptions(dir))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(3)
	}
	var mu sync.Mutex
	say := func(i, version int) {
		mu.Lock()
		defer mu.Unlock()
		// One write, so that a kill cannot leave half a line behind.
		_, _ = os.Stdout.WriteString(fmt.Sprintf("%d %d\n", i, version))
	}
	const deleting = 0 // said before a delete: the kill may come between the delete and its line
	_, _ = os.Stdout.WriteString("ready\n")
	for g := range killWriters {
		go func() {
			rng := rand.New(rand.NewPCG(uint64(start), uint64(g)))
			for version := start; ; version++ {
				i := rng.IntN(killKeys/killWriters)*killWriters + g
				h, k := keyOf(i)
				if version%9 == 0 {
					say(i, deleting)
					if s.Delete(h) == nil {
						say(i, -version)
					}
					continue
				}
				n := killSize(version)
				err := s.Put(h, k, metaOf(i, version, n), bodyOf(i, version, n), later)
				if err == nil {
					say(i, version)
				} else if !errors.Is(err, ErrFull) {
					fmt.Println("error", err)
					os.Exit(3)
				}
			}
		}()
	}
	select {}
}

// TestKill kills a writing process at random points. What it had said before must be there (or evicted, or replaced by
// something newer), every body must be one that was put, and restarts must not be rebuilds.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	certain := map[int]int{} // by key: the version, negative when deleted, 0 when that cannot be known
	version := 1
	var hits, misses int
	for round := range *killRounds {
		version = killRound(t, dir, version, certain)
		s := mustOpen(t, killOptions(dir))
		if s.Stats().Rebuilds != 0 {
			t.Fatalf("round %d: the index was rebuilt", round)
		}
		var present int64
		for i := range killKeys {
			got, ok := killCheck(t, s, i)
			want, said := certain[i]
			switch {
			case ok && said && want != 0 && got < abs(want):
				t.Fatalf("round %d: object %d is version %d, %d was certain", round, i, got, want)
			case ok:
				hits++
				present++
				certain[i] = got
			case said && want > 0 && s.Stats().SegmentsEvicted == 0 && s.segs.floor.Load() <= 1:
				t.Fatalf("round %d: object %d version %d is lost", round, i, want)
			default:
				misses++
				delete(certain, i)
			}
		}
		eventually(t, "counters", func() bool { return !s.Stats().Counting })
		if n := s.Stats().Objects; n != present {
			t.Fatalf("round %d: %d objects counted, %d are there", round, n, present)
		}
		mustClose(t, s)
	}
	t.Logf("%d hits, %d misses", hits, misses)
	if hits == 0 {
		t.Error("the child never wrote anything")
	}
}

func abs(n int) int { return max(n, -n) }

// killRound runs the child until it is killed and collects what it said; it returns the next version to use.
func killRound(t *testing.T, dir string, version int, certain map[int]int) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WEIR_DISK_CHILD="+dir, "WEIR_DISK_VERSION="+strconv.Itoa(version))
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
	timer := time.AfterFunc(time.Duration(20+rand.IntN(200))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	top := version
	for sc.Scan() {
		a, b, ok := strings.Cut(sc.Text(), " ")
		i, err1 := strconv.Atoi(a)
		v, err2 := strconv.Atoi(b)
		if !ok || err1 != nil || err2 != nil {
			t.Errorf("child said %q", sc.Text())
			continue
		}
		certain[i] = v
		top = max(top, abs(v))
	}
	_ = cmd.Wait()
	return top + 100
}

// killCheck reads object i and returns its version, which its metadata names and its body must prove.
func killCheck(t *testing.T, s *Store, i int) (int, bool) {
	t.Helper()
	meta, body, err := readAll(s, i)
	if errors.Is(err, ErrNotFound) {
		return 0, false
	}
	if err != nil {
		t.Fatalf("object %d: %v", i, err)
	}
	var j, v, n int
	if _, err := fmt.Sscanf(string(meta), "meta %d %d %d", &j, &v, &n); err != nil || j != i || !bytes.Equal(body, bodyOf(i, v, n)) {
		t.Fatalf("object %d: wrong bytes, meta %q", i, meta)
	}
	return v, true
}
