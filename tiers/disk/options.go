package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Bounds of the options. A key is a URL and a few header values, metadata a response header: both bounds are far above
// what a proxy accepts and exist so that no length read from disk can ask for much memory.
const (
	MinSize   = 8 << 20
	MaxKeyLen = 1 << 20
	// MaxMetaLen bounds the metadata of one object.
	MaxMetaLen = 4 << 20

	minSegment = 256 << 10
	maxSegment = 1 << 30
	minChunk   = 4 << 10
	maxChunk   = 4 << 20
)

// Options configure a store. The zero value of each field but Dir and Size is its default.
type Options struct {
	// Dir is the directory of the store; created when missing. One process at a time.
	Dir string
	// Size is the budget in bytes for segments and index together; at least MinSize.
	Size int64
	// SegmentSize in bytes; 0: Size/64 within 1 MiB (on a disk below 16 MiB a sixteenth of it, so that three quarters of any
	// disk can be promised) and 256 MiB, and Size/1024 (up to 1 GiB) above 256 GiB, so that the number of open files stays
	// near a thousand. At most Size/4.
	SegmentSize int64
	// ChunkSize in bytes of the pieces of a large body: the unit of its checksums and reads. Default 256 KiB, at most
	// SegmentSize/4.
	ChunkSize int
	// MaxInline in bytes: a body up to this is one record, read at once. Default ChunkSize; at most SegmentSize/4.
	MaxInline int64
	// ReadOnly opens what is there to be read, on a file system that takes no writes. Puts are refused, and the store is
	// given up (see Store.Vanished) once it does.
	ReadOnly bool
	// Fresh discards what the directory holds.
	Fresh bool
	// ReadTimeout is how long a read waits for the device; in the middle of a large body ten times as long. Default 1 s.
	ReadTimeout time.Duration
	// ReappendShare is the share of an evicted segment (0..1) that may be written again because it was hit since it was
	// written. Default 0.21, which bounds the write amplification at 1/(1-0.21) = 1.27;
	// negative: none.
	ReappendShare float64
	// Classes of objects and what is promised to them; see SetClasses.
	Classes []Class
	// Now is the clock that decides fresh or expired at eviction; time.Now by default.
	Now func() time.Time
	// Log takes faults, rebuilds and evictions of damaged segments; slog.Default by default.
	Log *slog.Logger
	// OnEvict is called from the background for each object that eviction removed; it must not call the store.
	OnEvict func(Evicted)
	// OnFault is called when the store goes offline (err != nil) and when it is back (nil). It must not block.
	OnFault func(err error)

	// OnRead and OnWrite are told how long each read from a segment and each write to one took, failed ones included. They
	// must be quick.
	OnRead, OnWrite func(time.Duration)

	// Fault injection of the tests.
	indexFS    vfs.FS
	space      func(dir string) (space, error)
	writeFault func(n int) error
	read       func(f *os.File, b []byte, off int64) (int, error)
	tick       time.Duration
	checkpoint uint32
	// indexPatience is how long somebody waits for the index to take a write; then the generation has failed.
	indexPatience time.Duration
	// closePatience is how long Close waits for the device.
	closePatience time.Duration
}

func (o Options) withDefaults() Options {
	if o.SegmentSize == 0 {
		o.SegmentSize = min(max(o.Size/64, min(1<<20, o.Size/16)), 256<<20)
		if o.Size > 256<<30 {
			o.SegmentSize = min(o.Size/1024, maxSegment)
		}
	}
	if o.ChunkSize == 0 {
		o.ChunkSize = int(min(256<<10, o.SegmentSize/4))
	}
	if o.MaxInline == 0 {
		o.MaxInline = int64(o.ChunkSize)
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = time.Second
	}
	if o.ReappendShare == 0 {
		o.ReappendShare = 0.21
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.OnEvict == nil {
		o.OnEvict = func(Evicted) {}
	}
	if o.OnFault == nil {
		o.OnFault = func(error) {}
	}
	if o.OnRead == nil {
		o.OnRead = func(time.Duration) {}
	}
	if o.OnWrite == nil {
		o.OnWrite = func(time.Duration) {}
	}
	if o.space == nil {
		o.space = spaceOf
	}
	if o.indexFS == nil {
		o.indexFS = vfs.Default
	}
	if o.checkpoint == 0 {
		o.checkpoint = 8192
	}
	if o.closePatience == 0 {
		o.closePatience = 10 * time.Second
	}
	if o.indexPatience == 0 {
		// Well above what a busy device needs for a flush: giving the index up costs a rebuild.
		o.indexPatience = 30 * time.Second
	}
	if o.tick == 0 {
		o.tick = time.Second
	}
	return o
}

// validate reports every fault of options that already have their defaults.
func (o Options) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.Dir != "", "Dir is empty")
	check(!o.ReadOnly || !o.Fresh, "Fresh and ReadOnly are both set, valid is one of them")
	check(o.Size >= MinSize, "Size is %d, at least %d is needed", o.Size, MinSize)
	check(o.SegmentSize >= minSegment && o.SegmentSize <= maxSegment && o.SegmentSize <= o.Size/4,
		"SegmentSize is %d, valid is %d to %d and at most a quarter of Size", o.SegmentSize, minSegment, maxSegment)
	check(o.ChunkSize >= minChunk && o.ChunkSize <= maxChunk && int64(o.ChunkSize) <= o.SegmentSize/4,
		"ChunkSize is %d, valid is %d to %d and at most a quarter of SegmentSize", o.ChunkSize, minChunk, maxChunk)
	check(o.MaxInline >= 0 && o.MaxInline <= o.SegmentSize/4,
		"MaxInline is %d, valid is 0 to a quarter of SegmentSize", o.MaxInline)
	check(o.ReadTimeout > 0, "ReadTimeout is %v, it must be above 0", o.ReadTimeout)
	check(o.ReappendShare <= 1, "ReappendShare is %g, valid is at most 1", o.ReappendShare)
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("disk options: %w", errors.Join(errs...))
}

// maxObject is the largest body the store takes. Half of the budget: a larger one would evict its own first chunks, and
// the head record with its list of extents must fit in half a segment.
func (o Options) maxObject() int64 {
	byBudget := (o.Size - 2*o.SegmentSize) / 2
	byHead := o.SegmentSize / 2 / extentSize * int64(o.ChunkSize)
	return min(byBudget, byHead)
}
