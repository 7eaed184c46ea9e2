package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("WEIR_DISK_CHILD"); dir != "" {
		if os.Getenv(figureChild) != "" {
			fillMany(dir)
		}
		childMain(dir)
		return
	}
	if os.Getenv("WEIR_DISK_NO_LEAK_CHECK") != "" {
		os.Exit(m.Run())
	}
	// Pebble v2.1.7 keeps a reference to a damaged table's reader, so that closing such a database panics ("element has
	// outstanding references") and leaves this one goroutine of its file cache. Any other leak is ours.
	code := m.Run()
	if err := leak(goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2/internal/genericcache.(*shard[...]).releaseLoop")); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// leak returns the goroutines that do not end. It has more patience than goleak: nobody waits for a failed index to be
// closed, and on a busy machine that takes its time.
func leak(known goleak.Option) error {
	err := goleak.Find(known)
	for deadline := time.Now().Add(time.Minute); err != nil && time.Now().Before(deadline); {
		err = goleak.Find(known)
	}
	return err
}

var later = time.Now().Add(24 * time.Hour)

func keyOf(i int) (Hash, []byte) {
	k := fmt.Appendf(nil, "https://example.com/object/%d", i)
	sum := sha256.Sum256(k)
	return Hash(sum[:16]), k
}

// bodyOf is a body that only this (i, version, size) has.
func bodyOf(i, version, size int) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(i))
	binary.LittleEndian.PutUint64(seed[8:], uint64(version))
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

func metaOf(i, version, size int) []byte { return fmt.Appendf(nil, "meta %d %d %d", i, version, size) }

func smallOptions(dir string) Options {
	return Options{
		Dir: dir, Size: 16 << 20, SegmentSize: 1 << 20, ChunkSize: 64 << 10,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), tick: 5 * time.Millisecond,
	}
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustPut(t testing.TB, s *Store, i, version, size int) {
	t.Helper()
	h, k := keyOf(i)
	if err := s.Put(h, k, metaOf(i, version, size), bodyOf(i, version, size), later); err != nil {
		t.Fatalf("put %d: %v", i, err)
	}
}

// readAll returns metadata and body of object i through the streaming reader.
func readAll(s *Store, i int) (meta, body []byte, err error) {
	h, k := keyOf(i)
	e, err := s.Get(h, k)
	if err != nil {
		return nil, nil, err
	}
	defer e.Close()
	r := e.NewReader(0, -1)
	defer r.Close()
	body, err = io.ReadAll(r)
	if err == nil && int64(len(body)) != e.Size {
		err = fmt.Errorf("%d bytes of %d", len(body), e.Size)
	}
	return bytes.Clone(e.Meta), body, err
}

func wantObject(t testing.TB, s *Store, i, version, size int) {
	t.Helper()
	meta, body, err := readAll(s, i)
	if err != nil {
		t.Fatalf("get %d: %v", i, err)
	}
	if !bytes.Equal(meta, metaOf(i, version, size)) || !bytes.Equal(body, bodyOf(i, version, size)) {
		t.Fatalf("object %d: wrong bytes (meta %q)", i, meta)
	}
}

func wantMiss(t testing.TB, s *Store, i int) {
	t.Helper()
	h, k := keyOf(i)
	if e, err := s.Get(h, k); err != ErrNotFound {
		if err == nil {
			e.Close()
		}
		t.Fatalf("object %d: got %v, want ErrNotFound", i, err)
	}
}

func waitRebuilt(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := s.WaitRebuilt(ctx); err != nil {
		t.Fatal(err)
	}
}

// eventually polls for what background work brings about.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatal("never happened: " + what)
		}
		time.Sleep(time.Millisecond)
	}
}

// crash drops a store without the clean stop: what the process wrote stays, the mark and the last footer are missing.
// It returns a copy of the directory as a kill would have left it.
func crash(t testing.TB, s *Store) string {
	t.Helper()
	to := t.TempDir()
	// A copy is not taken at one moment as a kill is, so it must not run beside the sealer.
	eventually(t, "sealer idle", func() bool {
		segs := *s.segs.table.Load()
		for i, seg := range segs {
			if i < len(segs)-1 && !seg.isSealed() {
				return false
			}
		}
		mark, _, err := s.idx.Load().state(keyWatermark)
		return err == nil && (len(segs) < 2 || mark >= uint64(segs[len(segs)-2].num))
	})
	copyDir(t, s.o.Dir, to)
	mustClose(t, s)
	return to
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.Walk(from, func(p string, st os.FileInfo, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, p)
		if st.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(p)
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func indexDir(t testing.TB, dir string) string {
	t.Helper()
	m, _ := filepath.Glob(filepath.Join(dir, "index-*"))
	if len(m) == 0 {
		t.Fatal("no index directory")
	}
	return m[len(m)-1]
}
