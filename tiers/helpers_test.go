package tiers

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/policy"
	"weir/tiers/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	kib = 1 << 10
	mib = 1 << 20
)

// birth is when the tests' objects are born.
var birth = time.Unix(1_750_000_000, 0)

func keyOf(i int) (policy.Hash, string) {
	text := fmt.Sprintf("w1 https://shop.example/products/%d", i)
	return policy.HashKey([]byte(text)), text
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

// objectOf is version of object i; versions differ in Stored, ETag and body.
func objectOf(i, version, size int) *Object {
	h, text := keyOf(i)
	f := policy.Fields{
		{Name: "Cache-Control", Value: "max-age=3600"},
		{Name: "Content-Type", Value: "application/json; charset=utf-8"},
		{Name: "Date", Value: "Sun, 15 Jun 2025 15:06:40 GMT"},
		{Name: "Etag", Value: fmt.Sprintf(`"%d-%d"`, i, version)},
		{Name: "Vary", Value: "Accept-Encoding"},
	}
	return &Object{
		Hash: h, Text: text, Kind: KindResponse, Status: 200, Fields: f,
		Freshness:  policy.Freshness{Born: birth.UnixNano(), Lifetime: int64(time.Hour), StaleWhileRevalidate: -1, StaleIfError: -1},
		Validators: policy.ValidatorsOf(f), Tags: []string{"products"},
		Stored: birth.UnixNano() + int64(version), Length: int64(size), Body: bodyOf(i, version, size),
	}
}

func (r *ram) lookup(i int) *Object {
	h, text := keyOf(i)
	return r.get(&h, []byte(text))
}

func newTestRAM(t testing.TB, size, maxBody int64, evicted func(*Object)) *ram {
	t.Helper()
	r, err := newRAM(size, maxBody, evicted)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

// settle waits until ristretto has nothing to do: a cell that it rejects may
// lead to one more, which it takes.
func (r *ram) settle() {
	for range 3 {
		r.main.Wait()
	}
}

// check holds the books against the tables, with nothing else going on.
func (r *ram) check() error {
	var bytes, objects int64
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		var window int64
		for h, c := range s.cells {
			o := c.obj.Load()
			switch {
			case o == nil:
				s.mu.Unlock()
				return fmt.Errorf("dead cell in the table")
			case o.Hash != h || c.hash != h || c.cost != r.cost(o):
				s.mu.Unlock()
				return fmt.Errorf("cell does not fit its key")
			case !c.inMain && !c.inWindow:
				s.mu.Unlock()
				return fmt.Errorf("%s is in the table and nowhere else", o.Text)
			case c.inWindow != s.window.Contains(h):
				s.mu.Unlock()
				return fmt.Errorf("window and cell differ about %s", o.Text)
			}
			if c.inWindow {
				window += c.cost
			}
			bytes += c.cost
			objects++
		}
		if window != s.bytes {
			s.mu.Unlock()
			return fmt.Errorf("window has %d bytes, books say %d", window, s.bytes)
		}
		s.mu.Unlock()
	}
	for i := range r.front.places {
		// A dead cell may stand there: it answers nothing.
		if c := r.front.places[i].Load(); c != nil {
			if o := c.obj.Load(); o != nil && r.current(&c.hash) != o {
				return fmt.Errorf("the front leads to %s, which does not count any more", o.Text)
			}
		}
	}
	if b, o := r.bytes.Load(), r.objects.Load(); b != bytes || o != objects {
		return fmt.Errorf("tables have %d bytes in %d objects, books say %d in %d", bytes, objects, b, o)
	}
	return nil
}

// logLines collects what an operator would see.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *logLines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

func (l *logLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// testOptions are small tiers: objects above 64 KiB go to disk only.
func testOptions(dir string) Options {
	o := Options{
		RAMSize: 8 * mib, RAMMaxObject: 64 * kib, DiskMaxObject: 2 * mib,
		Now: func() time.Time { return birth.Add(time.Minute) },
	}
	if dir != "" {
		o.Disk = &disk.Options{Dir: dir, Size: 64 * mib, SegmentSize: 4 * mib, ChunkSize: 32 * kib}
	}
	return o
}

func openTest(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *Store) lookup(i int) *Object {
	h, text := keyOf(i)
	return s.Get(&h, []byte(text))
}

// diskTold waits until the disk was told everything.
func (s *Store) diskTold() {
	for {
		s.behind.mu.Lock()
		n := len(s.behind.jobs)
		s.behind.mu.Unlock()
		if n == 0 {
			return
		}
		runtime.Gosched()
	}
}

func (s *Store) lookupDisk(i int) *Object {
	s.diskTold()
	h, text := keyOf(i)
	return s.GetDisk(&h, []byte(text))
}

// wholeOf reads the body of an object, wherever it lies.
func wholeOf(o *Object) ([]byte, error) { return io.ReadAll(o.NewReader(0, o.Length)) }
