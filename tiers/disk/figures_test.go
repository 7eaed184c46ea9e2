package disk

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

var (
	figures  = flag.String("disk.figures", "", "print the figures of the disk tier: quick or full (see make bench-disk)")
	traceLog = flag.String("disk.trace", "", "an access log in the combined format, for the hit ratio")
)

// figure is one line of the table.
type figure struct{ name, got, want, holds string }

type figureTable struct{ rows []figure }

// atMost adds a figure that should not be above want; want 0: it is only told.
func (f *figureTable) atMost(name string, got, want float64, unit string) {
	holds, limit := "", "-"
	if want > 0 {
		holds, limit = "yes", fmt.Sprintf("<= %.4g%s", want, unit)
		if got > want {
			holds = "NO"
		}
	}
	f.rows = append(f.rows, figure{name, fmt.Sprintf("%.4g%s", got, unit), limit, holds})
}

func (f *figureTable) atLeast(name string, got, want float64, unit string) {
	holds := "yes"
	if got < want {
		holds = "NO"
	}
	f.rows = append(f.rows, figure{name, fmt.Sprintf("%.4g%s", got, unit), fmt.Sprintf(">= %.4g%s", want, unit), holds})
}

// TestFigures measures what issue and documentation promise of speed and memory, and prints a table. It fails only when
// something does not work: the machine decides about figures.
func TestFigures(t *testing.T) {
	if *figures == "" {
		t.Skip("asked for with -disk.figures=quick or full")
	}
	var f figureTable
	scale := 1
	if *figures != "full" {
		scale = 20
	}
	t.Run("writes", func(t *testing.T) { figureWrites(t, &f, scale) })
	t.Run("reads", func(t *testing.T) { figureReads(t, &f, scale) })
	t.Run("together", func(t *testing.T) { figureTogether(t, &f, scale) })
	t.Run("many", func(t *testing.T) { figureMany(t, &f, scale) })
	t.Run("rebuild", func(t *testing.T) { figureRebuild(t, &f, scale) })
	t.Run("ratio", func(t *testing.T) { figureRatio(t, &f, scale) })
	fmt.Printf("\n%-62s %14s %14s  %s\n", "figure ("+*figures+")", "measured", "target", "holds")
	for _, r := range f.rows {
		fmt.Printf("%-62s %14s %14s  %s\n", r.name, r.got, r.want, r.holds)
	}
}

// kernelWritten is what the kernel says this process has sent to storage (proc(5), io).
func kernelWritten(t *testing.T) int64 {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	var written, cancelled int64
	for line := range strings.Lines(string(raw)) {
		_, _ = fmt.Sscanf(line, "write_bytes: %d", &written)
		_, _ = fmt.Sscanf(line, "cancelled_write_bytes: %d", &cancelled)
	}
	return written
}

// treeBytes is what the files of a directory take on the device, unwritten pages included.
func treeBytes(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if st, err := d.Info(); err == nil {
				n += st.Size()
			}
		}
		return nil
	})
	return n
}

// logNormal draws sizes as the web has them: median 12 KiB, mean about 32 KiB, at most 1 MiB.
func logNormal(rng *rand.Rand) int {
	return int(min(math.Exp(math.Log(12<<10)+1.4*rng.NormFloat64()), 1<<20))
}

func quantile(d []time.Duration, q float64) float64 {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[int(float64(len(d)-1)*q)].Seconds() * 1000
}

func figureWrites(t *testing.T, f *figureTable, scale int) {
	for _, again := range []bool{false, true} {
		o := Options{Dir: t.TempDir(), Size: int64(2<<30) / int64(scale), ReappendShare: -1}
		name := "without re-appending"
		if again {
			o.ReappendShare, name = 0, "with re-appending (Zipf hits)"
		}
		s := mustOpen(t, o)
		var peak atomic.Int64
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond):
					peak.Store(max(peak.Load(), treeBytes(o.Dir)))
				}
			}
		})
		rng := rand.New(rand.NewPCG(1, 2))
		body, meta := bodyOf(1, 1, 1<<20), make([]byte, 300)
		// Popularity makes what is hit; without hits every put is of a new object.
		pop := newZipf(rng, 0.9, int(o.Size/(8<<10)))
		var user, began, lastUser int64
		var times, before []time.Duration
		put := func(i int) {
			h, k := keyOf(i)
			size := logNormal(rand.New(rand.NewPCG(uint64(i), 9)))
			start := time.Now()
			if err := s.Put(h, k, meta, body[:size], later); err != nil && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			times = append(times, time.Since(start))
			user += int64(len(k) + len(meta) + size)
		}
		for i := 0; user < 5*o.Size; i++ {
			if began == 0 && user > 2*o.Size { // the steady state: all of it was replaced once
				began, lastUser, times = kernelWritten(t), user, times[:0]
			}
			if before == nil && user > o.Size*9/10 { // nothing was evicted yet: what a put costs without that
				before, times = times, nil
			}
			if !again {
				put(i)
				continue
			}
			n := pop.next()
			h, k := keyOf(n)
			e, err := s.Get(h, k)
			if err == nil {
				e.Close()
			} else {
				put(n)
			}
		}
		wrote := kernelWritten(t) - began
		close(done)
		wg.Wait()
		st := s.Stats()
		mustClose(t, s)
		want := 1.02
		if again {
			want = 1.3
		}
		f.atMost("write amplification "+name, float64(wrote)/float64(user-lastUser), want, "")
		f.atMost("peak disk use over budget and a segment, "+name, float64(peak.Load()-s.o.SegmentSize)/float64(o.Size), 1.05, "")
		f.atMost("put before the first eviction, p999, "+name, quantile(before, 0.999), 0, " ms")
		f.atMost("put while evicting, p50, "+name, quantile(times, 0.5), 0, " ms")
		f.atMost("put while evicting, p999, "+name, quantile(times, 0.999), 5, " ms")
		f.atMost("puts that waited for room, of a thousand, "+name, 1000*float64(st.RoomWaits)/float64(len(times)), 0, "")
		f.atMost("puts refused, "+name, float64(st.Full), 0, "")
	}
}

// figureReads has, beside the store's reads, a plain pread of the same bytes and an index lookup, in turn. The pread is
// measured twice: into new memory, which is what a read has to hand out, and into the same memory again and again.
func figureReads(t *testing.T, f *figureTable, scale int) {
	for _, size := range []int{10 << 10, 100 << 10} {
		s := mustOpen(t, Options{Dir: t.TempDir(), Size: 2 << 30})
		const n = 2000
		hashes, keys, entries := make([]Hash, n), make([][]byte, n), make([]entry, n)
		for i := range n {
			hashes[i], keys[i] = keyOf(i)
			if err := s.Put(hashes[i], keys[i], make([]byte, 400), bodyOf(i, 1, size), later); err != nil {
				t.Fatal(err)
			}
			entries[i], _, _ = s.idx.Load().get(hashes[i])
		}
		same := make([]byte, 2*size)
		pread := func(i int, buf []byte) {
			if _, err := s.segs.table.Load().find(entries[i].seg).f.ReadAt(buf, entries[i].off()); err != nil {
				t.Fatal(err)
			}
		}
		rounds, each := 15, 8000/scale
		var ratios, strict, gets []float64
		for range rounds {
			// In small portions and in turn, so that what else the machine does falls on all alike; each draws its own
			// objects, so that none finds in the processor's cache what another has just read.
			const portion = 25
			var get, fresh, reused, index float64
			timed := func(sum *float64, one func(i int)) {
				start := time.Now()
				for range portion {
					one(rand.IntN(n))
				}
				*sum += time.Since(start).Seconds() / float64(each) * 1e6
			}
			for range each / portion {
				timed(&get, func(i int) {
					e, err := s.Get(hashes[i], keys[i])
					if err != nil {
						t.Fatal(err)
					}
					e.Close()
				})
				timed(&fresh, func(i int) { pread(i, make([]byte, entries[i].len)) })
				timed(&index, func(i int) {
					if _, _, err := s.idx.Load().get(hashes[i]); err != nil {
						t.Fatal(err)
					}
				})
				timed(&reused, func(i int) { pread(i, same[:entries[i].len]) })
			}
			ratios, strict, gets = append(ratios, get/(fresh+index)), append(strict, get/(reused+index)), append(gets, get)
		}
		mustClose(t, s)
		slices.Sort(ratios)
		slices.Sort(strict)
		slices.Sort(gets)
		f.atMost(fmt.Sprintf("read of %d KiB over pread and index lookup (median of %d)", size>>10, rounds), ratios[rounds/2], 1.3, "")
		f.atMost("  the same, the pread into memory that is used again", strict[rounds/2], 0, "")
		f.atMost(fmt.Sprintf("read of %d KiB", size>>10), gets[rounds/2], 0, " us")
	}
}

// figureTogether reads with eight goroutines, with a writer beside them and without, in turn. The writer fills the disk
// more than once, so evictions are a part of it; what is read is pinned and moves along.
func figureTogether(t *testing.T, f *figureTable, scale int) {
	s := mustOpen(t, Options{Dir: t.TempDir(), Size: 1 << 30, Classes: []Class{{Name: "read", Pin: true}}})
	defer mustClose(t, s)
	const n, size = 2000, 10 << 10
	for i := range n {
		mustPutIn(t, s, "read", i, size)
	}
	span := 2 * time.Second / time.Duration(min(scale, 10))
	read := func() float64 {
		var mu sync.Mutex
		var all []time.Duration
		var wg sync.WaitGroup
		end := time.Now().Add(span)
		for range 8 {
			wg.Go(func() {
				var mine []time.Duration
				for time.Now().Before(end) {
					h, k := keyOf(rand.IntN(n))
					start := time.Now()
					e, err := s.Get(h, k)
					if err != nil {
						t.Error(err)
						return
					}
					e.Close()
					mine = append(mine, time.Since(start))
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, mine...)
			})
		}
		wg.Wait()
		return quantile(all, 0.99)
	}
	var alone, beside []float64
	body := bodyOf(1, 1, size)
	for range 5 {
		alone = append(alone, read())
		var stop atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := n; !stop.Load(); i++ {
				h, k := keyOf(i % (10 * n))
				if i%(10*n) < n {
					continue // what is read stays
				}
				if err := s.Put(h, k, nil, body, later); err != nil {
					t.Error(err)
					return
				}
			}
		})
		beside = append(beside, read())
		stop.Store(true)
		wg.Wait()
	}
	slices.Sort(alone)
	slices.Sort(beside)
	f.atMost("8 readers, p99 of a 10 KiB read, alone", alone[2], 0, " ms")
	f.atMost("8 readers, p99 with a writer over p99 without", beside[2]/alone[2], 3, "")
	f.atMost("  segments evicted meanwhile", float64(s.Stats().SegmentsEvicted), 0, "")
}

const figureChild = "WEIR_DISK_FIGURE_CHILD"

// fillMany is the process that is killed with many objects on disk.
func fillMany(dir string) {
	var from, to int
	_, _ = fmt.Sscan(os.Getenv(figureChild), &from, &to)
	s, err := Open(Options{Dir: dir, Size: 16 << 30})
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	empty := settledHeap(s)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := from + g; i < to; i += 4 {
				h, k := keyOf(i)
				if err := s.Put(h, k, manyMeta(i), manyBody(i), later); err != nil {
					fmt.Println(err)
					os.Exit(3)
				}
			}
		})
	}
	wg.Wait()
	// Counters of hits take memory once something was read: one object in each of their pages will do.
	for i := from; i < to; i += hitPage / 8 {
		h, k := keyOf(i)
		e, err := s.Get(h, k)
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		e.Close()
	}
	fmt.Println("bytes", settledHeap(s)-empty)
	select {}
}

func manyMeta(i int) []byte { return fmt.Appendf(nil, "meta %d", i) }
func manyBody(i int) []byte { return bytes.Repeat(manyMeta(i), 20) }

// settledHeap is the heap in use without what Pebble has in its cache and memtables, whose size is fixed. With cgo these
// are not on the heap.
func settledHeap(s *Store) int64 {
	_ = s.idx.Load().db.Flush()
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if cgo {
		return int64(m.HeapAlloc)
	}
	p := s.idx.Load().db.Metrics()
	return int64(m.HeapAlloc) - p.BlockCache.Size - int64(p.MemTable.Size) - int64(p.MemTable.ZombieSize)
}

// killedWith is a process that puts objects from..to-1 and is killed when it has; it returns its own RAM for them.
func killedWith(t *testing.T, dir string, from, to int) int64 {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WEIR_DISK_CHILD="+dir, fmt.Sprintf("%s=%d %d", figureChild, from, to))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	var heap int64
	if _, err := fmt.Sscanf(line, "bytes %d", &heap); err != nil {
		t.Fatalf("child said %q", line)
	}
	return heap
}

func figureMany(t *testing.T, f *figureTable, scale int) {
	n := 5_000_000 / scale
	dir := t.TempDir()
	heap := killedWith(t, dir, 0, n)
	f.atMost(fmt.Sprintf("own RAM for each of %d objects on disk", n), float64(heap)/float64(n), 16, " B")
	start := func(name string, limit float64, objects int) {
		began := time.Now()
		s := mustOpen(t, Options{Dir: dir, Size: 16 << 30})
		defer mustClose(t, s)
		h, k := keyOf(n / 2)
		e, err := s.Get(h, k)
		took := time.Since(began)
		if err != nil || !bytes.Equal(e.Body, manyBody(n/2)) {
			t.Fatal(err)
		}
		e.Close()
		f.atMost(fmt.Sprintf("kill -9 with %d objects, start to first right hit%s", objects, name), took.Seconds(), limit, " s")
		eventually(t, "counted", func() bool { return !s.Stats().Counting })
		if got := s.Stats().Objects; got != int64(objects) {
			t.Errorf("%d objects of %d", got, objects)
		}
	}
	start("", 2, n)
	killedWith(t, dir, n, n+n/10)
	if os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0) == nil { // root may
		start(", nothing in the page cache", 0, n+n/10)
	}
}

// makeSegments writes sealed segments of objects of one size, whose bodies are holes. Every one of them reads right.
func makeSegments(t *testing.T, s *Store, total int64, size int) (objects int) {
	t.Helper()
	zeros := crc32.Checksum(make([]byte, size), castagnoli)
	for total > 0 {
		seg, err := func() (*segment, error) { s.segs.mu.Lock(); defer s.segs.mu.Unlock(); return s.segs.create() }()
		if err != nil {
			t.Fatal(err)
		}
		var list []byte
		off := int64(segHeaderSize)
		for ord := uint32(0); ; ord++ {
			h, key := keyOf(objects)
			hd := recHeader{typ: recObject, hash: h, keyLen: uint32(len(key)), bodyLn: uint32(size), kmCRC: crc32.Checksum(key, castagnoli), bodyCRC: zeros, ord: ord, expires: unixMillis(later), stored: s.nowMillis(), size: uint64(size)}
			n := align(hd.length())
			if off+n+int64(len(list))+footEntrySize+trailerSize > s.o.SegmentSize {
				break
			}
			b := make([]byte, recHeaderSize)
			hd.encode(b, seg.place(off))
			if _, err := seg.f.WriteAt(append(b, key...), off); err != nil {
				t.Fatal(err)
			}
			fe := footEntry{hash: h, entry: entry{typ: recObject, seg: seg.num, off8: uint32(off / recAlign), len: uint32(hd.length()), crc: hd.crc, ord: ord, expires: unixSeconds(hd.expires), oldest: seg.num, disk: uint64(n)}}
			list = append(list, make([]byte, footEntrySize)...)
			fe.put(list[len(list)-footEntrySize:])
			off += n
			objects++
		}
		if _, err := writeFooter(seg.f, seg.place(0), off, list); err != nil {
			t.Fatal(err)
		}
		total -= s.o.SegmentSize
	}
	return objects
}

func figureRebuild(t *testing.T, f *figureTable, scale int) {
	for _, size := range []int{100 << 10, 32 << 10} {
		total := int64(50<<30) / int64(scale)
		o := Options{Dir: t.TempDir(), Size: total + 2<<30}
		s := mustOpen(t, o)
		n := makeSegments(t, s, total, size)
		o.SegmentSize = s.o.SegmentSize
		mustClose(t, s)
		if err := os.RemoveAll(indexDir(t, o.Dir)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		s = mustOpen(t, o)
		open := time.Since(start)
		right := func(i int) bool {
			h, k := keyOf(i)
			e, err := s.Get(h, k)
			if err != nil {
				return false
			}
			defer e.Close()
			return e.Size == int64(size) && len(bytes.Trim(e.Body, "\x00")) == 0
		}
		eventually(t, "first hit", func() bool { return right(n - 1) })
		first := time.Since(start)
		served := 0
		for i := 0; s.rebuilding(); i++ {
			mustPut(t, s, n+i, 1, 1000)
			if _, _, err := readAll(s, n+i); err != nil {
				t.Fatal(err)
			}
			served++
			time.Sleep(time.Millisecond)
		}
		took := time.Since(start)
		for i := 0; i < n; i += n / 50 {
			if !right(i) {
				t.Errorf("object %d of %d is not right", i, n)
			}
		}
		mustClose(t, s)
		what := fmt.Sprintf("%d GiB of %d KiB objects (%d)", total>>30, size>>10, n)
		f.atMost("rebuild of "+what, took.Seconds(), 30, " s")
		f.atMost("  of that until Open returned", open.Seconds(), 0, " s")
		f.atMost("  of that until the first right hit", first.Seconds(), 0, " s")
		f.atMost("  put and read back meanwhile", float64(served), 0, "")
	}
}

// zipf draws from 0..n-1 with the given exponent, below 1 as well (math/rand's needs more).
type zipf struct {
	rng *rand.Rand
	cum []float64
}

func newZipf(rng *rand.Rand, exponent float64, n int) *zipf {
	z := &zipf{rng: rng, cum: make([]float64, n)}
	sum := 0.0
	for i := range z.cum {
		sum += math.Pow(float64(i+1), -exponent)
		z.cum[i] = sum
	}
	return z
}

func (z *zipf) next() int {
	i, _ := slices.BinarySearch(z.cum, z.rng.Float64()*z.cum[len(z.cum)-1])
	return i
}

// lru is the yardstick: exact LRU over the same bytes.
type lru struct {
	list        *simplelru.LRU[int, int64]
	bytes, room int64
}

func newLRU(room int64) *lru {
	l := &lru{room: room}
	l.list, _ = simplelru.NewLRU(math.MaxInt, func(_ int, n int64) { l.bytes -= n })
	return l
}

func (l *lru) hit(i int, n int64) bool {
	if _, ok := l.list.Get(i); ok {
		return true
	}
	l.list.Add(i, n)
	for l.bytes += n; l.bytes > l.room; {
		l.list.RemoveOldest()
	}
	return false
}

// compareRatio runs one stream through the store and through LRU with the same budget in bytes; hits of the first tenth
// do not count.
func compareRatio(t *testing.T, f *figureTable, name string, budget int64, stream []int, size func(i int) int) {
	o := Options{Dir: t.TempDir(), Size: budget}
	s := mustOpen(t, o)
	defer mustClose(t, s)
	yard := newLRU(budget)
	body := bodyOf(1, 1, 4<<20)
	var ours, theirs, counted int
	for at, i := range stream {
		h, k := keyOf(i)
		n := size(i)
		count := at >= len(stream)/10
		if yard.hit(i, int64(len(k)+n)) && count {
			theirs++
		}
		e, err := s.Get(h, k)
		if err == nil {
			e.Close()
			if count {
				ours++
			}
		} else if err := s.Put(h, k, nil, body[:n], later); err != nil {
			t.Fatal(err)
		}
		if count {
			counted++
		}
	}
	f.atMost("hit ratio, LRU, "+name, 100*float64(theirs)/float64(counted), 0, " %")
	f.atLeast("hit ratio of the disk tier over LRU's, "+name, float64(ours)/float64(theirs), 1, "")
}

func figureRatio(t *testing.T, f *figureTable, scale int) {
	const size = 16 << 10
	n := 100_000 / min(scale, 4)
	rng := rand.New(rand.NewPCG(3, 4))
	z := newZipf(rng, 0.9, n)
	stream := make([]int, 10*n/min(scale, 4))
	for i := range stream {
		stream[i] = z.next()
	}
	compareRatio(t, f, "Zipf(0.9), 10 %", int64(n/10)*size, stream, func(int) int { return size })
	trace, sizes, total := readTrace(t)
	if trace == nil {
		f.rows = append(f.rows, figure{"hit ratio, access log", "no log", "-", "not measured: give one with -disk.trace"})
		return
	}
	// The log is small: its objects are made larger, all by the same factor, so that a tenth of them is a disk.
	factor := max(1, (160<<20)/total)
	compareRatio(t, f, "access log, 10 %", factor*total/10, trace, func(i int) int { return int(min(sizes[i]*factor, 4<<20)) })
}

// readTrace reads the paths and sizes of an access log in the combined format.
func readTrace(t *testing.T) (stream []int, sizes []int64, total int64) {
	t.Helper()
	path := *traceLog
	if path == "" {
		path = filepath.Join("..", "..", "..", "shared", "traces", "apache_access.log")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Logf("no access log, its hit ratio is left out: %v", err)
		return nil, nil, 0
	}
	ids := map[string]int{}
	for line := range strings.Lines(string(raw)) {
		_, rest, ok := strings.Cut(line, `"GET `)
		if !ok {
			continue
		}
		request, tail, _ := strings.Cut(rest, `" `)
		var status int
		var n int64
		if _, err := fmt.Sscan(tail, &status, &n); err != nil || status != 200 || n <= 0 {
			continue
		}
		url, _, _ := strings.Cut(request, " ")
		id, known := ids[url]
		if !known {
			id = len(ids)
			ids[url] = id
			sizes = append(sizes, n)
			total += n
		}
		stream = append(stream, id)
	}
	return stream, sizes, total
}
