package tiers

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"weir/policy"
)

// TestDamageIsNotLedToTwice: damage in a body that is read in pieces shows after
// the head was used; the next lookup is a miss.
func TestDamageIsNotLedToTwice(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, testOptions(dir))
	o := objectOf(1, 1, 300*kib)
	fillWith(t, s, o)
	lookup := func() *Object { return s.Lookup(&o.Hash, []byte(o.Text)) }
	first := lookup()
	if first == nil || first.outside.head == nil {
		t.Fatal("the first lookup makes no head")
	}
	first.Close()
	flipByte(t, dir, o.Body[len(o.Body)-50:])
	hit := lookup()
	if hit == nil {
		t.Fatal("a miss before anybody has seen the damage")
	}
	if n, err := io.Copy(io.Discard, hit.NewReader(0, hit.Length)); err == nil {
		t.Fatalf("%d bytes with the damage were read without an error", n)
	}
	hit.Close()
	if again := lookup(); again != nil {
		again.Close()
		t.Fatal("the head led to the damage again")
	}
	if s.ram.current(&o.Hash) != nil {
		t.Fatal("the head is still there")
	}
}

// flipByte flips a bit of the first byte of what the segments hold.
func flipByte(t *testing.T, dir string, what []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "segments", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(b, what)
		if at < 0 {
			continue
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte{b[at] ^ 1}, int64(at)); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no segment holds the body")
}

// TestRenewalBesideACommit: a 304 about v1, of which RAM has the head, while v2 is on
// disk already and has not taken the head away, changes nothing and reports no trouble
// for which v2 would be deleted.
func TestRenewalBesideACommit(t *testing.T) {
	s := openTest(t, testOptions(t.TempDir()))
	v1 := objectOf(1, 1, 300*kib)
	fillWith(t, s, v1)
	old := s.Lookup(&v1.Hash, []byte(v1.Text))
	if old == nil || !s.ram.current(&v1.Hash).isHead() {
		t.Fatal("RAM has no head of v1")
	}
	defer old.Close()
	v2 := objectOf(1, 2, 300*kib)
	w, err := s.disk.Load().In("").NewWriter(v2.Hash, []byte(v2.Text))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(v2.Body); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(v2.encode(nil), v2.expires()); err != nil {
		t.Fatal(err)
	}
	if reason := s.Refresh(old, renewed(old)); reason != policy.ReasonNone {
		t.Errorf("the renewal of what was replaced reports %v", reason)
	}
	now := s.Lookup(&v1.Hash, []byte(v1.Text))
	if now == nil {
		t.Fatal("v2 is gone")
	}
	defer now.Close()
	if !now.Same(v2) {
		t.Errorf("found what was stored at %d, want v2", now.Stored)
	}
}
