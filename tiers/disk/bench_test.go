package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

func benchOptions(b *testing.B) Options {
	return Options{Dir: b.TempDir(), Size: 2 << 30}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := mustOpen(b, benchOptions(b))
			defer mustClose(b, s)
			body, meta := bodyOf(1, 1, size), make([]byte, 400)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			full := 0
			for i := 0; b.Loop(); i++ {
				h, k := keyOf(i)
				if err := s.Put(h, k, meta, body, later); errors.Is(err, ErrFull) {
					full++
				} else if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(full)/float64(b.N), "full/op")
		})
	}
}

// BenchmarkGet has, beside the store's reads, a plain pread of the same bytes and an index lookup alone: the yardstick
// is their sum.
func BenchmarkGet(b *testing.B) {
	for _, size := range []int{10 << 10, 100 << 10} {
		s := mustOpen(b, benchOptions(b))
		const n = 2000
		meta := make([]byte, 400)
		hashes, keys := make([]Hash, n), make([][]byte, n)
		entries := make([]entry, n)
		for i := range n {
			hashes[i], keys[i] = keyOf(i)
			if err := s.Put(hashes[i], keys[i], meta, bodyOf(i, 1, size), later); err != nil {
				b.Fatal(err)
			}
			entries[i], _, _ = s.idx.Load().get(hashes[i])
		}
		name := func(what string) string { return fmt.Sprintf("%dKiB/%s", size>>10, what) }
		b.Run(name("store"), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				i := rand.IntN(n)
				e, err := s.Get(hashes[i], keys[i])
				if err != nil {
					b.Fatal(err)
				}
				e.Close()
			}
		})
		b.Run(name("pread"), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				e := entries[rand.IntN(n)]
				buf := make([]byte, e.len)
				if _, err := s.segs.table.Load().find(e.seg).f.ReadAt(buf, e.off()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name("index"), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := s.idx.Load().get(hashes[rand.IntN(n)]); err != nil {
					b.Fatal(err)
				}
			}
		})
		mustClose(b, s)
	}
}

func BenchmarkStreamChunks(b *testing.B) {
	for _, chunk := range []int{64 << 10, 128 << 10, 256 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", chunk>>10), func(b *testing.B) {
			o := benchOptions(b)
			o.ChunkSize = chunk
			s := mustOpen(b, o)
			defer mustClose(b, s)
			const size = 64 << 20
			mustPut(b, s, 1, 1, size)
			h, k := keyOf(1)
			b.SetBytes(size)
			for b.Loop() {
				e, err := s.Get(h, k)
				if err != nil {
					b.Fatal(err)
				}
				r := e.NewReader(0, -1)
				if n, err := r.WriteTo(io.Discard); n != size || err != nil {
					b.Fatal(n, err)
				}
				_ = r.Close()
				e.Close()
			}
		})
	}
}

// BenchmarkLargeObjectMemory writes and reads one 1 GiB object and reports by how much the peak RSS rose.
func BenchmarkLargeObjectMemory(b *testing.B) {
	o := benchOptions(b)
	o.Size = 4 << 30
	s := mustOpen(b, o)
	defer mustClose(b, s)
	piece := bodyOf(1, 1, 64<<10)
	h, k := keyOf(1)
	debug.FreeOSMemory()
	runtime.GC()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600)
	before := status(b, "VmHWM")
	for b.Loop() {
		w, err := s.NewWriter(h, k)
		if err != nil {
			b.Fatal(err)
		}
		for range (1 << 30) / len(piece) {
			if err := w.Append(piece); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Commit(nil, later); err != nil {
			b.Fatal(err)
		}
		e, err := s.Get(h, k)
		if err != nil {
			b.Fatal(err)
		}
		r := e.NewReader(0, -1)
		if n, err := r.WriteTo(io.Discard); n != 1<<30 || err != nil {
			b.Fatal(n, err)
		}
		_ = r.Close()
		e.Close()
	}
	b.ReportMetric(float64(status(b, "VmHWM")-before)/1024, "MiB-above-idle")
}

func status(b *testing.B, field string) int {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc")
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			var n int
			_, _ = fmt.Sscan(rest, &n)
			return n
		}
	}
	return 0
}

// BenchmarkOpen measures the time to the first right hit after an unclean stop, and a rebuild from footers.
func BenchmarkOpen(b *testing.B) {
	o := benchOptions(b)
	s := mustOpen(b, o)
	const n = 300_000
	body := make([]byte, 300)
	for i := range n {
		h, k := keyOf(i)
		if err := s.Put(h, k, nil, body, later); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	copyDir(b, o.Dir, dir)
	mustClose(b, s)
	h, k := keyOf(n / 2)
	first := func(b *testing.B, prepare func(dir string)) {
		var took time.Duration
		for b.Loop() {
			o.Dir = filepath.Join(b.TempDir(), "s")
			copyDir(b, dir, o.Dir)
			prepare(o.Dir)
			start := time.Now()
			s := mustOpen(b, o)
			waitRebuilt(b, s)
			e, err := s.Get(h, k)
			if err != nil || !bytes.Equal(e.Body, body) {
				b.Fatal(err)
			}
			took += time.Since(start)
			e.Close()
			mustClose(b, s)
		}
		b.ReportMetric(took.Seconds()*1000/float64(b.N), "ms-to-hit")
	}
	b.Run("unclean", func(b *testing.B) { first(b, func(string) {}) })
	b.Run("rebuild", func(b *testing.B) {
		first(b, func(dir string) {
			if err := os.RemoveAll(indexDir(b, dir)); err != nil {
				b.Fatal(err)
			}
		})
	})
}
