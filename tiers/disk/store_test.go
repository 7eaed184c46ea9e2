package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var sizes = []int{0, 1, 7, 100, 10_000, 64 << 10, 64<<10 + 1, 300_000, 1_500_000}

func TestRoundTrip(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	for i, n := range sizes {
		mustPut(t, s, i, 1, n)
		wantObject(t, s, i, 1, n)
	}
	for i, n := range sizes {
		wantObject(t, s, i, 1, n)
	}
	if st := s.Stats(); st.Objects != int64(len(sizes)) || st.Corrupt != 0 {
		t.Fatalf("stats %+v", st)
	}
	wantMiss(t, s, 1000)
}

func TestReplaceAndDelete(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	mustPut(t, s, 1, 1, 5000)
	before := s.Stats().LiveBytes
	mustPut(t, s, 1, 2, 5000)
	wantObject(t, s, 1, 2, 5000)
	if st := s.Stats(); st.Objects != 1 || st.LiveBytes != before {
		t.Fatalf("a replaced object counts: %d objects, %d live bytes (one has %d)", st.Objects, st.LiveBytes, before)
	}
	h, _ := keyOf(1)
	if err := s.Delete(h); err != nil {
		t.Fatal(err)
	}
	wantMiss(t, s, 1)
	if err := s.Delete(h); err != nil {
		t.Fatal("a second delete:", err)
	}
	if st := s.Stats(); st.Objects != 0 || st.LiveBytes != 0 {
		t.Fatalf("after delete: %+v", st)
	}
}

func TestKeyTextDecides(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	mustPut(t, s, 1, 1, 500)
	h, _ := keyOf(1)
	if _, err := s.Get(h, []byte("another key")); err != ErrNotFound {
		t.Fatalf("another key under the same hash: %v", err)
	}
	if _, err := s.UpdateMeta(h, []byte("another key"), nil, later); err != ErrNotFound {
		t.Fatalf("update under another key: %v", err)
	}
	if n := s.Stats().KeyMismatches; n != 2 {
		t.Fatalf("%d mismatches counted", n)
	}
	wantObject(t, s, 1, 1, 500)
}

func TestUpdateMetaLeavesBody(t *testing.T) {
	o := smallOptions(t.TempDir())
	s := mustOpen(t, o)
	for i, n := range sizes {
		mustPut(t, s, i, 1, n)
		user := s.Stats().WrittenUser
		h, k := keyOf(i)
		for _, m := range []string{"first", "second"} {
			if _, err := s.UpdateMeta(h, k, []byte(m), later); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.Stats().WrittenUser; got != user {
			t.Fatalf("size %d: a refresh wrote %d body bytes", n, got-user)
		}
	}
	check := func() {
		t.Helper()
		for i, n := range sizes {
			meta, body, err := readAll(s, i)
			if err != nil || string(meta) != "second" || !bytes.Equal(body, bodyOf(i, 1, n)) {
				t.Fatalf("size %d after refresh: meta %q, err %v", n, meta, err)
			}
		}
	}
	check()
	mustClose(t, s)
	s = mustOpen(t, o)
	check()
	mustClose(t, s)
	h, k := keyOf(999)
	s = mustOpen(t, o)
	defer mustClose(t, s)
	if _, err := s.UpdateMeta(h, k, nil, later); err != ErrNotFound {
		t.Fatalf("refresh of nothing: %v", err)
	}
}

func TestRestart(t *testing.T) {
	for _, clean := range []bool{true, false} {
		o := smallOptions(t.TempDir())
		s := mustOpen(t, o)
		id := s.ID()
		for i, n := range sizes {
			mustPut(t, s, i, 1, n)
		}
		mustPut(t, s, 2, 2, 777)
		h, _ := keyOf(3)
		if err := s.Delete(h); err != nil {
			t.Fatal(err)
		}
		want := s.Stats()
		if clean {
			mustClose(t, s)
		} else {
			o.Dir = crash(t, s)
		}
		s = mustOpen(t, o)
		if s.Stats().Rebuilds != 0 {
			t.Fatal("a restart rebuilt the index")
		}
		for i, n := range sizes {
			switch i {
			case 2:
				wantObject(t, s, i, 2, 777)
			case 3:
				wantMiss(t, s, i)
			default:
				wantObject(t, s, i, 1, n)
			}
		}
		eventually(t, "counters", func() bool { return !s.Stats().Counting })
		if got := s.Stats(); got.Objects != want.Objects || got.LiveBytes != want.LiveBytes {
			t.Fatalf("clean %v: %d objects, %d live bytes; were %d, %d", clean, got.Objects, got.LiveBytes, want.Objects, want.LiveBytes)
		}
		if s.ID() != id {
			t.Fatal("the identity changed")
		}
		mustClose(t, s)
	}
}

func TestIndexLostIsRebuilt(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"removed": os.RemoveAll,
		"emptied": func(dir string) error { _ = os.RemoveAll(dir); return os.Mkdir(dir, 0o700) },
		"manifest cut": func(dir string) error {
			m, _ := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
			return os.Truncate(m[len(m)-1], 20)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := smallOptions(t.TempDir())
			s := mustOpen(t, o)
			for i := range 200 {
				mustPut(t, s, i, 1, 10_000)
			}
			for i := range 50 {
				mustPut(t, s, i, 2, 9_000)
			}
			h, _ := keyOf(60)
			if err := s.Delete(h); err != nil {
				t.Fatal(err)
			}
			h, k := keyOf(61)
			if _, err := s.UpdateMeta(h, k, metaOf(61, 1, 10_000), later); err != nil {
				t.Fatal(err)
			}
			mustPut(t, s, 500, 1, 400_000)
			want := s.Stats()
			mustClose(t, s)
			if err := damage(indexDir(t, o.Dir)); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time the rebuilt index is used as it is
				s = mustOpen(t, o)
				waitRebuilt(t, s)
				for i := range 200 {
					switch {
					case i < 50:
						wantObject(t, s, i, 2, 9_000)
					case i == 60:
						wantMiss(t, s, i)
					default:
						wantObject(t, s, i, 1, 10_000)
					}
				}
				wantObject(t, s, 500, 1, 400_000)
				if got := s.Stats(); got.Objects != want.Objects || got.LiveBytes != want.LiveBytes {
					t.Fatalf("%d objects, %d live; were %d, %d", got.Objects, got.LiveBytes, want.Objects, want.LiveBytes)
				}
				mustClose(t, s)
			}
		})
	}
}

// A failed index is replaced while the store runs, and what is put or deleted meanwhile holds.
func TestIndexFailsAtRuntime(t *testing.T) {
	o := smallOptions(t.TempDir())
	var mu sync.Mutex
	var faults []error
	o.OnFault = func(err error) { mu.Lock(); faults = append(faults, err); mu.Unlock() }
	s := mustOpen(t, o)
	for i := range 100 {
		mustPut(t, s, i, 1, 5000)
	}
	s.idx.Load().fail(errors.New("injected"))
	h, k := keyOf(1)
	if _, err := s.Get(h, k); err != nil && !errors.Is(err, ErrOffline) && !errors.Is(err, ErrNotFound) {
		t.Fatalf("get during the outage: %v", err)
	}
	h, _ = keyOf(7)
	if err := s.Delete(h); err != nil {
		t.Fatalf("delete during the outage: %v", err)
	}
	eventually(t, "new index", func() bool { return s.idx.Load() != nil })
	mustPut(t, s, 3, 2, 600)
	waitRebuilt(t, s)
	for i := range 100 {
		switch i {
		case 3:
			wantObject(t, s, i, 2, 600)
		case 7:
			wantMiss(t, s, i)
		default:
			wantObject(t, s, i, 1, 5000)
		}
	}
	if n := s.Stats().Objects; n != 99 {
		t.Fatalf("%d objects", n)
	}
	mustClose(t, s)
	mu.Lock()
	defer mu.Unlock()
	if len(faults) != 2 || faults[0] == nil || faults[1] != nil {
		t.Fatalf("OnFault saw %v", faults)
	}
}

func TestOneProcessOnly(t *testing.T) {
	o := smallOptions(t.TempDir())
	s := mustOpen(t, o)
	if _, err := Open(o); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), o.Dir) {
		t.Fatalf("second open: %v", err)
	}
	mustClose(t, s)
	mustClose(t, mustOpen(t, o))
}

func TestClosed(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	mustPut(t, s, 1, 1, 300_000)
	h, k := keyOf(1)
	e, err := s.Get(h, k)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	b := make([]byte, 300_000)
	if _, err := e.ReadAt(b, 0); err != nil || !bytes.Equal(b, bodyOf(1, 1, 300_000)) {
		t.Fatalf("an entry that was open: %v", err)
	}
	e.Close()
	if _, err := e.ReadAt(b, 0); err != ErrClosed {
		t.Fatalf("read of a closed entry: %v", err)
	}
	if err := s.Put(h, k, nil, nil, later); err != ErrClosed {
		t.Fatal(err)
	}
	if _, err := s.Get(h, k); err != ErrClosed {
		t.Fatal(err)
	}
	if err := s.Close(); err != ErrClosed {
		t.Fatal(err)
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	_, err := Open(Options{Size: 1, SegmentSize: 3, ChunkSize: 1, MaxInline: -1, ReappendShare: 2})
	for _, want := range []string{"Dir", "Size", "SegmentSize", "ChunkSize", "MaxInline", "ReappendShare"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in %v", want, err)
		}
	}
	for _, size := range []int64{MinSize, 64 << 20, 10 << 30, 1 << 40} {
		o := Options{Dir: "x", Size: size}.withDefaults()
		if err := o.validate(); err != nil {
			t.Errorf("defaults for %d: %v", size, err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	h, k := keyOf(1)
	for name, err := range map[string]error{
		"body": s.Put(h, k, nil, make([]byte, s.MaxObject()+1), later),
		"key":  s.Put(h, make([]byte, MaxKeyLen+1), nil, nil, later),
		"meta": s.Put(h, k, make([]byte, MaxMetaLen+1), nil, later),
	} {
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantMiss(t, s, 1)
}

func TestUnknownVersionIsSetAside(t *testing.T) {
	o := smallOptions(t.TempDir())
	s := mustOpen(t, o)
	mustPut(t, s, 1, 1, 5000)
	mustClose(t, s)
	path := segPath(filepath.Join(o.Dir, "segments"), 1)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := decodeSegHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	copy(b, reversion(h.encode()))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	defer mustClose(t, s)
	wantMiss(t, s, 1)
	if _, err := os.Stat(path + asideSuffix); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, 2, 1, 5000)
	if _, err := os.Stat(path); err == nil {
		t.Fatal("the number of a segment that was set aside is used again")
	}
	if s.Stats().AsideBytes != int64(len(b)) {
		t.Fatalf("%d bytes aside", s.Stats().AsideBytes)
	}
}

func TestConcurrentUse(t *testing.T) {
	o := smallOptions(t.TempDir())
	s := mustOpen(t, o)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := range 150 {
				i := n % 20
				h, k := keyOf(i)
				size := 1000 + 9000*(n%10)
				switch (n + g) % 8 {
				case 0:
					_ = s.Delete(h)
				case 1:
					_, _ = s.UpdateMeta(h, k, []byte("refreshed"), later)
				case 2, 3, 4:
					err := s.Put(h, k, metaOf(i, n, size), bodyOf(i, n, size), later)
					if err != nil && !errors.Is(err, ErrFull) {
						t.Error(err)
					}
				default:
					e, err := s.Get(h, k)
					if errors.Is(err, ErrNotFound) {
						continue
					}
					if err != nil {
						t.Error(err)
						continue
					}
					b := make([]byte, e.Size)
					if _, err := e.ReadAt(b, 0); err != nil {
						t.Error(err)
					}
					ok := false
					for v := range 150 {
						sz := 1000 + 9000*(v%10)
						if v%20 == i && sz == len(b) && bytes.Equal(b, bodyOf(i, v, sz)) {
							ok = true
							break
						}
					}
					if !ok {
						t.Errorf("object %d has a body that nobody put", i)
					}
					e.Close()
				}
			}
		}()
	}
	wg.Wait()
	want := s.Stats()
	mustClose(t, s)
	if err := os.RemoveAll(indexDir(t, o.Dir)); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	defer mustClose(t, s)
	waitRebuilt(t, s)
	if got := s.Stats(); got.Objects != want.Objects || got.LiveBytes != want.LiveBytes {
		t.Fatalf("the segments say %d objects, %d bytes; the index said %d, %d", got.Objects, got.LiveBytes, want.Objects, want.LiveBytes)
	}
}

func TestDevice(t *testing.T) {
	o := smallOptions(t.TempDir())
	var mu sync.Mutex
	var broken error
	o.writeFault = func(int) error { mu.Lock(); defer mu.Unlock(); return broken }
	set := func(err error) { mu.Lock(); broken = err; mu.Unlock() }
	s := mustOpen(t, o)
	defer mustClose(t, s)
	mustPut(t, s, 1, 1, 5000)
	set(errors.New("no space left"))
	h, k := keyOf(2)
	if err := s.Put(h, k, nil, []byte("x"), later); !errors.Is(err, ErrOffline) {
		t.Fatalf("put on a broken device: %v", err)
	}
	if s.Healthy() == nil {
		t.Fatal("healthy on a broken device")
	}
	if _, err := s.NewWriter(h, k); !errors.Is(err, ErrOffline) {
		t.Fatal(err)
	}
	wantObject(t, s, 1, 1, 5000)
	set(nil)
	eventually(t, "the device is back", func() bool { return s.Healthy() == nil })
	mustPut(t, s, 2, 1, 5000)
	wantObject(t, s, 2, 1, 5000)
}

func TestExpiryBounds(t *testing.T) {
	s := mustOpen(t, smallOptions(t.TempDir()))
	defer mustClose(t, s)
	for i, at := range []time.Time{{}, time.Unix(-5, 0), time.Unix(1<<40, 0)} {
		h, k := keyOf(i)
		if err := s.Put(h, k, nil, []byte("x"), at); err != nil {
			t.Fatal(err)
		}
		e, err := s.Get(h, k)
		if err != nil {
			t.Fatal(err)
		}
		if !at.IsZero() && !e.Expires.Equal(at) {
			t.Errorf("expires %v, put %v", e.Expires, at)
		}
		e.Close()
	}
}
