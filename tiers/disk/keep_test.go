package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func putIn(t testing.TB, s *Store, class string, i, size int, expires time.Time) error {
	t.Helper()
	h, k := keyOf(i)
	_, err := s.In(class).Put(h, k, metaOf(i, 1, size), bodyOf(i, 1, size), expires)
	return err
}

func mustPutIn(t testing.TB, s *Store, class string, i, size int) {
	t.Helper()
	if err := putIn(t, s, class, i, size, later); err != nil {
		t.Fatalf("put %d in %q: %v", i, class, err)
	}
}

func usageOf(s *Store, class string) ClassUsage {
	for _, u := range s.Usage() {
		if u.Class == class {
			return u
		}
	}
	return ClassUsage{Class: class}
}

// scan writes more than n bytes of objects that nobody asks for again, at the pace of eviction.
func scan(t testing.TB, s *Store, class string, n int64) {
	t.Helper()
	body := bodyOf(0, 0, 50_000)
	for i := 1 << 20; n > 0; i++ {
		h, k := keyOf(i)
		_, err := s.In(class).Put(h, k, nil, body, later)
		if errors.Is(err, ErrFull) {
			eventually(t, "eviction catches up", func() bool { return s.excess() <= 0 })
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		n -= int64(len(body))
	}
	eventually(t, "eviction has caught up", func() bool { return s.excess() <= 0 })
}

// stored objects of all shapes: small, inline at most, large, and one whose metadata was refreshed.
func shapes(t testing.TB, s *Store, class string, from, n int) (size func(i int) int, total int64) {
	t.Helper()
	size = func(i int) int { return []int{700, 64 << 10, 300_000, 30_000}[i%4] }
	for i := from; i < from+n; i++ {
		mustPutIn(t, s, class, i, size(i))
		if i%4 == 3 {
			h, k := keyOf(i)
			if _, err := s.UpdateMeta(h, k, metaOf(i, 1, size(i)), later); err != nil {
				t.Fatal(err)
			}
		}
		total += int64(size(i))
	}
	return size, total
}

// A scan of ten times the disk leaves every pinned object, and every reserved one, whatever its shape, also over a
// restart and a rebuild of the index on the way.
func TestPromisedSurvivesScan(t *testing.T) {
	o := smallOptions(t.TempDir())
	o.Classes = []Class{{Name: "pinned", Pin: true}, {Name: "reserved", Reserve: 4 << 20}, {Name: "rest"}}
	s := mustOpen(t, o)
	size, pinned := shapes(t, s, "pinned", 0, 36)
	_, reserved := shapes(t, s, "reserved", 100, 36)
	check := func(when string) {
		t.Helper()
		for i := range 36 {
			wantObject(t, s, i, 1, size(i))
			wantObject(t, s, 100+i, 1, size(100+i))
		}
		var sum ClassUsage
		for _, u := range s.Usage() {
			if u.Class == "pinned" || u.Class == "reserved" {
				sum.Objects += u.Objects
				sum.Live += u.Live
			}
		}
		if sum.Objects != 72 || sum.Live < pinned+reserved || sum.Live > (pinned+reserved)*11/10 {
			t.Fatalf("%s: the classes are said to hold %+v, %d bytes were put", when, sum, pinned+reserved)
		}
	}
	scan(t, s, "rest", 4*o.Size)
	check("after a scan")
	mustClose(t, s)

	// The classes may come in another order, and new ones before them.
	o.Classes = []Class{{Name: "new"}, o.Classes[2], o.Classes[1], o.Classes[0]}
	s = mustOpen(t, o)
	check("after a clean stop")
	scan(t, s, "rest", 3*o.Size)
	check("after a second scan")
	o.Dir = crash(t, s)

	s = mustOpen(t, o)
	eventually(t, "counted", func() bool { return !s.Stats().Counting })
	check("after a kill")
	mustClose(t, s)
	if err := os.RemoveAll(indexDir(t, o.Dir)); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	waitRebuilt(t, s)
	check("after a rebuild")
	scan(t, s, "rest", 3*o.Size)
	check("after a third scan")
	if st := s.Stats(); st.DiskBytes > o.Size+o.SegmentSize || st.WrittenKept == 0 || st.Corrupt != 0 {
		t.Errorf("%+v", st)
	}
	mustClose(t, s)
}

// What is promised is not more than was said: above its reservation a class is evicted like any other, and stale
// objects go.
func TestReserveIsABound(t *testing.T) {
	o := smallOptions(t.TempDir())
	o.ReappendShare = -1
	o.Classes = []Class{{Name: "reserved", Reserve: 2 << 20}}
	s := mustOpen(t, o)
	defer mustClose(t, s)
	for i := range 100 {
		mustPutIn(t, s, "reserved", i, 50_000)
	}
	for i := 200; i < 230; i++ {
		if err := putIn(t, s, "reserved", i, 10_000, time.Now().Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	scan(t, s, "", 3*o.Size)
	// The stale ones counted as long as they were there.
	live := usageOf(s, "reserved").Live
	if live > 2<<20 || live < 2<<20-30*11_000-100_000 {
		t.Errorf("%d bytes are left of a class with a reserve of 2 MiB", live)
	}
	for i := 200; i < 230; i++ {
		wantMiss(t, s, i)
	}
}

// A configuration may reserve three quarters of the disk, whatever its size.
func TestThreeQuartersCanBePromised(t *testing.T) {
	for _, size := range []int64{MinSize, 9 << 20, 15 << 20, 16 << 20, 17 << 20, 100 << 20, 64 << 30, 257 << 30, 2 << 40, 8 << 40} {
		o := Options{Dir: t.TempDir(), Size: size}.withDefaults()
		if err := o.validate(); err != nil {
			t.Errorf("%d: %v", size, err)
		}
		if got := o.guaranteed(); got < size/4*3 {
			t.Errorf("of %d bytes %d can be promised", size, got)
		}
	}
}

// A pinned class that has no more room is told so, and what it has stays.
func TestPinnedFull(t *testing.T) {
	o := smallOptions(t.TempDir())
	o.Classes = []Class{{Name: "pinned", Pin: true, Reserve: 1 << 20}}
	s := mustOpen(t, o)
	defer mustClose(t, s)
	n := 0
	for ; n < 100; n++ {
		if err := putIn(t, s, "pinned", n, 50_000, later); err != nil {
			if !errors.Is(err, ErrPinnedFull) {
				t.Fatal(err)
			}
			break
		}
	}
	if n < 15 || n > 20 || s.Stats().PinRefused != 1 {
		t.Fatalf("%d objects of 50 kB fit into 1 MiB, %d were refused", n, s.Stats().PinRefused)
	}
	// What replaces itself needs no room.
	mustPutIn(t, s, "pinned", 0, 50_000)
	// A large one is refused when it is begun or when it is whole.
	h, k := keyOf(1000)
	if _, err := s.In("pinned").Put(h, k, nil, bodyOf(1000, 1, 200_000), later); !errors.Is(err, ErrPinnedFull) {
		t.Errorf("a large object: %v", err)
	}
	wantMiss(t, s, 1000)
	scan(t, s, "", 2*o.Size)
	for i := range n {
		wantObject(t, s, i, 1, 50_000)
	}
	// Without the pin it is a class like any other.
	if err := s.SetClasses([]Class{{Name: "pinned"}}); err != nil {
		t.Fatal(err)
	}
	mustPutIn(t, s, "pinned", 1001, 50_000)
	scan(t, s, "", 2*o.Size)
	if left := usageOf(s, "pinned").Objects; left > 5 {
		t.Errorf("%d objects are left of a class that is promised nothing", left)
	}
}

// A promised object that was replaced, or whose bytes are damaged, is not brought back by being kept.
func TestKeepingBringsNothingBack(t *testing.T) {
	o := smallOptions(t.TempDir())
	o.Classes = []Class{{Name: "pinned", Pin: true}}
	s := mustOpen(t, o)
	defer mustClose(t, s)
	for i := range 8 {
		mustPutIn(t, s, "pinned", i, 300_000)
	}
	h, _ := keyOf(0)
	if err := s.Delete(h); err != nil {
		t.Fatal(err)
	}
	h, k := keyOf(1)
	if _, err := s.In("pinned").Put(h, k, metaOf(1, 2, 100), bodyOf(1, 2, 100), later); err != nil {
		t.Fatal(err)
	}
	h, k = keyOf(2)
	e, err := s.Get(h, k)
	if err != nil {
		t.Fatal(err)
	}
	x := e.extents[2]
	seg := s.segs.get(x.seg)
	if _, err := seg.f.WriteAt([]byte("XXXX"), x.off+7); err != nil {
		t.Fatal(err)
	}
	seg.release()
	e.Close()
	scan(t, s, "", 2*o.Size)
	wantMiss(t, s, 0)
	wantObject(t, s, 1, 2, 100)
	wantMiss(t, s, 2)
	for i := 3; i < 8; i++ {
		wantObject(t, s, i, 1, 300_000)
	}
}

func TestClassNames(t *testing.T) {
	o := smallOptions(t.TempDir())
	o.Classes = []Class{{Name: "a"}, {Name: "b", Reserve: 1 << 20}}
	s := mustOpen(t, o)
	mustPutIn(t, s, "b", 1, 100)
	mustPutIn(t, s, "nobody knows", 2, 100)
	if u := s.Usage(); len(u) != 2 || u[0].Class != "" || u[0].Objects != 1 || u[1].Class != "b" || u[1].Objects != 1 || u[1].Guaranteed != 1<<20 {
		t.Errorf("%+v", u)
	}
	mustClose(t, s)
	path := filepath.Join(o.Dir, classesName)
	b, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(b, []byte(`["a","b"]`)) {
		t.Fatalf("%q, %v", b, err)
	}
	for _, damaged := range [][]byte{nil, b[:5], append([]byte("x"), b...)} {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, o)
		wantObject(t, s, 1, 1, 100)
		if u := s.Usage(); len(u) != 2 || u[1].Class != "b" {
			t.Errorf("after %q: %+v", damaged, u)
		}
		mustClose(t, s)
	}
}

func FuzzParseClasses(f *testing.F) {
	f.Add([]byte("[\"a\"]\n00000000\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if names, err := parseClasses(b); err == nil && len(names) >= maxClasses {
			t.Fatal("more names than numbers")
		}
	})
}
