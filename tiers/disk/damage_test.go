package disk

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var damageTrials = flag.Int("disk.trials", 18, "trials of TestDamage for each kind of stop; 9 harm each kind of file once")

// damageKinds are the kinds of files that a populated directory has.
var damageKinds = []string{"segments/*.seg", "index-*/*.sst", "index-*/*.log", "index-*/MANIFEST-*", "index-*/*", "CLEAN", "STORE", "CLASSES", "LOCK"}

// damageTable counts outcomes, of objects unless the name says trials.
type damageTable map[string]map[string]int

func (d damageTable) add(kind, outcome string, n int) {
	if d[kind] == nil {
		d[kind] = map[string]int{}
	}
	d[kind][outcome] += n
}

func (d damageTable) sum(outcome string) (n int) {
	for _, m := range d {
		n += m[outcome]
	}
	return n
}

func (d damageTable) String() string {
	cols := []string{"trials", "rebuilds (trials)", "right", "miss", "offline", "corrupt", "older, tail lost"}
	var b strings.Builder
	fmt.Fprintf(&b, "%-20s", "harmed file")
	for _, c := range cols {
		fmt.Fprintf(&b, " %17s", c)
	}
	for _, k := range damageKinds {
		fmt.Fprintf(&b, "\n%-20s", k)
		for _, c := range cols {
			fmt.Fprintf(&b, " %17d", d[k][c])
		}
	}
	return b.String()
}

// TestDamage flips a bit of, or truncates, one file of a populated directory at a time. Whatever happens, what is
// served must be what was put last, and nothing may crash or hang. One exception cannot be told from a kill a moment
// earlier: after an unclean stop the segments that were not sealed (and synced with the index) hold the only trace of
// the last operations. With one of those harmed an older state may show, but never a byte that was not put.
func TestDamage(t *testing.T) {
	outcomes := damageTable{}
	for _, clean := range []bool{true, false} {
		o := smallOptions(t.TempDir())
		o.Classes = []Class{{Name: "shop"}}
		s := mustOpen(t, o)
		const n = 120
		version := func(i int) int { return 1 + i%2 }
		size := func(i int) int { return []int{200, 5000, 30_000, 150_000}[i%4] }
		for i := range n {
			mustPut(t, s, i, 0, 3000)
			mustPut(t, s, i, version(i), size(i))
		}
		for i := 0; i < n; i += 10 {
			h, _ := keyOf(i)
			if err := s.Delete(h); err != nil {
				t.Fatal(err)
			}
		}
		var from string
		if clean {
			mustClose(t, s)
			from = o.Dir
		} else {
			from = crash(t, s)
		}
		young := youngSegments(t, from)
		rng := rand.New(rand.NewPCG(5, uint64(*damageTrials)))
		for trial := range *damageTrials {
			o.Dir = filepath.Join(t.TempDir(), "d")
			copyDir(t, from, o.Dir)
			kind, what := damageOne(t, rng, o.Dir, trial)
			outcomes.add(kind, "trials", 1)
			s, err := Open(o)
			if err != nil {
				t.Fatalf("clean %v trial %d, %s: open: %v", clean, trial, what, err)
			}
			waitRebuilt(t, s)
			for i := range n {
				meta, body, err := readAll(s, i)
				switch {
				case err == nil && i%10 != 0 && bytes.Equal(meta, metaOf(i, version(i), size(i))) && bytes.Equal(body, bodyOf(i, version(i), size(i))):
					outcomes.add(kind, "right", 1)
				case err == nil && !clean && young[what[strings.LastIndex(what, " ")+1:]] && wasPut(i, meta, body):
					outcomes.add(kind, "older, tail lost", 1)
				case err == nil:
					t.Fatalf("clean %v trial %d, %s: object %d: wrong bytes, meta %q", clean, trial, what, i, meta)
				case errors.Is(err, ErrNotFound) && i%10 == 0: // it was deleted
					outcomes.add(kind, "right", 1)
				case errors.Is(err, ErrNotFound):
					outcomes.add(kind, "miss", 1)
				case errors.Is(err, ErrOffline): // the damage was found a moment ago
					outcomes.add(kind, "offline", 1)
				case errors.Is(err, ErrCorrupt):
					outcomes.add(kind, "corrupt", 1)
				default:
					t.Fatalf("clean %v trial %d, %s: object %d: %v", clean, trial, what, i, err)
				}
			}
			outcomes.add(kind, "rebuilds (trials)", int(s.Stats().Rebuilds))
			mustClose(t, s)
			_ = os.RemoveAll(o.Dir)
		}
	}
	t.Logf("%d trials\n%v", 2**damageTrials, outcomes)
	if outcomes.sum("right") < 5*outcomes.sum("miss") {
		t.Errorf("one damaged place costs too much:\n%v", outcomes)
	}
}

// youngSegments are those that the index may not have caught up with: not sealed, or sealed last.
func youngSegments(t *testing.T, dir string) map[string]bool {
	t.Helper()
	young := map[string]bool{}
	files, _ := filepath.Glob(filepath.Join(dir, "segments", "*.seg"))
	for _, f := range slices.Backward(files) {
		var num uint32
		_, _ = fmt.Sscanf(filepath.Base(f), "%d.seg", &num)
		o, err := openSegmentFile(f, num, false)
		if err != nil {
			t.Fatal(err)
		}
		_ = o.f.Close()
		young["segments/"+filepath.Base(f)] = true
		if o.sealed {
			break
		}
	}
	return young
}

func wasPut(i int, meta, body []byte) bool {
	var j, v, n int
	_, err := fmt.Sscanf(string(meta), "meta %d %d %d", &j, &v, &n)
	return err == nil && j == i && bytes.Equal(body, bodyOf(i, v, n))
}

// damageOne harms one file, each kind of file as often as any other.
func damageOne(t *testing.T, rng *rand.Rand, dir string, trial int) (kind, what string) {
	t.Helper()
	var files []string
	for k := trial; len(files) == 0; k++ {
		kind = damageKinds[k%len(damageKinds)]
		files, _ = filepath.Glob(filepath.Join(dir, kind))
	}
	path := files[rng.IntN(len(files))]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rel, _ := filepath.Rel(dir, path)
	switch {
	case len(b) == 0 || rng.IntN(8) == 0:
		err = os.Remove(path)
		rel = "remove " + rel
	case rng.IntN(3) == 0:
		err = os.Truncate(path, rng.Int64N(int64(len(b))))
		rel = "truncate " + rel
	default:
		b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		err = os.WriteFile(path, b, 0o600)
		rel = "flip " + rel
	}
	if err != nil {
		t.Fatal(err)
	}
	return kind, rel
}

// Damage under a running store: the entry goes, the older object under the same hash does not come back.
func TestDamageWhileRunning(t *testing.T) {
	o := smallOptions(t.TempDir())
	s := mustOpen(t, o)
	mustPut(t, s, 1, 1, 5000)
	mustPut(t, s, 1, 2, 5000)
	h, k := keyOf(1)
	e, ok, err := s.idx.Load().get(h)
	if err != nil || !ok {
		t.Fatal(err)
	}
	seg := s.segs.get(e.seg)
	if _, err := seg.f.WriteAt([]byte("XXXX"), e.off()+recHeaderSize+50); err != nil {
		t.Fatal(err)
	}
	seg.release()
	if _, err := s.Get(h, k); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("got %v", err)
	}
	wantMiss(t, s, 1)
	if st := s.Stats(); st.Corrupt != 1 || st.Objects != 0 || st.LiveBytes != 0 {
		t.Fatalf("%+v", st)
	}
	mustClose(t, s)
	if err := os.RemoveAll(indexDir(t, o.Dir)); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	waitRebuilt(t, s)
	wantMiss(t, s, 1)
	mustClose(t, s)
}
