package tiers

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestPartsAreKnownAgain: what was noted is known after another start, a crash a second later included, and nothing else;
// without the file, or with another store's, every key may have a part, unless nothing is stored.
func TestPartsAreKnownAgain(t *testing.T) {
	had, other := objectOf(1, 1, 100), objectOf(2, 1, 100)
	for _, c := range []struct {
		name        string
		empty       bool
		between     func(t *testing.T, dir string)
		had, others bool
	}{
		{"stopped", false, func(*testing.T, string) {}, true, false},
		{"no file", false, func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, partsName))) }, true, true},
		{"torn file", false, func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, partsName), 100)) }, true, true},
		{"another store's", false, func(t *testing.T, dir string) {
			path := filepath.Join(dir, partsName)
			b, err := os.ReadFile(path)
			must(t, err)
			b[len(partsMagic)]++
			must(t, os.WriteFile(path, b, 0o600))
		}, true, true},
		{"no file, nothing stored", true, func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, partsName))) }, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(testOptions(dir))
			must(t, err)
			if s.MayHavePart(&had.Hash) {
				t.Error("a new store may have a part")
			}
			if !c.empty {
				s.Put(other)
			}
			s.NotePart(&had.Hash)
			if !s.MayHavePart(&had.Hash) || s.MayHavePart(&other.Hash) {
				t.Error("noted, and not known; or known of another")
			}
			must(t, s.Close())
			c.between(t, dir)
			s = openTest(t, testOptions(dir))
			if got := s.MayHavePart(&had.Hash); got != c.had {
				t.Errorf("after another start it may have a part: %v, want %v", got, c.had)
			}
			if got := s.MayHavePart(&other.Hash); got != c.others {
				t.Errorf("after another start others may have one: %v, want %v", got, c.others)
			}
		})
	}
}

// TestPartsAreWrittenMeanwhile: the filter reaches the disk without a stop.
func TestPartsAreWrittenMeanwhile(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(dir)
	o.retry = time.Millisecond
	s := openTest(t, o)
	h, _ := keyOf(1)
	s.NotePart(&h)
	var again parts
	a, b := partBits(&h)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		again.load(dir, s.disk.Load())
		if again.bits[a>>6].Load()&(1<<(a&63)) != 0 && again.bits[b>>6].Load()&(1<<(b&63)) != 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the filter was not written")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
