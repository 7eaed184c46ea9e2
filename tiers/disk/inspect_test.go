package disk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// populate fills a store with objects of all kinds: replaced, renewed, deleted, given up, evicted.
func populate(t *testing.T, o Options) (s *Store, want map[string]string) {
	t.Helper()
	o.Classes = []Class{{Name: "shop"}}
	s = mustOpen(t, o)
	const n = 160
	size := func(i int) int { return []int{200, 5000, 30_000, 150_000}[i%4] }
	for i := range n {
		h, k := keyOf(i)
		if _, err := s.In("shop").Put(h, k, metaOf(i, 1, size(i)), bodyOf(i, 1, size(i)), later); err != nil {
			t.Fatal(err)
		}
		switch i % 5 {
		case 1:
			if _, err := s.UpdateMeta(h, k, metaOf(i, 1, size(i)), later); err != nil {
				t.Fatal(err)
			}
		case 2:
			if err := s.Delete(h); err != nil {
				t.Fatal(err)
			}
		case 3:
			w, err := s.NewWriter(h, k)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Append(bodyOf(i, 2, 100_000)); err != nil {
				t.Fatal(err)
			}
			w.Abort()
		}
	}
	eventually(t, "eviction idle", func() bool { return s.excess() <= 0 })
	want = map[string]string{}
	for i := range n {
		h, k := keyOf(i)
		e, err := s.Get(h, k)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		want[string(k)] = fmt.Sprint(e.Size, e.Class, e.StoredAt.UnixMilli(), e.Expires.UnixMilli())
		e.Close()
	}
	return s, want
}

// treeOf is every file of a directory with its bytes, mode and time.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&b, p, st.Mode(), st.ModTime().UnixNano())
		if !d.IsDir() {
			c, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%x\n", sha256.Sum256(c))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func listAll(t *testing.T, dir string) (map[string]string, *Inspection) {
	t.Helper()
	i, err := Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err = i.Walk(true, nil, func(o StoredObject) error {
		if o.KeyError != nil {
			t.Error(o.KeyError)
		}
		if _, twice := got[o.Key]; twice {
			t.Errorf("%s twice", o.Key)
		}
		got[o.Key] = fmt.Sprint(o.Body, o.Class, o.Stored.UnixMilli(), o.Expires.UnixMilli())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, i
}

// TestInspect: what is told of a directory is what a store would find in it, nothing is changed, and nothing is faulty.
func TestInspect(t *testing.T) {
	for _, small := range []bool{false, true} {
		for _, how := range []string{"closed", "killed", "in use", "without an index"} {
			t.Run(fmt.Sprintf("%s, evicting %v", how, small), func(t *testing.T) {
				o := smallOptions(t.TempDir())
				if small {
					o.Size, o.SegmentSize, o.ChunkSize, o.MaxInline = MinSize, 512<<10, 32<<10, 32<<10
				}
				s, want := populate(t, o)
				dir := o.Dir
				switch how {
				case "closed", "without an index":
					mustClose(t, s)
				case "killed":
					dir = crash(t, s)
				case "in use":
					defer mustClose(t, s)
				}
				if how == "without an index" {
					if err := os.RemoveAll(indexDir(t, dir)); err != nil {
						t.Fatal(err)
					}
				}
				before := treeOf(t, dir)
				got, i := listAll(t, dir)
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("listed %d objects, the store has %d", len(got), len(want))
				}
				if i.InUse != (how == "in use") || i.Clean != (how == "closed" || how == "without an index") || i.ID != s.ID() {
					t.Errorf("in use %v, clean %v, store %x", i.InUse, i.Clean, i.ID)
				}
				if (i.IndexError == nil) != (how == "closed" || how == "killed") {
					t.Errorf("index: %v", i.IndexError)
				}
				var faults []string
				v, err := i.Verify(nil, func(f Fault) { faults = append(faults, f.String()) })
				if err != nil || v.Objects != int64(len(want)) {
					t.Errorf("verified %+v, %v", v, err)
				}
				wantFaults := 0
				if how == "without an index" {
					wantFaults = 1
				}
				if len(faults) != wantFaults || v.Faults != int64(wantFaults) {
					t.Errorf("faults: %q", faults)
				}
				if err := i.Close(); err != nil {
					t.Error(err)
				}
				if how != "in use" && treeOf(t, dir) != before {
					t.Error("looking changed something")
				}
			})
		}
	}
}

// TestVerifyFindsDamage: what Verify calls whole reads right, whichever bit of whichever file was harmed.
func TestVerifyFindsDamage(t *testing.T) {
	o := smallOptions(t.TempDir())
	s, want := populate(t, o)
	mustClose(t, s)
	rng := rand.New(rand.NewPCG(7, 7))
	found := 0
	for trial := range 3 * len(damageKinds) {
		dir := filepath.Join(t.TempDir(), "d")
		copyDir(t, o.Dir, dir)
		_, what := damageOne(t, rng, dir, trial)
		i, err := Inspect(dir)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		var faults []Fault
		_, verr := i.Verify(nil, func(f Fault) { faults = append(faults, f) })
		_ = i.Walk(true, nil, func(StoredObject) error { return nil })
		_ = i.Close()
		if verr != nil || len(faults) > 0 {
			found++
			continue
		}
		again := o
		again.Dir = dir
		s := mustOpen(t, again)
		waitRebuilt(t, s)
		for key := range want {
			var n int
			_, _ = fmt.Sscanf(key, "https://example.com/object/%d", &n)
			if _, _, err := readAll(s, n); err != nil {
				t.Errorf("%s: nothing was found to be wrong, but %s: %v", what, key, err)
			}
		}
		mustClose(t, s)
	}
	if found < len(damageKinds) {
		t.Errorf("only %d of the harmed directories were found out", found)
	}
}

func TestInspectRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Inspect(dir); err == nil || !strings.Contains(err.Error(), "holds no disk store") {
		t.Error(err)
	}
	if des, _ := os.ReadDir(dir); len(des) != 0 {
		t.Error("it left something behind")
	}
	// Somebody else's segments.
	if err := os.MkdirAll(filepath.Join(dir, "segments"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "segments", "000.ts"), []byte("film"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(dir); err == nil || !strings.Contains(err.Error(), "holds no disk store") {
		t.Error(err)
	}
}
