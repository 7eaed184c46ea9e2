package tiers

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/policy"
)

// outageOptions ask for an absent disk often.
func outageOptions(dir string) Options {
	o := testOptions(dir)
	o.retry = time.Millisecond
	o.Log = (&logLines{}).logger()
	return o
}

func waitUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never happened: " + what)
		}
	}
}

func (s *Store) diskUp() bool {
	u, _ := s.DiskUsage()
	return u.Up
}

// forgetRAM leaves object i to the disk.
func (s *Store) forgetRAM(i int) {
	h, _ := keyOf(i)
	s.ram.delete(&h)
}

// outage takes the directory away under a closed store, opens the tiers on what stands in its place, and gives it back
// after what happens in between.
func outage(t *testing.T, o Options, between func(*Store)) *Store {
	t.Helper()
	dir := o.Disk.Dir
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, o)
	if s.diskUp() {
		t.Fatal("a file was opened as a directory")
	}
	between(s)
	// In one step: a store that is tried again between a remove and a rename makes a directory of its own there.
	if err := os.Symlink(dir+".away", dir+".link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+".link", dir); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "disk on again", s.diskUp)
	return s
}

// TestDiskReturns: a disk that could not be opened is tried again, and what was replaced or deleted meanwhile does not
// come back with it.
func TestDiskReturns(t *testing.T) {
	o := outageOptions(filepath.Join(t.TempDir(), "disk"))
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		s.Put(objectOf(i, 1, 1000))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const kept, replaced, deleted, renewedOne = 0, 1, 2, 3
	s = outage(t, o, func(s *Store) {
		s.Put(objectOf(replaced, 2, 1000))
		h, _ := keyOf(deleted)
		s.Delete(&h)
		old := objectOf(renewedOne, 1, 1000)
		s.Put(old)
		s.Refresh(old, renewed(old))
	})
	sameObject(t, s.lookupDisk(kept), objectOf(kept, 1, 1000), policy.TierDisk)
	for _, settled := range []bool{false, true} {
		if settled {
			waitUntil(t, "debts settled", func() bool { return s.debts.n.Load() == 0 })
		}
		for _, i := range []int{replaced, deleted, renewedOne} {
			s.forgetRAM(i)
			if o := s.lookupDisk(i); o != nil {
				t.Errorf("object %d is back: %+v", i, o)
			}
		}
	}
	// What comes now is stored as ever.
	s.Put(objectOf(deleted, 3, 1000))
	s.forgetRAM(deleted)
	sameObject(t, s.lookupDisk(deleted), objectOf(deleted, 3, 1000), policy.TierDisk)
}

// TestTooManyDebts: when too much was replaced to be remembered, nothing of the old is served.
func TestTooManyDebts(t *testing.T) {
	o := outageOptions(filepath.Join(t.TempDir(), "disk"))
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Put(objectOf(0, 1, 1000))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = outage(t, o, func(s *Store) {
		for i := range maxDebts + 1 {
			h, _ := keyOf(i + 1)
			s.Delete(&h)
		}
	})
	if o := s.lookupDisk(0); o != nil {
		t.Errorf("%+v", o)
	}
	// The disk may have been opened before it was known that there are too many:
	// then it is opened once more, empty.
	waitUntil(t, "an empty disk", func() bool { return !s.debts.tooMany() && s.diskUp() })
	s.Put(objectOf(1, 1, 1000))
	s.forgetRAM(1)
	sameObject(t, s.lookupDisk(1), objectOf(1, 1, 1000), policy.TierDisk)
}

// A delete that the disk could not take counts from the moment it returned.
func TestFailedDeleteIsOwed(t *testing.T) {
	o := outageOptions(t.TempDir())
	o.retry = time.Hour // settled by hand
	s := openTest(t, o)
	s.Put(objectOf(0, 1, 1000))
	h, _ := keyOf(0)
	s.forgetRAM(0)
	s.debts.owe(&h) // as deleteDisk does on an error
	if o := s.lookupDisk(0); o != nil {
		t.Fatalf("%+v", o)
	}
	s.settle(s.disk.Load())
	if o := s.lookupDisk(0); o != nil || s.debts.n.Load() != 0 {
		t.Fatalf("%+v", o)
	}
	// A newer object pays the debt, and is not deleted for it.
	s.debts.owe(&h)
	s.Put(objectOf(0, 2, 1000))
	s.forgetRAM(0)
	s.settle(s.disk.Load())
	sameObject(t, s.lookupDisk(0), objectOf(0, 2, 1000), policy.TierDisk)
}

// TestDirectoryVanishes: somebody removes the directory of a running store. It starts again, empty, in the same place.
func TestDirectoryVanishes(t *testing.T) {
	o := outageOptions(filepath.Join(t.TempDir(), "disk"))
	s := openTest(t, o)
	s.Put(objectOf(0, 1, 1000))
	s.Put(objectOf(1, 1, 300_000))
	old := s.disk.Load()
	large := s.lookupDisk(1)
	// A file that the store makes meanwhile keeps its directory for the moment.
	waitUntil(t, "the directory to be gone", func() bool { return os.RemoveAll(o.Disk.Dir) == nil })
	waitUntil(t, "another store", func() bool { d := s.disk.Load(); return d != nil && d != old })
	// RAM keeps what it has, and who was reading reads on.
	sameObject(t, s.lookup(0), objectOf(0, 1, 1000), policy.TierRAM)
	sameObject(t, large, objectOf(1, 1, 300_000), policy.TierDisk)
	large.Close()
	if s.lookupDisk(1) != nil {
		t.Error("an empty disk has it")
	}
	for i := range 50 {
		if reason := fillWith(t, s, objectOf(i, 2, 100_000)); reason != policy.ReasonNone {
			t.Fatal(reason)
		}
	}
	for i := range 50 {
		got := s.lookupDisk(i)
		sameObject(t, got, objectOf(i, 2, 100_000), policy.TierDisk)
		got.Close()
	}
	if _, err := os.Stat(filepath.Join(o.Disk.Dir, "LOCK")); err != nil {
		t.Error(err)
	}
}
