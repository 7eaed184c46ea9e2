package tiers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/policy"
	"weir/tiers/disk"
)

// sameObject compares what a tier gave back with what was put.
func sameObject(t *testing.T, got, want *Object, tier policy.Tier) {
	t.Helper()
	if got == nil {
		t.Fatal("not there")
	}
	if got.Tier != tier || !got.Same(want) || got.Text != want.Text || got.Hash != want.Hash || got.Validators != want.Validators {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	body, err := io.ReadAll(got.NewReader(0, got.Length))
	if err != nil || !bytes.Equal(body, want.Body) {
		t.Errorf("another body of %d bytes, want %d (%v)", len(body), len(want.Body), err)
	}
}

// fillWith stores o through a fill.
func fillWith(t testing.TB, s *Store, o *Object) policy.Reason {
	t.Helper()
	head := o.inRAM()
	head.Hash, head.Text, head.Length, head.Body = policy.Hash{}, "", 0, nil
	f := s.NewFill(o.Hash, o.Text, "", o.Length)
	r := f.NewReader(0)
	got := make(chan error, 1)
	go func() { defer r.Close(); got <- follow(r, o.Body) }()
	if err := f.CopyFrom(bytes.NewReader(o.Body)); err != nil {
		t.Fatal(err)
	}
	reason := f.Commit(head, nothing)
	if err := <-got; err != nil {
		t.Error(err)
	}
	return reason
}

// TestRestart: what was stored is found on disk by the next process, promoted
// where it fits, and whole.
func TestRestart(t *testing.T) {
	o := testOptions(t.TempDir())
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	// An empty body, one record, several chunks that fit RAM, a large one.
	sizes := []int{0, 1, 10 * kib, 32*kib + 1, 64 * kib, 64*kib + 1, mib}
	for i, size := range sizes {
		if reason := fillWith(t, s, objectOf(i, 1, size)); reason != policy.ReasonNone {
			t.Fatal(reason)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, o)
	for i, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			if s.lookup(i) != nil {
				t.Fatal("in RAM right after the start")
			}
			want := objectOf(i, 1, size)
			got := s.lookupDisk(i)
			sameObject(t, got, want, policy.TierDisk)
			if got.Large() != (size > 64*kib) || got.Large() == (got.Body != nil) {
				t.Errorf("large %v, body %v", got.Large(), got.Body != nil)
			}
			got.Close()
			if size > 64*kib {
				if s.lookup(i) != nil {
					t.Error("a large object was promoted")
				}
				return
			}
			sameObject(t, s.lookup(i), want, policy.TierRAM)
		})
	}
}

func TestForeignTextOnDiskIsMiss(t *testing.T) {
	s := openTest(t, testOptions(t.TempDir()))
	o := objectOf(1, 1, 10)
	s.Put(o)
	if got := s.GetDisk(&o.Hash, []byte("w1 https://other.example/")); got != nil {
		t.Error("another key's object was handed out")
	}
}

func TestUnknownVersionIsMiss(t *testing.T) {
	var faults []string
	opts := testOptions(t.TempDir())
	opts.DiskFault = func(op string) { faults = append(faults, op) }
	s := openTest(t, opts)
	o := objectOf(1, 1, 10)
	longer := objectOf(2, 1, 10)
	longer.Length = 11
	for _, o := range []*Object{o, longer} {
		meta := o.encode(nil)
		if o.Length == 10 {
			meta[0] = metaVersion + 1
		}
		if err := s.disk.Load().Put(o.Hash, []byte(o.Text), meta, o.Body, o.expires()); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if s.lookupDisk(1) != nil || s.lookupDisk(2) != nil {
			t.Fatal("handed out")
		}
	}
	if fmt.Sprint(faults) != "[corrupt corrupt]" {
		t.Errorf("faults %v, want each object counted once and dropped", faults)
	}
}

func TestDelete(t *testing.T) {
	s := openTest(t, testOptions(t.TempDir()))
	for i, size := range []int{100, mib} {
		o := objectOf(i, 1, size)
		fillWith(t, s, o)
		s.Delete(&o.Hash)
		s.Delete(&o.Hash)
		if s.lookup(i) != nil || s.lookupDisk(i) != nil {
			t.Errorf("%d bytes: there after delete", size)
		}
	}
}

// TestReplaceAcrossTiers: whatever the sizes, of two objects that are put under
// one key only the second is ever seen again, in either tier.
func TestReplaceAcrossTiers(t *testing.T) {
	s := openTest(t, testOptions(t.TempDir()))
	sizes := []int{100, 50 * kib, mib, 3 * mib} // both tiers, both, disk only, neither
	key := 0
	for _, a := range sizes {
		for _, b := range sizes {
			key++
			first, second := objectOf(key, 1, a), objectOf(key, 2, b)
			fillWith(t, s, first)
			reason := fillWith(t, s, second)
			if b > 2*mib {
				if reason != policy.ReasonTooLarge {
					t.Errorf("%d after %d: %v", b, a, reason)
				}
				continue
			}
			if got := s.lookup(key); b <= 64*kib {
				sameObject(t, got, second, policy.TierRAM)
			} else if got != nil {
				t.Errorf("%d after %d: RAM has version %d", b, a, got.Stored-birth.UnixNano())
			}
			got := s.lookupDisk(key)
			sameObject(t, got, second, policy.TierDisk)
			got.Close()
		}
	}
}

// TestPromotionGivesWay forces the interleavings in the comment on guards.
func TestPromotionGivesWay(t *testing.T) {
	for name, write := range map[string]func(s *Store, h policy.Hash){
		"put":    func(s *Store, _ policy.Hash) { s.Put(objectOf(1, 2, 100)) },
		"delete": func(s *Store, h policy.Hash) { s.Delete(&h) },
		"spill":  func(s *Store, _ policy.Hash) { fillWith(t, s, objectOf(1, 2, mib)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, testOptions(t.TempDir()))
			v1 := objectOf(1, 1, 100)
			s.Put(v1)
			s.ram.delete(&v1.Hash)
			g := s.guards.of(&v1.Hash)
			promote := func(since mark) bool {
				return s.ram.putIf(v1.inRAM(), func(current *Object) bool { return current == nil && since.valid() })
			}
			// The disk was read before the write, and is promoted after it.
			since := g.mark()
			write(s, v1.Hash)
			s.ram.delete(&v1.Hash)
			if promote(since) {
				t.Error("what was read before the write was promoted after it")
			}
			// The disk is read in the middle of a write, RAM being done.
			g.begin()
			since = g.mark()
			if promote(since) {
				t.Error("promoted while the write was under way")
			}
			g.end()
			if promote(since) {
				t.Error("what was read during the write was promoted after it")
			}
			if !promote(g.mark()) {
				t.Error("nothing in the way, and not promoted")
			}
		})
	}
}

// TestPromotionsRaceWrites: with RAM forgetting all the time, nobody ever sees
// a version older than the last that was put before they asked, nor anything
// after a delete.
func TestPromotionsRaceWrites(t *testing.T) {
	s := openTest(t, testOptions(t.TempDir()))
	h, _ := keyOf(1)
	var floor struct {
		sync.Mutex
		version int64
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				floor.Lock()
				least := floor.version
				floor.Unlock()
				o := s.lookup(1)
				if o == nil {
					o = s.lookupDisk(1)
				}
				if o == nil {
					continue
				}
				if v := o.Stored - birth.UnixNano(); v < least {
					t.Errorf("version %d in %v, after %d was put", v, o.Tier, least)
					return
				}
				s.ram.delete(&h)
			}
		})
	}
	for v := int64(1); v <= 400; v++ {
		if v%5 == 0 {
			s.Delete(&h)
		} else {
			s.Put(objectOf(1, int(v), 100))
		}
		floor.Lock()
		floor.version = v
		floor.Unlock()
	}
	close(stop)
	wg.Wait()
}

// renewed is what a 304 makes of o.
func renewed(o *Object) *Object {
	n := o.inRAM()
	n.Stored += 1000
	n.Freshness.Born += int64(time.Minute)
	n.Body = nil
	n.outside = nil
	return n
}

func TestRefresh(t *testing.T) {
	for _, size := range []int{0, 100, 50 * kib, mib} {
		for _, from := range []string{"RAM", "disk", "disk after a promotion"} {
			t.Run(fmt.Sprintf("%d from %s", size, from), func(t *testing.T) {
				s := openTest(t, testOptions(t.TempDir()))
				want := objectOf(1, 1, size)
				fillWith(t, s, want)
				old := s.lookup(1)
				if from != "RAM" || old == nil {
					s.ram.delete(&want.Hash)
					old = s.lookupDisk(1)
					if from == "disk" {
						s.ram.delete(&want.Hash)
					}
				}
				fresh := renewed(old)
				for range 3 { // again and again
					if reason := s.Refresh(old, fresh); reason != policy.ReasonNone {
						t.Fatal(reason)
					}
					old.Close()
					want.Stored, want.Freshness = fresh.Stored, fresh.Freshness
					if size <= 64*kib {
						sameObject(t, s.lookup(1), want, policy.TierRAM)
					} else if s.lookup(1) != nil {
						t.Error("a large object is in RAM")
					}
					old = s.lookupDisk(1)
					sameObject(t, old, want, policy.TierDisk)
					fresh = renewed(old)
				}
				old.Close()
			})
		}
	}
}

// TestRefreshOfWhatWasReplaced: a 304 to an old version never puts its
// metadata beside the new version's body, which may be of the same length.
func TestRefreshOfWhatWasReplaced(t *testing.T) {
	for _, size := range []int{100, mib} {
		for _, inRAM := range []bool{true, false} {
			s := openTest(t, testOptions(t.TempDir()))
			v1, v2 := objectOf(1, 1, size), objectOf(1, 2, size)
			fillWith(t, s, v1)
			old := s.lookupDisk(1)
			fillWith(t, s, v2)
			if !inRAM {
				s.ram.delete(&v1.Hash)
			}
			if reason := s.Refresh(old, renewed(old)); reason != policy.ReasonNone {
				t.Error(reason)
			}
			old.Close()
			if got := s.lookup(1); got != nil {
				sameObject(t, got, v2, policy.TierRAM)
			}
			got := s.lookupDisk(1)
			sameObject(t, got, v2, policy.TierDisk)
			got.Close()
		}
	}
}

func TestRefreshOfWhatWasReplacedInRAM(t *testing.T) {
	s := openTest(t, testOptions(""))
	v1, v2 := objectOf(1, 1, 100), objectOf(1, 2, 100)
	s.Put(v1)
	s.Put(v2)
	if reason := s.Refresh(v1, renewed(v1)); reason != policy.ReasonNone || s.lookup(1) != v2 {
		t.Errorf("%v: the newer version is gone", reason)
	}
}

// TestRefreshOfWhatIsGone: small bodies are in the request's hands and stored
// anew; a large one is not.
func TestRefreshOfWhatIsGone(t *testing.T) {
	s := openTest(t, testOptions(t.TempDir()))
	for i, size := range []int{100, mib} {
		o := objectOf(i, 1, size)
		fillWith(t, s, o)
		old := s.lookupDisk(i)
		s.Delete(&o.Hash)
		reason := s.Refresh(old, renewed(old))
		got := s.lookupDisk(i)
		if size == mib {
			if reason != policy.ReasonStorage || got != nil {
				t.Errorf("large: %v, %v", reason, got)
			}
		} else if reason != policy.ReasonNone || got == nil || s.lookup(i) == nil {
			t.Errorf("small: %v, %v", reason, got)
		}
		old.Close()
		if got != nil {
			got.Close()
		}
	}
}

func TestRenewedTakesTheHold(t *testing.T) {
	s := openTest(t, testOptions(t.TempDir()))
	want := objectOf(1, 1, mib)
	fillWith(t, s, want)
	old := s.lookupDisk(1)
	head := renewed(old)
	n := old.Renewed(head)
	old.Close()
	want.Stored, want.Freshness = head.Stored, head.Freshness
	sameObject(t, n, want, policy.TierDisk)
	n.Close()
}

func TestDiskCannotBeOpened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var lines logLines
	var faults []string
	o := testOptions(file)
	o.Log = lines.logger()
	o.DiskFault = func(op string) { faults = append(faults, op) }
	s := openTest(t, o)
	if s.DiskError() == nil {
		t.Error("DiskError does not say why")
	}
	if u, ok := s.DiskUsage(); !ok || u.Up {
		t.Errorf("usage %+v, %v", u, ok)
	}
	if l := lines.all(); len(l) != 1 || !strings.Contains(l[0], "disk tier is OFF") || !strings.Contains(l[0], file) {
		t.Errorf("log: %q", l)
	}
	if fmt.Sprint(faults) != "[open]" {
		t.Errorf("faults %v", faults)
	}
	v := objectOf(1, 1, 100)
	if reason := s.Put(v); reason != policy.ReasonNone || s.lookup(1) != v || s.lookupDisk(1) != nil {
		t.Errorf("%v: RAM does not serve on", reason)
	}
	if reason := s.Put(objectOf(2, 1, mib)); reason != policy.ReasonTooLarge {
		t.Errorf("too large for RAM: %v", reason)
	}
	if s.MaxObject() != o.RAMMaxObject {
		t.Errorf("MaxObject is %d", s.MaxObject())
	}
}

func TestLockedDiskIsAnError(t *testing.T) {
	o := testOptions(t.TempDir())
	openTest(t, o)
	if _, err := Open(o); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("got %v, want %v", err, disk.ErrLocked)
	}
}

// TestDiskFailsAtRunTime: RAM serves on, each failure is counted, and the log
// says so once in ten seconds.
func TestDiskFailsAtRunTime(t *testing.T) {
	var lines logLines
	faults := 0
	now := birth
	o := testOptions(t.TempDir())
	o.Log, o.Now = lines.logger(), func() time.Time { return now }
	o.Disk.Log = (&logLines{}).logger()
	o.DiskFault = func(string) { faults++ }
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		s.disk.Store(nil)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	s.Put(objectOf(1, 1, 100))
	if err := s.disk.Load().Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		v := objectOf(i, 2, 100)
		if reason := s.Put(v); reason != policy.ReasonNone || s.lookup(i) != v {
			t.Errorf("%v: RAM does not serve on", reason)
		}
	}
	if reason := s.Put(objectOf(1, 3, mib)); reason != policy.ReasonStorage || s.lookup(1) != nil {
		t.Errorf("too large for RAM: %v", reason)
	}
	if faults < 6 {
		t.Errorf("%d faults counted", faults)
	}
	if l := lines.all(); len(l) != 1 {
		t.Errorf("log: %q", l)
	}
	now = now.Add(11 * time.Second)
	s.Put(objectOf(9, 1, 100))
	if l := lines.all(); len(l) != 2 {
		t.Errorf("log ten seconds later: %q", l)
	}
	if s.DiskError() == nil || s.MaxObject() != o.RAMMaxObject {
		t.Errorf("error %v, largest object %d", s.DiskError(), s.MaxObject())
	}
}

func TestDamageOnDiskIsMiss(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	var faults []string
	o := testOptions(dir)
	o.Disk.Log = (&logLines{}).logger()
	o.DiskFault = func(op string) { mu.Lock(); defer mu.Unlock(); faults = append(faults, op) }
	s := openTest(t, o)
	// Three chunks that are read whole, and one record.
	objects := []*Object{objectOf(1, 1, 64*kib), objectOf(2, 1, 100)}
	for _, o := range objects {
		s.Put(o)
		s.ram.delete(&o.Hash)
	}
	files, err := filepath.Glob(filepath.Join(dir, "segments", "*.seg"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if at := bytes.Index(b, o.Body[len(o.Body)-50:]); at >= 0 {
				b[at] ^= 1
			}
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range objects {
		if s.lookupDisk(i+1) != nil || s.lookup(i+1) != nil {
			t.Errorf("object %d: damaged bytes were handed out", i+1)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(faults) != "[corrupt corrupt]" {
		t.Errorf("faults %v", faults)
	}
}

func TestEvictionsAreToldByTier(t *testing.T) {
	var mu sync.Mutex
	told := map[policy.Tier]map[bool]int{policy.TierRAM: {}, policy.TierDisk: {}}
	o := testOptions("")
	o.RAMSize = mib
	o.Evicted = func(tier policy.Tier, fresh bool) { mu.Lock(); defer mu.Unlock(); told[tier][fresh]++ }
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		v := objectOf(i, 1, 30*kib)
		if i < 50 {
			v.Freshness.Born -= int64(2 * time.Hour)
		}
		s.Put(v)
		h, text := keyOf(i + 1000)
		s.Put(&Object{Hash: h, Text: text, Kind: KindVary})
	}
	s.ram.settle()
	mu.Lock()
	was := fmt.Sprint(told)
	if told[policy.TierRAM][true] == 0 || told[policy.TierRAM][false] == 0 ||
		told[policy.TierRAM][true]+told[policy.TierRAM][false] > 100 {
		t.Errorf("told: %v", told)
	}
	mu.Unlock()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// A stop is no eviction.
	if now := fmt.Sprint(told); now != was {
		t.Errorf("told %s after closing, %s before", now, was)
	}
}

func TestUsage(t *testing.T) {
	s := openTest(t, testOptions(t.TempDir()))
	s.Put(objectOf(1, 1, 10*kib))
	if u := s.RAMUsage(); u.Objects != 1 || u.Bytes < 10*kib || u.Capacity != 8*mib || !u.Up {
		t.Errorf("RAM %+v", u)
	}
	if u, ok := s.DiskUsage(); !ok || u.Objects != 1 || u.Bytes < 10*kib || u.Capacity != 64*mib || !u.Up {
		t.Errorf("disk %+v", u)
	}
	if s.MaxObject() != 2*mib {
		t.Errorf("MaxObject is %d", s.MaxObject())
	}
	if _, ok := openTest(t, testOptions("")).DiskUsage(); ok {
		t.Error("usage of a disk tier that is not there")
	}
}
